//! The choice of the next token: a pure function of (logits, parameters, history).
//!
//! The seed, the position (the history's length) and the attempt at it give the random number, so a choice can be repeated at any
//! time, in any batch, on any machine: there is no generator to advance and no clock. The order, which is
//! llama.cpp's default as far as both have the same:
//!
//! logit bias, forbidden tokens → repeat penalty → frequency and presence penalty → DRY → way out of a loop → top-nσ →
//! top-k → typical → top-p → min-p → XTC → temperature, which may be dynamic → draw
//!
//! Each works on what the one before it left, and probabilities up to the draw are those at temperature 1. At
//! temperature 0 the largest logit after the penalties is taken, whatever the filters. Of two equal logits the
//! one with the lower id counts as the larger. Log-probabilities are those of the raw logits, which are there again
//! after the choice. Vocabularies have up to 262,144 tokens, so nothing sorts a whole row unless top-p or typical
//! is so close to 1 that nearly all of it is kept.

mod changes;
mod dry;
mod dynamic_temperature;
mod exponential;
mod philox;
mod selection;
mod top_n_sigma;
mod typical;
mod xtc;

use crate::request::{Dry, Sampling, TokenId, TokenLogprobs};
use changes::Changes;
use exponential::{exp, sum_exp};
use selection::{Candidate, nucleus, sort, top};
use typical::keep_typical;

/// Why no token can be chosen from a row of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// It holds a NaN or +∞, or nothing above −∞.
    #[error("the model gave logits that are not numbers; its weights or the input may be damaged")]
    BadLogits,
    /// The logits were good before the request's own changes to them.
    #[error(
        "logit_bias, min_tokens and the answer's form together forbid every token that could come next; forbid fewer"
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
    /// The tokens that may come here, a bit for each as `text::grammar` has them; none if all may.
    pub allowed: Option<&'a [u32]>,
    /// How often what stood here was taken back.
    pub attempt: u32,
    /// A penalty on what the answer, without the prompt, would repeat: the way out of a loop.
    pub way_out: Option<&'a Dry>,
}

/// The buffers of the choice. They carry nothing from one call to the next.
#[derive(Debug, Default)]
pub struct Sampler {
    changes: Changes,
    candidates: Vec<Candidate>,
    weights: Vec<f32>,
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
    ) -> Result<TokenId, NoChoice> {
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
        let changed = self.changes.apply(logits, sampling, place);
        let choice = self.choose(logits, sampling, place);
        self.changes.undo(logits);
        match choice {
            Err(NoChoice::BadLogits) if changed && peak(logits).is_ok() => Err(NoChoice::AllForbidden),
            choice => choice,
        }
    }

    /// The log-probability of `token` and the `top_n` most probable tokens, straight from the logits.
    ///
    /// # Errors
    /// If the logits are no numbers.
    pub fn logprobs(
        &mut self,
        logits: &[f32], // [vocabulary]
        token: TokenId,
        top_n: usize,
    ) -> Result<TokenLogprobs, NoChoice> {
        let log_sum = log_sum_exp(logits)?;
        top(logits, top_n, &mut self.candidates);
        sort(&mut self.candidates);
        let logprob = |logit: f32| (f64::from(logit) - log_sum) as f32;
        Ok(TokenLogprobs {
            logprob: logprob(logits[token as usize]),
            top: self.candidates.iter().map(|c| (c.token, logprob(c.logit))).collect(),
        })
    }

    fn choose(
        &mut self,
        logits: &[f32],
        sampling: &Sampling,
        place: &Place<'_>,
    ) -> Result<TokenId, NoChoice> {
        let mut peak = peak(logits)?;
        if sampling.temperature == 0.0 || sampling.top_k == 1 {
            return Ok(logits.iter().position(|&l| l == peak).expect("the peak is one of them") as TokenId);
        }
        let floor = |peak: f32| match sampling.min_p {
            0.0 => f32::NEG_INFINITY,
            min_p => peak + min_p.ln(),
        };
        let (typical, top_p) = (sampling.typical_p < 1.0, sampling.top_p < 1.0);
        let sigma = sampling.top_n_sigma > 0.0;
        if sampling.top_k == 0 && !typical && !top_p && !sigma {
            self.gather(logits, floor(peak));
        } else {
            let sigma_floor = match sigma {
                true => top_n_sigma::floor(logits, sampling.top_n_sigma, peak),
                false => f32::NEG_INFINITY,
            };
            match sampling.top_k {
                0 if !typical && !sigma => self.gather_nucleus(logits, sampling.top_p, peak),
                0 => self.gather(logits, sigma_floor),
                top_k => {
                    top(logits, top_k, &mut self.candidates);
                    self.candidates.retain(|c| c.logit >= sigma_floor);
                }
            }
            if typical {
                keep_typical(&mut self.candidates, sampling.typical_p, peak);
                // The most probable token may be gone, being too predictable.
                let logits = self.candidates.iter().map(|c| c.logit);
                peak = logits.fold(f32::NEG_INFINITY, f32::max);
            }
            if top_p && (typical || sigma || sampling.top_k > 0) {
                self.keep_nucleus(sampling.top_p, peak);
            }
            let floor = floor(peak);
            self.candidates.retain(|c| c.logit >= floor);
            // One order for the draw, whichever filters came before it.
            self.candidates.sort_unstable_by_key(|c| c.token);
        }
        let [uniform, other] = philox::uniforms(sampling.seed, place.history.len() as u64, place.attempt);
        if other < f64::from(sampling.xtc_probability) {
            xtc::exclude(&mut self.candidates, sampling.xtc_threshold, peak);
            peak = self.candidates.iter().map(|c| c.logit).fold(f32::NEG_INFINITY, f32::max);
        }
        Ok(self.draw(self.temperature(sampling, peak), peak, uniform))
    }

    /// The temperature for the candidates.
    fn temperature(&self, sampling: &Sampling, peak: f32) -> f32 {
        let Sampling { temperature, dynatemp_range: range, dynatemp_exponent: exponent, .. } = *sampling;
        if range == 0.0 {
            return temperature;
        }
        // So near to 0 that only the most probable remain, and still a number to divide by.
        dynamic_temperature::temperature(&self.candidates, peak, temperature, range, exponent).max(1e-6)
    }

    /// All tokens whose logits reach the floor are candidates.
    fn gather(&mut self, logits: &[f32], floor: f32) {
        self.candidates.clear();
        let all = logits.iter().zip(0..).map(|(&logit, token)| Candidate { token, logit });
        self.candidates.extend(all.filter(|c| c.logit >= floor));
    }

    /// What top-p keeps of all tokens are candidates.
    fn gather_nucleus(&mut self, logits: &[f32], top_p: f32, peak: f32) {
        let candidates = &mut self.candidates;
        let wanted = f64::from(top_p) * sum_exp(logits, peak);
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

    /// Leaves what top-p keeps of the candidates.
    fn keep_nucleus(&mut self, top_p: f32, peak: f32) {
        let candidates = &mut self.candidates;
        sort(candidates);
        let mass: f64 = candidates.iter().map(|c| f64::from(exp(c.logit - peak))).sum();
        let kept = nucleus(candidates, peak, f64::from(top_p) * mass);
        candidates.truncate(kept.unwrap_or(candidates.len()));
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
