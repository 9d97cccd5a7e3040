//! From a checked file to a model that runs: hyper-parameters read and checked, tensors packed.
//!
//! Refuses rather than guesses: a hyper-parameter out of range, a missing tensor, a wrong shape, a tensor that
//! the architecture does not use are all errors that name what they are about.

mod source;

pub use source::{DIMENSION_MAX, Source};

use crate::model::Model;
use crate::models;
use crate::request::Pooling;
use kernels::Cpu;
use std::sync::Arc;
use weights::gguf::{Gguf, Value};

/// Why a model file can't be run. Every case is the file's fault.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file itself is broken.
    #[error(transparent)]
    File(#[from] weights::error::Error),
    /// An architecture that is not in the table.
    #[error(
        "{path}: architecture {name:?} is not supported\nthis build runs {known}; the nearest is {nearest}"
    )]
    Architecture {
        /// The file.
        path: String,
        /// What `general.architecture` says.
        name: String,
        /// Every architecture of the table.
        known: String,
        /// The one whose name is most alike.
        nearest: &'static str,
    },
    /// A hyper-parameter that makes no sense, or one that this build does not implement.
    #[error(
        "{path}: {key}: {problem}\nthe file is damaged, or of a kind that this build does not run: try another file of the model"
    )]
    Hyper {
        /// The file.
        path: String,
        /// The metadata key.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A tensor that the architecture needs.
    #[error(
        "{path}: tensor {name} is missing\nthe download or the conversion is incomplete: fetch the model again"
    )]
    Missing {
        /// The file.
        path: String,
        /// Its name.
        name: String,
    },
    /// A tensor of another shape or kind than the hyper-parameters say.
    #[error(
        "{path}: tensor {name} is {found}, expected {expected}\nthe conversion is broken: fetch the model again"
    )]
    Shape {
        /// The file.
        path: String,
        /// Its name.
        name: String,
        /// Shape and format in the file.
        found: String,
        /// What the architecture needs.
        expected: String,
    },
    /// A tensor that the architecture does not know: the output would not be the model's.
    #[error(
        "{path}: tensor {name:?} is not part of architecture {architecture}\nthis build would ignore it and give wrong output: convert the model again, or try another file of it"
    )]
    Unused {
        /// The file.
        path: String,
        /// Its name.
        name: String,
        /// The architecture.
        architecture: String,
    },
}

/// Loads the model of `file`, calling `progress` with the fraction that is done.
///
/// # Errors
/// See [`LoadError`].
pub fn load(file: &Gguf, cpu: &Arc<Cpu>, progress: &mut dyn FnMut(f32)) -> Result<Box<dyn Model>, LoadError> {
    let name = file.metadata().architecture()?;
    let Some(architecture) = models::TABLE.iter().find(|a| a.name == name) else {
        return Err(unknown_architecture(file, name));
    };
    check_vocabulary(file)?;
    let mut source = Source::new(file, cpu, progress);
    let model = (architecture.load)(&mut source)?;
    source.finish()?;
    Ok(model)
}

/// How the hidden states of a prompt become one vector, if a request for an embedding does not say: by the file's
/// `{architecture}.pooling_type`, else their mean.
///
/// # Errors
/// If the model was made for a vector that is found in another way.
pub fn pooling(file: &Gguf) -> Result<Pooling, LoadError> {
    let key = format!("{}.pooling_type", file.metadata().architecture()?);
    let problem = match file.metadata().opt_u64(&key)? {
        None | Some(0 | 1) => return Ok(Pooling::Mean), // 0: the file leaves it open
        Some(3) => return Ok(Pooling::Last),
        Some(2) => {
            "the model wants the first token's hidden state (cls), which is not implemented".to_owned()
        }
        Some(4) => "the model ranks texts (rank) and gives no embeddings".to_owned(),
        Some(other) => format!("{other} is not known; 1 (mean) and 3 (last token) are implemented"),
    };
    Err(LoadError::Hyper { path: source::path_of(file), key, problem })
}

/// Refuses a file whose vocabulary is not that of its embedding: one of them is from another model. A file without a
/// vocabulary runs, as the engine knows tokens by their ids only.
fn check_vocabulary(file: &Gguf) -> Result<(), LoadError> {
    const KEY: &str = "tokenizer.ggml.tokens";
    let rows = file.tensor("token_embd.weight").and_then(|t| t.info.shape.get(1).copied());
    let (Some(rows), Some(Value::Array(tokens))) = (rows, file.metadata().get(KEY)) else { return Ok(()) };
    if rows == tokens.len() as u64 {
        return Ok(());
    }
    let problem = format!("{} tokens, but token_embd.weight has {rows} rows", tokens.len());
    Err(LoadError::Hyper { path: source::path_of(file), key: KEY.to_owned(), problem })
}

fn unknown_architecture(file: &Gguf, name: &str) -> LoadError {
    let names = models::TABLE.iter().map(|a| a.name);
    let nearest =
        names.clone().min_by_key(|known| edit_distance(known, name)).expect("the table is not empty");
    LoadError::Architecture {
        path: source::path_of(file),
        name: name.chars().take(64).collect(),
        known: names.collect::<Vec<_>>().join(", "),
        nearest,
    }
}

/// Levenshtein's distance, of the first 64 characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::edit_distance;

    #[test]
    fn distances_count_edits() {
        for (a, b, distance) in
            [("", "", 0), ("llama", "llama", 0), ("lama", "llama", 1), ("qwen", "qwen3", 1), ("abc", "", 3)]
        {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }
}
