//! The sampler against its definition, written down with full sorts in f64.

mod mirostat;

use super::*;
use crate::request::{Breaker, Lz, MirostatVersion};

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

    /// Some of the stages in any order.
    fn chain(&mut self) -> Vec<Stage> {
        let mut stages = Stage::USUAL.to_vec();
        (1..stages.len()).for_each(|i| stages.swap(i, self.below(i + 1)));
        stages.truncate(2 + self.below(9));
        stages
    }

    /// Logits from `low` up to 0 in `levels` levels: few levels make many ties.
    fn logits(&mut self, count: usize, low: f32, levels: usize) -> Vec<f32> {
        (0..count).map(|_| low * self.below(levels) as f32 / levels as f32).collect()
    }
}

/// The definition.
fn expect(logits: &[f32], sampling: &Sampling, place: &Place<'_>) -> TokenId {
    let mut logits = logits.to_vec();
    let Place { history, prompt_tokens, forbidden, attempt, .. } = *place;
    for (token, logit) in logits.iter_mut().enumerate() {
        let token = token as TokenId;
        let bias = sampling.logit_bias.iter().find(|(biased, _)| *biased == token);
        *logit += bias.map_or(0.0, |(_, bias)| *bias);
        if forbidden.contains(&token) {
            *logit = f32::NEG_INFINITY;
        }
    }
    let usual = Stage::USUAL.to_vec();
    let chain = sampling.chain.as_ref().unwrap_or(&usual);
    let mut kept: Vec<usize> = (0..logits.len()).collect();
    let order = |kept: &mut Vec<usize>, logits: &[f32]| {
        kept.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap().then(a.cmp(&b)));
    };
    let uniforms = philox::uniforms(sampling.seed, history.len() as u64, attempt);
    let greedy = sampling.temperature == 0.0;
    let mut led_out = false;
    for &stage in chain {
        if let (false, false, Some(dry)) = (stage.is_penalty(), led_out || greedy, place.way_out) {
            penalise_by_dry(&mut logits, &history[prompt_tokens..], dry);
            led_out = true;
        }
        if stage.is_penalty() {
            penalise(&mut logits, stage, sampling, place);
        } else if !greedy {
            kept.retain(|&t| logits[t] > f32::NEG_INFINITY);
            order(&mut kept, &logits);
            pass(&mut kept, &mut logits, stage, sampling, uniforms[1]);
        }
    }
    if let (false, Some(dry)) = (led_out, place.way_out) {
        penalise_by_dry(&mut logits, &history[prompt_tokens..], dry);
    }
    kept.retain(|&t| logits[t] > f32::NEG_INFINITY);
    order(&mut kept, &logits);
    if greedy {
        return kept[0] as TokenId;
    }
    let peak = logits[kept[0]];
    kept.sort_unstable();
    let weight = |t: usize| f64::from(logits[t] - peak).exp();
    let total: f64 = kept.iter().map(|&t| weight(t)).sum();
    let target = uniforms[0] * total;
    let mut sum = 0.0;
    let chosen = kept.iter().find(|&&t| {
        sum += weight(t);
        sum > target
    });
    *chosen.unwrap_or(kept.last().unwrap()) as TokenId
}

/// The definition of the penalties.
fn penalise(logits: &mut [f32], stage: Stage, sampling: &Sampling, place: &Place<'_>) {
    let Place { history, prompt_tokens, .. } = *place;
    let last = |tokens: &[TokenId], count: usize| tokens[tokens.len() - tokens.len().min(count)..].to_vec();
    let window = last(history, sampling.repeat_window);
    let answer = last(&history[prompt_tokens..], sampling.count_window);
    let vocabulary = logits.len() as f64;
    match stage {
        Stage::Penalties => {
            for (token, logit) in logits.iter_mut().enumerate() {
                let token = token as TokenId;
                let penalty = sampling.repeat_penalty;
                if window.contains(&token) {
                    *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
                }
                let count = answer.iter().filter(|&&t| t == token).count();
                if count > 0 {
                    *logit = *logit - count as f32 * sampling.frequency_penalty - sampling.presence_penalty;
                }
            }
        }
        Stage::Dry => sampling.dry.iter().for_each(|dry| penalise_by_dry(logits, history, dry)),
        _ => {
            let Some(lz) = &sampling.lz else { return };
            for (token, logit) in logits.iter_mut().enumerate() {
                if let Some(length) = prolonged(history, lz.window, token as TokenId, &[])
                    && length >= lz.buffer
                {
                    let copy = (length as f64 + 1.0).ln() - (length as f64).ln();
                    *logit -= lz.strength * (vocabulary.ln() - copy).max(0.0) as f32;
                }
            }
        }
    }
}

