//! `cargo xtask test`: everything that has to hold, on a machine that has Rust, Python and the package
//! registries. What the tests need is fetched first, so nothing is skipped.

mod clients;
mod cluster;
mod data;
mod debian;
mod package;
mod totals;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::steps::Steps;
use crate::{process, tidy, workspace};

use totals::Totals;

/// Runs all steps; the first that fails ends it.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::start();
    let result = all(&mut steps);
    println!("total time: {}", steps.total());
    let totals = result?;
    println!("{totals}");
    if totals.failed > 0 { bail!("{} tests failed", totals.failed) } else { Ok(()) }
}

fn all(steps: &mut Steps) -> Result<Totals> {
    let root = workspace::root();
    let target = steps.step("tools", || {
        tools()?;
        workspace::target()
    })?;
    steps.step("format", || process::run(process::cargo().args(["fmt", "--all", "--check"])))?;
    steps.step("tidy", || tidy::run(&root))?;
    steps.step("clippy", || {
        process::run(process::cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    steps.step("build", || process::run(process::cargo().args(["test", "--workspace", "--no-run"])))?;
    let data = data::fetch(steps, &root, &target)?;
    let mut totals = steps.step("tests", || tests(&data))?;
    clients::run(steps, &root, &target, &mut totals)?;
    package::run(steps, &root, &target, &mut totals)?;
    cluster::run(steps, &root, &target, &mut totals)?;
    Ok(totals)
}

/// Says early what would be missing late.
fn tools() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let version = process::output(process::cargo().args([subcommand, "--version"]));
        let version =
            version.with_context(|| format!("install it with: rustup component add {component}"))?;
        println!("{}", version.trim());
    }
    println!("{}", process::output(std::process::Command::new("python3").arg("--version"))?.trim());
    process::output(std::process::Command::new("tar").arg("--version"))?;
    println!("node {}", process::output(std::process::Command::new("node").arg("--version"))?.trim());
    Ok(())
}

/// Runs every test binary and adds up their results; output is passed on as it comes.
fn tests(data: &[(&'static str, std::path::PathBuf)]) -> Result<Totals> {
    let mut cargo = process::cargo();
    // All data is there, so a test that misses some has a reason to fail.
    cargo.args(["test", "--workspace", "--no-fail-fast"]).env("CI", "true").stdout(Stdio::piped());
    for (variable, path) in data {
        println!("{variable}={}", path.display());
        cargo.env(variable, path);
    }
    let mut child = cargo.spawn().map_err(|e| process::not_started(&cargo, &e))?;
    let mut totals = Totals::default();
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let line = line?;
        totals.read(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    if !status.success() && totals.failed == 0 {
        bail!("cargo test ended with {status} without a failed test: a test binary did not build or died");
    }
    Ok(totals)
}
