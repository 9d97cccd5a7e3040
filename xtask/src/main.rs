//! The project's own tasks: `cargo xtask test`, `cargo xtask tidy`, `cargo xtask loops`, `cargo xtask compare`.
//!
//! Nothing here is part of what is shipped. A task sets up what it needs below `target/` and says what is
//! missing where it can't.

#![forbid(unsafe_code)]

mod compare;
mod loops;
mod model_store;
mod process;
mod python;
mod steps;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check everything: format, lints, rules of the repository, all tests with all of their data
    Test,
    /// Check the rules of the repository alone
    Tidy,
    /// Count loops in the answers of a running server, and what its guard makes of them
    Loops(loops::LoopsArgs),
    /// Measure Kun beside llama.cpp and write BENCHMARKS.md
    Compare(compare::CompareArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Test => test::run(),
        Task::Tidy => tidy::run(&workspace::root()),
        Task::Loops(args) => loops::run(&args),
        Task::Compare(args) => compare::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
