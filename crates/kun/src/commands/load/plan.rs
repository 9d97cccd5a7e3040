//! What is sent when. Times, lengths and prompts are functions of the seed and a request's number, so the
//! same plan can be carried out on two servers.

use super::arguments::{LoadArgs, REQUESTS_MAX, Span};
use super::random::{Draw, For};

/// Most streams of an open loop unless the user says how many.
const OPEN_STREAMS_DEFAULT: usize = 1024;
const OPEN_REQUESTS_DEFAULT: u64 = 100;
/// Requests of each stream of a closed loop unless the user says how many in all.
const REQUESTS_PER_STREAM_DEFAULT: u64 = 4;
/// The number of the first request that does not count: none that counts has it.
const WARMUP_FIRST: u64 = 1 << 40;
/// Streams that send what does not count before an open loop.
const WARMUP_STREAMS_MAX: usize = 16;

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// Each stream sends its next request when its last one has ended.
    Closed { streams: usize },
    /// Requests are due at random times. One that finds all streams busy waits, and its waiting counts.
    Open { rate: f64, streams_max: usize },
}

impl Pace {
    /// Streams at once, at most.
    pub(super) fn streams_max(self) -> usize {
        match self {
            Pace::Closed { streams } => streams,
            Pace::Open { streams_max, .. } => streams_max,
        }
    }
}

/// A run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    pub(super) pace: Pace,
    first: u64,
    pub(super) requests: u64,
    /// Nothing is sent after so many seconds.
    pub(super) duration: Option<f64>,
    seed: u64,
}

impl Plan {
    /// The run that was asked for.
    pub(super) fn new(args: &LoadArgs) -> Self {
        let (pace, default) = match args.rate {
            None => {
                let streams = args.concurrency.unwrap_or(1);
                (Pace::Closed { streams }, REQUESTS_PER_STREAM_DEFAULT * streams as u64)
            }
            Some(rate) => {
                let streams_max = args.concurrency.unwrap_or(OPEN_STREAMS_DEFAULT);
                (Pace::Open { rate, streams_max }, OPEN_REQUESTS_DEFAULT)
            }
        };
        let default = if args.duration.is_some() { REQUESTS_MAX } else { default };
        let requests = args.requests.unwrap_or(default);
        Plan { pace, first: 0, requests, duration: args.duration, seed: args.seed }
    }

    /// What is sent before it and does not count; none if there is nothing.
    pub(super) fn warmup(&self, requests: u64) -> Option<Self> {
        let streams = match self.pace {
            Pace::Closed { streams } => streams,
            Pace::Open { streams_max, .. } => streams_max.min(WARMUP_STREAMS_MAX),
        };
        let pace = Pace::Closed { streams };
        (requests > 0).then_some(Plan {
            pace,
            first: WARMUP_FIRST,
            requests,
            duration: None,
            seed: self.seed,
        })
    }

    fn is_past(&self, seconds: f64) -> bool {
        self.duration.is_some_and(|duration| seconds >= duration)
    }

    /// Its requests, from the first one on.
    pub(super) fn arrivals(&self) -> Arrivals {
        Arrivals { plan: *self, sent: 0, due: 0.0 }
    }
}

/// A request to come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Arrival {
    pub(super) number: u64,
    /// Seconds from the run's beginning; none if it is to be sent at once.
    pub(super) due: Option<f64>,
}

/// The requests of a plan that are still to be sent.
#[derive(Debug)]
pub(super) struct Arrivals {
    plan: Plan,
    sent: u64,
    due: f64,
}

