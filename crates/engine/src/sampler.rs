//! The choice of the next token: a pure function of (logits, parameters, history).
//!
//! The seed, the position (the history's length) and the attempt at it give the random number, so a choice can be repeated at any
//! time, in any batch, on any machine: there is no generator to advance and no clock. Usually the order is this, which is
//! llama.cpp's default as far as both have the same; a request may have another ([`Stage`]):
//!
//! logit bias, forbidden tokens → repeat penalty → frequency and presence penalty → DRY → LZ → way out of a loop → top-nσ →
//! top-k → typical → top-p → min-p → XTC → temperature, which may be dynamic → draw
//!
//! Each works on what the one before it left, so probabilities before the temperature are those at temperature 1. At
//! temperature 0 the largest logit after the penalties is taken, whatever the filters. Mirostat takes the place of all
//! filters, behind the penalties and the temperature. Of two equal logits the
//! one with the lower id counts as the larger. Log-probabilities are those of the raw logits, which are there again
//! after the choice. Vocabularies have up to 262,144 tokens, so nothing sorts a whole row unless top-p or typical
//! is so close to 1 that nearly all of it is kept.

mod changes;
mod dry;
mod dynamic_temperature;
mod exponential;
mod filters;
mod mirostat;
mod philox;
mod selection;
mod top_n_sigma;
mod typical;
mod xtc;

use crate::request::{Dry, Mirostat, Sampling, Stage, TokenId, TokenLogprobs};
use changes::Changes;
use exponential::{exp, sum_exp};
use filters::Left;
use selection::{Candidate, sort, top};

/// Why no token can be chosen from a row of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// It holds a NaN or +∞, or nothing above −∞.
    #[error("the model gave logits that are not numbers; its weights or the input may be damaged")]
    BadLogits,
    /// The logits were good before the request's own changes to them.
    #[error(
        "logit_bias, banned_strings, min_tokens and the answer's form together forbid every token that could come next; forbid fewer"
    )]
    AllForbidden,
}

/// Where a token is to be chosen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// The prompt and the answer so far, each token below the vocabulary's size.
    pub history: &'a [TokenId],
    /// How many of these are the prompt.
    pub prompt_tokens: usize,
    /// Tokens that may not come here.
    pub forbidden: &'a [TokenId],
    /// Others that may not: they would write what the answer must not have.
    pub banned: &'a [TokenId],
    /// The tokens that may come here, a bit for each as `text::grammar` has them; none if all may.
    pub allowed: Option<&'a [u32]>,
    /// How often what stood here was taken back.
    pub attempt: u32,
    /// A penalty on what the answer, without the prompt, would repeat: the way out of a loop.
    pub way_out: Option<&'a Dry>,
    /// Mirostat's μ, if there is one: that of the choice before, or 2 τ.
    pub mu: f32,
}

/// A chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The token.
    pub token: TokenId,
    /// Mirostat's μ behind it; what it was if there is no Mirostat.
    pub mu: f32,
}

/// The buffers of the choice. They carry nothing from one call to the next.
#[derive(Debug, Default)]
pub struct Sampler {
    changes: Changes,
    candidates: Vec<Candidate>,
    weights: Vec<f32>,
    /// The candidates as a row, for penalties that come late.
    spread: Vec<f32>,
    /// A row in which only what is allowed has its logits.
    masked: Vec<f32>,
}

impl Sampler {
    /// A sampler whose buffers grow on first use.
    pub fn new() -> Self {
        Sampler::default()
    }