/// The definition of the filters. `kept` is in order, the most probable first.
fn pass(kept: &mut Vec<usize>, logits: &mut [f32], stage: Stage, sampling: &Sampling, other: f64) {
    let peak = logits[kept[0]];
    match stage {
        Stage::TopNSigma if sampling.top_n_sigma > 0.0 => {
            let all: Vec<f64> = kept.iter().map(|&t| f64::from(logits[t])).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let variance = all.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / all.len() as f64;
            let floor = all[0] - f64::from(sampling.top_n_sigma) * variance.sqrt();
            kept.retain(|&t| f64::from(logits[t]) >= floor - 1e-5);
        }
        Stage::TopK if sampling.top_k > 0 => kept.truncate(sampling.top_k),
        Stage::Typical if sampling.typical_p < 1.0 => {
            keep_typical(kept, logits, f64::from(sampling.typical_p));
        }
        Stage::TopP if sampling.top_p < 1.0 => {
            let mass = |kept: &[usize]| kept.iter().map(|&t| f64::from(logits[t] - peak).exp()).sum::<f64>();
            let wanted = mass(kept) * f64::from(sampling.top_p);
            let fewest = (1..=kept.len()).find(|&n| mass(&kept[..n]) >= wanted).unwrap_or(kept.len());
            kept.truncate(fewest);
        }
        Stage::MinP if sampling.min_p > 0.0 => {
            kept.retain(|&t| f64::from(logits[t] - peak).exp() >= f64::from(sampling.min_p) * (1.0 - 1e-6));
        }
        Stage::Xtc if other < f64::from(sampling.xtc_probability) => {
            let probabilities = softmax(kept, logits);
            let threshold = f64::from(sampling.xtc_threshold) - 1e-7;
            let likely = probabilities.iter().filter(|&&p| p >= threshold).count();
            kept.drain(..likely.saturating_sub(1));
        }
        Stage::Temperature => {
            let temperature = match sampling.dynatemp_range {
                range if range > 0.0 && kept.len() > 1 => {
                    let entropy: f64 = softmax(kept, logits).iter().map(|p| -p * p.ln()).sum();
                    let share =
                        (entropy / (kept.len() as f64).ln()).powf(f64::from(sampling.dynatemp_exponent));
                    let low = (sampling.temperature - range).max(0.0);
                    (low + (sampling.temperature + range - low) * share as f32).max(1e-6)
                }
                _ => sampling.temperature,
            };
            kept.iter().for_each(|&t| logits[t] /= temperature);
        }
        _ => {}
    }
}

fn softmax(kept: &[usize], logits: &[f32]) -> Vec<f64> {
    let peak = kept.iter().map(|&t| logits[t]).fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = kept.iter().map(|&t| f64::from(logits[t] - peak).exp()).sum();
    kept.iter().map(|&t| f64::from(logits[t] - peak).exp() / total).collect()
}

/// Each token that would prolong a repetition loses by the longest one that it would prolong.
fn penalise_by_dry(logits: &mut [f32], history: &[TokenId], dry: &Dry) {
    for (token, logit) in logits.iter_mut().enumerate() {
        let longest = prolonged(history, dry.window, token as TokenId, &dry.breakers);
        if let Some(length) = longest.filter(|&length| length >= dry.allowed_length) {
            *logit -= dry.multiplier * dry.base.powi((length - dry.allowed_length) as i32);
        }
    }
}

