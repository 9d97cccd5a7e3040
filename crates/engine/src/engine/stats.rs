//! What the engine counts, readable from any thread at any time without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::limits::Limits;
use crate::request::{FinishReason, Finished};

/// The state of the engine after its last step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that are submitted and have not ended.
    pub open: usize,
    /// Those of them that wait for their first step.
    pub queued: usize,
    /// Sequences that have pages.
    pub running: usize,
    /// Sequences that may run at a time.
    pub sequences_max: usize,
    /// Prompt tokens, and tokens to be computed again, that wait for their turn: of requests that are queued, run or
    /// have been preempted.
    pub tokens_ahead: usize,
    /// Pages of the KV cache that sequences have.
    pub pages_used: usize,
    /// Pages that no sequence has and the prefix cache keeps until their memory is needed.
    pub pages_cached: usize,
    /// Pages of the KV cache.
    pub pages_total: usize,
    /// Steps done. It grows as long as there is work and the engine lives.
    pub steps: u64,
    /// How long the step that is being computed has taken so far. None while the engine waits for requests; when it
    /// grows beyond all reason, the engine hangs.
    pub busy_for: Option<Duration>,
    /// What the last step took.
    pub step_time: Duration,
    /// Sequences that it computed tokens of.
    pub step_sequences: usize,
    /// Tokens that it computed.
    pub step_tokens: usize,
    /// How many prompt tokens a second are computed beside what runs now; 0 if that was not measured yet.
    pub prompt_tokens_per_second: usize,
    /// What a step takes that generates a token for each sequence which does so now, or for one if none does; zero if
    /// that was not measured yet.
    pub generation_step: Duration,
    /// The time between two requests that end, of those that had begun, while others wait; zero if that was not
    /// measured yet.
    pub departure_interval: Duration,
    /// Tokens computed: prompts, answers and what was computed again after a preemption.
    pub computed_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Prompt tokens that were looked up in the prefix cache.
    pub prefix_tokens_queried: u64,
    /// Those of them that were there, or were computed by another request that ran at the same time.
    pub prefix_tokens_hit: u64,
    /// How often a sequence had to give up its pages and be computed again.
    pub preemptions: u64,
    /// Loops that were found in answers.
    pub loops_caught: u64,
    /// Answers that had one and ended in another way.
    pub loops_recovered: u64,
    /// Answers that ended because of one.
    pub loops_stopped: u64,
    /// Requests that came to their end.
    pub finished: u64,
    /// Requests that their clients, or the shutdown, cancelled.
    pub cancelled: u64,
    /// Requests whose deadline came first.
    pub timed_out: u64,
    /// Requests that ended with an error.
    pub failed: u64,
}

impl Stats {
    /// Whether every request that was taken has ended.
    pub fn is_idle(&self) -> bool {
        self.open == 0
    }
}

/// The shared side of [`Stats`]: the engine's thread writes it, all but `open` and `queued`, which submitters count up.
#[derive(Debug)]
pub(crate) struct Counters {
    /// The moment that `busy_since` counts from.
    started: Instant,
    /// Microseconds from `started` to the beginning of the step, plus one; 0 while the engine waits for requests.
    busy_since: AtomicU64,
    pub(crate) open: AtomicUsize,
    pub(crate) queued: AtomicUsize,
    /// Prompt tokens of the requests in the queue.
    pub(crate) queued_tokens: AtomicUsize,
    pub(crate) running: AtomicUsize,
    /// Tokens that wait in the scheduler beside those of the requests in the queue.
    pub(crate) scheduler_tokens: AtomicUsize,
    pub(crate) pages_used: AtomicUsize,
    pub(crate) pages_cached: AtomicUsize,
    pub(crate) steps: AtomicU64,
    pub(crate) step_microseconds: AtomicU64,
    pub(crate) step_sequences: AtomicUsize,
    pub(crate) step_tokens: AtomicUsize,
    pub(crate) prompt_tokens_per_second: AtomicUsize,
    pub(crate) generation_microseconds: AtomicU64,
    pub(crate) departure_microseconds: AtomicU64,
    pub(crate) computed_tokens: AtomicU64,
    pub(crate) generated_tokens: AtomicU64,
    pub(crate) prefix_tokens_queried: AtomicU64,
    pub(crate) prefix_tokens_hit: AtomicU64,
    pub(crate) preemptions: AtomicU64,
    pub(crate) loops_caught: AtomicU64,
    pub(crate) loops_recovered: AtomicU64,
    pub(crate) loops_stopped: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            started: Instant::now(),
            busy_since: AtomicU64::default(),
            open: AtomicUsize::default(),
            queued: AtomicUsize::default(),
            queued_tokens: AtomicUsize::default(),
            running: AtomicUsize::default(),
            scheduler_tokens: AtomicUsize::default(),
            pages_used: AtomicUsize::default(),
            pages_cached: AtomicUsize::default(),
            steps: AtomicU64::default(),
            step_microseconds: AtomicU64::default(),
            step_sequences: AtomicUsize::default(),
            step_tokens: AtomicUsize::default(),
            prompt_tokens_per_second: AtomicUsize::default(),
            generation_microseconds: AtomicU64::default(),
            departure_microseconds: AtomicU64::default(),
            computed_tokens: AtomicU64::default(),
            generated_tokens: AtomicU64::default(),
            prefix_tokens_queried: AtomicU64::default(),
            prefix_tokens_hit: AtomicU64::default(),
            preemptions: AtomicU64::default(),
            loops_caught: AtomicU64::default(),
            loops_recovered: AtomicU64::default(),
            loops_stopped: AtomicU64::default(),
            finished: AtomicU64::default(),
            cancelled: AtomicU64::default(),
            timed_out: AtomicU64::default(),
            failed: AtomicU64::default(),
        }
    }
}

