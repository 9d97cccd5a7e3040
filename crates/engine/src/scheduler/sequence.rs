//! One request on its way: its tokens, how many of them are computed, and its pages.
//!
//! There is no phase and no status beside these: a sequence waits if it is in the waiting queue and runs if it is
//! in the running list; what it needs next is `tokens[computed..]`.

use std::time::Instant;

use crate::batch::{LogitsWanted, PAGE_TOKENS, PageId};
use crate::engine::{QueuePlace, Sink};
use crate::pages::Pages;
use crate::pooling::Pool;
use crate::request::{CacheReport, Chunk, FinishReason, Finished, Pooling, Request, TokenId, TokenLogprobs};

/// A request and how far it has come.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// The request as it was submitted; its prompt has moved to `tokens`.
    pub(crate) request: Request,
    /// The prompt and what was generated so far.
    pub(crate) tokens: Vec<TokenId>,
    /// How many of `tokens` are the prompt.
    pub(crate) prompt_tokens: usize,
    /// How many of `tokens` have their keys and values in the pages.
    pub(crate) computed: usize,
    /// The pages, first token first. None while the sequence waits, enough for all of `tokens` in every step.
    pub(crate) pages: Vec<PageId>,
    /// The log-probabilities of the prompt's tokens but the first, as far as they were asked for and are known,
    /// until the first chunk takes them along.
    pub(crate) prompt_logprobs: Vec<TokenLogprobs>,
    /// Of how many of the prompt's tokens the logits were looked at for these. After a preemption that is more than
    /// are computed.
    pub(crate) logprobs_noted: usize,
    /// The prompt's vector as far as it was asked for and is known.
    pub(crate) pool: Pool,
    /// Where the answer goes.
    pub(crate) sink: Sink,
    /// Given back when the sequence is admitted for the first time, or never will be.
    pub(crate) queue_place: Option<QueuePlace>,
    /// When what happened.
    pub(crate) clock: Clock,
    /// The last chunk, once the sequence has ended; it is sent when its pages are free.
    pub(crate) last_chunk: Option<Chunk>,
}

/// The moments that the timings of an answer are made of.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) submitted: Instant,
    pub(crate) first_step: Option<Instant>,
    pub(crate) first_token: Option<Instant>,
}

impl Sequence {
    /// A checked request that has not begun.
    pub(crate) fn new(mut request: Request, sink: Sink, queue_place: QueuePlace) -> Self {
        let tokens = std::mem::take(&mut request.prompt);
        Sequence {
            request,
            prompt_tokens: tokens.len(),
            tokens,
            computed: 0,
            pages: Vec::new(),
            prompt_logprobs: Vec::new(),
            logprobs_noted: 0,
            pool: Pool::default(),
            sink,
            queue_place: Some(queue_place),
            clock: Clock { submitted: Instant::now(), first_step: None, first_token: None },
            last_chunk: None,
        }
    }

    /// How many tokens wait for their keys and values.
    pub(crate) fn remaining(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether one token is all that it waits for. (A prompt's log-probabilities share another budget, which goes
    /// strictly by age.)
    pub(crate) fn needs_single_token(&self) -> bool {
        self.remaining() == 1 && !self.wants_prompt_rows()
    }

    /// How many tokens of the answer there are, the stop token included.
    pub(crate) fn completion_tokens(&self) -> usize {
        self.tokens.len() - self.prompt_tokens
    }

    /// How many pages are missing for all of its tokens.
    pub(crate) fn pages_missing(&self) -> usize {
        self.tokens.len().div_ceil(PAGE_TOKENS).saturating_sub(self.pages.len())
    }

    /// Makes room for all tokens and pages that it can come to have, so that no step has to.
    pub(crate) fn reserve(&mut self, context_tokens: usize) {
        let rest = self.request.max_tokens.min(context_tokens - self.prompt_tokens);
        let tokens_max = self.prompt_tokens + rest;
        self.tokens.reserve_exact(tokens_max - self.tokens.len());
        self.pages.reserve_exact(tokens_max.div_ceil(PAGE_TOKENS));
    }

    /// Takes the missing pages, or none at all if there are not enough.
    pub(crate) fn take_pages(&mut self, pages: &mut Pages) -> bool {
        let missing = self.pages_missing();
        if missing > pages.free() {
            return false;
        }
        self.pages.extend((0..missing).map(|_| pages.allocate().expect("as many are free")));
        true
    }

    /// Gives all pages back; everything must be computed again.
    pub(crate) fn release_pages(&mut self, pages: &mut Pages) {
        self.pages.drain(..).for_each(|page| pages.release(page));
        self.computed = 0;
    }

    /// The first prompt token whose own logits or hidden state are wanted and not known yet. All from there on must
    /// be computed, even if their keys and values are there already.
    pub(crate) fn first_row_wanted(&self) -> Option<usize> {
        let (known, rows) = match self.request.embedding {
            Some(Pooling::Mean) => (self.pool.tokens(), self.prompt_tokens),
            // The last prompt token's logits are those of the answer's first token.
            None if self.request.prompt_logprobs.is_some() => (self.logprobs_noted, self.prompt_tokens - 1),
            Some(Pooling::Last) | None => return None,
        };
        (known < rows).then_some(known)
    }

    /// Whether rows of logits are still wanted for prompt tokens that are not computed.
    pub(crate) fn wants_prompt_rows(&self) -> bool {
        self.request.prompt_logprobs.is_some() && self.first_row_wanted().is_some()
    }

    /// Which logits or hidden states the next `len` tokens must give.
    pub(crate) fn logits_wanted(&self, len: usize) -> LogitsWanted {
        let end = self.computed + len;
        let all = self.first_row_wanted().is_some_and(|first| end > first);
        let last = end == self.tokens.len();
        match self.request.embedding {
            Some(_) if all => LogitsWanted::HiddenAll,
            Some(Pooling::Last) if last => LogitsWanted::HiddenLast,
            Some(_) => LogitsWanted::None,
            None if all => LogitsWanted::All,
            None if last && self.request.max_tokens > 0 => LogitsWanted::Last,
            None => LogitsWanted::None,
        }
    }

    /// Ends it with this last chunk. The scheduler takes it out with `remove_ended`.
    pub(crate) fn end(&mut self, mut chunk: Chunk, reason: FinishReason, now: Instant) {
        chunk.finished = Some(self.finished(reason, now));
        self.last_chunk = Some(chunk);
    }

    fn finished(&self, reason: FinishReason, now: Instant) -> Finished {
        let Clock { submitted, first_step, first_token } = self.clock;
        let first_step = first_step.unwrap_or(now);
        let first_token_or_end = first_token.unwrap_or(now);
        Finished {
            reason,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens(),
            cache: CacheReport::default(),
            queued: first_step.saturating_duration_since(submitted),
            prompt: first_token_or_end.saturating_duration_since(first_step),
            generation: now.saturating_duration_since(first_token_or_end),
        }
    }
}
