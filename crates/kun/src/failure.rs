//! How a command ends when it does not end well: one message of at most three lines and an exit code.
//!
//! Every error of the libraries is sorted here, once, into the few kinds that a script can tell apart.

use std::fmt;
use std::io;
use std::path::Path;

use engine::limits::{Refused, StartError};
use engine::load::LoadError;
use weights::store::StoreError;

/// What kind of trouble it was: the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whoever reads our output has gone (`kun … | head`). No trouble at all.
    ReaderGone = 0,
    /// What a command was to look for is there, or a line of a batch has failed: it has been told.
    Found = 1,
    /// A flag, an argument or a file written by the user is wrong.
    Usage = 2,
    /// The model file is broken or this build can't run it.
    Model = 3,
    /// A file, the network or the terminal.
    Io = 4,
    /// Not enough memory.
    Memory = 5,
    /// Ctrl-C.
    Interrupted = 130,
}

/// The end of a command that did not succeed.
#[derive(Debug)]
pub struct Failure {
    pub(crate) kind: Kind,
    message: String,
}

/// What a command gives back.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A mistake in the command line or in a file that the user wrote.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure { kind: Kind::Usage, message: message.into() }
    }

    /// A model file that can't be used.
    pub(crate) fn model(message: impl Into<String>) -> Self {
        Failure { kind: Kind::Model, message: message.into() }
    }

    /// A file, the network, the terminal.
    pub(crate) fn io(message: impl Into<String>) -> Self {
        Failure { kind: Kind::Io, message: message.into() }
    }

    /// Not enough memory.
    pub(crate) fn memory(message: impl Into<String>) -> Self {
        Failure { kind: Kind::Memory, message: message.into() }
    }

    /// What was looked for is there, and has been told.
    pub(crate) fn found() -> Self {
        Failure { kind: Kind::Found, message: String::new() }
    }

    /// Ctrl-C: nothing needs to be said.
    pub(crate) fn interrupted() -> Self {
        Failure { kind: Kind::Interrupted, message: String::new() }
    }

    /// A file that could not be read or written; `doing` is "read", "write", "open".
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        Failure::io(format!("cannot {doing} {}: {}", path.display(), reason(error)))
    }

    /// Standard output could not be written. A reader that went away is not an error.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::ReaderGone } else { Kind::Io };
        Failure { kind, message: format!("cannot write to standard output: {}", reason(error)) }
    }

    /// What kind of trouble it was.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        self.kind as u8
    }

    /// What to print, at most three lines; nothing where nothing needs to be said.
    pub(crate) fn message(&self) -> Option<String> {
        match self.kind {
            Kind::ReaderGone | Kind::Found | Kind::Interrupted => None,
            _ => Some(self.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> = self.message.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
        write!(f, "{}", lines.join("\n"))
    }
}

impl std::error::Error for Failure {}

impl From<weights::error::Error> for Failure {
    fn from(error: weights::error::Error) -> Self {
        let kind = if error.is_io() { Kind::Io } else { Kind::Model };
        Failure { kind, message: error.to_string() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let kind = if error.is_usage() { Kind::Usage } else { Kind::Io };
        Failure { kind, message: error.to_string() }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::File(error) => error.into(),
            other => Failure::model(other.to_string()),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Limit { .. } | StartError::StallFactor(_) => Failure::usage(error.to_string()),
            StartError::Thread(_) => Failure::memory(error.to_string()),
        }
    }
}

/// What is wrong with a request comes from the flags or the prompt.
impl From<Refused> for Failure {
    fn from(error: Refused) -> Self {
        Failure::usage(error.to_string())
    }
}

/// The system's text for an error, without the number at its end.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_at_most_three_lines_and_none_of_them_empty() {
        let failure = Failure::model("a\n\nb\nc\nd");
        assert_eq!(failure.to_string(), "a\nb\nc");
    }

    #[test]
    fn a_reader_that_went_away_is_a_success_and_a_full_disk_is_not() {
        let gone = Failure::stdout(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((gone.exit_code(), gone.message()), (0, None));
        let full = Failure::stdout(&io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit_code(), 4);
        assert!(full.message().is_some_and(|m| m.contains("standard output")));
    }
}
