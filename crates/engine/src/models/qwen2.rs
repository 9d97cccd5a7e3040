//! Qwen 2 and 2.5: Llama's blocks with biases on queries, keys and values, and NeoX's rotary pairs.
//!
//! Source: Yang et al. 2024, "Qwen2 Technical Report".

use super::llama::{Hyper, Llama};
use crate::load::{LoadError, Source};
use crate::model::Model;
use kernels::RopePairs;

pub(super) fn load(source: &mut Source<'_>) -> Result<Box<dyn Model>, LoadError> {
    let hyper = Hyper::read(source, RopePairs::Halves)?;
    Llama::load(source, &hyper, |source, attention| match attention.parts() {
        [_, false, false] => Ok(()),
        _ => Err(source.bad("attention", "no block of qwen2 has norms on heads or behind attention")),
    })
}
