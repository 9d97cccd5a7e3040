//! The largest logits of a row, found in one pass without sorting it.

use std::cmp::Ordering;

use super::exponential::exp;
use crate::request::TokenId;

/// A token that may still be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) token: TokenId,
    pub(super) logit: f32,
}

/// Leaves the `count` largest logits in `best`, in no order. Tokens that cannot be chosen (−∞) are never among
/// them, so there may be fewer. No logit may be NaN.
pub(super) fn top(logits: &[f32], count: usize, best: &mut Vec<Candidate>) {
    best.clear();
    let count = count.min(logits.len());
    if count == 0 {
        return;
    }
    // Gather twice as many before cutting back, so that each cut, which costs about 2 × count, is worth it; what is
    // not above the worst one kept need not be looked at, and that soon holds for nearly all.
    let room = (2 * count).max(64);
    let mut floor = f32::NEG_INFINITY;
    for (&logit, token) in logits.iter().zip(0..) {
        if logit > floor {
            best.push(Candidate { token, logit });
            if best.len() == room {
                cut(best, count);
                floor = best[count - 1].logit;
            }
        }
    }
    if best.len() > count {
        cut(best, count);
    }
}

/// Most probable first.
pub(super) fn sort(candidates: &mut [Candidate]) {
    candidates.sort_unstable_by(most_probable_first);
}

/// How many of the candidates, in their order, it takes to reach the wanted mass; none if all together don't.
pub(super) fn nucleus(ordered: &[Candidate], peak: f32, wanted: f64) -> Option<usize> {
    let mut mass = 0.0;
    ordered
        .iter()
        .position(|c| {
            mass += f64::from(exp(c.logit - peak));
            mass >= wanted
        })
        .map(|last| last + 1)
}

/// Keeps the `count` most probable; the least of them comes last.
fn cut(candidates: &mut Vec<Candidate>, count: usize) {
    candidates.select_nth_unstable_by(count - 1, most_probable_first);
    candidates.truncate(count);
}

/// Of equals the lower id counts as the more probable. No logit may be NaN.
pub(super) fn most_probable_first(a: &Candidate, b: &Candidate) -> Ordering {
    let by_logit = b.logit.partial_cmp(&a.logit).expect("rows with a NaN are refused before");
    by_logit.then(a.token.cmp(&b.token))
}
