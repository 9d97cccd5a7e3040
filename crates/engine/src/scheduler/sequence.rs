//! One request on its way: its tokens, how many of them are computed, and its pages.
//!
//! There is no phase and no status beside these: a sequence waits if it is in the waiting list and runs if it is
//! in the running list; what it needs next is `tokens[computed..]`.

use std::ops::Range;
use std::time::Instant;

use super::owners::OwnerSlot;
use crate::bans::Bans;
use crate::batch::{LogitsWanted, PAGE_TOKENS, PageId};
use crate::engine::{Place, Sink};
use crate::form::FormState;
use crate::guard::Guard;
use crate::pages::Pages;
use crate::pooling::Pool;
use crate::request::{CacheReport, Chunk, FinishReason, Finished, Pooling, Request, TokenId, TokenLogprobs};
use crate::thinking::Progress;

/// A request and how far it has come.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// The request as it was submitted; its prompt has moved to `tokens`.
    pub(crate) request: Request,
    /// The prompt and what was generated so far.
    pub(crate) tokens: Vec<TokenId>,
    /// How many of `tokens` are the prompt, without the beginning of the answer that may have come with it.
    pub(crate) prompt_tokens: usize,
    /// How many of `tokens` have their keys and values in the pages.
    pub(crate) computed: usize,
    /// The most that `computed` was before the sequence lost its pages. What is computed again is no progress.
    pub(crate) reached: usize,
    /// The pages, first token first. None while the sequence waits, enough for all of `tokens` in every step.
    pub(crate) pages: Vec<PageId>,
    /// How many of the pages, from the first one on, are in the prefix tree.
    pub(crate) committed_pages: usize,
    /// What the prefix cache had.
    pub(crate) cache: CacheReport,
    /// The log-probabilities of the prompt's tokens but the first, as far as they were asked for and are known,
    /// until the first chunk takes them along.
    pub(crate) prompt_logprobs: Vec<TokenLogprobs>,
    /// Of how many of the prompt's tokens the logits were looked at for these. After a preemption that is more than
    /// are computed.
    pub(crate) logprobs_noted: usize,
    /// The prompt's vector as far as it was asked for and is known.
    pub(crate) pool: Pool,
    /// The form of the answer, if it must have one. It is away while its mask is made.
    pub(crate) form: Option<Box<FormState>>,
    /// Watches the answer for loops.
    pub(crate) guard: Guard,
    /// How far it is with its thinking.
    pub(crate) thinking: Progress,
    /// Which tokens may not come where, as they would write what must not be said.
    pub(crate) bans: Bans,
    /// Mirostat's μ behind each token of the answer, if it steers the choice.
    mus: Vec<f32>,
    /// How many tokens of the answer have been sent on; the rest is held back.
    pub(crate) sent: usize,
    /// The log-probabilities of those that are held back, if they were asked for.
    pub(crate) held_logprobs: Vec<TokenLogprobs>,
    /// Where the answer goes.
    pub(crate) sink: Sink,
    /// Its place among the requests that have not ended, and in the queue until it is admitted for the first time.
    pub(crate) place: Place,
    /// How many sequences came before it.
    pub(crate) arrival: u64,
    /// Where the account of its owner is; none before the scheduler has it.
    pub(crate) owner_slot: Option<OwnerSlot>,
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
    pub(crate) fn new(mut request: Request, sink: Sink, place: Place) -> Self {
        let tokens = std::mem::take(&mut request.prompt);
        // What was generated elsewhere is answer, and sent: from here on nothing tells it from what is generated here.
        let generated = request.generated;
        let prompt_tokens = tokens.len() - generated;
        request.max_tokens = request.max_tokens.saturating_add(generated);
        let guard = Guard::new(&request, &tokens[prompt_tokens..]);
        let thinking = Progress::new(request.thinking.as_mut(), &tokens[prompt_tokens..]);
        let first_mu = request.sampling.mirostat.map(|mirostat| mirostat.first_mu());
        let form = request.form.take().map(|form| Box::new(FormState::new(*form, &tokens[prompt_tokens..])));
        Sequence {
            guard,
            thinking,
            bans: Bans::default(),
            // How surprising they were is not known here.
            mus: first_mu.map_or_else(Vec::new, |mu| vec![mu; generated]),
            sent: generated,
            held_logprobs: Vec::new(),
            request,
            prompt_tokens,
            tokens,
            computed: 0,
            reached: 0,
            pages: Vec::new(),
            committed_pages: 0,
            cache: CacheReport::default(),
            prompt_logprobs: Vec::new(),
            logprobs_noted: 0,
            pool: Pool::default(),
            form,
            sink,
            place,
            arrival: 0,
            owner_slot: None,
            clock: Clock { submitted: Instant::now(), first_step: None, first_token: None },
            last_chunk: None,
        }
    }

    /// How many tokens wait for their keys and values.
    pub(crate) fn remaining(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether one token is all that it waits for. (A prompt's log-probabilities share another budget, which goes
    /// strictly by rank.)
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

    /// Lower is more senior: nothing takes a sequence's pages for one that is less senior. It never changes.
    pub(crate) fn seniority(&self) -> (i32, u64) {
        (self.request.rank.priority, self.arrival)
    }

    /// Makes room for all tokens and pages that it can come to have, so that no step has to.
    pub(crate) fn reserve(&mut self, context_tokens: usize) {
        let rest = self.request.max_tokens.min(context_tokens - self.prompt_tokens);
        let tokens_max = self.prompt_tokens + rest;
        self.tokens.reserve_exact(tokens_max - self.tokens.len());
        self.pages.reserve_exact(tokens_max.div_ceil(PAGE_TOKENS));
        if self.request.sampling.mirostat.is_some() {
            self.mus.reserve_exact(tokens_max - self.tokens.len());
        }
    }

    /// Adds a token to the answer, with Mirostat's μ behind it.
    pub(crate) fn push(&mut self, token: TokenId, mu: f32) {
        self.tokens.push(token);
        if self.request.sampling.mirostat.is_some() {
            self.mus.push(mu);
        }
    }

    /// Mirostat's μ at the end of the answer. What came without a choice left it as it was.
    pub(crate) fn mu(&self) -> f32 {
        let first = || self.request.sampling.mirostat.map_or(0.0, |mirostat| mirostat.first_mu());
        self.mus.last().copied().unwrap_or_else(first)
    }

    /// Takes the missing pages, or none at all if there are not enough.
    pub(crate) fn take_pages(&mut self, pages: &mut Pages) -> bool {
        let missing = self.pages_missing();
        if missing > pages.available() {
            return false;
        }
        self.pages.extend((0..missing).map(|_| pages.allocate().expect("as many are available")));
        true
    }

    /// Gives all pages back; what the prefix cache does not keep must be computed again.
    pub(crate) fn release_pages(&mut self, pages: &mut Pages) {
        self.pages.drain(..).rev().for_each(|page| pages.release(page));
        self.reached = self.reached.max(self.computed);
        self.computed = 0;
        self.committed_pages = 0;
    }

    /// Takes tokens back until there are `len`, and what was computed of them and of the last that is kept: that must be
    /// computed again, as its row gives the token after it. How many of the tokens taken back had been sent on.
    ///
    /// A page in the prefix tree is never written again: if the last token that is kept stands in one, the sequence lets
    /// go of it, and computes another from its beginning.
    pub(crate) fn rewind(&mut self, len: usize, pages: &mut Pages) -> usize {
        assert!(len >= self.prompt_tokens && len <= self.tokens.len(), "the prompt is kept");
        let last = len - 1;
        self.reached = self.reached.max(self.computed);
        self.tokens.truncate(len);
        let whole = last / PAGE_TOKENS;
        let own = whole >= self.committed_pages && whole < self.pages.len();
        self.computed = self.computed.min(if own { last } else { whole * PAGE_TOKENS });
        self.pages.drain(whole + usize::from(own)..).rev().for_each(|page| pages.release(page));
        self.committed_pages = self.committed_pages.min(whole);
        let answer_tokens = len - self.prompt_tokens;
        self.thinking.rewind(self.request.thinking.as_ref(), answer_tokens);
        self.bans.rewind(answer_tokens);
        if let Some(form) = &mut self.form {
            form.rewind(answer_tokens);
        }
        self.mus.truncate(answer_tokens);
        self.held_logprobs.truncate(answer_tokens.saturating_sub(self.sent));
        let taken_back = self.sent.saturating_sub(answer_tokens);
        self.sent -= taken_back;
        taken_back
    }

    /// Moves what was held back of the answer, but for so many tokens at its end, to a chunk.
    pub(crate) fn release(&mut self, chunk: &mut Chunk, but: usize) {
        let begin = self.prompt_tokens + self.sent;
        let end = (self.tokens.len() - but).max(begin);
        // A vector for each chunk, but no more: the step before may have been the first of a hundred that sent nothing.
        chunk.tokens.extend_from_slice(&self.tokens[begin..end]);
        chunk.logprobs.extend(self.held_logprobs.drain(..(end - begin).min(self.held_logprobs.len())));
        self.sent = end - self.prompt_tokens;
    }

    /// The positions of the next page's tokens, if a page with their keys and values could stand in for computing
    /// them: they are a whole page, no row of theirs is wanted, and one more token is left to be computed, which
    /// gives the token after it.
    pub(crate) fn replaceable(&self) -> Option<Range<usize>> {
        self.replaceable_at(self.computed)
    }

    /// As `replaceable`, if `start` tokens were computed.
    pub(crate) fn replaceable_at(&self, start: usize) -> Option<Range<usize>> {
        let next = start..start + PAGE_TOKENS;
        let whole = start.is_multiple_of(PAGE_TOKENS) && next.end < self.tokens.len();
        (whole && self.first_row_wanted().is_none_or(|row| next.end <= row)).then_some(next)
    }

    /// The page before position `start`, which begins a page.
    pub(crate) fn page_before(&self, start: usize) -> Option<PageId> {
        Some(self.pages[start.checked_sub(1)? / PAGE_TOKENS])
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
        self.release(&mut chunk, usize::from(self.stop_token(&reason).is_some()));
        chunk.finished = Some(self.finished(reason, now));
        self.last_chunk = Some(chunk);
    }

    /// The token that ended the answer and is not part of it. An answer that has its form may end without one.
    fn stop_token(&self, reason: &FinishReason) -> Option<TokenId> {
        let last = self.tokens.last().copied().filter(|_| *reason == FinishReason::Stop)?;
        let ends_form = self.form.as_ref().is_some_and(|form| form.ends_with(last));
        (ends_form || self.request.stop_tokens.contains(&last)).then_some(last)
    }

    fn finished(&self, reason: FinishReason, now: Instant) -> Finished {
        let Clock { submitted, first_step, first_token } = self.clock;
        let first_step = first_step.unwrap_or(now);
        let first_token_or_end = first_token.unwrap_or(now);
        Finished {
            repetition: self.guard.report(&reason),
            stop_token: self.stop_token(&reason),
            reason,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens(),
            cache: self.cache,
            queued: first_step.saturating_duration_since(submitted),
            prompt: first_token_or_end.saturating_duration_since(first_step),
            generation: now.saturating_duration_since(first_token_or_end),
        }
    }
}
