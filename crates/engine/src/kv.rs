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
    /// How many pages, from the first one on, have memory of the system's or were never looked after.
    touched: usize,
    /// How many are touched in one step.
    stride: usize,
}

/// How far ahead of the pages in use memory is taken from the system, as long as it comes to no more bytes than this.
const AHEAD_PAGES: usize = 128;
const AHEAD_BYTES: usize = 256 << 20;
/// What is taken in one step. A large page takes some milliseconds where the machine is a virtual one.
const STRIDE_BYTES: usize = 2 << 20;

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
        let stride = (STRIDE_BYTES / Self::page_bytes(shape).max(1)).max(1);
        KvCache { layers, pages, touched: 0, stride }
    }

    /// Takes a little of the memory from the system that will be needed soon, `used` pages having been handed out so
    /// far. Memory comes slowly in large pieces: a step in which many layers reach new memory at once, as they do when a long
    /// prompt has just taken all its pages and the streams beside it go on behind them, would hold up everybody.
    pub fn touch_ahead(&mut self, used: usize) {
        self.touched = self.touched.max(used);
        let wanted = used + AHEAD_PAGES.min(self.stride * (AHEAD_BYTES / STRIDE_BYTES));
        let end = wanted.min(self.pages).min(self.touched + self.stride);
        for page in self.touched..end {
            self.layers.iter_mut().for_each(|layer| layer.touch(page as PageId));
        }
        self.touched = self.touched.max(end);
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
