//! Locally typical sampling: keep the tokens that say about as much as was to be expected.
//!
//! C. Meister, T. Pimentel, G. Wiher, R. Cotterell: "Locally Typical Sampling" (TACL 2023, arXiv 2202.00666). The
//! information of a token is −ln p, its expectation is the entropy; those nearest to it are kept until they
//! have the wanted probability together.

use std::cmp::Ordering;

use super::exponential::exp;
use super::selection::{Candidate, most_probable_first, nucleus};

/// Leaves the fewest candidates, the most typical first, that have this share of the probability of all of them.
/// No logit is above `peak`, and one at least is not −∞.
pub(super) fn keep_typical(candidates: &mut Vec<Candidate>, share: f32, peak: f32) {
    let (mut mass, mut sum) = (0.0, 0.0);
    for candidate in candidates.iter() {
        let weight = f64::from(exp(candidate.logit - peak));
        if weight > 0.0 {
            mass += weight;
            sum += weight * f64::from(candidate.logit - peak);
        }
    }
    // −ln p is a logit's distance from one and the same number, so the distance from the entropy is that of the
    // logit from the mean logit.
    let expected = sum / mass;
    let distance = |c: &Candidate| (f64::from(c.logit - peak) - expected).abs();
    let most_typical_first = |a: &Candidate, b: &Candidate| -> Ordering {
        distance(a).total_cmp(&distance(b)).then_with(|| most_probable_first(a, b))
    };
    let wanted = f64::from(share) * mass;
    // Few are wanted, mostly: sort a few, and more only if they are not enough.
    let mut count = 256;
    loop {
        if count < candidates.len() {
            candidates.select_nth_unstable_by(count - 1, most_typical_first);
        }
        let nearest = count.min(candidates.len());
        candidates[..nearest].sort_unstable_by(most_typical_first);
        if let Some(kept) = nucleus(&candidates[..nearest], peak, wanted) {
            candidates.truncate(kept);
            return;
        }
        if nearest == candidates.len() {
            return;
        }
        count = count.saturating_mul(8);
    }
}