    /// The token at `place`. `logits` is changed on the way and restored before the return.
    ///
    /// # Errors
    /// See [`NoChoice`].
    pub fn sample(
        &mut self,
        logits: &mut [f32], // [vocabulary]
        sampling: &Sampling,
        place: &Place<'_>,
    ) -> Result<Choice, NoChoice> {
        if let Some(allowed) = place.allowed {
            let mut masked = std::mem::take(&mut self.masked);
            mask(logits, allowed, &mut masked);
            let choice = self.sample(&mut masked, sampling, &Place { allowed: None, ..*place });
            self.masked = masked;
            return match choice {
                Err(NoChoice::BadLogits) if peak(logits).is_ok() => Err(NoChoice::AllForbidden),
                choice => choice,
            };
        }
        self.changes.begin(logits, sampling, place);
        let stages = sampling.stages();
        // At temperature 0 nothing but them counts, wherever they stand.
        let greedy = sampling.temperature == 0.0;
        let first_filter = stages.iter().position(|stage| !stage.is_penalty()).unwrap_or(stages.len());
        let (first, rest) = stages.split_at(if greedy { stages.len() } else { first_filter });
        first.iter().for_each(|&stage| self.changes.penalise(logits, stage, sampling, place));
        self.changes.lead_out(logits, place);
        let choice = peak(logits).and_then(|peak| match &sampling.mirostat {
            _ if greedy => Ok(Choice { token: position(logits, peak), mu: place.mu }),
            Some(mirostat) => self.steer(logits, rest, mirostat, sampling, place),
            None => self.filter(logits, rest, sampling, place).map(|token| Choice { token, mu: place.mu }),
        });
        let changed = self.changes.are_some();
        self.changes.undo(logits);
        match choice {
            Err(NoChoice::BadLogits) if changed && peak(logits).is_ok() => Err(NoChoice::AllForbidden),
            choice => choice,
        }
    }

    /// The log-probability of `token` and the `top_n` most probable tokens, and of `others` that are not among them,
    /// straight from the logits.
    ///
    /// # Errors
    /// If the logits are no numbers.
    pub fn logprobs(
        &mut self,
        logits: &[f32], // [vocabulary]
        token: TokenId,
        top_n: usize,
        others: &[TokenId],
    ) -> Result<TokenLogprobs, NoChoice> {
        let log_sum = log_sum_exp(logits)?;
        top(logits, top_n, &mut self.candidates);
        sort(&mut self.candidates);
        for &token in others {
            if !self.candidates.iter().any(|c| c.token == token) {
                self.candidates.push(Candidate { token, logit: logits[token as usize] });
            }
        }
        let logprob = |logit: f32| (f64::from(logit) - log_sum) as f32;
        Ok(TokenLogprobs {
            logprob: logprob(logits[token as usize]),
            top: self.candidates.iter().map(|c| (c.token, logprob(c.logit))).collect(),
        })
    }

    /// Goes through what is left of the stages and draws.
    fn filter(
        &mut self,
        logits: &[f32],
        stages: &[Stage],
        sampling: &Sampling,
        place: &Place<'_>,
    ) -> Result<TokenId, NoChoice> {
        let mut peak = peak(logits)?;
        let uniforms = philox::uniforms(sampling.seed, place.history.len() as u64, place.attempt);
        let mut left = Left::All;
        let mut temperature = 1.0;
        for (at, &stage) in stages.iter().enumerate() {
            match stage {
                stage if stage.is_penalty() => self.penalise_late(logits, stage, &mut left, sampling, place),
                Stage::Temperature => {
                    temperature = self.temperature(logits, &mut left, sampling, peak);
                    if at + 1 < stages.len() {
                        self.heat(logits, &mut left, std::mem::replace(&mut temperature, 1.0));
                    }
                }
                stage => self.apply_filter(logits, stage, &mut left, sampling, peak, uniforms[1]),
            }
            peak = self.peak_left(left, peak);
        }
        self.gather_if_all(logits, &mut left);
        // One order for the draw, whichever filters came before it.
        self.candidates.sort_unstable_by_key(|c| c.token);
        Ok(self.draw(temperature, peak, uniforms[0]))
    }