/// The length of the longest repetition that a token would prolong. (The breakers here are single tokens.)
fn prolonged(history: &[TokenId], window: usize, token: TokenId, breakers: &[Breaker]) -> Option<usize> {
    let window = &history[history.len() - history.len().min(window)..];
    (1..window.len()).rev().find(|&length| {
        let end = &window[window.len() - length..];
        let prolonged = (0..window.len() - length)
            .any(|at| &window[at..at + length] == end && window[at + length] == token);
        prolonged && !end.iter().any(|token| breakers.iter().any(|breaker| breaker.heads.contains(token)))
    })
}

/// Equation 9 of the paper: the fewest tokens in the order of |H + ln p| whose p sum to τ.
fn keep_typical(kept: &mut Vec<usize>, logits: &[f32], share: f64) {
    let peak = kept.iter().map(|&t| logits[t]).fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = kept.iter().map(|&t| f64::from(logits[t] - peak).exp()).sum();
    let p = |t: usize| f64::from(logits[t] - peak).exp() / total;
    let entropy: f64 = kept.iter().map(|&t| -p(t) * p(t).ln()).sum();
    // A rounding of the logarithm must not decide between equals.
    let distance = |t: usize| ((entropy + p(t).ln()).abs() * 1e9).round();
    kept.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(a.cmp(&b)));
    let mut sum = 0.0;
    let fewest = kept.iter().position(|&t| {
        sum += p(t);
        sum >= share
    });
    kept.truncate(fewest.map_or(kept.len(), |last| last + 1));
}

/// One sampler for all checks, so that a buffer which is not cleared would show.
fn check(sampler: &mut Sampler, logits: &[f32], sampling: &Sampling, place: &Place<'_>) {
    let mut row = logits.to_vec();
    let token = sampler.sample(&mut row, sampling, place).unwrap().token;
    assert_eq!(token, expect(logits, sampling, place), "{sampling:?} at {place:?} of {}", logits.len());
    let bits = |row: &[f32]| row.iter().map(|l| l.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&row), bits(logits), "the logits are left as they were");
}

/// The token after a history that is all prompt.
fn sample(logits: &[f32], sampling: &Sampling, history: &[TokenId]) -> Result<TokenId, NoChoice> {
    let place = Place { history, prompt_tokens: history.len(), forbidden: &[], ..Place::default() };
    Sampler::new().sample(&mut logits.to_vec(), sampling, &place).map(|choice| choice.token)
}

