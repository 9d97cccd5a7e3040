//! The native module of the Python package `kun`: a thin skin on a model in this process.
//!
//! Text goes through the routes of the service as bytes of JSON, which Python makes and reads; token ids go straight to the
//! engine. Nothing here waits while it holds the interpreter, and whoever waits looks for Ctrl-C ten times a second at
//! least. The engine's thread never touches the interpreter: what it gives out is taken over by tasks of a runtime.

#![forbid(unsafe_code)]

mod errors;
mod events;
mod inbox;
mod native;
mod request;
mod streams;
mod wakes;

use pyo3::prelude::*;

/// What the package is built on. Use `kun`.
#[pymodule]
mod _kun {
    #[pymodule_export]
    use crate::events::KvSubscription;
    #[pymodule_export]
    use crate::native::Native;
    #[pymodule_export]
    use crate::streams::{ByteStream, TokenStream};

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "as Python calls it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