impl Arrivals {
    /// The next request, at so many seconds from the run's beginning; none if there is no further one.
    pub(super) fn next(&mut self, now: f64) -> Option<Arrival> {
        if self.sent == self.plan.requests {
            return None;
        }
        let number = self.plan.first + self.sent;
        let due = match self.plan.pace {
            Pace::Closed { .. } => None,
            Pace::Open { rate, .. } => {
                // Between the arrivals of a Poisson process are exponentially distributed times.
                let draw = Draw::new(self.plan.seed, For::Arrivals).at(number);
                self.due += -draw.unit().ln() / rate;
                Some(self.due)
            }
        };
        if self.plan.is_past(due.unwrap_or(now)) {
            self.sent = self.plan.requests;
            return None;
        }
        self.sent += 1;
        Some(Arrival { number, due })
    }

    /// Is there nothing left to be sent?
    pub(super) fn is_over(&self, now: f64) -> bool {
        self.sent == self.plan.requests || self.plan.is_past(now)
    }
}

/// The length that a request's prompt or answer has.
pub(super) fn length(span: Span, seed: u64, branch: For, number: u64) -> u32 {
    let draw = Draw::new(seed, branch).at(number);
    let lengths = u64::from(span.max - span.min) + 1;
    // Below `lengths`, which fits.
    span.min + draw.below(lengths) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(rate: f64, requests: u64, duration: Option<f64>, seed: u64) -> Vec<f64> {
        let pace = Pace::Open { rate, streams_max: 8 };
        let mut arrivals = Plan { pace, first: 0, requests, duration, seed }.arrivals();
        std::iter::from_fn(|| arrivals.next(0.0)).map(|a| a.due.expect("an open loop has times")).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_times_and_another_seed_others() {
        assert_eq!(open(5.0, 1000, None, 1), open(5.0, 1000, None, 1));
        assert_ne!(open(5.0, 1000, None, 1), open(5.0, 1000, None, 2));
        // More requests don't change the first ones.
        assert_eq!(open(5.0, 2000, None, 1)[..1000], open(5.0, 1000, None, 1));
    }

    #[test]
    fn times_are_those_of_a_poisson_process() {
        let times = open(5.0, 20_000, None, 3);
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!(gaps.iter().all(|gap| *gap >= 0.0));
        // Exponential: the standard deviation is the mean.
        assert!((mean - 0.2).abs() < 0.006, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.04, "{variance}");
    }

    #[test]
    fn a_duration_ends_what_is_sent_and_not_what_was() {
        let times = open(5.0, REQUESTS_MAX, Some(10.0), 1);
        assert!((30..70).contains(&times.len()) && times.iter().all(|time| *time < 10.0), "{times:?}");
        let pace = Pace::Closed { streams: 2 };
        let plan = Plan { pace, first: 0, requests: 100, duration: Some(10.0), seed: 1 };
        let mut arrivals = plan.arrivals();
        assert_eq!(arrivals.next(9.9), Some(Arrival { number: 0, due: None }));
        assert_eq!(arrivals.next(10.0), None);
        assert_eq!(arrivals.next(5.0), None);
    }

    #[test]
    fn what_does_not_count_has_numbers_of_its_own() {
        let pace = Pace::Open { rate: 1.0, streams_max: 500 };
        let plan = Plan { pace, first: 0, requests: REQUESTS_MAX, duration: None, seed: 1 };
        assert_eq!(plan.warmup(0), None);
        let warmup = plan.warmup(3).expect("three requests");
        let mut arrivals = warmup.arrivals();
        let numbers: Vec<u64> = std::iter::from_fn(|| arrivals.next(0.0)).map(|a| a.number).collect();
        assert_eq!(numbers.len(), 3);
        assert!(numbers.iter().all(|number| *number >= REQUESTS_MAX));
        assert_eq!(warmup.pace, Pace::Closed { streams: 16 });
    }

    #[test]
    fn lengths_are_drawn_from_the_whole_span() {
        let span = Span { min: 3, max: 6 };
        let mut seen: Vec<u32> = (0..100).map(|n| length(span, 1, For::PromptLengths, n)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [3, 4, 5, 6]);
        let whole = Span { min: 1, max: u32::MAX };
        assert_eq!(length(whole, 1, For::PromptLengths, 1), length(whole, 1, For::PromptLengths, 1));
    }
}
