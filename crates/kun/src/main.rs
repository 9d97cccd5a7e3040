//! The binary `kun`. All of it is in the library beside it, which other languages build on as well.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use engine::OrExit;
use kun::local::Kind;

#[global_allocator]
static ALLOCATOR: OrExit<{ Kind::Memory as i32 }> = OrExit;

fn main() -> ExitCode {
    kun::main()
}
