//! The exponential function for softmax: arguments from −∞ to 0, over rows of up to 262,144 numbers.
//!
//! It is written out rather than called from the C library for two reasons: the compiler makes vector code of it
//! (several times as fast), and it gives the same bits on every machine, so a seed gives the same tokens
//! everywhere. The relative error is below 2e-7, and sums are kept in f64.

/// Below this, e^x is taken for 0. It leaves the normal range of an f32 at −87.3.
const LEAST: f32 = -87.0;

/// 1.5 × 2^23: adding it to a small number leaves that number, rounded to an integer, in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// ln 2 in two parts. The first has so few bits that an exponent times it is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// e^x for x ≤ 0.
#[inline]
pub(super) fn exp(x: f32) -> f32 {
    let inside = if x > LEAST { x } else { LEAST };
    // e^x = 2^n e^r with an integer n and |r| ≤ ln 2 / 2.
    let shifted = inside * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = inside - n * LN_2_HIGH - n * LN_2_LOW;
    // The Taylor series; the first term left out is r^8 / 8! < 6e-9.
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let power = f32::from_bits(exponent << 23);
    if x > LEAST { series * power } else { 0.0 }
}

/// The sum of e^(logit − peak), where no logit is above the peak.
pub(super) fn sum_exp(logits: &[f32], peak: f32) -> f64 {
    const LANES: usize = 16;
    // f32 sums stay short, so that their rounding does not add up.
    let block_sum = |block: &[f32]| -> f64 {
        let (groups, rest) = block.as_chunks::<LANES>();
        let mut sums = [0.0f32; LANES];
        for group in groups {
            for (sum, &logit) in sums.iter_mut().zip(group) {
                *sum += exp(logit - peak);
            }
        }
        for (sum, &logit) in sums.iter_mut().zip(rest) {
            *sum += exp(logit - peak);
        }
        sums.iter().map(|&sum| f64::from(sum)).sum()
    };
    logits.chunks(512).map(block_sum).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exponential_function() {
        for i in 0..=870_000 {
            let x = i as f32 * -1e-4;
            let expect = f64::from(x).exp();
            let error = (f64::from(exp(x)) / expect - 1.0).abs();
            assert!(error < 2e-7 || x <= LEAST, "e^{x}: relative error {error:e}");
        }
    }

    #[test]
    fn its_edges_are_exact() {
        for (x, expect) in [(0.0, 1.0), (-0.0, 1.0), (LEAST, 0.0), (-1e30, 0.0), (f32::NEG_INFINITY, 0.0)] {
            assert_eq!(exp(x), expect, "e^{x}");
        }
    }

    #[test]
    fn sums_of_many_keep_their_digits() {
        for count in [1, 15, 16, 17, 511, 512, 513, 262_144] {
            let logits: Vec<f32> = (0..count).map(|i| (i % 97) as f32 * -0.1).collect();
            let expect: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
            let error = (sum_exp(&logits, 0.0) / expect - 1.0).abs();
            assert!(error < 5e-7, "{count} logits: relative error {error:e}");
        }
    }
}
