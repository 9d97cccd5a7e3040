//! How many prompt tokens a step computes, so that the streams that run beside keep their pace.
//!
//! It learns from what steps took, as it is told: what a step takes that only generates, by the number of sequences,
//! and what each token of a prompt adds to one, by its depth. With that a step that computes a prompt beside
//! running streams is to take no longer than `stall_factor` times what they are used to, and one that has nothing
//! else to do no longer than `ALONE_SECONDS`, so that a request that is cancelled does not hold its memory for long.
//!
//! All estimates are medians of the last few measurements: a noisy neighbour makes some steps slower, and must not
//! change the pace of the others. Nothing here looks at a clock, and no answer depends on what comes out.

use std::time::Duration;

use crate::batch::PAGE_TOKENS;

/// The least that a prompt gets beside running streams, however slow that makes a step: with a few it is what makes a
/// prompt that the cache has begin at once, with many there are more to be held up.
const BESIDE_FEW_MIN: usize = 16;
const BESIDE_MANY_MIN: usize = 8;
/// From so many on they are many.
const MANY: usize = 4;
/// The least that it gets alone, and what it gets while nothing is known.
const ALONE_MIN: usize = 32;
/// What a step may take that only computes prompts.
const ALONE_SECONDS: f64 = 0.080;
/// After this many steps with a prompt beside streams, one without shows again what is usual.
const PROBE_AFTER: u32 = 64;
/// The same if nothing is known of as many streams yet.
const PROBE_SOON_AFTER: u32 = 8;
/// Measurements with fewer prompt tokens say little about what one costs.
const MEASURED_MIN: usize = 8;
/// Depths that differ by less, or by less than a quarter, say little about what depth costs.
const DEPTHS_APART: f64 = 256.0;
/// Classes of how many sequences a step generates for.
const CLASSES: usize = 48;

/// What a step computes, as far as its duration depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Work {
    /// Sequences that compute one token.
    pub(crate) singles: usize,
    /// Tokens of all others together.
    pub(crate) prompt_tokens: usize,
    /// Their positions, added up.
    pub(crate) positions: u64,
    /// Whether there would have been more of them.
    pub(crate) cut: bool,
}

/// What has been learnt.
#[derive(Debug)]
pub(crate) struct Pace {
    stall_factor: Option<f64>,
    batch_tokens: usize,
    /// Seconds of a step that only generates, by class.
    usual: [Recent; CLASSES],
    /// What prompt tokens cost in a step of their own, and what they add to one that generates.
    alone: TokenCost,
    beside: TokenCost,
    /// Steps with a prompt beside streams since the last one without.
    steps_beside: u32,
}

impl Pace {
    /// Nothing is known. Without a `stall_factor` a step gives prompts all that `batch_tokens` leaves them.
    pub(crate) fn new(stall_factor: Option<f32>, batch_tokens: usize) -> Self {
        Pace {
            stall_factor: stall_factor.map(f64::from),
            batch_tokens,
            usual: [Recent::default(); CLASSES],
            alone: TokenCost::default(),
            beside: TokenCost::default(),
            steps_beside: 0,
        }
    }

    /// The most prompt tokens for a step that generates for `singles` sequences, if the first of them has the position
    /// `depth`. At least one.
    pub(crate) fn prompt_tokens(&self, singles: usize, depth: usize) -> usize {
        let room = self.batch_tokens.saturating_sub(singles).max(1);
        let Some(factor) = self.stall_factor else { return room };
        if singles == 0 {
            return self.alone_tokens(depth).min(room);
        }
        let probe_after = if self.usual[class(singles)].len == 0 { PROBE_SOON_AFTER } else { PROBE_AFTER };
        let usual = self.usual(singles).filter(|_| self.steps_beside < probe_after);
        let Some(usual) = usual else { return 1 };
        let least = beside_min(singles);
        let Some(token) = self.beside.at(depth as f64) else { return least.min(room) };
        let fits = ((factor - 1.0).max(0.0) * usual / token) as usize;
        // Up to some number more tokens cost hardly anything, and beyond it they do; so it goes up in small strides, none of
        // which can make a step more than half as long again.
        let stride = self.beside.usual_tokens() * 3 / 2;
        (fits.min(stride) / 8 * 8).max(least).min(room)
    }

    /// Learns from a step.
    pub(crate) fn observe(&mut self, work: &Work, duration: Duration) {
        let Work { singles, prompt_tokens, positions, cut } = *work;
        let seconds = duration.as_secs_f64();
        if prompt_tokens <= 1 {
            // A prompt's last token, or its only one, is as good as a generated one.
            if let count @ 1.. = singles + prompt_tokens {
                self.usual[class(count)].push(seconds);
                self.steps_beside = 0;
            }
            return;
        }
        let depth = positions as f64 / prompt_tokens as f64;
        let tokens = prompt_tokens as f64;
        if singles == 0 {
            self.alone.learn(Sample { depth, seconds: seconds / tokens, tokens: prompt_tokens }, cut);
            return;
        }
        self.steps_beside += 1;
        if let Some(usual) = self.usual(singles) {
            // If what is usual has changed, the difference can be next to nothing; a token has its cost all the same.
            let least = seconds / (singles as f64 + tokens) / 4.0;
            let seconds = ((seconds - usual) / tokens).max(least);
            self.beside.learn(Sample { depth, seconds, tokens: prompt_tokens }, cut);
        }
    }