impl Counters {
    pub(crate) fn read(&self, limits: &Limits) -> Stats {
        let micros = |counter: &AtomicU64| Duration::from_micros(counter.load(Relaxed));
        Stats {
            open: self.open.load(Relaxed),
            queued: self.queued.load(Relaxed),
            running: self.running.load(Relaxed),
            sequences_max: limits.sequences_max,
            tokens_ahead: self.queued_tokens.load(Relaxed) + self.scheduler_tokens.load(Relaxed),
            pages_used: self.pages_used.load(Relaxed),
            pages_cached: self.pages_cached.load(Relaxed),
            pages_total: limits.kv_pages,
            steps: self.steps.load(Relaxed),
            busy_for: self.busy_for(),
            step_time: micros(&self.step_microseconds),
            step_sequences: self.step_sequences.load(Relaxed),
            step_tokens: self.step_tokens.load(Relaxed),
            prompt_tokens_per_second: self.prompt_tokens_per_second.load(Relaxed),
            generation_step: micros(&self.generation_microseconds),
            departure_interval: micros(&self.departure_microseconds),
            computed_tokens: self.computed_tokens.load(Relaxed),
            generated_tokens: self.generated_tokens.load(Relaxed),
            prefix_tokens_queried: self.prefix_tokens_queried.load(Relaxed),
            prefix_tokens_hit: self.prefix_tokens_hit.load(Relaxed),
            preemptions: self.preemptions.load(Relaxed),
            loops_caught: self.loops_caught.load(Relaxed),
            loops_recovered: self.loops_recovered.load(Relaxed),
            loops_stopped: self.loops_stopped.load(Relaxed),
            finished: self.finished.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }

    /// A request has ended.
    pub(crate) fn ended(&self, finished: &Finished) {
        let ended = match finished.reason {
            FinishReason::Cancelled => &self.cancelled,
            FinishReason::TimedOut => &self.timed_out,
            FinishReason::Error(_) | FinishReason::Impossible(_) => &self.failed,
            FinishReason::Stop | FinishReason::Length | FinishReason::Repetition => &self.finished,
        };
        ended.fetch_add(1, Relaxed);
        if finished.reason == FinishReason::Repetition {
            self.loops_stopped.fetch_add(1, Relaxed);
        }
        if finished.repetition.is_some_and(|repetition| repetition.recovered) {
            self.loops_recovered.fetch_add(1, Relaxed);
        }
    }

    /// A step begins at this moment; or, without one, the engine waits for requests.
    pub(crate) fn beat(&self, step: Option<Instant>) {
        let micros = |begin: Instant| begin.saturating_duration_since(self.started).as_micros() as u64;
        self.busy_since.store(step.map_or(0, |begin| micros(begin) + 1), Relaxed);
    }

    fn busy_for(&self) -> Option<Duration> {
        let begin = Duration::from_micros(self.busy_since.load(Relaxed).checked_sub(1)?);
        Some(self.started.elapsed().saturating_sub(begin))
    }
}

/// A request's place among those that have not ended, and in the queue as long as it has not begun. Dropping it gives
/// back what it holds, on whatever way that happens.
#[derive(Debug)]
pub(crate) struct Place {
    counters: Arc<Counters>,
    /// Tokens of its prompt that wait in the queue; none once it has begun.
    queued_tokens: Option<usize>,
}

impl Place {
    /// A place for each of these prompts' lengths, or none at all if there would be more than `queue_max` in the queue.
    pub(crate) fn take(
        counters: &Arc<Counters>,
        prompts: impl ExactSizeIterator<Item = usize>,
        queue_max: usize,
    ) -> Option<Vec<Self>> {
        let count = prompts.len();
        let more = |queued: usize| queued.checked_add(count).filter(|&queued| queued <= queue_max);
        counters.queued.fetch_update(Relaxed, Relaxed, more).ok()?;
        counters.open.fetch_add(count, Relaxed);
        let place = |tokens| {
            counters.queued_tokens.fetch_add(tokens, Relaxed);
            Place { counters: Arc::clone(counters), queued_tokens: Some(tokens) }
        };
        Some(prompts.map(place).collect())
    }

    /// Whether the request has not begun.
    pub(crate) fn is_in_queue(&self) -> bool {
        self.queued_tokens.is_some()
    }

    /// The request begins.
    pub(crate) fn leave_queue(&mut self) {
        if let Some(tokens) = self.queued_tokens.take() {
            self.counters.queued.fetch_sub(1, Relaxed);
            self.counters.queued_tokens.fetch_sub(tokens, Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave_queue();
        self.counters.open.fetch_sub(1, Relaxed);
    }
}
