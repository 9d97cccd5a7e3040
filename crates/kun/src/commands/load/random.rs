//! Random numbers that are a function of what they are for. There is no generator to advance, so a
//! request's prompt and its time are the same whichever thread asks for them and in whatever order.

/// A place in the tree of all random numbers: a seed and the numbers that lead there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw(u64);

/// What numbers are drawn for: a branch of the tree each, so that none depends on another.
#[derive(Debug, Clone, Copy)]
pub(super) enum For {
    Arrivals,
    PromptLengths,
    AnswerLengths,
    Prompts,
    Prefixes,
    Calibration,
    Sampling,
}

impl Draw {
    /// The branch of a seed's numbers.
    pub(super) fn new(seed: u64, branch: For) -> Self {
        Draw(mix(seed)).at(branch as u64)
    }

    /// The child with this number.
    pub(super) fn at(self, number: u64) -> Self {
        Draw(mix(self.0 ^ mix(number)))
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(self, end: u64) -> u64 {
        ((u128::from(self.0) * u128::from(end)) >> 64) as u64
    }

    /// A number above 0 and at most 1.
    pub(super) fn unit(self) -> f64 {
        ((self.0 >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

/// The output function of SplitMix64.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_number_and_other_places_have_others() {
        let draw = |seed, number| Draw::new(seed, For::Prompts).at(number).0;
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), Draw::new(1, For::Prefixes).at(2).0);
        let mut seen: Vec<u64> = (0..100).flat_map(|seed| (0..100).map(move |n| draw(seed, n))).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
    }

    #[test]
    fn numbers_fill_their_range_evenly() {
        let mut counts = [0u32; 10];
        let mut sum = 0.0;
        for number in 0..100_000 {
            let draw = Draw::new(7, For::Arrivals).at(number);
            counts[draw.below(10) as usize] += 1;
            let unit = draw.unit();
            assert!(unit > 0.0 && unit <= 1.0, "{unit}");
            sum += unit;
        }
        assert!(counts.iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
        assert!((sum / 100_000.0 - 0.5).abs() < 0.005, "{sum}");
    }
}