    /// The choice of Mirostat, behind the penalties and the temperature.
    fn steer(
        &mut self,
        logits: &[f32],
        stages: &[Stage],
        mirostat: &Mirostat,
        sampling: &Sampling,
        place: &Place<'_>,
    ) -> Result<Choice, NoChoice> {
        let mut peak = peak(logits)?;
        let mut left = Left::All;
        for &stage in stages {
            if stage.is_penalty() {
                self.penalise_late(logits, stage, &mut left, sampling, place);
            } else if stage == Stage::Temperature {
                let temperature = self.temperature(logits, &mut left, sampling, peak);
                self.heat(logits, &mut left, temperature);
            }
            peak = self.peak_left(left, peak);
        }
        self.gather_if_all(logits, &mut left);
        let surprises = mirostat::Surprises::of(&self.candidates, peak);
        mirostat::keep(&mut self.candidates, mirostat, place.mu, surprises, logits.len());
        self.candidates.sort_unstable_by_key(|c| c.token);
        let [uniform, _] = philox::uniforms(sampling.seed, place.history.len() as u64, place.attempt);
        let token = self.draw(1.0, peak, uniform);
        let chosen = self.candidates.iter().find(|c| c.token == token).expect("it was drawn from them");
        Ok(Choice { token, mu: mirostat.next_mu(place.mu, surprises.bits(chosen.logit)) })
    }

    /// One of the candidates, each as likely as its weight at this temperature; `uniform` is in 0..1.
    fn draw(&mut self, temperature: f32, peak: f32, uniform: f64) -> TokenId {
        self.weights.clear();
        self.weights.extend(self.candidates.iter().map(|c| exp((c.logit - peak) / temperature)));
        let total: f64 = self.weights.iter().map(|&w| f64::from(w)).sum();
        let target = uniform * total;
        let mut sum = 0.0;
        let mut choice = None;
        for (candidate, &weight) in self.candidates.iter().zip(&self.weights) {
            if weight > 0.0 {
                choice = Some(candidate.token);
                sum += f64::from(weight);
                if sum > target {
                    break;
                }
            }
        }
        choice.expect("the peak is a candidate and has weight 1")
    }
}

/// The first token with this logit, which is the row's largest.
fn position(logits: &[f32], peak: f32) -> TokenId {
    logits.iter().position(|&l| l == peak).expect("the peak is one of them") as TokenId
}

/// The row with the logits of the allowed tokens, and −∞ for the others.
fn mask(logits: &[f32], allowed: &[u32], masked: &mut Vec<f32>) {
    masked.clear();
    masked.resize(logits.len(), f32::NEG_INFINITY);
    for ((out, row), &word) in masked.chunks_mut(32).zip(logits.chunks(32)).zip(allowed) {
        match word {
            0 => {}
            u32::MAX => out.copy_from_slice(row),
            word => {
                for (bit, (out, &logit)) in out.iter_mut().zip(row).enumerate() {
                    if word >> bit & 1 == 1 {
                        *out = logit;
                    }
                }
            }
        }
    }
}

/// The logarithm of the sum of the exponentials: `logit - log_sum_exp(row)` is a log-probability.
fn log_sum_exp(logits: &[f32]) -> Result<f64, NoChoice> {
    let peak = peak(logits)?;
    Ok(f64::from(peak) + sum_exp(logits, peak).ln())
}

/// The largest logit. Any NaN is found, wherever it stands.
fn peak(logits: &[f32]) -> Result<f32, NoChoice> {
    const LANES: usize = 16;
    let (groups, rest) = logits.as_chunks::<LANES>();
    let mut peaks = [f32::NEG_INFINITY; LANES];
    let mut nans = [0u32; LANES];
    let mut look = |group: &[f32]| {
        for ((&logit, peak), nan) in group.iter().zip(&mut peaks).zip(&mut nans) {
            *peak = if logit > *peak { logit } else { *peak };
            *nan |= u32::from(logit.is_nan());
        }
    };
    groups.iter().for_each(|group| look(group));
    look(rest);
    let peak = peaks.into_iter().fold(f32::NEG_INFINITY, f32::max);
    if nans == [0; LANES] && peak.is_finite() { Ok(peak) } else { Err(NoChoice::BadLogits) }
}

#[cfg(test)]
mod tests;
