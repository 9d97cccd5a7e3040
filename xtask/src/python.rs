//! Python environments of our own, below the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// An environment with some packages in it.
pub(crate) struct Python(PathBuf);

impl Python {
    /// An environment at `folder` with these packages; an older one with others is replaced.
    pub(crate) fn with_packages(folder: &Path, packages: &[&str]) -> Result<Python> {
        let python = Python(folder.join("bin").join("python"));
        let record = folder.join("packages.txt");
        let wanted = packages.join("\n");
        if fs::read_to_string(&record).is_ok_and(|had| had == wanted) && python.runs() {
            return Ok(python);
        }
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        check_version()?;
        process::run(Command::new("python3").args(["-m", "venv"]).arg(folder))
            .context("python3 cannot make an environment (Debian: apt-get install python3-venv)")?;
        process::run(python.pip("install").args(packages))?;
        fs::write(&record, wanted)?;
        Ok(python)
    }

    /// A command that runs this Python.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.0)
    }

    /// A command of this Python's pip.
    pub(crate) fn pip(&self, what: &str) -> Command {
        let mut pip = self.command();
        pip.args(["-m", "pip", "--disable-pip-version-check", what, "--quiet"]);
        pip
    }

    fn runs(&self) -> bool {
        process::output(self.command().arg("--version")).is_ok()
    }
}

fn check_version() -> Result<()> {
    let version = process::output(Command::new("python3").arg("--version"))?;
    let minor =
        version.trim().strip_prefix("Python 3.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    if minor.is_none_or(|minor| minor < 10) {
        bail!("python3 is {}; Python 3.10 or newer is needed", version.trim());
    }
    Ok(())
}
