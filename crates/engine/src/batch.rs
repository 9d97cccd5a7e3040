//! One step's work, as the model sees it: spans of tokens of several sequences, prefill and decode alike.

use crate::request::TokenId;

/// Tokens in a page of the KV cache.
pub const PAGE_TOKENS: usize = kernels::attention::PAGE_TOKENS;

/// A page of the KV cache: the same number in every layer.
pub type PageId = u32;

/// Everything that one forward pass computes.
#[derive(Debug, Default)]
pub struct Batch {
    /// The tokens of all spans, one span after the other.
    pub tokens: Vec<TokenId>,
    /// The spans, in the order of their tokens.
    pub spans: Vec<Span>,
}

/// Consecutive tokens of one sequence.
#[derive(Debug, Clone)]
pub struct Span {
    /// Position of the span's first token in its sequence; all before it is in the KV cache.
    pub start: usize,
    /// How many tokens of `Batch::tokens` are this span's.
    pub len: usize,
    /// The sequence's pages, enough for `start + len` tokens.
    pub pages: Vec<PageId>,
    /// For which of the span's tokens the logits are wanted.
    pub logits: LogitsWanted,
}

/// For which tokens of a span the model computes logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitsWanted {
    /// None: a chunk of a prompt that is not its last.
    None,
    /// The last token's: the next token is sampled from them.
    Last,
    /// Every token's: prompt log-probabilities.
    All,
}

impl Batch {
    /// How many rows of logits the pass gives.
    pub fn logit_rows(&self) -> usize {
        self.spans
            .iter()
            .map(|s| match s.logits {
                LogitsWanted::None => 0,
                LogitsWanted::Last => 1,
                LogitsWanted::All => s.len,
            })
            .sum()
    }
}