    /// What a step takes that generates for so many sequences.
    pub(crate) fn step_time(&self, singles: usize) -> Option<Duration> {
        self.usual(singles.max(1)).map(Duration::from_secs_f64)
    }

    /// How many prompt tokens a second are computed beside so many streams.
    pub(crate) fn prompt_speed(&self, singles: usize) -> Option<f64> {
        if singles == 0 {
            return Some(1.0 / self.alone.at(0.0)?);
        }
        let tokens = self.prompt_tokens(singles, 0).max(beside_min(singles)) as f64;
        // Before the first prompt beside streams, one alone tells what a token costs at least.
        let token = self.beside.at(0.0).or(self.alone.at(0.0))?;
        Some(tokens / (self.usual(singles)? + tokens * token))
    }

    fn alone_tokens(&self, depth: usize) -> usize {
        let fits = self.alone.at(depth as f64).map_or(0, |token| (ALONE_SECONDS / token) as usize);
        (fits / PAGE_TOKENS * PAGE_TOKENS).max(ALONE_MIN)
    }

    /// Seconds of a step that generates for so many sequences. Where that was not measured, the nearest class below gives
    /// too little, which is on the safe side, and one above is scaled down.
    fn usual(&self, singles: usize) -> Option<f64> {
        let own = class(singles);
        let below = self.usual[..=own].iter().rev().find_map(Recent::median);
        below.or_else(|| {
            let (above, seconds) =
                (own + 1..CLASSES).find_map(|class| Some((class, self.usual[class].median()?)))?;
            Some(seconds * singles as f64 / smallest_of_class(above) as f64)
        })
    }
}

fn beside_min(singles: usize) -> usize {
    if singles < MANY { BESIDE_FEW_MIN } else { BESIDE_MANY_MIN }
}

/// Below 8 sequences each number is a class of its own, from there on two make an octave.
fn class(sequences: usize) -> usize {
    if sequences < 8 {
        return sequences;
    }
    let octave = sequences.ilog2() as usize;
    let upper_half = sequences >> (octave - 1) & 1;
    (8 + 2 * (octave - 3) + upper_half).min(CLASSES - 1)
}

fn smallest_of_class(class: usize) -> usize {
    match class.checked_sub(8) {
        None => class,
        Some(above) => (2 + above % 2) << (2 + above / 2),
    }
}

/// The last few of a series of measurements.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    values: [f64; 9],
    len: usize,
    next: usize,
}

impl Recent {
    fn push(&mut self, value: f64) {
        self.values[self.next] = value;
        self.next = (self.next + 1) % self.values.len();
        self.len = (self.len + 1).min(self.values.len());
    }

    fn median(&self) -> Option<f64> {
        let mut values = self.values;
        median(&mut values[..self.len])
    }
}

/// What a prompt token costs: a constant and a slope over depth, by the medians of Theil and Sen.
#[derive(Debug, Default)]
struct TokenCost {
    samples: [Sample; SAMPLES],
    len: usize,
    next: usize,
    /// Seconds for each position. It is kept when the last samples are all of one depth.
    slope: f64,
}

const SAMPLES: usize = 8;
const PAIRS: usize = SAMPLES * (SAMPLES - 1) / 2;

#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    /// The mean position of the tokens.
    depth: f64,
    /// What each of them took.
    seconds: f64,
    tokens: usize,
}

impl TokenCost {
    fn learn(&mut self, sample: Sample, cut: bool) {
        // The end of a prompt is often a few tokens only, which cost more each and say nothing about many.
        if sample.tokens < MEASURED_MIN || !cut && sample.tokens < self.usual_tokens() / 2 {
            return;
        }
        self.samples[self.next] = sample;
        self.next = (self.next + 1) % SAMPLES;
        self.len = (self.len + 1).min(SAMPLES);
        let mut slopes = [0.0; PAIRS];
        let mut pairs = 0;
        let samples = &self.samples[..self.len];
        for (i, a) in samples.iter().enumerate() {
            let apart = |b: &&Sample| (a.depth - b.depth).abs() >= DEPTHS_APART.max(a.depth / 4.0);
            for b in samples[..i].iter().filter(apart) {
                slopes[pairs] = (a.seconds - b.seconds) / (a.depth - b.depth);
                pairs += 1;
            }
        }
        if let Some(slope) = median(&mut slopes[..pairs]) {
            self.slope = slope.max(0.0);
        }
    }

    /// Seconds for a token at this depth.
    fn at(&self, depth: f64) -> Option<f64> {
        let mut seconds = [0.0; SAMPLES];
        for (seconds, sample) in seconds.iter_mut().zip(&self.samples[..self.len]) {
            // What was measured, moved to the depth that is asked for; but never below an eighth of it.
            let moved = sample.seconds + self.slope * (depth - sample.depth);
            *seconds = moved.max(sample.seconds / 8.0);
        }
        median(&mut seconds[..self.len]).map(|seconds| seconds.max(1e-9))
    }

    /// Of how many tokens the recent measurements were.
    fn usual_tokens(&self) -> usize {
        let mut tokens = [0; SAMPLES];
        tokens.iter_mut().zip(&self.samples[..self.len]).for_each(|(n, sample)| *n = sample.tokens);
        let tokens = &mut tokens[..self.len];
        tokens.sort_unstable();
        tokens.get(tokens.len() / 2).copied().unwrap_or(0)
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests;
