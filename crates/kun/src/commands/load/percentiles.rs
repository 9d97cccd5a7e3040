//! Exact percentiles: every sample is kept, and a percentile is one of them.

use serde::Serialize;

/// What is told of many samples, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) count: usize,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Percentiles {
    /// Of samples in seconds, which are sorted on the way; none of none.
    pub(super) fn of(samples: &mut [f32]) -> Option<Self> {
        samples.sort_unstable_by(f32::total_cmp);
        let max = *samples.last()?;
        let ms = |seconds: f32| f64::from(seconds) * 1e3;
        let sum: f64 = samples.iter().map(|s| f64::from(*s)).sum();
        Some(Percentiles {
            count: samples.len(),
            mean: sum / samples.len() as f64 * 1e3,
            p50: ms(nearest_rank(samples, 50)),
            p90: ms(nearest_rank(samples, 90)),
            p99: ms(nearest_rank(samples, 99)),
            max: ms(max),
        })
    }
}

/// The smallest of the sorted samples that has at least so many hundredths of them at or below it.
fn nearest_rank(sorted: &[f32], percent: usize) -> f32 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        for (count, p50, p90, p99) in [
            (1, 1.0, 1.0, 1.0),
            (2, 1.0, 2.0, 2.0),
            (10, 5.0, 9.0, 10.0),
            (100, 50.0, 90.0, 99.0),
            (1000, 500.0, 900.0, 990.0),
        ] {
            // Backwards, because they come in any order.
            let mut samples: Vec<f32> = (1..=count).rev().map(|n| n as f32).collect();
            let p = Percentiles::of(&mut samples).expect("there are samples");
            let expect = Percentiles {
                count,
                mean: (count as f64 + 1.0) / 2.0 * 1e3,
                p50: p50 * 1e3,
                p90: p90 * 1e3,
                p99: p99 * 1e3,
                max: count as f64 * 1e3,
            };
            assert_eq!(p, expect);
        }
    }

    #[test]
    fn nothing_measured_has_no_percentiles() {
        assert_eq!(Percentiles::of(&mut []), None);
    }
}
