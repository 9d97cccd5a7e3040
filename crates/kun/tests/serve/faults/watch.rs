//! What must hold after every case.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::exchange::exchange;
use crate::measure::resident_bytes;
use crate::server::{Server, request};

/// Memory may grow by this share, and by this much whatever its size.
const GROWTH_MAX: f64 = 0.02;
const SLACK_BYTES: u64 = 24 << 20;

/// A server that must stay as it is.
pub(super) struct Watch {
    pid: u32,
    canary: Value,
    log_bytes: usize,
    memory_bytes: u64,
}

impl Watch {
    pub(super) fn begin(server: &Server) -> Self {
        let canary = canary(server).expect("the canary sings");
        Watch { pid: server.pid(), canary, log_bytes: 0, memory_bytes: resident_bytes(server.pid()) }
    }

    /// What has gone wrong since the last look.
    pub(super) fn look(&mut self, server: &mut Server) -> Vec<String> {
        let mut wrong = Vec::new();
        if server.ends_within(Duration::from_nanos(1)).is_some() || server.pid() != self.pid {
            panic!("the server is gone: {}", server.log());
        }
        let asked = Instant::now();
        let health =
            exchange(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        match health {
            Ok(got) if got.reply.status == 200 && asked.elapsed() < Duration::from_secs(1) => {}
            Ok(got) => wrong.push(format!("health: {} after {:?}", got.reply.status, asked.elapsed())),
            Err(what) => wrong.push(format!("health: {what}")),
        }
        match canary(server) {
            Ok(canary) if canary == self.canary => {}
            Ok(canary) => wrong.push(format!("the canary sings {canary} and not {}", self.canary)),
            Err(what) => wrong.push(format!("the canary: {what}")),
        }
        let log = server.log();
        if let Some(at) = log[self.log_bytes..].find("panicked") {
            wrong.push(format!("in the log: {}", &log[self.log_bytes + at..]));
        }
        self.log_bytes = log.len();
        wrong
    }

    /// Takes the memory that the server has now for what it needs.
    pub(super) fn measure(&mut self, server: &Server) {
        self.memory_bytes = resident_bytes(server.pid());
    }

    /// Whether memory has grown.
    pub(super) fn memory(&self, server: &Server) -> Option<String> {
        let most = (self.memory_bytes as f64 * (1.0 + GROWTH_MAX)) as u64 + SLACK_BYTES;
        let begun = Instant::now();
        loop {
            let now = resident_bytes(server.pid());
            if now <= most {
                return None;
            }
            // What ends after its answer is gone soon.
            if begun.elapsed() > Duration::from_secs(1) {
                return Some(format!("{now} bytes of memory, {} before", self.memory_bytes));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What a greedy request brings.
fn canary(server: &Server) -> Result<Value, String> {
    let body = json!({"prompt": "hello there", "max_tokens": 8, "temperature": 0, "logprobs": 2});
    let got = exchange(server, request("/v1/completions", &body.to_string(), &[]).as_bytes())?;
    if got.reply.status != 200 {
        return Err(format!("{}: {}", got.reply.status, got.reply.text()));
    }
    let answer: Value = serde_json::from_slice(&got.reply.body).map_err(|e| e.to_string())?;
    Ok(answer["choices"].clone())
}
