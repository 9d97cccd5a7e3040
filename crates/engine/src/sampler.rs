//! The choice of the next token: a pure function of (logits, parameters, history).
//!
//! The seed and the position (the history's length) give the random number, so a choice can be repeated at any
//! time, in any batch, on any machine: there is no generator to advance and no clock. The filters come in
//! llama.cpp's default order:
//!
//! repeat penalty → top-k → top-p → min-p → temperature → draw
//!
//! Each works on what the one before it left, and probabilities up to the draw are those at temperature 1. Of two
//! equal logits the one with the lower id counts as the larger. Vocabularies have up to 262,144 tokens, so nothing
//! sorts a whole row unless top-p is so close to 1 that nearly all of it is kept.

mod exponential;
mod philox;
mod selection;

use crate::request::{Sampling, TokenId, TokenLogprobs};
use exponential::{exp, sum_exp};
use selection::{Candidate, sort, top};

/// A row of logits that no token can be chosen from: it holds a NaN or +∞, or nothing above −∞.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the model gave logits that are not numbers; its weights or the input may be damaged")]
pub struct BadLogits;

/// The buffers of the choice. They carry nothing from one call to the next.
#[derive(Debug, Default)]
pub struct Sampler {
    candidates: Vec<Candidate>,
    weights: Vec<f32>,
    window: Vec<TokenId>,
    unpenalised: Vec<(TokenId, f32)>,
}

impl Sampler {
    /// A sampler whose buffers grow on first use.
    pub fn new() -> Self {
        Sampler::default()
    }

    /// The token after `history`. `logits` is changed on the way and restored before the return.
    pub fn sample(
        &mut self,
        logits: &mut [f32], // [vocabulary]
        sampling: &Sampling,
        history: &[TokenId],
    ) -> Result<TokenId, BadLogits> {
        self.penalise(logits, sampling, history);
        let choice = self.choose(logits, sampling, history.len());
        for &(token, logit) in &self.unpenalised {
            logits[token as usize] = logit;
        }
        choice
    }

    /// The log-probability of `token` and the `top_n` most probable tokens, straight from the logits.
    pub fn logprobs(
        &mut self,
        logits: &[f32], // [vocabulary]
        token: TokenId,
        top_n: usize,
    ) -> Result<TokenLogprobs, BadLogits> {
        let log_sum = log_sum_exp(logits)?;
        top(logits, top_n, &mut self.candidates);
        sort(&mut self.candidates);
        let logprob = |logit: f32| (f64::from(logit) - log_sum) as f32;
        Ok(TokenLogprobs {
            logprob: logprob(logits[token as usize]),
            top: self.candidates.iter().map(|c| (c.token, logprob(c.logit))).collect(),
        })
    }

    fn penalise(&mut self, logits: &mut [f32], sampling: &Sampling, history: &[TokenId]) {
        self.unpenalised.clear();
        if sampling.repeat_penalty == 1.0 {
            return;
        }
        let recent = &history[history.len().saturating_sub(sampling.repeat_window)..];
        self.window.clear();
        self.window.extend_from_slice(recent);
        self.window.sort_unstable();
        self.window.dedup();
        for &token in &self.window {
            let logit = &mut logits[token as usize];
            self.unpenalised.push((token, *logit));
            // A division alone would make a token with a negative logit more probable.
            if *logit > 0.0 { *logit /= sampling.repeat_penalty } else { *logit *= sampling.repeat_penalty }
        }
    }

    fn choose(&mut self, logits: &[f32], sampling: &Sampling, position: usize) -> Result<TokenId, BadLogits> {
        let peak = peak(logits)?;
        if sampling.temperature == 0.0 || sampling.top_k == 1 {
            return Ok(logits.iter().position(|&l| l == peak).expect("the peak is one of them") as TokenId);
        }
        let floor = if sampling.min_p > 0.0 { peak + sampling.min_p.ln() } else { f32::NEG_INFINITY };
        if sampling.top_k == 0 && sampling.top_p >= 1.0 {
            self.candidates.clear();
            let all = logits.iter().zip(0..).map(|(&logit, token)| Candidate { token, logit });
            self.candidates.extend(all.filter(|c| c.logit >= floor));
        } else {
            self.keep_top(logits, sampling, peak);
            self.candidates.retain(|c| c.logit >= floor);
            // One order for the draw, whichever filters came before it.
            self.candidates.sort_unstable_by_key(|c| c.token);
        }
        Ok(self.draw(sampling.temperature, peak, philox::uniform(sampling.seed, position as u64)))
    }

    /// Leaves the candidates that top-k and top-p keep.
    fn keep_top(&mut self, logits: &[f32], sampling: &Sampling, peak: f32) {
        let candidates = &mut self.candidates;
        if sampling.top_k > 0 {
            top(logits, sampling.top_k, candidates);
            if sampling.top_p < 1.0 {
                sort(candidates);
                let mass: f64 = candidates.iter().map(|c| f64::from(exp(c.logit - peak))).sum();
                let kept = nucleus(candidates, peak, f64::from(sampling.top_p) * mass);
                candidates.truncate(kept.unwrap_or(candidates.len()));
            }
            return;
        }
        let wanted = f64::from(sampling.top_p) * sum_exp(logits, peak);
        // The nucleus is mostly small: sort a few, and more only if they are not enough.
        let mut count = 256;
        loop {
            top(logits, count, candidates);
            sort(candidates);
            if let Some(kept) = nucleus(candidates, peak, wanted) {
                candidates.truncate(kept);
                return;
            }
            if count >= logits.len() {
                return;
            }
            count = count.saturating_mul(8);
        }
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

/// The logarithm of the sum of the exponentials: `logit - log_sum_exp(row)` is a log-probability.
fn log_sum_exp(logits: &[f32]) -> Result<f64, BadLogits> {
    let peak = peak(logits)?;
    Ok(f64::from(peak) + sum_exp(logits, peak).ln())
}

/// The largest logit. Any NaN is found, wherever it stands.
fn peak(logits: &[f32]) -> Result<f32, BadLogits> {
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
    if nans == [0; LANES] && peak.is_finite() { Ok(peak) } else { Err(BadLogits) }
}

/// How many of the sorted candidates it takes to reach the wanted mass; none if all together don't.
fn nucleus(sorted: &[Candidate], peak: f32, wanted: f64) -> Option<usize> {
    let mut mass = 0.0;
    sorted
        .iter()
        .position(|c| {
            mass += f64::from(exp(c.logit - peak));
            mass >= wanted
        })
        .map(|last| last + 1)
}

#[cfg(test)]
mod tests;
