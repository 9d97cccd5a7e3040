//! Programs that the tests need and that Debian has.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Installs the package of a program that isn't there, where that can be done without asking.
pub(super) fn provide(program: &str, package: &str) -> Result<()> {
    let folders = env::var_os("PATH").unwrap_or_default();
    // What only root has in its path is there for us, too.
    let folders = env::split_paths(&folders).chain(["/usr/sbin".into(), "/sbin".into()]);
    if folders.into_iter().any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    println!("installing {package}");
    process::run(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends", package]);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    process::run(&mut install).with_context(|| format!("the tests need {program}: apt-get install {package}"))
}
