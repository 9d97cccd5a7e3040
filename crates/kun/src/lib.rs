//! The binary `kun`: flags, the environment, the terminal and JSON. What a model is and how it runs is
//! the business of the crates `weights`, `text` and `engine`.
//!
//! Two things are for others: [`main`], which is the whole binary, and [`local`], a model in the caller's own process.

#![forbid(unsafe_code)]

mod answer;
mod chat;
mod cli;
mod commands;
mod conversation;
mod download;
mod environment;
mod failure;
mod form;
mod front;
mod interrupt;
mod key_file;
pub mod local;
mod log;
mod memory;
mod model_details;
mod model_file;
mod open_files;
mod output;
mod parameters;
mod session;
mod settings;
mod signals;
mod terminal;
mod usage;
mod weight_traffic;

use std::process::ExitCode;

use crate::environment::Environment;
use crate::failure::Outcome;
use crate::interrupt::Interrupts;

/// The binary: does what the command line says and gives the exit code.
pub fn main() -> ExitCode {
    let cli = match usage::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match start(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                output::note(format!("kun: {message}"));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn start(command: cli::Command) -> Outcome {
    let interrupts = Interrupts::install()?;
    let environment = Environment::read()?;
    commands::dispatch(command, &environment, &interrupts)
}
