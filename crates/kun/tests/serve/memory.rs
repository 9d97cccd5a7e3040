//! The memory promise: whatever is asked of it, the server's resident size stays within 1.05 of `--memory`.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};

use crate::kun::Scratch;
use crate::measure::resident_bytes;
use crate::real;
use crate::server::{Reply, Server, request};

/// Posts `bodies` from `clients` threads and gives the largest size that the server had meanwhile, and the answers'
/// statuses.
fn burst(server: &Server, clients: usize, bodies: &[Value]) -> (u64, Vec<u16>) {
    let next = AtomicU64::new(0);
    let largest = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    let statuses = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Relaxed) {
                largest.fetch_max(resident_bytes(server.pid()), Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let client = || {
            let mut statuses = Vec::new();
            while let Some(body) = bodies.get(next.fetch_add(1, Relaxed) as usize) {
                let mut stream = server.connect();
                stream.set_read_timeout(Some(Duration::from_secs(240))).expect("a socket");
                let text = request("/v1/completions", &body.to_string(), &[]);
                stream.write_all(text.as_bytes()).expect("it reads");
                statuses.push(Reply::read(&mut stream).status);
            }
            statuses
        };
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let statuses: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        ended.store(true, Relaxed);
        statuses.into_iter().flat_map(|statuses| statuses.expect("answered")).collect()
    });
    (largest.into_inner(), statuses)
}

/// The largest size that the process ever had, loading included.
fn peak_bytes(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[track_caller]
fn check_promise(server: &Server, budget: u64, largest: u64) {
    let peak = peak_bytes(server).max(largest);
    assert!(peak <= budget + budget / 20, "{} MiB of {}", peak >> 20, budget >> 20);
}

#[test]
fn a_burst_of_many_and_large_requests_stays_within_the_promise() {
    const BUDGET: u64 = 160 << 20;
    let server = Server::start(&["--memory", "160MiB", "--connections-max", "256"]);
    let bodies: Vec<Value> = (0..400)
        .map(|n| {
            // Some carry a megabyte that is of no use.
            let ballast = "x".repeat(if n % 10 == 0 { 1 << 20 } else { 10 });
            json!({"prompt": format!("{n} {}", "hello ".repeat(n % 300)), "max_tokens": 1 + n % 40, "user": ballast, "logprobs": 5,
                "echo": n % 7 == 0, "n": 1 + n % 4, "temperature": 1})
        })
        .collect();
    let (largest, statuses) = burst(&server, 48, &bodies);
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 200).count() >= 300, "{statuses:?}");
    check_promise(&server, BUDGET, largest);
}

#[test]
fn a_real_model_with_a_full_cache_stays_within_the_promise() {
    const BUDGET: u64 = 420 << 20;
    let Some(model) = real::model() else { return };
    let model = model.to_str().expect("UTF-8");
    let flags = [
        "--memory",
        "420MiB",
        "--ctx",
        "1024",
        "--max-sequences",
        "16",
        "--max-queue",
        "64",
        "--connections-max",
        "256",
    ];
    let server = Server::with_models(Scratch::new(), &[model], &flags);
    let before = resident_bytes(server.pid());
    // Prompts that have nothing in common, more of them than the cache has room for.
    let bodies: Vec<Value> = (0..40u64)
        .map(|n| {
            let tokens: Vec<u64> = (0..200).map(|i| 100 + (n * 7919 + i * 104_729) % 40_000).collect();
            json!({"prompt": tokens, "max_tokens": 4, "temperature": 0, "ignore_eos": true})
        })
        .collect();
    let (largest, statuses) = burst(&server, 24, &bodies);
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(largest > before + (30 << 20), "the cache was used: {before} {largest}");
    check_promise(&server, BUDGET, largest);
}
