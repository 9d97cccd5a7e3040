//! The package's own exceptions, which are classes of Python (`kun/errors.py`).

use engine::limits::Refused;
use kun::local::{Failure, Kind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// An exception of this class with these arguments.
fn raise<'py>(py: Python<'py>, class: &str, arguments: impl pyo3::call::PyCallArgs<'py>) -> PyErr {
    let made = py.import("kun.errors").and_then(|module| module.getattr(class)?.call1(arguments));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// A request that can't be: what is wrong, and in which field.
pub(crate) fn request(py: Python<'_>, message: impl Into<String>, param: Option<&str>) -> PyErr {
    raise(py, "RequestError", (message.into(), param))
}

/// The engine is closed.
pub(crate) fn closed(py: Python<'_>) -> PyErr {
    raise(py, "Closed", ("the engine is closed",))
}

/// A bug of ours, or a system that has no more to give.
pub(crate) fn internal(message: impl std::fmt::Display) -> PyErr {
    PyRuntimeError::new_err(message.to_string())
}

/// A model that could not be opened.
pub(crate) fn opening(py: Python<'_>, failure: &Failure) -> PyErr {
    let message = failure.to_string();
    match failure.kind() {
        Kind::Usage => request(py, message, None),
        Kind::Memory => raise(py, "OutOfMemory", (message,)),
        _ => raise(py, "ModelError", (message,)),
    }
}

/// What the engine does not take.
pub(crate) fn refused(py: Python<'_>, refused: &Refused) -> PyErr {
    let message = refused.to_string();
    let param = match refused {
        Refused::QueueFull { .. } => return raise(py, "QueueFull", (message,)),
        Refused::Stopped => return closed(py),
        Refused::EmptyPrompt | Refused::TooLong { .. } => "token_ids",
        Refused::NeverFits { .. } => "max_tokens",
        Refused::Generated { .. } => "already_generated",
        Refused::TokenOutOfVocabulary { field: "prompt", .. } => "token_ids",
        Refused::TokenOutOfVocabulary { field, .. } => field,
        Refused::Parameter { name, .. } | Refused::AboveLimit { name, .. } => name,
        Refused::PromptLogprobs { .. } => "prompt_logprobs",
        Refused::Bias { .. } | Refused::BiasTwice { .. } => "logit_bias",
        Refused::MinTokens { .. } => "min_tokens",
        Refused::BesideEmbedding { name, .. } => name,
    };
    request(py, message, Some(param))
}
