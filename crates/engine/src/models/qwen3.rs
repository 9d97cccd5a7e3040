//! Qwen 3, dense: Llama's blocks with a norm on each query and key head, and NeoX's rotary pairs.
//!
//! Source: Yang et al. 2025, "Qwen3 Technical Report".

use super::llama::{Hyper, Llama};
use crate::load::{LoadError, Source};
use crate::model::Model;
use kernels::RopePairs;

pub(super) fn load(source: &mut Source<'_>) -> Result<Box<dyn Model>, LoadError> {
    let hyper = Hyper::read(source, RopePairs::Halves)?;
    Llama::load(source, &hyper, |source, attention| match attention.parts() {
        [_, true, false] => Ok(()),
        _ => Err(source.bad(
            "attention",
            "every block of qwen3 has norms on query and key heads and none behind attention",
        )),
    })
}
