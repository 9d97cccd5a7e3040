//! Running other programs. A failure shows the command line; a program that isn't there is said with what
//! to install.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use anyhow::{Context, Error, Result, anyhow, bail};

use crate::workspace;

/// What brings a program that is missing.
const INSTALL: &[(&str, &str)] = &[
    ("cargo", "Rust from https://rustup.rs"),
    ("python3", "Python 3.10 or newer (Debian: apt-get install python3 python3-venv)"),
    ("git", "git (Debian: apt-get install git)"),
    ("tar", "tar and gzip"),
    ("node", "Node 20 or newer with npm (Debian: apt-get install nodejs npm)"),
    ("npm", "Node 20 or newer with npm (Debian: apt-get install nodejs npm)"),
];

/// Cargo, at the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(workspace::root());
    cargo
}

/// Runs a command whose output the reader sees.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|e| not_started(command, &e))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command and gives what it wrote to standard output. What it wrote to standard error is shown if it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| not_started(command, &e))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}\n{}", shown(command), output.status, stderr.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote no UTF-8", shown(command)))
}

/// Why a command could not be started, and what would help.
pub(crate) fn not_started(command: &Command, error: &std::io::Error) -> Error {
    let program = command.get_program().to_string_lossy();
    let install = INSTALL.iter().find(|(name, _)| *name == program).map(|(_, what)| what);
    match install {
        Some(what) if error.kind() == ErrorKind::NotFound => anyhow!("{program} is missing: install {what}"),
        _ => anyhow!("{} cannot be started: {error}", shown(command)),
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_said_with_what_to_install() {
        let error = std::io::Error::from(ErrorKind::NotFound);
        let message = not_started(&Command::new("tar"), &error).to_string();
        assert_eq!(message, "tar is missing: install tar and gzip");
        let message = not_started(Command::new("nowhere").arg("-x"), &error).to_string();
        assert!(message.starts_with("nowhere -x cannot be started"), "{message}");
    }

    #[test]
    fn a_failure_shows_the_command_and_its_last_words() {
        let error = output(Command::new("sh").args(["-c", "echo oh >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("3") && error.ends_with("oh"), "{error}");
        assert_eq!(output(Command::new("sh").args(["-c", "echo yes"])).unwrap(), "yes\n");
    }
}