#[test]
fn every_combination_follows_the_definition() {
    let mut random = Random(1);
    let mut sampler = Sampler::new();
    for _ in 0..24_000 {
        let count = [1, 2, 7, 16, 33, 200][random.below(6)];
        let levels = [3, 50, 100_000][random.below(3)];
        let mut logits = random.logits(count, -12.0, levels);
        logits.iter_mut().for_each(|l| *l += 4.0);
        let biased = (0..count as TokenId).filter(|_| random.below(8) == 0).collect::<Vec<_>>();
        let bias = [0.5, -3.0, 100.0, f32::NEG_INFINITY];
        let sampling = Sampling {
            temperature: [0.0, 0.3, 1.0, 2.5][random.below(4)],
            top_k: [0, 1, 2, 5, 40, 1000][random.below(6)],
            // No share of equally probable tokens, or a rounding would decide.
            top_p: [1.0, 0.9703, 0.6007, 0.0507][random.below(4)],
            min_p: [0.0, 0.02, 0.3, 1.0][random.below(4)],
            typical_p: [1.0, 1.0, 0.9507, 0.5003, 0.0103][random.below(5)],
            repeat_penalty: [1.0, 1.0, 1.4, 0.7][random.below(4)],
            repeat_window: [0, 1, 4, 64][random.below(4)],
            frequency_penalty: [0.0, 0.0, 0.3, -2.0][random.below(4)],
            presence_penalty: [0.0, 0.0, 1.5, -0.2][random.below(4)],
            logit_bias: [biased, vec![]][random.below(2)]
                .iter()
                .map(|&t| (t, bias[random.below(4)]))
                .collect(),
            // Not on a level with any logit, or a rounding would decide.
            top_n_sigma: [0.0, 0.0, 0.513, 1.017, 2.031][random.below(5)],
            xtc_probability: [0.0, 0.0, 0.5, 1.0][random.below(4)],
            xtc_threshold: [0.0501, 0.1003, 0.3007][random.below(3)],
            dynatemp_range: [0.0, 0.0, 0.25, 1.0][random.below(4)],
            dynatemp_exponent: [1.0, 0.5, 2.0][random.below(3)],
            dry: (random.below(3) == 0).then(|| Dry {
                multiplier: 0.8,
                base: 1.75,
                allowed_length: 1 + random.below(3),
                window: [5, 64][random.below(2)],
                breakers: [vec![], vec![Breaker { heads: vec![0, 2], tail: vec![] }]][random.below(2)]
                    .clone(),
            }),
            lz: (random.below(3) == 0).then(|| Lz {
                strength: [0.2, 1.5][random.below(2)],
                window: [8, 512][random.below(2)],
                buffer: 1 + random.below(3),
            }),
            count_window: [usize::MAX, 0, 3][random.below(3)],
            mirostat: None,
            chain: (random.below(2) == 0).then(|| random.chain()),
            seed: random.next(),
        };
        let history: Vec<_> = (0..random.below(20)).map(|_| random.below(count) as TokenId).collect();
        let prompt_tokens = random.below(history.len() + 1);
        let forbidden: Vec<_> = (0..random.below(3)).map(|_| random.below(count) as TokenId).collect();
        let banned =
            |t: TokenId| forbidden.contains(&t) || sampling.logit_bias.contains(&(t, f32::NEG_INFINITY));
        if (0..count as TokenId).all(banned) {
            continue;
        }
        let way_out = Some(&crate::guard::WAYS_OUT[0]).filter(|_| random.below(4) == 0);
        let place =
            Place { history: &history, prompt_tokens, forbidden: &forbidden, way_out, ..Place::default() };
        check(&mut sampler, &logits, &sampling, &place);
    }
}

