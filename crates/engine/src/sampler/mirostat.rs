//! Mirostat: how many of the most probable tokens there are to choose from is steered by how surprising those before were.
//!
//! S. Basu, G. S. Ramachandran, N. S. Keskar, L. R. Varshney: "Mirostat: A Neural Text Decoding Algorithm that Directly
//! Controls Perplexity" (ICLR 2021, arXiv 2007.14966), algorithm 1, and the shorter one of its appendix. The surprise of a
//! token is −log₂ of its probability among all, not only among those that were left to choose from.
//!
//! μ is an argument and a result, so it is a function of the tokens so far like everything else here.

use super::exponential::exp;
use super::selection::{Candidate, sort};
use crate::request::{Mirostat, MirostatVersion};

/// How many of the most probable tokens the exponent of Zipf's law is estimated from.
const ESTIMATED_FROM: usize = 100;

impl Mirostat {
    /// μ before the first token.
    pub(crate) fn first_mu(&self) -> f32 {
        2.0 * self.tau
    }

    /// μ after a token that was so surprising, in bits.
    pub(super) fn next_mu(&self, mu: f32, surprise: f64) -> f32 {
        let error = surprise - f64::from(self.tau);
        (f64::from(mu) - f64::from(self.eta) * error) as f32
    }
}

/// The probabilities that surprises are measured by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surprises {
    peak: f32,
    log_mass: f64,
}

impl Surprises {
    /// Of all of these; no logit is above `peak`.
    pub(super) fn of(candidates: &[Candidate], peak: f32) -> Self {
        let mass: f64 = candidates.iter().map(|c| f64::from(exp(c.logit - peak))).sum();
        Surprises { peak, log_mass: mass.ln() }
    }

    /// The surprise of one of them, in bits.
    pub(super) fn bits(&self, logit: f32) -> f64 {
        (self.log_mass - f64::from(logit - self.peak)) / std::f64::consts::LN_2
    }
}

/// Leaves the tokens that may come, the most probable first: one at least. `vocabulary` is how many there are.
pub(super) fn keep(
    candidates: &mut Vec<Candidate>,
    mirostat: &Mirostat,
    mu: f32,
    surprises: Surprises,
    vocabulary: usize,
) {
    sort(candidates);
    let kept = match mirostat.version {
        MirostatVersion::One => count(exponent(candidates), mu, vocabulary),
        MirostatVersion::Two => candidates.partition_point(|c| surprises.bits(c.logit) <= f64::from(mu)),
    };
    candidates.truncate(kept.max(1));
}

/// The exponent of Zipf's law that fits the most probable tokens best: Σ tᵢ bᵢ / Σ tᵢ² with tᵢ = ln ((i + 1) / i) and
/// bᵢ = ln (pᵢ / pᵢ₊₁).
fn exponent(ordered: &[Candidate]) -> f64 {
    let (mut products, mut squares) = (0.0, 0.0);
    let most = &ordered[..ordered.len().min(ESTIMATED_FROM)];
    for ([a, b], i) in most.array_windows().zip(1u32..) {
        let t = (f64::from(i + 1) / f64::from(i)).ln();
        // ln p is a logit's distance from one and the same number.
        products += t * f64::from(a.logit - b.logit);
        squares += t * t;
    }
    if squares > 0.0 { products / squares } else { f64::INFINITY }
}

/// How many tokens give this surprise: (ε 2^μ / (1 − N^−ε))^(1/s), with ε = s − 1.
fn count(s: f64, mu: f32, vocabulary: usize) -> usize {
    let epsilon = s - 1.0;
    let n = vocabulary as f64;
    // Towards ε = 0 the fraction goes to 1 / ln N.
    let scale = if epsilon.abs() < 1e-9 { 1.0 / n.ln() } else { epsilon / (1.0 - n.powf(-epsilon)) };
    let k = (scale * f64::from(mu).exp2()).powf(1.0 / s);
    // What is no number becomes 0, and what is too large the most.
    k as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zipf(s: f64, n: usize) -> Vec<Candidate> {
        let logit = |rank: usize| (-s * (rank as f64 + 1.0).ln()) as f32;
        (0..n).map(|rank| Candidate { token: rank as u32, logit: logit(rank) }).collect()
    }

    #[test]
    fn the_exponent_of_a_zipf_distribution_is_found() {
        for s in [0.3, 0.7, 1.0, 1.3, 2.5] {
            assert!((exponent(&zipf(s, 5000)) - s).abs() < 1e-4, "{s}");
        }
    }

    #[test]
    fn the_count_follows_the_paper() {
        // By the paper's formula (2), computed elsewhere.
        for (s, mu, vocabulary, expect) in [
            (1.3, 6.0, 50_000, 10),
            (1.1, 10.0, 50_000, 97),
            (0.8, 12.0, 50_000, 341),
            (1.0, 8.0, 50_000, 23),
        ] {
            assert_eq!(count(s, mu, vocabulary), expect, "{s} {mu} {vocabulary}");
        }
        assert_eq!(count(f64::INFINITY, 5.0, 1), 1);
    }

    #[test]
    fn the_second_version_keeps_what_is_not_too_surprising() {
        let mirostat = Mirostat { version: MirostatVersion::Two, tau: 3.0, eta: 0.1 };
        // 1/2, 1/4, 1/8, 1/8: 1, 2, 3 and 3 bits.
        let logits = [0.5f32, 0.25, 0.125, 0.125].map(f32::ln);
        for (mu, expect) in [(0.5, 1), (1.001, 1), (2.001, 2), (2.9, 2), (3.001, 4), (9.0, 4), (-3.0, 1)] {
            let mut candidates: Vec<_> =
                logits.iter().zip(0..).map(|(&logit, token)| Candidate { token, logit }).collect();
            let surprises = Surprises::of(&candidates, logits[0]);
            keep(&mut candidates, &mirostat, mu, surprises, 4);
            assert_eq!(candidates.len(), expect, "{mu}");
        }
        assert_eq!(mirostat.first_mu(), 6.0);
        assert_eq!(mirostat.next_mu(6.0, 5.0), 5.8);
        assert_eq!(mirostat.next_mu(6.0, 1.0), 6.2);
    }
}
