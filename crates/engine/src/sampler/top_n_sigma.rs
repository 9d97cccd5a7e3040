//! Top-nσ: keep the tokens whose logits are within n standard deviations of the largest.
//!
//! C. Tang, J. Liu, H. Xu, L. Huang: "Top-nσ: Not All Logits Are You Need" (2024, arXiv 2411.07641). The noise of a row
//! is normally distributed, and what stands out of it are the tokens that mean something; as both scale with the
//! temperature, the choice of tokens does not depend on it. Tokens that are forbidden have no part in the deviation.

/// The least logit that is kept.
pub(super) fn floor(logits: impl Iterator<Item = f32>, n: f32, peak: f32) -> f32 {
    let (mut count, mut sum, mut squares) = (0u32, 0.0, 0.0);
    for logit in logits.filter(|logit| logit.is_finite()) {
        // Around the peak, so that large logits don't cost the sums their digits.
        let below = f64::from(logit) - f64::from(peak);
        count += 1;
        sum += below;
        squares += below * below;
    }
    let mean = sum / f64::from(count);
    let deviation = (squares / f64::from(count) - mean * mean).max(0.0).sqrt();
    (f64::from(peak) - f64::from(n) * deviation) as f32
}
