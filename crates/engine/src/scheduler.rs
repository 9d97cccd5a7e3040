//! Which tokens of which sequences the next step computes, and who has which pages.
//!
//! There are no phases. A sequence has `tokens` and `computed`; a step gives each running sequence some of the
//! rest within a budget: first those that need a single token, then chunks of longer rests, in the order of their
//! rank. A long prompt, a new token, the rest behind a prefix that the cache had and the recomputation of a preempted
//! sequence are the same thing.
//!
//! Invariants:
//! - the running sequences stand in the order of their seniority;
//! - a running sequence has pages for all of its tokens when a step begins, a waiting one has none;
//! - the most senior running sequence gets at least one token a step and loses its pages only to a request of higher
//!   priority, so every sequence ends.
//!
//! Nothing here knows the model, threads or clocks but for the moments and durations that it is told.

mod admission;
mod owners;
mod pace;
mod prefix;
mod sequence;

use std::time::{Duration, Instant};

use crate::batch::{Batch, PAGE_TOKENS};
use crate::limits::Limits;
use crate::pages::Pages;
use crate::request::{Chunk, FinishReason};
use owners::Owners;
use pace::{Pace, Work};

pub(crate) use sequence::Sequence;

/// The sequences and the book of pages.
#[derive(Debug)]
pub(crate) struct Scheduler {
    /// Sequences with pages, most senior first.
    pub(crate) running: Vec<Sequence>,
    /// Sequences without pages, in no order.
    pub(crate) waiting: Vec<Sequence>,
    pub(crate) pages: Pages,
    pub(crate) owners: Owners,
    /// For each span of the current batch, where its sequence is in `running`.
    pub(crate) scheduled: Vec<usize>,
    pub(crate) tally: Tally,
    pace: Pace,
    /// What the current batch is, for the pace.
    work: Work,
    /// The running sequences in the order in which they get tokens; kept for its memory.
    order: Vec<usize>,
    /// Sequences taken in so far.
    arrivals: u64,
    limits: Limits,
    prompt_logit_rows: usize,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How often a sequence has lost its pages.
    pub(crate) preemptions: u64,
    /// Prompt tokens that were looked up in the prefix cache.
    pub(crate) prefix_tokens_queried: u64,
    /// Those of them that need not be computed.
    pub(crate) prefix_tokens_hit: u64,
}

/// What is left to give in a step.
#[derive(Debug, Clone, Copy)]
struct Budget {
    tokens: usize,
    prompt_logit_rows: usize,
}

impl Scheduler {
    /// A scheduler without sequences. At most `prompt_logit_rows` rows of logits for prompts are computed in a step.
    pub(crate) fn new(limits: Limits, prompt_logit_rows: usize) -> Self {
        Scheduler {
            running: Vec::with_capacity(limits.sequences_max),
            waiting: Vec::new(),
            pages: Pages::new(limits.kv_pages),
            owners: Owners::default(),
            scheduled: Vec::with_capacity(limits.sequences_max),
            tally: Tally::default(),
            pace: Pace::new(limits.stall_factor, limits.batch_tokens),
            work: Work::default(),
            order: Vec::with_capacity(limits.sequences_max),
            arrivals: 0,
            limits,
            prompt_logit_rows,
        }
    }

