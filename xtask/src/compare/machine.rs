//! Where and when it was measured.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

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
