//! How long a request that is submitted now would have to wait, by what was measured.
//!
//! An estimate and no promise: requests end before their `max_tokens`, others come with a better rank. Invariant: it
//! is none as long as a speed that it needs was not measured, and grows with all that stands before the request.

use std::time::Duration;

use super::Stats;
use crate::batch::PAGE_TOKENS;

/// From now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Until the request has its place and its prompt is begun.
    pub begin: Duration,
    /// Until its first token comes.
    pub first_token: Duration,
    /// Until it has all of its tokens.
    pub end: Duration,
}

impl Stats {
    /// What a request with such a prompt, of which nothing is cached, and that many tokens of an answer could expect. None
    /// before the engine has done similar work.
    pub fn wait_estimate(&self, prompt_tokens: usize, max_tokens: usize) -> Option<Wait> {
        let speed = (self.prompt_tokens_per_second > 0).then_some(self.prompt_tokens_per_second as f64)?;
        let step = (!self.generation_step.is_zero()).then_some(self.generation_step)?;
        let seconds =
            |tokens: usize| Duration::try_from_secs_f64(tokens as f64 / speed).unwrap_or(Duration::MAX);
        let tokens = u32::try_from(max_tokens).unwrap_or(u32::MAX);
        let generation = step.saturating_mul(tokens);
        let own = seconds(prompt_tokens).saturating_add(generation);
        let place = self.departure(own).saturating_mul(self.places_missing(prompt_tokens));
        let begin = place.max(seconds(self.tokens_ahead));
        let first_token = begin.saturating_add(seconds(prompt_tokens)).saturating_add(step);
        Some(Wait { begin, first_token, end: first_token.saturating_add(generation.saturating_sub(step)) })
    }

    /// How many requests must end before one with such a prompt has its place and its memory.
    fn places_missing(&self, prompt_tokens: usize) -> u32 {
        let free_places = self.sequences_max.saturating_sub(self.running);
        // As in admission: each running one has a page to grow into.
        let pages = prompt_tokens / PAGE_TOKENS + 1 + self.running;
        let has_memory = pages <= self.pages_total.saturating_sub(self.pages_used);
        let free_places = if has_memory { free_places } else { 0 };
        u32::try_from((self.queued + 1).saturating_sub(free_places)).unwrap_or(u32::MAX)
    }

    /// The time between two requests that end: as measured, or as if the running ones were like this one.
    fn departure(&self, own: Duration) -> Duration {
        if self.departure_interval.is_zero() {
            own / u32::try_from(self.running.max(1)).unwrap_or(u32::MAX)
        } else {
            self.departure_interval
        }
    }
}

/// When the last requests ended, by a clock that stands still while no request waits: only then do ends tell how fast
/// places become free.
#[derive(Debug, Default)]
pub(super) struct Departures {
    moments: [Duration; 32],
    len: usize,
    next: usize,
}

impl Departures {
    /// `count` requests have ended when others had waited for so long.
    pub(super) fn note(&mut self, count: usize, waited: Duration) {
        for _ in 0..count.min(self.moments.len()) {
            self.moments[self.next] = waited;
            self.next = (self.next + 1) % self.moments.len();
            self.len = (self.len + 1).min(self.moments.len());
        }
    }

    /// The mean time between two of them. None before there were a few.
    pub(super) fn interval(&self) -> Option<Duration> {
        if self.len < 5 {
            return None;
        }
        let len = self.moments.len();
        let newest = self.moments[(self.next + len - 1) % len];
        let oldest = self.moments[(self.next + len - self.len) % len];
        Some((newest - oldest) / (self.len - 1) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: Stats = Stats {
        open: 0,
        queued: 0,
        running: 0,
        sequences_max: 4,
        tokens_ahead: 0,
        pages_used: 0,
        pages_cached: 50,
        pages_total: 100,
        steps: 1000,
        busy_for: None,
        step_time: Duration::from_millis(12),
        step_sequences: 1,
        step_tokens: 1,
        prompt_tokens_per_second: 1000,
        generation_step: Duration::from_millis(10),
        departure_interval: Duration::from_millis(500),
        computed_tokens: 10_000,
        generated_tokens: 1000,
        prefix_tokens_queried: 0,
        prefix_tokens_hit: 0,
        preemptions: 0,
        loops_caught: 0,
        loops_recovered: 0,
        loops_stopped: 0,
        finished: 10,
        cancelled: 0,
        timed_out: 0,
        failed: 0,
    };

    /// Milliseconds until a request with 200 + 100 tokens begins, has its first token, and its last.
    fn check(stats: Stats, expect: [u128; 3]) {
        let wait = stats.wait_estimate(200, 100).unwrap();
        assert_eq!([wait.begin, wait.first_token, wait.end].map(|d| d.as_millis()), expect, "{stats:?}");
    }

    #[test]
    fn what_stands_before_a_request_adds_to_its_wait() {
        check(MEASURED, [0, 210, 1200]);
        // Prompts that are before it.
        check(Stats { running: 2, tokens_ahead: 3000, ..MEASURED }, [3000, 3210, 4200]);
        // One place is free; nobody, or one, or three wait for it.
        check(Stats { running: 3, ..MEASURED }, [0, 210, 1200]);
        check(Stats { running: 3, queued: 1, ..MEASURED }, [500, 710, 1700]);
        check(Stats { running: 3, queued: 3, ..MEASURED }, [1500, 1710, 2700]);
        // No place, or no memory: cached pages are no obstacle.
        check(Stats { running: 4, ..MEASURED }, [500, 710, 1700]);
        check(Stats { running: 2, pages_used: 92, pages_cached: 8, ..MEASURED }, [500, 710, 1700]);
        check(Stats { running: 2, pages_used: 90, pages_cached: 10, ..MEASURED }, [0, 210, 1200]);
        // Nothing has ended yet: the four that run are taken to be like this one.
        let unmeasured = Duration::ZERO;
        check(Stats { running: 4, departure_interval: unmeasured, ..MEASURED }, [300, 510, 1500]);
    }

    #[test]
    fn nothing_is_guessed_without_a_measurement() {
        let unmeasured = Duration::ZERO;
        for stats in [
            Stats { prompt_tokens_per_second: 0, ..MEASURED },
            Stats { generation_step: unmeasured, ..MEASURED },
            Stats::default(),
        ] {
            assert_eq!(stats.wait_estimate(200, 100), None);
        }
        let endless = MEASURED.wait_estimate(usize::MAX, usize::MAX).unwrap();
        assert!(endless.end > Duration::from_secs(1_000_000));
    }

    #[test]
    fn the_last_departures_count() {
        let mut departures = Departures::default();
        departures.note(4, Duration::ZERO);
        assert_eq!(departures.interval(), None);
        for second in 1..=100 {
            departures.note(1, Duration::from_secs(second));
            departures.note(0, Duration::from_secs(second));
        }
        assert_eq!(departures.interval(), Some(Duration::from_secs(1)));
        departures.note(1000, Duration::from_secs(100));
        assert_eq!(departures.interval(), Some(Duration::ZERO));
    }
}
