//! What a server takes of its machine, by the system and by its own account.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use crate::metrics;
use crate::server::Server;

/// Bytes of memory that a process has.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|n| n.parse::<u64>().ok());
    kibibytes.expect("Linux tells") << 10
}

/// A number of `/metrics` that is always there, summed over its labels.
pub(crate) fn gauge(server: &Server, name: &str) -> f64 {
    let reply = server.get("/metrics");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let values: Vec<f64> = metrics::values(reply.text(), name).collect();
    assert!(!values.is_empty(), "no {name} in {}", reply.text());
    values.iter().sum()
}

/// Waits until something holds; how long that took, or none if it never did.
pub(crate) fn wait_for(most: Duration, holds: impl Fn() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < most {
        if holds() {
            return Some(begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// Ends a connection as a client does that crashes: with a reset, whatever is on the way.
pub(crate) fn reset(stream: TcpStream) {
    setsockopt(&stream, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).expect("a socket");
    drop(stream);
}
