//! The sampler against its definition, written down with full sorts in f64.

use super::*;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ x >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Logits from `low` up to 0 in `levels` levels: few levels make many ties.
    fn logits(&mut self, count: usize, low: f32, levels: usize) -> Vec<f32> {
        (0..count).map(|_| low * self.below(levels) as f32 / levels as f32).collect()
    }
}

/// The definition.
fn expect(logits: &[f32], sampling: &Sampling, history: &[TokenId]) -> TokenId {
    let mut logits = logits.to_vec();
    let window = &history[history.len() - history.len().min(sampling.repeat_window)..];
    for (token, logit) in logits.iter_mut().enumerate() {
        if window.contains(&(token as TokenId)) {
            *logit = if *logit > 0.0 {
                *logit / sampling.repeat_penalty
            } else {
                *logit * sampling.repeat_penalty
            };
        }
    }
    let mut kept: Vec<usize> = (0..logits.len()).collect();
    kept.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap().then(a.cmp(&b)));
    let peak = logits[kept[0]];
    if sampling.temperature == 0.0 {
        return kept[0] as TokenId;
    }
    if sampling.top_k > 0 {
        kept.truncate(sampling.top_k);
    }
    if sampling.top_p < 1.0 {
        let mass = |kept: &[usize]| kept.iter().map(|&t| f64::from(logits[t] - peak).exp()).sum::<f64>();
        let wanted = mass(&kept) * f64::from(sampling.top_p);
        let fewest = (1..=kept.len()).find(|&n| mass(&kept[..n]) >= wanted).unwrap_or(kept.len());
        kept.truncate(fewest);
    }
    if sampling.min_p > 0.0 {
        kept.retain(|&t| f64::from(logits[t] - peak).exp() >= f64::from(sampling.min_p) * (1.0 - 1e-6));
    }
    kept.sort_unstable();
    let weight = |t: usize| (f64::from(logits[t] - peak) / f64::from(sampling.temperature)).exp();
    let total: f64 = kept.iter().map(|&t| weight(t)).sum();
    let target = philox::uniform(sampling.seed, history.len() as u64) * total;
    let mut sum = 0.0;
    let chosen = kept.iter().find(|&&t| {
        sum += weight(t);
        sum > target
    });
    *chosen.unwrap_or(kept.last().unwrap()) as TokenId
}

/// One sampler for all checks, so that a buffer which is not cleared would show.
fn check(sampler: &mut Sampler, logits: &[f32], sampling: &Sampling, history: &[TokenId]) {
    let mut row = logits.to_vec();
    let token = sampler.sample(&mut row, sampling, history).unwrap();
    assert_eq!(token, expect(logits, sampling, history), "{sampling:?} over {} logits", logits.len());
    let bits = |row: &[f32]| row.iter().map(|l| l.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&row), bits(logits), "the logits are left as they were");
}

#[test]
fn every_combination_follows_the_definition() {
    let mut random = Random(1);
    let mut sampler = Sampler::new();
    for _ in 0..6000 {
        let count = [1, 2, 7, 16, 33, 200][random.below(6)];
        let levels = [3, 50, 100_000][random.below(3)];
        let mut logits = random.logits(count, -12.0, levels);
        logits.iter_mut().for_each(|l| *l += 4.0);
        let sampling = Sampling {
            temperature: [0.0, 0.3, 1.0, 2.5][random.below(4)],
            top_k: [0, 1, 2, 5, 40, 1000][random.below(6)],
            top_p: [1.0, 0.97, 0.6, 0.05][random.below(4)],
            min_p: [0.0, 0.02, 0.3, 1.0][random.below(4)],
            repeat_penalty: [1.0, 1.0, 1.4, 0.7][random.below(4)],
            repeat_window: [0, 1, 4, 64][random.below(4)],
            seed: random.next(),
            ..Sampling::default()
        };
        let history: Vec<_> = (0..random.below(20)).map(|_| random.below(count) as TokenId).collect();
        check(&mut sampler, &logits, &sampling, &history);
    }
}

#[test]
fn large_vocabularies_follow_the_definition() {
    let mut random = Random(2);
    let mut sampler = Sampler::new();
    // A flat row makes the nucleus large, a steep one makes it small. (The definition takes quadratic time.)
    for (count, low) in [(3000, -1.0), (3000, -20.0), (5000, -8.0)] {
        for (top_k, top_p, min_p) in
            [(40, 0.95, 0.05), (0, 0.9, 0.0), (0, 0.999, 0.0), (0, 1.0, 0.1), (300, 1.0, 0.0)]
        {
            let logits = random.logits(count, low, 1 << 20);
            let seed = random.next();
            let sampling = Sampling { temperature: 0.8, top_k, top_p, min_p, seed, ..Sampling::default() };
            check(&mut sampler, &logits, &sampling, &[]);
        }
    }
    let logits = random.logits(262_144, -30.0, 1 << 22);
    for (top_k, temperature) in [(0, 0.0), (40, 1.0), (0, 1.0)] {
        check(&mut sampler, &logits, &Sampling { temperature, top_k, seed: 5, ..Sampling::default() }, &[]);
    }
}

