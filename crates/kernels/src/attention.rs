//! Attention over paged keys and values.

/// Tokens in a page.
pub const PAGE_TOKENS: usize = 32;

/// The keys and values of one layer: `[page][kv head]{ keys [head_dim][32], values [32][head_dim] }`, f16 bits.
#[derive(Debug)]
pub struct KvArena {
    data: Vec<u16>,
    heads: usize,
    head_dim: usize,
}

impl KvArena {
    /// Zeroed room for `pages` pages.
    pub fn new(pages: usize, heads: usize, head_dim: usize) -> Self {
        KvArena { data: vec![0; pages * heads * head_dim * 2 * PAGE_TOKENS], heads, head_dim }
    }
}
