//! Mirostat against its definition.

use super::*;

#[test]
fn mirostat_follows_its_definition() {
    let mut random = Random(5);
    let mut sampler = Sampler::new();
    for _ in 0..4000 {
        let count = [2, 7, 40, 300][random.below(4)];
        let logits = random.logits(count, -9.0, 100_000);
        let version = [MirostatVersion::One, MirostatVersion::Two][random.below(2)];
        let mirostat = Mirostat { version, tau: [1.0, 3.0, 5.0][random.below(3)], eta: 0.1 };
        let sampling = Sampling {
            temperature: [0.7, 1.0, 1.5][random.below(3)],
            // What it takes the place of has no effect.
            top_k: random.below(3),
            min_p: [0.0, 0.9][random.below(2)],
            mirostat: Some(mirostat),
            seed: random.next(),
            ..Sampling::default()
        };
        let mu = [-1.0, 0.5, 2.0, 3.3, 6.0, 30.0][random.below(6)];
        let history = vec![0; random.below(9)];
        let place = Place { history: &history, mu, ..Place::default() };
        let got = sampler.sample(&mut logits.clone(), &sampling, &place).unwrap();

        let heated: Vec<f32> = logits.iter().map(|l| l / sampling.temperature).collect();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| heated[b].partial_cmp(&heated[a]).unwrap().then(a.cmp(&b)));
        let p = softmax(&order, &heated);
        let kept = match version {
            MirostatVersion::One => {
                let pairs = (1..p.len().min(100)).map(|i| {
                    let t = ((i + 1) as f64 / i as f64).ln();
                    (t * (p[i - 1] / p[i]).ln(), t * t)
                });
                let (products, squares) =
                    pairs.fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
                let s = products / squares;
                let k = (s - 1.0) * f64::from(mu).exp2() / (1.0 - (count as f64).powf(1.0 - s));
                k.powf(1.0 / s) as usize
            }
            MirostatVersion::Two => p.iter().filter(|p| -p.log2() <= f64::from(mu)).count(),
        };
        order.truncate(kept.max(1));
        let rank =
            order.iter().position(|&t| t == got.token as usize).expect("it is one of those that are kept");
        let expect = f64::from(mu) - 0.1 * (-p[rank].log2() - f64::from(mirostat.tau));
        assert!((f64::from(got.mu) - expect).abs() < 1e-4, "{got:?} against {expect}");
        // The draw is the usual one among them.
        order.sort_unstable();
        let only: Vec<(TokenId, f32)> = (0..count as TokenId)
            .filter(|&t| order.binary_search(&(t as usize)).is_err())
            .map(|t| (t, f32::NEG_INFINITY))
            .collect();
        let usual = Sampling {
            temperature: sampling.temperature,
            seed: sampling.seed,
            logit_bias: only,
            ..Sampling::default()
        };
        let place = Place { history: &history, ..Place::default() };
        assert_eq!(sampler.sample(&mut logits.clone(), &usual, &place).unwrap().token, got.token);
    }
    // At temperature 0 it has nothing to steer.
    let mirostat = Mirostat { version: MirostatVersion::Two, tau: 5.0, eta: 0.1 };
    let greedy = Sampling { mirostat: Some(mirostat), ..Sampling::default() };
    assert_eq!(sample(&[0.0, 3.0, 1.0], &greedy, &[]), Ok(1));
}

#[test]
fn mirostat_comes_to_the_surprise_that_was_asked_for() {
    // By Zipf's law among 5,000 tokens: from 3.2 bits for the first to 15.5 for the last.
    let logits: Vec<f32> = (1..=5000).map(|rank| -(rank as f32).ln()).collect();
    let mut sampler = Sampler::new();
    for version in [MirostatVersion::One, MirostatVersion::Two] {
        for tau in [4.0f32, 5.5, 7.0] {
            let mirostat = Mirostat { version, tau, eta: 0.1 };
            let sampling =
                Sampling { temperature: 1.0, mirostat: Some(mirostat), seed: 3, ..Sampling::default() };
            let (mut mu, mut history, mut mus) = (mirostat.first_mu(), Vec::new(), Vec::new());
            for _ in 0..2000 {
                let place = Place { history: &history, mu, ..Place::default() };
                let choice = sampler.sample(&mut logits.clone(), &sampling, &place).unwrap();
                mus.push(f64::from((mu - choice.mu) / mirostat.eta + tau));
                mu = choice.mu;
                history.push(choice.token);
            }
            let mean = mus.iter().sum::<f64>() / mus.len() as f64;
            assert!((mean - f64::from(tau)).abs() < 0.1, "{version:?} {tau}: {mean}");
        }
    }
}
