//! What sequences take from the prefix tree instead of computing it, and what they leave there.
//!
//! A page is taken over when its sequence stands at a page's beginning, whether it was just admitted or has been running
//! for long: of two requests with one prefix that run together, the one that is behind follows in the other's pages.
//! Invariant: the pages of a sequence that are whole and computed are in the tree after each step, if the cache
//! is on; so a sequence at a page's beginning stands at a node of the tree.

use crate::batch::{Batch, PAGE_TOKENS};
use crate::pages::Pages;

use super::{Scheduler, Sequence};

impl Scheduler {
    /// Takes over for every running sequence what others have computed since.
    pub(super) fn follow_others(&mut self) {
        if self.limits.prefix_cache {
            for sequence in &mut self.running {
                self.tally.prefix_tokens_hit += take_over(sequence, &mut self.pages) as u64;
            }
        }
    }

    /// Puts the pages of a running sequence that have become whole into the tree.
    pub(crate) fn commit_pages(&mut self, index: usize) {
        let sequence = &mut self.running[index];
        if !self.limits.prefix_cache {
            return;
        }
        while (sequence.committed_pages + 1) * PAGE_TOKENS <= sequence.computed {
            let start = sequence.committed_pages * PAGE_TOKENS;
            let (parent, tokens) =
                (sequence.page_before(start), &sequence.tokens[start..start + PAGE_TOKENS]);
            let page = &mut sequence.pages[start / PAGE_TOKENS];
            *page = self.pages.commit(parent, *page, tokens, sequence.request.rank.owner);
            sequence.committed_pages += 1;
        }
    }

    /// Whether an earlier span of `batch` computes the page that this sequence needs next: it takes that over in the
    /// next step. The most senior sequence waits for nobody.
    pub(super) fn is_under_way(&self, index: usize, batch: &Batch) -> bool {
        let sequence = &self.running[index];
        let Some(page) = sequence.replaceable().filter(|_| index > 0 && self.limits.prefix_cache) else {
            return false;
        };
        batch.spans.iter().zip(&self.scheduled).any(|(span, &other)| {
            span.start < page.end
                && page.end <= span.start + span.len
                && self.running[other].tokens[..page.end] == sequence.tokens[..page.end]
        })
    }
}

/// Takes over the pages of the tree that go on with the sequence's tokens; how many tokens of a prompt need not be
/// computed for it.
pub(super) fn take_over(sequence: &mut Sequence, pages: &mut Pages) -> usize {
    let mut saved = 0;
    while let Some(range) = sequence.replaceable() {
        let parent = sequence.page_before(range.start);
        let Some(page) = pages.child(parent, &sequence.tokens[range.clone()]) else { break };
        pages.share(page);
        match sequence.pages.get_mut(range.start / PAGE_TOKENS) {
            // What was allocated for these tokens is not needed any more.
            Some(own) => pages.release(std::mem::replace(own, page)),
            None => sequence.pages.push(page),
        }
        // What it had computed before it lost its pages is not saved by the cache.
        saved += range.end.min(sequence.prompt_tokens).saturating_sub(range.start.max(sequence.reached));
        sequence.computed = range.end;
        sequence.committed_pages += 1;
    }
    if saved > 0 {
        sequence.cache.cached_tokens += saved;
        compare(sequence, pages);
    }
    saved
}

/// How many of the pages that a waiting sequence would take over have owners: it shares them at no cost.
pub(super) fn pages_shared(sequence: &Sequence, pages: &Pages) -> usize {
    let (mut parent, mut start, mut shared) = (None, 0, 0);
    while let Some(range) = sequence.replaceable_at(start)
        && let Some(page) = pages.child(parent, &sequence.tokens[range.clone()])
    {
        shared += usize::from(pages.owners(page) > 0);
        (parent, start) = (Some(page), range.end);
    }
    shared
}

/// Notes in the report how much of the prompt is in the cache, beyond the pages that could be taken over.
pub(super) fn compare(sequence: &mut Sequence, pages: &Pages) {
    let prompt = &sequence.tokens[..sequence.prompt_tokens];
    let taken = sequence.computed.min(prompt.len()) / PAGE_TOKENS * PAGE_TOKENS;
    let mut parent = sequence.page_before(taken);
    let mut common = taken;
    while let Some(tokens) = prompt.get(common..common + PAGE_TOKENS)
        && let Some(page) = pages.child(parent, tokens)
    {
        (parent, common) = (Some(page), common + PAGE_TOKENS);
    }
    let (more, instead) = pages.most_similar(parent, &prompt[common..], sequence.request.rank.owner);
    let report = &mut sequence.cache;
    (report.common_tokens, report.instead) = (common + more, instead);
    // The last tokens of a prompt can have been saved by a page of another owner, which is not looked into here.
    if report.cached_tokens > report.common_tokens {
        (report.common_tokens, report.instead) = (report.cached_tokens, None);
    }
}
