//! Philox4x32-10, a counter-based random number generator: a fixed function of a key and a counter.
//!
//! J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
//! There is no state: the n-th number can be asked for without the ones before it.

/// Two numbers in 0..1 with 53 random bits each, for this seed and position. Each attempt at a position has its own.
pub(super) fn uniforms(seed: u64, position: u64, attempt: u32) -> [f64; 2] {
    let [a, b, c, d] = philox4x32([low(position), high(position), attempt, 0], [low(seed), high(seed)]);
    let number = |high: u32, low: u32| {
        let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
        bits as f64 / (1u64 << 53) as f64
    };
    [number(a, b), number(c, d)]
}

fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [a, b, c, d] = counter;
        let left = u64::from(a) * 0xD251_1F53;
        let right = u64::from(c) * 0xCD9E_8D57;
        counter = [high(right) ^ b ^ key[0], low(right), high(left) ^ d ^ key[1], low(left)];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

fn low(x: u64) -> u32 {
    x as u32
}

fn high(x: u64) -> u32 {
    (x >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that the authors publish with their library Random123.
    #[test]
    fn known_answers() {
        let max = u32::MAX;
        let check = |counter, key, expect| assert_eq!(philox4x32(counter, key), expect);
        check([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        check([max; 4], [max; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        check(
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        );
    }

    fn uniform(seed: u64, position: u64, attempt: u32) -> f64 {
        uniforms(seed, position, attempt)[0]
    }

    #[test]
    fn seed_position_and_attempt_count_in_all_their_bits() {
        let base = uniform(1, 1, 1);
        for bit in 0..64 {
            assert_ne!(uniform(1 ^ 1 << bit, 1, 1), base, "bit {bit} of the seed");
            assert_ne!(uniform(1, 1 ^ 1 << bit, 1), base, "bit {bit} of the position");
            assert!(bit >= 32 || uniform(1, 1, 1 ^ 1 << bit) != base, "bit {bit} of the attempt");
        }
        assert_eq!(uniform(1, 1, 1), base);
    }

    #[test]
    fn numbers_are_spread_evenly() {
        let mut counts = [0u32; 16];
        for position in 0..16_000 {
            let x = uniform(7, position, 0);
            assert!((0.0..1.0).contains(&x));
            counts[(x * 16.0) as usize] += 1;
        }
        let chi_square: f64 = counts.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        // 15 degrees of freedom; one seed in a thousand exceeds 37.7.
        assert!(chi_square < 37.7, "{chi_square}: {counts:?}");
    }
}
