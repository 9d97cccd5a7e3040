//! Standard output and standard error, written so that a closed pipe or a full disk ends the command in
//! order. `println!` and `eprintln!` panic then, so they are not used in this crate.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// Writes text to standard output and sends it on at once.
pub(crate) fn write(text: impl AsRef<[u8]>) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref()).and_then(|()| out.flush()).map_err(|e| Failure::stdout(&e))
}

/// Writes one JSON value and a newline to standard output.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    let text =
        serde_json::to_string_pretty(value).expect("our own types have string keys and finite numbers");
    write(text + "\n")
}

/// A line on standard error. If that is closed there is nobody to tell.
pub(crate) fn note(text: impl AsRef<str>) {
    let mut err = io::stderr().lock();
    // Ignored because the message is about the command, and the command goes on without it.
    let _ = writeln!(err, "{}", text.as_ref());
}
