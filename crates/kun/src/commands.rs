//! One file for each command.

pub(crate) mod batch;
pub(crate) mod bench;
pub(crate) mod check;
mod detokenize;
pub(crate) mod export_hf;
mod inspect;
mod key;
pub(crate) mod load;
mod models;
mod perplexity;
mod pull;
mod rm;
mod run;
pub(crate) mod serve;
mod template;
mod tokenize;

use crate::cli::Command;
use crate::environment::Environment;
use crate::failure::Outcome;
use crate::interrupt::Interrupts;

/// Runs the command that was typed.
pub(crate) fn dispatch(command: Command, environment: &Environment, interrupts: &Interrupts) -> Outcome {
    match command {
        Command::Run(args) => run::run(args, environment, interrupts),
        Command::Serve(args) => serve::serve(&args, environment, interrupts),
        Command::Key(args) => key::run(&args),
        Command::Pull(args) => pull::run(&args, environment),
        Command::Models(args) => models::run(&args, environment),
        Command::Rm(args) => rm::run(&args, environment),
        Command::Inspect(args) => inspect::run(&args, environment),
        Command::Tokenize(args) => tokenize::run(&args, environment),
        Command::Detokenize(args) => detokenize::run(&args, environment),
        Command::Template(args) => template::run(&args, environment),
        Command::Perplexity(args) => perplexity::run(&args, environment),
        Command::Check(args) => check::run(&args),
        Command::Batch(args) => batch::run(&args, environment),
        Command::ExportHf(args) => export_hf::run(&args, environment),
        Command::Bench(args) => bench::run(&args, environment),
        Command::Load(args) => load::run(&args, environment, interrupts),
    }
}
