//! Where and when it was measured.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::process;

/// The circumstances of a comparison.
pub(super) struct Machine {
    /// The processor and its cores.
    pub(super) name: String,
    /// `2026-01-31`.
    pub(super) date: String,
    /// The commit that is checked out, and whether something is changed.
    pub(super) commit: String,
}

impl Machine {
    /// Looks around.
    pub(super) fn look(root: &Path) -> Result<Machine> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpu_info.lines().find(|line| line.split(':').next().is_some_and(|n| n.trim() == name));
            line.and_then(|line| line.split(':').nth(1)).map_or("unknown", str::trim)
        };
        // A hypervisor may hide the model's name; family and model tell the generation all the same.
        let name = format!(
            "{} (family {}, model {}), {cores} cores",
            field("model name"),
            field("cpu family"),
            field("model")
        );
        let git = |args: &[&str]| process::output(Command::new("git").current_dir(root).args(args));
        let mut commit = git(&["rev-parse", "--short=10", "HEAD"])?.trim().to_owned();
        // What the comparison itself writes does not count.
        let changed = git(&["status", "--porcelain", "--", "crates", "Cargo.toml", "Cargo.lock"])?;
        if !changed.is_empty() {
            commit.push_str(" with changes");
        }
        let date = process::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.trim().to_owned();
        Ok(Machine { name, date, commit })
    }
}

/// How much of the processor others use, from 0 to 1, over a second in which nothing of ours runs. Where others
/// want the cores, the threads of both programs wait for each other at every barrier, and speeds mean nothing.
pub(super) fn use_by_others() -> f64 {
    let Some(before) = CpuTime::now() else { return 0.0 };
    thread::sleep(Duration::from_secs(1));
    CpuTime::now().map_or(0.0, |after| after.use_since(&before))
}

/// Ticks of all cores since the machine was started.
#[derive(Debug, PartialEq)]
struct CpuTime {
    idle: u64,
    total: u64,
}

impl CpuTime {
    fn now() -> Option<CpuTime> {
        CpuTime::of(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// From the first line: user, nice, system, idle, waiting for disks, interrupts (2), stolen by other guests.
    fn of(stat: &str) -> Option<CpuTime> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
        (ticks.len() == 8).then(|| CpuTime { idle: ticks[3] + ticks[4], total: ticks.iter().sum() })
    }

    fn use_since(&self, before: &CpuTime) -> f64 {
        let (idle, total) = (self.idle.saturating_sub(before.idle), self.total.saturating_sub(before.total));
        if total == 0 { 0.0 } else { total.saturating_sub(idle) as f64 / total as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_others_stole_is_use_and_waiting_for_a_disk_is_not() {
        let before = CpuTime::of("cpu  10 0 10 100 10 0 0 10 0 0\ncpu0 1 2 3").expect("all fields");
        let after = CpuTime::of("cpu  20 0 20 160 20 0 0 20 5 5\n").expect("all fields");
        assert_eq!(before, CpuTime { idle: 110, total: 140 });
        assert_eq!(after.use_since(&before), 0.3);
        assert_eq!(after.use_since(&after), 0.0);
        assert_eq!(CpuTime::of("cpu 1 2 3"), None);
    }
}