#[test]
fn large_vocabularies_follow_the_definition() {
    let mut random = Random(2);
    let mut sampler = Sampler::new();
    // A flat row makes the nucleus large, a steep one makes it small. (The definition takes quadratic time.)
    for (count, low) in [(3000, -1.0), (3000, -20.0), (5000, -8.0)] {
        for (top_k, top_p, min_p, typical_p) in [
            (40, 0.95, 0.05, 1.0),
            (0, 0.9, 0.0, 1.0),
            (0, 0.999, 0.0, 1.0),
            (0, 1.0, 0.1, 1.0),
            (300, 1.0, 0.0, 1.0),
            (0, 1.0, 0.0, 0.95),
            (0, 0.9, 0.01, 0.999),
            (500, 1.0, 0.0, 0.2),
        ] {
            let logits = random.logits(count, low, 1 << 20);
            let seed = random.next();
            let sampling =
                Sampling { temperature: 0.8, top_k, top_p, min_p, typical_p, seed, ..Sampling::default() };
            check(&mut sampler, &logits, &sampling, &Place::default());
        }
    }
    let logits = random.logits(262_144, -30.0, 1 << 22);
    for (top_k, temperature) in [(0, 0.0), (40, 1.0), (0, 1.0)] {
        let sampling = Sampling { temperature, top_k, seed: 5, ..Sampling::default() };
        check(&mut sampler, &logits, &sampling, &Place::default());
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
                assert_eq!(sample(&logits, &sampling, &[]), Ok(first as TokenId));
            }
        }
    }
    assert_eq!(sample(&[-0.0, 0.0], &Sampling::default(), &[]), Ok(0));
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
            let place =
                Place { history: &history[..n], prompt_tokens: n, forbidden: &[], ..Place::default() };
            counts[sampler.sample(&mut logits.clone(), &sampling, &place).unwrap().token as usize] += 1.0;
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
            history.push(sample(&logits, &sampling, &history).unwrap());
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
        assert_eq!(sample(&[3.0, 2.0, -1.0], &sampling, history), Ok(expect), "{history:?}");
    };
    check(&[], 8, 0);
    check(&[0], 8, 1); // 1.5 against 2.0
    check(&[0], 0, 0);
    check(&[0, 2, 2], 2, 0);
    check(&[0, 2, 2], 3, 1);
    check(&[0, 0, 0, 1, 1], 8, 0); // 1.5 against 1.0
    let negative = Sampling { repeat_penalty: 2.0, ..Sampling::default() };
    assert_eq!(sample(&[-1.0, -1.5], &negative, &[0]), Ok(1), "-2.0 against -1.5");
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
                    let refused = sample(&logits, &sampling, &[]);
                    assert_eq!(refused, Err(NoChoice::BadLogits), "{bad} at {place} of {count}");
                }
                assert_eq!(Sampler::new().logprobs(&logits, 0, 1, &[]), Err(NoChoice::BadLogits));
            }
        }
        let mut logits = vec![f32::NEG_INFINITY; count];
        assert_eq!(sample(&logits, &Sampling::default(), &[]), Err(NoChoice::BadLogits));
        logits[count - 1] = -1e30;
        assert_eq!(sample(&logits, &Sampling::default(), &[]), Ok(count as TokenId - 1));
    }
}

#[test]
fn log_probabilities_are_those_of_the_raw_logits() {
    let logits = Random(4).logits(300, -9.0, 40);
    let log_sum = logits.iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
    let mut order: Vec<usize> = (0..300).collect();
    order.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap().then(a.cmp(&b)));
    for top_n in [0, 1, 7, 300, 1000] {
        let got = Sampler::new().logprobs(&logits, 17, top_n, &[]).unwrap();
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
    // Those that were asked for stand behind them, each once.
    let (first, last) = (order[0] as TokenId, order[299] as TokenId);
    let got = Sampler::new().logprobs(&logits, 17, 2, &[last, first, 17, last]).unwrap();
    let tokens: Vec<TokenId> = got.top.iter().map(|&(token, _)| token).collect();
    assert_eq!(tokens, [first, order[1] as TokenId, last, 17]);
    assert_eq!(got.top[3].1, got.logprob);
}

/// The choice at temperature 0 among four logits, after a prompt of 0 and 1 and an answer of 2 and 2.
fn check_greedy(
    change: impl FnOnce(&mut Sampling),
    forbidden: &[TokenId],
    expect: Result<TokenId, NoChoice>,
) {
    let mut sampling = Sampling::default();
    change(&mut sampling);
    let place = Place { history: &[0, 1, 2, 2], prompt_tokens: 2, forbidden, ..Place::default() };
    let logits = [2.0, 1.0, 4.0, -1.0];
    let mut row = logits;
    let token = Sampler::new().sample(&mut row, &sampling, &place).map(|choice| choice.token);
    assert_eq!(token, expect, "{sampling:?}, not {forbidden:?}");
    assert_eq!(row, logits);
}

