//! The table of architectures. A new one is a file here and a line below.

mod gemma3;
mod llama;
mod qwen2;
mod qwen3;

use crate::load::{LoadError, Source};
use crate::model::Model;

/// A row of the table.
pub struct Architecture {
    /// `general.architecture` in GGUF files.
    pub name: &'static str,
    /// The families of models that have it.
    pub families: &'static str,
    /// Reads hyper-parameters and tensors.
    pub load: fn(&mut Source<'_>) -> Result<Box<dyn Model>, LoadError>,
}

/// Every architecture that this build runs.
pub static TABLE: &[Architecture] = &[
    Architecture { name: "llama", families: "Llama 2 and 3, Mistral, SmolLM", load: llama::load },
    Architecture { name: "qwen2", families: "Qwen 2 and 2.5", load: qwen2::load },
    Architecture { name: "qwen3", families: "Qwen 3 (dense)", load: qwen3::load },
    Architecture { name: "gemma3", families: "Gemma 3", load: gemma3::load },
];
