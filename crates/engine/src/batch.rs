//! One step's work, as the model sees it: spans of tokens of several sequences, prefill and decode alike.
//!
//! Everything lies in three flat vectors that are reused from step to step, so that building a batch allocates
//! nothing. Invariant: the spans cover `tokens` and `pages` in order, without a gap.

use std::ops::Range;

use crate::limits::Limits;
use crate::request::TokenId;

/// Tokens in a page of the KV cache.
pub const PAGE_TOKENS: usize = kernels::attention::PAGE_TOKENS;

/// A page of the KV cache: the same number in every layer.
pub type PageId = u32;

/// Pages of all spans together that a batch has room for from the start. Shared ones count for each of their owners; a
/// step with more makes room.
const PAGES_RESERVED_MAX: usize = 1 << 22;

/// Everything that one forward pass computes.
#[derive(Debug, Default)]
pub struct Batch {
    /// The tokens of all spans, one span after the other.
    pub tokens: Vec<TokenId>,
    /// The spans, in the order of their tokens.
    pub spans: Vec<Span>,
    /// The pages of all spans, one span after the other.
    pub pages: Vec<PageId>,
}

/// Consecutive tokens of one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Position of the span's first token in its sequence; all before it is in the KV cache.
    pub start: usize,
    /// How many tokens of `Batch::tokens` are this span's.
    pub len: usize,
    /// Where in `Batch::pages` the sequence's pages are: exactly enough for `start + len` tokens, from the
    /// sequence's first token on.
    pub pages: Range<usize>,
    /// For which of the span's tokens logits, or hidden states instead, are wanted.
    pub logits: LogitsWanted,
}

/// For which tokens of a span the model computes logits, or gives the hidden states that they would come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitsWanted {
    /// None: a chunk of a prompt that is not its last.
    None,
    /// The last token's: the next token is sampled from them.
    Last,
    /// Every token's: prompt log-probabilities.
    All,
    /// No logits, but the last token's hidden state: an embedding.
    HiddenLast,
    /// No logits, but every token's hidden state: an embedding that is their mean.
    HiddenAll,
}

impl Batch {
    /// An empty batch that holds any that these limits allow without allocating.
    pub fn with_room_for(limits: &Limits) -> Self {
        let pages_of_one = limits.context_tokens.div_ceil(PAGE_TOKENS).min(limits.kv_pages);
        let pages = pages_of_one.saturating_mul(limits.sequences_max);
        Batch {
            tokens: Vec::with_capacity(limits.batch_tokens),
            spans: Vec::with_capacity(limits.sequences_max),
            pages: Vec::with_capacity(pages.min(PAGES_RESERVED_MAX)),
        }
    }

    /// How many rows of logits the pass gives.
    pub fn logit_rows(&self) -> usize {
        self.spans.iter().map(Span::logit_rows).sum()
    }

    /// How many hidden states the pass gives.
    pub fn hidden_rows(&self) -> usize {
        self.spans.iter().map(Span::hidden_rows).sum()
    }

    /// The pages of the span's sequence: position `p` is in page `p / PAGE_TOKENS` of them.
    pub fn pages(&self, span: &Span) -> &[PageId] {
        &self.pages[span.pages.clone()]
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.spans.clear();
        self.pages.clear();
    }

    /// Adds a span: `tokens` stand from position `start` on in a sequence whose pages are `pages` (those that
    /// the span's tokens don't reach yet are left out).
    ///
    /// # Panics
    /// If the span is empty or its pages don't reach its last token.
    pub fn push(&mut self, tokens: &[TokenId], start: usize, pages: &[PageId], logits: LogitsWanted) {
        let pages_needed = (start + tokens.len()).div_ceil(PAGE_TOKENS);
        assert!(!tokens.is_empty(), "a span has at least one token");
        assert!(pages_needed <= pages.len(), "a span's pages reach its last token");
        let pages_start = self.pages.len();
        self.tokens.extend_from_slice(tokens);
        self.pages.extend_from_slice(&pages[..pages_needed]);
        let pages = pages_start..self.pages.len();
        self.spans.push(Span { start, len: tokens.len(), pages, logits });
    }
}

impl Span {
    /// How many rows of logits this span gives. They are those of its last tokens.
    pub fn logit_rows(&self) -> usize {
        match self.logits {
            LogitsWanted::None | LogitsWanted::HiddenLast | LogitsWanted::HiddenAll => 0,
            LogitsWanted::Last => 1,
            LogitsWanted::All => self.len,
        }
    }

    /// How many hidden states this span gives. They are those of its last tokens.
    pub fn hidden_rows(&self) -> usize {
        match self.logits {
            LogitsWanted::None | LogitsWanted::Last | LogitsWanted::All => 0,
            LogitsWanted::HiddenLast => 1,
            LogitsWanted::HiddenAll => self.len,
        }
    }
}
