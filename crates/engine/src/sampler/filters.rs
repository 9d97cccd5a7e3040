//! The stages between a row of logits and the draw, in whatever order a request has them.
//!
//! The first filter looks at the whole row and leaves a list of candidates, without sorting the row; all others work on
//! the list. A penalty behind a filter spreads the list out to a row again, so each is written down once.

use super::exponential::{exp, sum_exp};
use super::selection::{Candidate, nucleus, sort, top};
use super::typical::keep_typical;
use super::{Place, Sampler, dynamic_temperature, top_n_sigma, xtc};
use crate::request::{Sampling, Stage};

/// Where the tokens stand that may still be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// In the row: nothing was dropped or changed yet.
    All,
    /// Among the candidates.
    Candidates,
}

impl Sampler {
    /// Drops what a filter drops. No logit is above `peak`; `other` is in 0..1.
    pub(super) fn apply_filter(
        &mut self,
        logits: &[f32],
        stage: Stage,
        left: &mut Left,
        sampling: &Sampling,
        peak: f32,
        other: f64,
    ) {
        let Sampling { top_n_sigma: sigma, top_k, typical_p, top_p, min_p, .. } = *sampling;
        match stage {
            Stage::TopNSigma if sigma > 0.0 => match left {
                Left::All => {
                    self.gather(logits, left, top_n_sigma::floor(logits.iter().copied(), sigma, peak))
                }
                Left::Candidates => {
                    let floor = top_n_sigma::floor(self.candidates.iter().map(|c| c.logit), sigma, peak);
                    self.candidates.retain(|c| c.logit >= floor);
                }
            },
            Stage::TopK if top_k > 0 => match left {
                Left::All => {
                    top(logits, top_k, &mut self.candidates);
                    *left = Left::Candidates;
                }
                Left::Candidates => {
                    sort(&mut self.candidates);
                    self.candidates.truncate(top_k);
                }
            },
            Stage::Typical if typical_p < 1.0 => {
                self.gather_if_all(logits, left);
                keep_typical(&mut self.candidates, typical_p, peak);
            }
            Stage::TopP if top_p < 1.0 => match left {
                Left::All => self.gather_nucleus(logits, left, top_p, peak),
                Left::Candidates => self.keep_nucleus(top_p, peak),
            },
            Stage::MinP if min_p > 0.0 => {
                let floor = peak + min_p.ln();
                match left {
                    Left::All => self.gather(logits, left, floor),
                    Left::Candidates => self.candidates.retain(|c| c.logit >= floor),
                }
            }
            Stage::Xtc if other < f64::from(sampling.xtc_probability) => {
                self.gather_if_all(logits, left);
                self.candidates.sort_unstable_by_key(|c| c.token);
                xtc::exclude(&mut self.candidates, sampling.xtc_threshold, peak);
            }
            _ => {}
        }
    }

    /// A penalty behind a filter.
    pub(super) fn penalise_late(
        &mut self,
        logits: &[f32],
        stage: Stage,
        left: &mut Left,
        sampling: &Sampling,
        place: &Place<'_>,
    ) {
        self.gather_if_all(logits, left);
        self.spread.clear();
        self.spread.resize(logits.len(), f32::NEG_INFINITY);
        for c in &self.candidates {
            self.spread[c.token as usize] = c.logit;
        }
        self.changes.penalise_for_good(&mut self.spread, stage, sampling, place);
        for c in &mut self.candidates {
            c.logit = self.spread[c.token as usize];
        }
    }

    /// The temperature for what is left.
    pub(super) fn temperature(
        &mut self,
        logits: &[f32],
        left: &mut Left,
        sampling: &Sampling,
        peak: f32,
    ) -> f32 {
        let Sampling { temperature, dynatemp_range: range, dynatemp_exponent: exponent, .. } = *sampling;
        if range == 0.0 {
            return temperature;
        }
        self.gather_if_all(logits, left);
        self.candidates.sort_unstable_by_key(|c| c.token);
        // So near to 0 that only the most probable remain, and still a number to divide by.
        dynamic_temperature::temperature(&self.candidates, peak, temperature, range, exponent).max(1e-6)
    }

    /// Divides what is left by a temperature, for what comes behind it.
    pub(super) fn heat(&mut self, logits: &[f32], left: &mut Left, temperature: f32) {
        self.gather_if_all(logits, left);
        // Large logits and a small temperature must not make an infinity that hides which is the largest.
        let limit = f32::MAX / 4.0;
        for c in &mut self.candidates {
            c.logit = (c.logit / temperature).clamp(-limit, limit);
        }
    }

    /// The largest logit of what is left. It may be gone, being too predictable, or have changed.
    pub(super) fn peak_left(&self, left: Left, peak: f32) -> f32 {
        match left {
            Left::All => peak,
            Left::Candidates => self.candidates.iter().map(|c| c.logit).fold(f32::NEG_INFINITY, f32::max),
        }
    }

    /// All tokens are candidates, if nothing was dropped yet.
    pub(super) fn gather_if_all(&mut self, logits: &[f32], left: &mut Left) {
        if *left == Left::All {
            self.gather(logits, left, f32::NEG_INFINITY);
        }
    }

    /// All tokens that can be chosen and whose logits reach the floor are candidates.
    fn gather(&mut self, logits: &[f32], left: &mut Left, floor: f32) {
        self.candidates.clear();
        let all = logits.iter().zip(0..).map(|(&logit, token)| Candidate { token, logit });
        self.candidates.extend(all.filter(|c| c.logit >= floor && c.logit > f32::NEG_INFINITY));
        *left = Left::Candidates;
    }

    /// What top-p keeps of all tokens are candidates.
    fn gather_nucleus(&mut self, logits: &[f32], left: &mut Left, top_p: f32, peak: f32) {
        let candidates = &mut self.candidates;
        *left = Left::Candidates;
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
}
