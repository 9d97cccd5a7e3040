//! Which tokens of which sequences the next step computes, and who has which pages.
//!
//! There are no phases. A sequence has `tokens` and `computed`; a step gives each running sequence some of the
//! rest within a budget: first those that need a single token, then chunks of longer rests, oldest first. A long
//! prompt, a new token and the recomputation of a preempted sequence are the same thing.
//!
//! Invariants:
//! - the running and the waiting sequences, in this order, stand in the order of their arrival;
//! - a running sequence has pages for all of its tokens when a step begins, a waiting one has none;
//! - the oldest sequence is never preempted and gets at least one token a step, so every sequence ends.
//!
//! Nothing here knows the model, threads or clocks but for the moment that it is told.

mod sequence;

use std::collections::VecDeque;
use std::time::Instant;

use crate::batch::Batch;
use crate::limits::Limits;
use crate::pages::Pages;
use crate::request::{Chunk, FinishReason};

pub(crate) use sequence::Sequence;

/// The sequences and the book of pages.
#[derive(Debug)]
pub(crate) struct Scheduler {
    /// Sequences with pages, oldest first.
    pub(crate) running: Vec<Sequence>,
    /// Sequences without pages, oldest first.
    pub(crate) waiting: VecDeque<Sequence>,
    pub(crate) pages: Pages,
    /// For each span of the current batch, where its sequence is in `running`.
    pub(crate) scheduled: Vec<usize>,
    /// How often a sequence has lost its pages.
    pub(crate) preemptions: u64,
    limits: Limits,
    prompt_logit_rows: usize,
}

/// What is left to give in a step.
struct Budget {
    tokens: usize,
    prompt_logit_rows: usize,
}

impl Scheduler {
    /// A scheduler without sequences. At most `prompt_logit_rows` rows of logits for prompts are computed in a step.
    pub(crate) fn new(limits: Limits, prompt_logit_rows: usize) -> Self {
        Scheduler {
            running: Vec::with_capacity(limits.sequences_max),
            waiting: VecDeque::new(),
            pages: Pages::new(limits.kv_pages),
            scheduled: Vec::with_capacity(limits.sequences_max),
            preemptions: 0,
            limits,
            prompt_logit_rows,
        }
    }

    /// Takes a sequence in; it waits for its first step.
    pub(crate) fn add(&mut self, sequence: Sequence) {
        self.waiting.push_back(sequence);
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Fills `batch` with the next step's work. It is empty only if there is nothing to do.
    pub(crate) fn schedule(&mut self, batch: &mut Batch, now: Instant) {
        batch.clear();
        self.scheduled.clear();
        let mut budget =
            Budget { tokens: self.limits.batch_tokens, prompt_logit_rows: self.prompt_logit_rows };
        let preempted = self.grow();
        for single in [true, false] {
            for index in 0..self.running.len() {
                if self.running[index].needs_single_token() == single {
                    self.give(index, &mut budget, batch, now);
                }
            }
        }
        // Who just lost its pages would otherwise take them back before anybody has gained by it.
        if !preempted {
            self.admit(&mut budget, batch, now);
        }
    }

    /// Ends every sequence, running or waiting, that `ends` picks, without a last token.
    pub(crate) fn end_where(
        &mut self,
        ends: impl Fn(&Sequence) -> bool,
        reason: &FinishReason,
        now: Instant,
    ) {
        for sequence in self.running.iter_mut().chain(&mut self.waiting) {
            if sequence.last_chunk.is_none() && ends(sequence) {
                sequence.end(Chunk::default(), reason.clone(), now);
            }
        }
    }

    /// Moves the sequences that have ended to `ended`; their pages are free.
    pub(crate) fn remove_ended(&mut self, ended: &mut Vec<Sequence>) {
        for mut sequence in self.running.extract_if(.., |s| s.last_chunk.is_some()) {
            sequence.release_pages(&mut self.pages);
            ended.push(sequence);
        }
        // The usual case is that none of the waiting has ended, and that must not move the queue.
        while let Some(index) = self.waiting.iter().position(|s| s.last_chunk.is_some()) {
            ended.extend(self.waiting.remove(index));
        }
        self.scheduled.clear();
    }

    /// Takes the newest running sequence's pages; it waits at the head of the queue to be computed again.
    pub(crate) fn preempt_newest(&mut self) {
        let mut sequence = self.running.pop().expect("only running sequences hold pages");
        sequence.release_pages(&mut self.pages);
        self.waiting.push_front(sequence);
        self.preemptions += 1;
    }

    /// Gives every running sequence pages for all of its tokens, oldest first, at the newest ones' expense.
    /// Whether any was preempted for it.
    fn grow(&mut self) -> bool {
        let running_before = self.running.len();
        let mut index = 0;
        while index < self.running.len() {
            if self.running[index].take_pages(&mut self.pages) {
                index += 1;
            } else {
                self.preempt_newest();
            }
        }
        self.running.len() < running_before
    }

    /// Starts waiting sequences in order, as far as budget and memory go.
    fn admit(&mut self, budget: &mut Budget, batch: &mut Batch, now: Instant) {
        while budget.tokens > 0 && self.running.len() < self.limits.sequences_max {
            let Some(next) = self.waiting.front_mut() else { return };
            // Leave each running sequence a page to grow into, or the new one would soon be preempted.
            let room_to_grow = self.running.len();
            if next.pages_missing() + room_to_grow > self.pages.free() {
                return;
            }
            next.reserve(self.limits.context_tokens);
            let taken = next.take_pages(&mut self.pages);
            assert!(taken, "as many pages are free");
            next.queue_place = None;
            let next = self.waiting.pop_front().expect("it was looked at above");
            self.running.push(next);
            self.give(self.running.len() - 1, budget, batch, now);
        }
    }

    /// Gives a running sequence as many of its tokens as the budget has.
    fn give(&mut self, index: usize, budget: &mut Budget, batch: &mut Batch, now: Instant) {
        let sequence = &mut self.running[index];
        let mut len = sequence.remaining().min(budget.tokens);
        if sequence.wants_prompt_rows() {
            len = len.min(budget.prompt_logit_rows);
            budget.prompt_logit_rows -= len;
        }
        if len == 0 {
            return;
        }
        budget.tokens -= len;
        let start = sequence.computed;
        let tokens = &sequence.tokens[start..start + len];
        batch.push(tokens, start, &sequence.pages, sequence.logits_wanted(len));
        self.scheduled.push(index);
        sequence.clock.first_step.get_or_insert(now);
    }
}
