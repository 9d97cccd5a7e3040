//! XTC, "exclude top choices": now and then drop the tokens that would be chosen most likely, so that what is said is less
//! expected, but only if another one that is likely enough is left.
//!
//! p-e-w, 2024, in text-generation-webui's pull request 6335: of the tokens at or above the threshold all but the least
//! probable are removed, with the given probability at each token.

use super::exponential::exp;
use super::selection::Candidate;

/// Removes the top choices among candidates, the most probable of which has the logit `peak`.
pub(super) fn exclude(candidates: &mut Vec<Candidate>, threshold: f32, peak: f32) {
    let mass: f64 = candidates.iter().map(|c| f64::from(exp(c.logit - peak))).sum();
    let least = f64::from(threshold) * mass;
    let is_top = |c: &Candidate| f64::from(exp(c.logit - peak)) >= least;
    // Of equals the one with the higher id counts as the less probable.
    let less = |a: &&Candidate, b: &&Candidate| a.logit.total_cmp(&b.logit).then(b.token.cmp(&a.token));
    let Some(kept) = candidates.iter().filter(|c| is_top(c)).min_by(less).map(|c| c.token) else { return };
    candidates.retain(|c| c.token == kept || !is_top(c));
}
