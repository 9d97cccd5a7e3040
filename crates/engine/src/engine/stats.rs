//! What the engine counts, readable from any thread at any time without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The state of the engine after its last step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that are submitted and wait for their first step.
    pub queued: usize,
    /// Sequences that have pages.
    pub running: usize,
    /// Pages of the KV cache in use.
    pub pages_used: usize,
    /// Pages of the KV cache.
    pub pages_total: usize,
    /// Steps done. It grows as long as there is work and the engine lives.
    pub steps: u64,
    /// Tokens computed: prompts, answers and what was computed again after a preemption.
    pub computed_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// How often a sequence had to give up its pages and be computed again.
    pub preemptions: u64,
    /// Requests that came to their end.
    pub finished: u64,
    /// Requests that their clients, or the shutdown, cancelled.
    pub cancelled: u64,
    /// Requests that ended with an error.
    pub failed: u64,
}

/// The shared side of [`Stats`]: the engine thread writes it, all but `queued`, which submitters count up.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) queued: AtomicUsize,
    pub(crate) running: AtomicUsize,
    pub(crate) pages_used: AtomicUsize,
    pub(crate) steps: AtomicU64,
    pub(crate) computed_tokens: AtomicU64,
    pub(crate) generated_tokens: AtomicU64,
    pub(crate) preemptions: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self, pages_total: usize) -> Stats {
        Stats {
            queued: self.queued.load(Relaxed),
            running: self.running.load(Relaxed),
            pages_used: self.pages_used.load(Relaxed),
            pages_total,
            steps: self.steps.load(Relaxed),
            computed_tokens: self.computed_tokens.load(Relaxed),
            generated_tokens: self.generated_tokens.load(Relaxed),
            preemptions: self.preemptions.load(Relaxed),
            finished: self.finished.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}

/// A place in the queue, given back when it is dropped, on whatever way that happens.
#[derive(Debug)]
pub(crate) struct QueuePlace(Arc<Counters>);

impl QueuePlace {
    /// A place, unless `queue_max` are taken.
    pub(crate) fn take(counters: &Arc<Counters>, queue_max: usize) -> Option<Self> {
        let more = |queued| (queued < queue_max).then_some(queued + 1);
        counters.queued.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(QueuePlace(Arc::clone(counters)))
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Relaxed);
    }
}
