//! Who comes first, and which waiting sequences may begin.
//!
//! Rank is priority, then the service that the owner has got, then arrival. It decides who is admitted and who gets
//! the tokens of a step. It changes from step to step, so it does not decide who loses its pages: seniority does,
//! priority and then arrival, or two owners could take each other's pages in turn for ever.

use std::time::Instant;

use super::{Scheduler, Sequence, prefix};

/// Lower comes first: priority, service of the owner, arrival.
pub(super) type RankKey = (i32, u64, u64);

impl Scheduler {
    /// A sequence's rank at the moment.
    pub(super) fn rank(&self, sequence: &Sequence) -> RankKey {
        let slot = sequence.owner_slot.expect("the scheduler opened an account when it took the sequence in");
        (sequence.request.rank.priority, self.owners.service(slot), sequence.arrival)
    }

    /// Starts waiting sequences in the order of their rank, as far as there is memory and work is wanted in a step
    /// that has `tokens` to give to prompts.
    pub(super) fn admit(&mut self, tokens: usize, now: Instant) {
        loop {
            let rank = |&index: &usize| self.rank(&self.waiting[index]);
            let Some(first) = (0..self.waiting.len()).min_by_key(rank) else { return };
            if self.wanted_before(first) >= tokens || !self.make_room(first) {
                return;
            }
            self.start(first, now);
        }
    }

    /// How many prompt tokens the running sequences that rank before a waiting one would take in a step.
    fn wanted_before(&self, waiting: usize) -> usize {
        let rank = self.rank(&self.waiting[waiting]);
        let before = self.running.iter().filter(|s| !s.needs_single_token() && self.rank(s) < rank);
        before.map(|s| self.most_to_give(s)).sum()
    }

    /// Whether a waiting sequence has room to run, if need be after those of lower priority have lost theirs.
    fn make_room(&mut self, waiting: usize) -> bool {
        let priority = self.waiting[waiting].request.rank.priority;
        let yielding = |s: &&Sequence| s.request.rank.priority > priority;
        let pages_at_most: usize = self.running.iter().filter(yielding).map(|s| s.pages.len()).sum();
        if self.waiting[waiting].pages_missing() > self.available_to(waiting) + pages_at_most {
            return false;
        }
        while !self.has_room(waiting) {
            if !self.running.last().as_ref().is_some_and(yielding) {
                return false;
            }
            self.preempt_junior();
        }
        true
    }

    fn has_room(&self, waiting: usize) -> bool {
        // Leave each running sequence a page to grow into, or the new one would soon be preempted.
        let room_to_grow = self.running.len();
        self.running.len() < self.limits.sequences_max
            && self.waiting[waiting].pages_missing() + room_to_grow <= self.available_to(waiting)
    }

    /// Pages that a waiting sequence can have: those that are available and those that it would share.
    fn available_to(&self, waiting: usize) -> usize {
        let sequence = &self.waiting[waiting];
        let mut pages = self.pages.available();
        // The walk is worth it only if it decides.
        if self.limits.prefix_cache && sequence.pages_missing() + self.running.len() > pages {
            pages += prefix::pages_shared(sequence, &self.pages);
        }
        pages
    }

    /// Moves a waiting sequence that has room to the running ones.
    fn start(&mut self, waiting: usize, now: Instant) {
        let mut sequence = self.waiting.swap_remove(waiting);
        sequence.reserve(self.limits.context_tokens);
        if self.limits.prefix_cache {
            if sequence.clock.first_step.is_none() {
                self.tally.prefix_tokens_queried += sequence.prompt_tokens as u64;
                prefix::compare(&mut sequence, &self.pages);
            }
            self.tally.prefix_tokens_hit += prefix::take_over(&mut sequence, &mut self.pages) as u64;
        }
        let taken = sequence.take_pages(&mut self.pages);
        assert!(taken, "as many pages are available");
        sequence.place.leave_queue();
        sequence.clock.first_step.get_or_insert(now);
        let index = self.running.partition_point(|s| s.seniority() < sequence.seniority());
        self.running.insert(index, sequence);
    }
}