    /// Takes a sequence in; it waits for its first step.
    pub(crate) fn add(&mut self, mut sequence: Sequence) {
        sequence.arrival = self.arrivals;
        self.arrivals += 1;
        sequence.owner_slot = Some(self.owners.join(sequence.request.rank.owner));
        self.waiting.push(sequence);
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// How many tokens wait to be computed beside single ones and the prompts of requests in the queue.
    pub(crate) fn tokens_ahead(&self) -> usize {
        let preempted = self.waiting.iter().filter(|s| !s.place.is_in_queue());
        let running = self.running.iter().filter(|s| !s.needs_single_token());
        preempted.chain(running).map(Sequence::remaining).sum()
    }

    /// Fills `batch` with the next step's work. It is empty only if there is nothing to do.
    pub(crate) fn schedule(&mut self, batch: &mut Batch, now: Instant) {
        batch.clear();
        self.scheduled.clear();
        self.follow_others();
        let preempted = self.grow();
        // Who just lost its pages would otherwise take them back before anybody has gained by it.
        if !preempted {
            self.admit(self.pace.prompt_tokens(self.singles(), 0), now);
        }
        self.work = Work::default();
        let mut budget =
            Budget { tokens: self.limits.batch_tokens, prompt_logit_rows: self.prompt_logit_rows };
        for index in 0..self.running.len() {
            if self.running[index].needs_single_token() {
                self.give(index, &mut budget, batch);
            }
        }
        self.work.singles = batch.spans.len();
        self.give_rests(budget, batch);
        for span in &batch.spans[self.work.singles..] {
            self.work.prompt_tokens += span.len;
            self.work.positions += (span.len * (2 * span.start + span.len) / 2) as u64;
        }
    }

    /// Learns from how long the current batch took.
    pub(crate) fn observe(&mut self, duration: Duration) {
        self.pace.observe(&self.work, duration);
    }

    /// What prompts and generated tokens take at the moment, as far as that is known: prompt tokens a second, and the time
    /// of a step.
    pub(crate) fn speeds(&self) -> (Option<f64>, Option<Duration>) {
        let singles = self.singles();
        (self.pace.prompt_speed(singles), self.pace.step_time(singles))
    }

    /// Running sequences that need a single token.
    fn singles(&self) -> usize {
        self.running.iter().filter(|sequence| sequence.needs_single_token()).count()
    }

    /// Ends every sequence, running or waiting, for which `ends` has a reason, without a last token.
    pub(crate) fn end_where(&mut self, ends: impl Fn(&Sequence) -> Option<FinishReason>, now: Instant) {
        for sequence in self.running.iter_mut().chain(&mut self.waiting) {
            if sequence.last_chunk.is_none()
                && let Some(reason) = ends(sequence)
            {
                sequence.end(Chunk::default(), reason, now);
            }
        }
    }

    /// Moves the sequences that have ended to `ended`; their pages are free, or kept by the prefix cache.
    pub(crate) fn remove_ended(&mut self, ended: &mut Vec<Sequence>) {
        let has_ended = |sequence: &mut Sequence| sequence.last_chunk.is_some();
        let first = ended.len();
        ended.extend(self.running.extract_if(.., has_ended));
        ended.extend(self.waiting.extract_if(.., has_ended));
        for sequence in &mut ended[first..] {
            sequence.release_pages(&mut self.pages);
            self.owners.leave(sequence.owner_slot.expect("every sequence here has an account"));
        }
        self.scheduled.clear();
    }

    /// Takes the pages of the least senior running sequence; it waits to be computed again.
    pub(crate) fn preempt_junior(&mut self) {
        let mut sequence = self.running.pop().expect("only running sequences hold pages");
        sequence.release_pages(&mut self.pages);
        self.waiting.push(sequence);
        self.tally.preemptions += 1;
    }

    /// Takes the tokens of a running sequence back until there are `len`. How many of them had been sent on.
    pub(crate) fn rewind(&mut self, index: usize, len: usize) -> usize {
        self.running[index].rewind(len, &mut self.pages)
    }

    /// Gives every page back and forgets what they hold: their memory is gone. All running sequences wait.
    pub(crate) fn lose_pages(&mut self) {
        while !self.running.is_empty() {
            self.preempt_junior();
        }
        self.pages.clear();
    }

    /// Gives every running sequence pages for all of its tokens, most senior first, at the juniors' expense.
    /// Whether any was preempted for it.
    fn grow(&mut self) -> bool {
        let running_before = self.running.len();
        let mut index = 0;
        while index < self.running.len() {
            if self.running[index].take_pages(&mut self.pages) {
                index += 1;
            } else {
                self.preempt_junior();
            }
        }
        self.running.len() < running_before
    }

    /// Gives the sequences that need more than a token what is left, in the order of their rank. The most senior one
    /// may come late in it; a share is put aside for it.
    fn give_rests(&mut self, mut budget: Budget, batch: &mut Batch) {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend((0..self.running.len()).filter(|&i| !self.running[i].needs_single_token()));
        order.sort_unstable_by_key(|&index| self.rank(&self.running[index]));
        if let Some(&first) = order.first() {
            let paced = self.pace.prompt_tokens(self.work.singles, self.running[first].computed);
            budget.tokens = budget.tokens.min(paced);
        }
        let aside = self.put_aside(budget, order.contains(&0));
        budget.tokens -= aside.tokens;
        budget.prompt_logit_rows -= aside.prompt_logit_rows;
        for &index in &order {
            if index == 0 {
                budget.tokens += aside.tokens;
                budget.prompt_logit_rows += aside.prompt_logit_rows;
            }
            if !self.is_under_way(index, batch) {
                self.give(index, &mut budget, batch);
            }
        }
        self.order = order;
    }

    /// What of the budget is for the most senior sequence, whoever comes before it, if it wants any: a page at most,
    /// so that it can't hold up the others.
    fn put_aside(&self, budget: Budget, wanted: bool) -> Budget {
        let mut aside = Budget { tokens: 0, prompt_logit_rows: 0 };
        if wanted {
            let senior = &self.running[0];
            let share = |whole: usize| (whole / 2).clamp(1, PAGE_TOKENS).min(self.most_to_give(senior));
            aside.tokens = share(budget.tokens);
            if senior.wants_prompt_rows() {
                aside.prompt_logit_rows = share(budget.prompt_logit_rows);
            }
        }
        aside
    }

    /// The most tokens that a step could give to a sequence.
    fn most_to_give(&self, sequence: &Sequence) -> usize {
        let rows = if sequence.wants_prompt_rows() { self.prompt_logit_rows } else { usize::MAX };
        sequence.remaining().min(rows)
    }

    /// Gives a running sequence as many of its tokens as the budget has.
    fn give(&mut self, index: usize, budget: &mut Budget, batch: &mut Batch) {
        let sequence = &self.running[index];
        let mut len = sequence.remaining().min(budget.tokens);
        self.work.cut |= len < sequence.remaining();
        if sequence.wants_prompt_rows() {
            len = len.min(budget.prompt_logit_rows);
            budget.prompt_logit_rows -= len;
        }
        if len == 0 {
            return;
        }
        budget.tokens -= len;
        let (start, end) = (sequence.computed, sequence.computed + len);
        batch.push(&sequence.tokens[start..end], start, &sequence.pages, sequence.logits_wanted(len));
        self.scheduled.push(index);
        // What is computed again is not its owner's doing.
        let prompt_tokens = end.min(sequence.prompt_tokens).saturating_sub(start.max(sequence.reached));
        let generated_tokens = usize::from(end == sequence.tokens.len());
        let slot = sequence.owner_slot.expect("every sequence here has an account");
        self.owners.charge(slot, prompt_tokens, generated_tokens);
    }
}
