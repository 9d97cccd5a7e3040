//! The binary `kun`. All of it is in the library beside it, which other languages build on as well.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kun::main()
}