#[test]
fn greedy_takes_the_lowest_of_equals() {
    for count in [1, 2, 16, 17, 100] {
        for first in 0..count {
            let mut logits = vec![-3.0; count];
            logits[first..].fill(2.0);
            for sampling in [
                Sampling::default(),
                Sampling { temperature: 1.5, top_k: 1, seed: first as u64, ..Sampling::default() },
            ] {
                assert_eq!(Sampler::new().sample(&mut logits, &sampling, &[]), Ok(first as TokenId));
            }
        }
    }
    assert_eq!(Sampler::new().sample(&mut [-0.0, 0.0], &Sampling::default(), &[]), Ok(0));
}

#[test]
fn draws_are_as_frequent_as_they_are_probable() {
    let logits = [1.0, 0.5, 0.0, -0.5, -1.0, 2.0, 1.5, f32::NEG_INFINITY];
    let draws = 20_000;
    let history = vec![0; draws];
    let mut sampler = Sampler::new();
    for (seed, temperature) in [(1, 1.0f32), (2, 0.7), (3, 2.0)] {
        let sampling = Sampling { temperature, seed, ..Sampling::default() };
        let mut counts = [0.0; 8];
        for n in 0..draws {
            counts[sampler.sample(&mut logits.clone(), &sampling, &history[..n]).unwrap() as usize] += 1.0;
        }
        let weights = logits.map(|l| (f64::from(l) / f64::from(temperature)).exp());
        let total: f64 = weights.iter().sum();
        assert_eq!(counts[7], 0.0, "what has no probability is never drawn");
        let chi_square: f64 = (0..7)
            .map(|t| (weights[t] / total * draws as f64, counts[t]))
            .map(|(expect, count): (f64, f64)| (count - expect).powi(2) / expect)
            .sum();
        // 6 degrees of freedom; one seed in a thousand exceeds 22.5.
        assert!(chi_square < 22.5, "temperature {temperature}: {chi_square}, {counts:?}");
    }
}

#[test]
fn a_seed_gives_the_same_tokens_and_another_gives_others() {
    let logits = Random(3).logits(1000, -3.0, 1 << 20);
    let draw = |seed| -> Vec<TokenId> {
        let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
        let mut history = vec![];
        for _ in 0..50 {
            history.push(Sampler::new().sample(&mut logits.clone(), &sampling, &history).unwrap());
        }
        history
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    assert!(draw(7).windows(2).any(|pair| pair[0] != pair[1]), "the position counts");
}

#[test]
fn a_penalty_counts_a_token_once_and_only_in_its_window() {
    let check = |history: &[TokenId], repeat_window, expect| {
        let sampling = Sampling { repeat_penalty: 2.0, repeat_window, ..Sampling::default() };
        assert_eq!(
            Sampler::new().sample(&mut [3.0, 2.0, -1.0], &sampling, history),
            Ok(expect),
            "{history:?}"
        );
    };
    check(&[], 8, 0);
    check(&[0], 8, 1); // 1.5 against 2.0
    check(&[0], 0, 0);
    check(&[0, 2, 2], 2, 0);
    check(&[0, 2, 2], 3, 1);
    check(&[0, 0, 0, 1, 1], 8, 0); // 1.5 against 1.0
    let negative = Sampling { repeat_penalty: 2.0, ..Sampling::default() };
    assert_eq!(Sampler::new().sample(&mut [-1.0, -1.5], &negative, &[0]), Ok(1), "-2.0 against -1.5");
}

#[test]
fn rows_without_a_choice_are_refused() {
    for count in [1, 2, 15, 16, 17, 40] {
        for place in 0..count {
            for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
                let mut logits = vec![1.0; count];
                logits[place] = bad;
                for temperature in [0.0, 1.0] {
                    let sampling = Sampling { temperature, ..Sampling::default() };
                    let refused = Sampler::new().sample(&mut logits, &sampling, &[]);
                    assert_eq!(refused, Err(BadLogits), "{bad} at {place} of {count}");
                }
                assert_eq!(Sampler::new().logprobs(&logits, 0, 1), Err(BadLogits));
            }
        }
        let mut logits = vec![f32::NEG_INFINITY; count];
        assert_eq!(Sampler::new().sample(&mut logits, &Sampling::default(), &[]), Err(BadLogits));
        logits[count - 1] = -1e30;
        assert_eq!(Sampler::new().sample(&mut logits, &Sampling::default(), &[]), Ok(count as TokenId - 1));
    }
}

#[test]
fn log_probabilities_are_those_of_the_raw_logits() {
    let logits = Random(4).logits(300, -9.0, 40);
    let log_sum = logits.iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
    let mut order: Vec<usize> = (0..300).collect();
    order.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap().then(a.cmp(&b)));
    for top_n in [0, 1, 7, 300, 1000] {
        let got = Sampler::new().logprobs(&logits, 17, top_n).unwrap();
        let close = |logprob: f32, token: usize| {
            (f64::from(logprob) - (f64::from(logits[token]) - log_sum)).abs() < 1e-6
        };
        assert!(close(got.logprob, 17));
        assert_eq!(got.top.len(), top_n.min(300));
        for (&(token, logprob), &expect) in got.top.iter().zip(&order) {
            assert_eq!(token as usize, expect);
            assert!(close(logprob, expect));
        }
    }
}