#[test]
fn penalties_count_the_answer_alone_and_bias_comes_first() {
    check_greedy(|_| (), &[], Ok(2));
    check_greedy(|s| s.frequency_penalty = 0.9, &[], Ok(2)); // 4 − 2 × 0.9 = 2.2
    check_greedy(|s| s.frequency_penalty = 1.1, &[], Ok(0)); // 4 − 2 × 1.1 = 1.8
    check_greedy(|s| s.presence_penalty = 1.9, &[], Ok(2)); // 4 − 1.9, however often it stands there
    check_greedy(|s| (s.presence_penalty, s.frequency_penalty) = (1.9, 0.1), &[], Ok(0));
    check_greedy(|s| s.logit_bias = vec![(3, 5.5)], &[], Ok(3)); // −1 + 5.5 against 4
    check_greedy(|s| s.logit_bias = vec![(2, -100.0), (0, -2.0)], &[], Ok(1));
    check_greedy(|s| s.logit_bias = vec![(2, f32::NEG_INFINITY)], &[], Ok(0));
    // The bias is divided along: (2 + 6) / 4 against −1 + 4. Added afterwards it would win, 2 / 4 + 6.
    check_greedy(|s| (s.repeat_penalty, s.logit_bias) = (4.0, vec![(0, 6.0), (3, 4.0)]), &[], Ok(3));
    // A ban stands against any bias and is not lifted by a negative penalty.
    check_greedy(|s| s.logit_bias = vec![(2, 100.0)], &[2], Ok(0));
    check_greedy(|s| (s.frequency_penalty, s.presence_penalty) = (-2.0, -2.0), &[2, 2], Ok(0));
}

#[test]
fn a_request_that_forbids_everything_is_told_so() {
    let all = || (0..4).map(|token| (token, f32::NEG_INFINITY)).collect::<Vec<_>>();
    check_greedy(|s| s.logit_bias = all(), &[], Err(NoChoice::AllForbidden));
    check_greedy(|s| s.logit_bias = all()[1..].to_vec(), &[0], Err(NoChoice::AllForbidden));
    check_greedy(|s| s.logit_bias = all()[1..].to_vec(), &[], Ok(0));
    // A bias does not make the request guilty of what the model did.
    let biased = Sampling { logit_bias: vec![(0, 1.0)], ..Sampling::default() };
    assert_eq!(sample(&[0.0, f32::NAN], &biased, &[]), Err(NoChoice::BadLogits));
    assert_eq!(sample(&[f32::NEG_INFINITY; 2], &biased, &[]), Err(NoChoice::BadLogits));
}

#[test]
fn typical_sampling_drops_what_is_too_predictable() {
    // With p = 0.6, 0.1, 0.1, 0.1, 0.1 the entropy is 1.23. The surprise of 0.6 is 0.51 and that of 0.1 is 2.30, which is
    // farther away. With forty rare ones the entropy is 3.60 and their surprise 3.83, that of the first one 2.04.
    let check = |rare: usize, typical_p, expect: &[TokenId]| {
        let logits: Vec<f32> = std::iter::once(0.6f32.ln()).chain(vec![0.1f32.ln(); rare]).collect();
        let drawn: std::collections::BTreeSet<TokenId> = (0..300)
            .map(|seed| {
                let sampling = Sampling { temperature: 1.0, typical_p, seed, ..Sampling::default() };
                sample(&logits, &sampling, &[]).unwrap()
            })
            .collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), expect, "{rare} rare ones, {typical_p}");
    };
    check(4, 0.5, &[0]);
    check(4, 0.65, &[0, 1]);
    check(40, 0.08, &[1, 2, 3, 4]);
    // Cold enough, the weights of all that is left would vanish beside the peak's.
    let cold = Sampling { temperature: 0.01, typical_p: 0.05, ..Sampling::default() };
    let logits: Vec<f32> = std::iter::once(3.0).chain(vec![0.0; 100]).collect();
    assert!(sample(&logits, &cold, &[]).unwrap() > 0);
}

#[test]
fn frequency_and_presence_may_look_at_the_last_tokens_only() {
    let check = |count_window, expect| {
        let sampling = Sampling { presence_penalty: 2.0, count_window, ..Sampling::default() };
        let place = Place { history: &[1, 0, 2], prompt_tokens: 1, ..Place::default() };
        let choice = Sampler::new().sample(&mut [3.0, 2.0, 2.5], &sampling, &place).unwrap();
        assert_eq!(choice.token, expect, "{count_window}");
    };
    check(usize::MAX, 1);
    check(2, 1);
    check(1, 0);
    check(0, 0);
}
