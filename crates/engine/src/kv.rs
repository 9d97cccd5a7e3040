//! Storage of keys and values: one arena a layer, cut into pages of 32 tokens.
//!
//! Which page belongs to whom is the scheduler's book-keeping (`pages`); here are only the numbers.

use crate::batch::{PAGE_TOKENS, PageId};
use crate::model::Shape;

/// Keys and values of every layer, in f16.
#[derive(Debug)]
pub struct KvCache {
    /// One arena a layer: `[page][kv head]{ keys [head_dim][32 tokens], values [32 tokens][head_dim] }`, f16 bits.
    pub layers: Vec<kernels::attention::KvArena>,
    pages: usize,
}

impl KvCache {
    /// An empty cache of `pages` pages for a model of this shape. The memory is reserved now and touched
    /// when pages are first written.
    pub fn new(shape: &Shape, pages: usize) -> Self {
        let layers = shape
            .kv_layers
            .iter()
            .enumerate()
            .map(|(i, l)| {
                let share = i as f64 / shape.kv_layers.len() as f64;
                kernels::attention::KvArena::new(pages, l.heads, l.head_dim, share)
            })
            .collect();
        KvCache { layers, pages }
    }

    /// How many pages there are; ids are `0..pages`.
    pub fn pages(&self) -> PageId {
        self.pages as PageId
    }

    /// Bytes of one page over all layers.
    pub fn page_bytes(shape: &Shape) -> usize {
        shape.kv_layers.iter().map(|l| 2 * 2 * l.heads * l.head_dim * PAGE_TOKENS).sum()
    }
}
