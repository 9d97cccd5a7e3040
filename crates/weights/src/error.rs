//! What can be wrong with a model file, in words for the person who has to do something about it.
//!
//! Two kinds, told apart by [`Error::is_io`]: the file could not be had (absent, a directory, no permission), or it
//! was read and is not a model that can be used. Every message says what, where (file and byte offset, key or
//! tensor) and what to do, in at most three lines. Names that come from a file are untrusted too: they are
//! escaped and cut before they are shown.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

/// Why a model file was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing at this path.
    #[error("{}: no such file\ncheck the path, or fetch a model with `kun pull`", path.display())]
    NotFound {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// The path names a directory.
    #[error("{}: is a directory, not a model file\nname the .gguf file itself", path.display())]
    Directory {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// The path names a pipe, a device or a socket, which cannot be mapped into memory.
    #[error("{}: is a {kind}, not a regular file\nsave the model to disk and name that file", path.display())]
    NotRegularFile {
        /// The file that was asked for.
        path: PathBuf,
        /// What it is instead, `"pipe (FIFO)"`.
        kind: &'static str,
    },
    /// The operating system does not let this user read the file.
    #[error("{}: permission denied\nmake the file and its folders readable for this user", path.display())]
    PermissionDenied {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// Any other failure of the operating system.
    #[error("{}: cannot {action}: {error}", path.display())]
    Io {
        /// The file that was asked for.
        path: PathBuf,
        /// What failed, as a verb: `"open it"`.
        action: &'static str,
        /// The operating system's reason.
        error: io::Error,
    },
    /// The file is something other than GGUF.
    #[error("{}: not a GGUF file ({found})\n{advice}", path.display())]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// What its first bytes are.
        found: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A GGUF file of a version or byte order that is not read.
    #[error(
        "{}: byte 4: {found} is not supported\nthis build reads GGUF versions 2 and 3, little-endian: \
         convert the model again, or download a newer file",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// `"GGUF version 1"`.
        found: String,
    },
    /// The file ends before something that it announces.
    #[error("{}: the file ends at byte {file_bytes}, {what} needs {needed_bytes}: download it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes in the file.
        file_bytes: u64,
        /// What does not fit, `"tensor "blk.3.ffn_up.weight""`.
        what: String,
        /// How long the file would have to be at least.
        needed_bytes: u64,
    },
    /// A count or length beyond what any model has.
    #[error(
        "{}: byte {offset}: {what} is {found}, the limit is {limit}\nthe file is damaged: download it again",
        path.display()
    )]
    Limit {
        /// The file.
        path: PathBuf,
        /// Where the number stands.
        offset: u64,
        /// What is counted.
        what: String,
        /// The number in the file.
        found: u64,
        /// The greatest that is accepted.
        limit: u64,
    },
    /// The file breaks the rules of the format.
    #[error("{}: byte {offset}: {what}\nthe file is damaged: download or convert it again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Which rule.
        what: String,
    },
    /// A tensor with an impossible shape or place.
    #[error(
        "{}: tensor {}: {what}\nthe file is damaged: download or convert it again",
        path.display(), Shown(tensor)
    )]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        what: String,
    },
    /// A tensor of a type that is not in the format table.
    #[error(
        "{}: tensor {}: type {ggml_type} unknown; this build reads: {known}\n\
         take a variant of the model in one of these types",
        path.display(), Shown(tensor)
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The number in the file.
        ggml_type: u32,
        /// The names of the formats that are read, in the order of the table.
        known: String,
    },
    /// A metadata key that is needed is not there.
    #[error(
        "{}: metadata key {} is missing, expected {expected}\nthe file is incomplete: convert the model again",
        path.display(), Shown(key)
    )]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A metadata value of the wrong type, or out of range.
    #[error(
        "{}: metadata key {} is {found}, expected {expected}\nthe file is damaged: convert the model again",
        path.display(), Shown(key)
    )]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What stands there, `"a string"`.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A metadata entry that cannot be, whatever its type.
    #[error(
        "{}: metadata key {} {what}\nthe file is damaged: download or convert it again",
        path.display(), Shown(key)
    )]
    BadKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong, `"occurs twice"`.
        what: String,
    },
    /// The parts of a split model don't belong together.
    #[error("{}: {what}\nkeep all parts of one model, under their own names, in one folder", path.display())]
    Split {
        /// The part.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    /// Whether the file could not be had at all, as opposed to being no good.
    pub fn is_io(&self) -> bool {
        matches!(
            self,
            Error::NotFound { .. }
                | Error::Directory { .. }
                | Error::NotRegularFile { .. }
                | Error::PermissionDenied { .. }
                | Error::Io { .. }
        )
    }

    /// The error for a failed `action` on `path`.
    pub(crate) fn from_io(path: &Path, action: &'static str, error: io::Error) -> Error {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotFound { path },
            io::ErrorKind::PermissionDenied => Error::PermissionDenied { path },
            io::ErrorKind::IsADirectory => Error::Directory { path },
            _ => Error::Io { path, action, error },
        }
    }
}

/// Shows a name out of a file: quoted, control characters escaped, cut if it is long.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 64;
        f.write_char('"')?;
        for (index, character) in self.0.chars().enumerate() {
            if index == CHARS_MAX {
                return f.write_str("…\"");
            }
            write!(f, "{}", character.escape_debug())?;
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_cut() {
        assert_eq!(Shown("blk.0").to_string(), "\"blk.0\"");
        assert_eq!(Shown("a\n\u{1b}[2J\"").to_string(), r#""a\n\u{1b}[2J\"""#);
        let long = Shown(&"x".repeat(65_000)).to_string();
        assert_eq!(long, format!("\"{}…\"", "x".repeat(64)));
    }

    #[test]
    fn each_way_of_not_getting_a_file_has_its_own_text() {
        let check = |kind: io::ErrorKind, text: &str| {
            let error = Error::from_io(Path::new("a.gguf"), "open it", kind.into());
            assert!(error.is_io());
            assert!(error.to_string().starts_with(text), "{error}");
        };
        check(io::ErrorKind::NotFound, "a.gguf: no such file");
        check(io::ErrorKind::NotADirectory, "a.gguf: no such file");
        check(io::ErrorKind::PermissionDenied, "a.gguf: permission denied");
        check(io::ErrorKind::IsADirectory, "a.gguf: is a directory");
        check(io::ErrorKind::OutOfMemory, "a.gguf: cannot open it: ");
    }
}
