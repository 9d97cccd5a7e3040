//! Kun's side: the release binary's `kun bench`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::shape::Test;
use crate::{process, workspace};

/// The release binary.
pub(super) struct Kun {
    pub(super) binary: PathBuf,
    pub(super) threads: usize,
    pub(super) version: String,
    /// The instruction set that it chooses here.
    pub(super) isa: String,
}

/// What `kun bench --json` says of the machine.
#[derive(Deserialize)]
struct Machine {
    isa: String,
    read_bytes_per_second: f64,
}

/// A row of what `kun bench MODEL --json` says.
#[derive(Deserialize)]
struct Measured {
    name: String,
    tokens_per_second: f64,
}

impl Kun {
    /// Builds what a user would run.
    pub(super) fn build(threads: usize) -> Result<Kun> {
        process::run(process::cargo().args(["build", "--release", "--package", "kun"]))?;
        let binary = workspace::target()?.join("release").join("kun");
        let version = process::output(Command::new(&binary).arg("--version"))?;
        let version = version.trim().trim_start_matches("kun ").to_owned();
        let mut kun = Kun { binary, threads, version, isa: String::new() };
        kun.isa = kun.machine()?.isa;
        Ok(kun)
    }

    /// How fast this machine reads its memory at the moment.
    pub(super) fn read_bytes_per_second(&self) -> Result<f64> {
        Ok(self.machine()?.read_bytes_per_second)
    }

    /// Runs a test once: tokens per second.
    pub(super) fn measure(&self, model: &Path, test: &Test) -> Result<f64> {
        let json =
            process::output(self.bench().arg(model).args(["--only", test.name, "--repeat", "1", "--json"]))?;
        let rows: Vec<Measured> = serde_json::from_str(&json).context("kun bench wrote something else")?;
        let row = rows.into_iter().find(|row| row.name == test.name);
        Ok(row.with_context(|| format!("kun bench left {} out", test.name))?.tokens_per_second)
    }

    fn machine(&self) -> Result<Machine> {
        let json = process::output(self.bench().arg("--json"))?;
        serde_json::from_str(&json).context("kun bench wrote something else")
    }

    fn bench(&self) -> Command {
        let mut bench = Command::new(&self.binary);
        bench.args(["bench", "--threads", &self.threads.to_string()]);
        bench
    }
}
