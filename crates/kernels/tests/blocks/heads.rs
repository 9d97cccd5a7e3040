//! Biases, norms of heads, rotary embedding and the way into the cache, against the formulas in f64.

use crate::random::Random;
use crate::{assert_close, assert_same, cpu, cpus};
use half::f16;
use kernels::attention::{AttentionKind, AttentionScratch, AttentionSpan, KvArena, PAGE_TOKENS, attention};
use kernels::{Cpu, Heads, Isa, RmsNorm, RopePairs, RopeTable};

#[derive(Debug, Clone, Copy)]
struct Case {
    query_heads: usize,
    kv_heads: usize,
    head_dim: usize,
    /// Pairs that are turned.
    turned: usize,
    pairs: RopePairs,
    bias: bool,
    norms: bool,
    magnitude: f32,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for pairs in [RopePairs::Neighbours, RopePairs::Halves] {
        for (bias, norms) in [(false, false), (true, false), (false, true), (true, true)] {
            let base = Case {
                query_heads: 4,
                kv_heads: 2,
                head_dim: 32,
                turned: 16,
                pairs,
                bias,
                norms,
                magnitude: 1.0,
            };
            cases.push(base);
            cases.push(Case { turned: 5, ..base });
            cases.push(Case { turned: 0, ..base });
            cases.push(Case { magnitude: 1.25, query_heads: 1, kv_heads: 1, ..base });
        }
        for head_dim in [16, 48, 64, 80, 96, 128, 256, 512] {
            let turned = head_dim / 2;
            cases.push(Case {
                query_heads: 3,
                kv_heads: 1,
                head_dim,
                turned,
                pairs,
                bias: true,
                norms: true,
                magnitude: 1.0,
            });
        }
    }
    cases
}

struct Data {
    case: Case,
    bias: [Vec<f32>; 3],
    norms: [Vec<f32>; 2],
    /// Queries, keys, values of the batch's tokens: `[token][head][head_dim]`.
    rows: [Vec<f32>; 3],
    frequencies: Vec<f64>,
    /// First position and tokens of two sequences.
    spans: [(usize, usize); 2],
    pages: [Vec<u32>; 2],
}

const EPSILON: f32 = 1e-5;

impl Data {
    fn new(case: Case) -> Data {
        let mut random = Random::new(case.head_dim as u64 + 7);
        let Case { query_heads, kv_heads, head_dim, turned, .. } = case;
        let spans = [(0, 3), (3 * PAGE_TOKENS - 4, 9)];
        let tokens: usize = spans.iter().map(|(_, len)| len).sum();
        let sizes = [query_heads * head_dim, kv_heads * head_dim, kv_heads * head_dim];
        Data {
            case,
            bias: sizes.map(|size| random.numbers(size, 1.0)),
            norms: [(); 2].map(|()| random.numbers(head_dim, 2.0)),
            rows: sizes.map(|size| random.numbers(tokens * size, 1.5)),
            frequencies: (0..turned).map(|i| 10_000f64.powf(-(i as f64) / turned as f64)).collect(),
            spans,
            pages: [vec![2], vec![4, 0, 3, 1]],
        }
    }

    fn positions(&self) -> impl Iterator<Item = usize> {
        self.spans.into_iter().flat_map(|(start, len)| start..start + len)
    }

    fn spans(&self) -> Vec<AttentionSpan<'_>> {
        let spans = self.spans.iter().zip(&self.pages);
        spans.map(|(&(start, len), pages)| AttentionSpan { start, len, pages }).collect()
    }

    /// The queries after, and a cache with keys and values.
    fn prepare(&self, cpu: &Cpu) -> (Vec<f32>, KvArena) {
        let Case { query_heads, kv_heads, head_dim, pairs, bias, norms, magnitude, .. } = self.case;
        let mut kv = KvArena::new(5, kv_heads, head_dim, 0.5);
        let mut rope = RopeTable::default();
        // A table that was larger before.
        rope.fill(cpu, 0..100, &[0.1; 8], 1.0);
        rope.fill(cpu, self.positions(), &self.frequencies, magnitude);
        let heads = Heads {
            query_heads,
            bias: bias.then(|| self.bias.each_ref().map(Vec::as_slice)),
            norms: norms.then(|| self.norms.each_ref().map(|weight| RmsNorm { weight, epsilon: EPSILON })),
            rope: &rope,
            pairs,
        };
        let [mut q, mut k, mut v] = self.rows.clone();
        heads.prepare(cpu, &self.spans(), &mut q, [&mut k, &mut v], &mut kv);
        (q, kv)
    }

    /// Queries (0), keys (1) or values (2) by definition.
    fn expected(&self, which: usize) -> Vec<f64> {
        let Case { head_dim, turned, pairs, bias, norms, magnitude, .. } = self.case;
        let row = self.bias[which].len();
        let mut all = Vec::new();
        for (x, position) in self.rows[which].chunks(row).zip(self.positions()) {
            let mut x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            if bias {
                x.iter_mut().zip(&self.bias[which]).for_each(|(x, bias)| *x += f64::from(*bias));
            }
            for head in x.chunks_mut(head_dim).take(if which < 2 { usize::MAX } else { 0 }) {
                if norms {
                    let mean = head.iter().map(|x| x * x).sum::<f64>() / head_dim as f64;
                    let scale = 1.0 / (mean + f64::from(EPSILON)).sqrt();
                    let weights = &self.norms[which];
                    head.iter_mut().zip(weights).for_each(|(x, weight)| *x *= scale * f64::from(*weight));
                }
                for (i, frequency) in self.frequencies.iter().enumerate() {
                    let (a, b) = match pairs {
                        RopePairs::Neighbours => (2 * i, 2 * i + 1),
                        RopePairs::Halves => (i, i + turned),
                    };
                    let (sin, cos) = (position as f64 * frequency).sin_cos();
                    let (x, y) = (head[a], head[b]);
                    head[a] = (x * cos - y * sin) * f64::from(magnitude);
                    head[b] = (x * sin + y * cos) * f64::from(magnitude);
                }
            }
            all.extend(x);
        }
        all
    }

    /// The values in the cache: with a window of one position, attention gives them back as they are.
    fn values(&self, cpu: &Cpu, kv: &KvArena) -> Vec<f32> {
        let kind = AttentionKind { query_heads: self.case.kv_heads, scale: 1.0, window: Some(1) };
        let mut out = vec![f32::NAN; self.rows[2].len()];
        let queries = vec![0.0; out.len()];
        attention(cpu, kv, kind, &self.spans(), &queries, &mut out, &mut AttentionScratch::default());
        out
    }
}

#[test]
fn queries_are_biased_normed_and_turned() {
    let cpu = cpu(Isa::detect(), 2);
    for case in cases() {
        let data = Data::new(case);
        let (queries, _) = data.prepare(&cpu);
        for (i, (got, expected)) in queries.iter().zip(data.expected(0)).enumerate() {
            assert_close(&format!("{case:?}, query number {i}"), *got, expected, 2e-6);
        }
    }
}

#[test]
fn values_are_biased_and_kept_in_f16() {
    let cpu = cpu(Isa::detect(), 2);
    for case in cases() {
        let data = Data::new(case);
        let values = data.values(&cpu, &data.prepare(&cpu).1);
        for (i, (got, expected)) in values.iter().zip(data.expected(2)).enumerate() {
            // The sum with the bias is rounded to f32 and then to f16.
            let expected = f16::from_f32(expected as f32).to_f32();
            assert_close(&format!("{case:?}, value number {i}"), *got, f64::from(expected), 1e-7);
        }
    }
}

/// A key can't be read, but a query sees it. Two positions are seen, and the other one has a key and a value of
/// zero: the weight is 1 / (1 + e^-score).
#[test]
fn keys_are_biased_normed_turned_and_kept_in_f16() {
    let cpu = cpu(Isa::detect(), 2);
    for case in cases() {
        let data = Data::new(case);
        let Case { kv_heads, head_dim, .. } = case;
        let (positions, keys): (Vec<usize>, Vec<f64>) = (data.positions().collect(), data.expected(1));
        for (token, position) in positions.iter().enumerate().filter(|(_, position)| *position % 2 == 1) {
            // Every other token is nothing; the values of the rest are ones.
            let mut changed = Data::new(case);
            let row = kv_heads * head_dim;
            let bias = |which: usize, i: usize| if case.bias { data.bias[which][i] } else { 0.0 };
            for (token, position) in positions.iter().enumerate() {
                for i in 0..row {
                    if position % 2 == 0 {
                        changed.rows[1][token * row + i] = -bias(1, i);
                    }
                    changed.rows[2][token * row + i] = (position % 2) as f32 - bias(2, i);
                }
            }
            let (_, kv) = changed.prepare(&cpu);
            let span =
                data.spans.iter().position(|(start, len)| (*start..start + len).contains(position)).unwrap();
            let span = AttentionSpan { start: *position, len: 1, pages: &data.pages[span] };
            let kind = AttentionKind { query_heads: kv_heads, scale: 1.0, window: Some(2) };
            for d in 0..head_dim {
                let mut query = vec![0.0; row];
                query.iter_mut().skip(d).step_by(head_dim).for_each(|q| *q = 1.0);
                let mut out = vec![f32::NAN; row];
                attention(&cpu, &kv, kind, &[span], &query, &mut out, &mut AttentionScratch::default());
                for (head, out) in out.chunks(head_dim).enumerate() {
                    let key = keys[token * row + head * head_dim + d];
                    let weight = f64::from(out[0]);
                    let got = (weight / (1.0 - weight)).ln();
                    // Half a step of f16, and what the weight loses in f32.
                    let tolerance = key.abs() / 2000.0 + 3e-7 * (2.0 + key.abs().exp());
                    let case = || format!("{case:?}, position {position}, head {head}, number {d}");
                    assert!((got - key).abs() <= tolerance, "{}: {got}, not {key}", case());
                }
            }
        }
    }
}

#[test]
fn heads_have_the_same_bits_everywhere() {
    for case in cases() {
        let data = Data::new(case);
        let scalar = cpu(Isa::Scalar, 1);
        let (queries, kv) = data.prepare(&scalar);
        let values = data.values(&scalar, &kv);
        let seen = attend(&data, &scalar, &queries, &kv);
        for cpu in cpus() {
            let name = format!("{case:?} on {} with {} threads", cpu.isa(), cpu.threads());
            let (got, kv) = data.prepare(&cpu);
            assert_same(&format!("{name}: queries"), &queries, &got);
            assert_same(&format!("{name}: values"), &values, &data.values(&cpu, &kv));
            assert_same(&format!("{name}: keys"), &seen, &attend(&data, &scalar, &queries, &kv));
        }
    }
}

/// Attention of the batch's queries over what the batch itself has written.
fn attend(data: &Data, cpu: &Cpu, queries: &[f32], kv: &KvArena) -> Vec<f32> {
    let kind = AttentionKind { query_heads: data.case.query_heads, scale: 0.1, window: Some(3) };
    let mut out = vec![f32::NAN; queries.len()];
    attention(cpu, kv, kind, &data.spans(), queries, &mut out, &mut AttentionScratch::default());
    out
}

/// A cache has no room for what is beyond f16, and an infinity there would spread to every later token.
#[test]
fn what_is_beyond_f16_is_clamped() {
    let case = Case { turned: 0, bias: false, norms: false, ..cases()[0] };
    for cpu in cpus() {
        let mut data = Data::new(case);
        data.rows[1].fill(1e9);
        data.rows[2]
            .iter_mut()
            .enumerate()
            .for_each(|(i, v)| *v = [1e9, -1e9, f32::INFINITY, 65504.0][i % 4]);
        let (_, kv) = data.prepare(&cpu);
        for (i, got) in data.values(&cpu, &kv).into_iter().enumerate() {
            assert_eq!(got, [65504.0, -65504.0, 65504.0, 65504.0][i % 4], "value number {i}");
        }
    }
}

/// Angles of far positions are as precise as those of near ones: a table of f32 products would not be.
#[test]
fn far_positions_turn_precisely() {
    let cpu = cpu(Isa::detect(), 1);
    let (frequencies, position) = ([1.0, 0.731, 0.001], 1_000_003);
    let mut rope = RopeTable::default();
    rope.fill(&cpu, position..position + 1, &frequencies, 1.0);
    let mut kv = KvArena::new(1, 1, 16, 0.5);
    let heads = Heads { query_heads: 1, bias: None, norms: None, rope: &rope, pairs: RopePairs::Halves };
    let mut q: Vec<f32> = vec![0.0; 16];
    q[..3].fill(1.0);
    let pages = vec![0; position / PAGE_TOKENS + 1];
    let span = [AttentionSpan { start: position, len: 1, pages: &pages }];
    heads.prepare(&cpu, &span, &mut q, [&mut [0.0; 16], &mut [0.0; 16]], &mut kv);
    for (i, frequency) in frequencies.into_iter().enumerate() {
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        assert_close("cosine", q[i], cos, 1e-7);
        assert_close("sine", q[i + 3], sin, 1e-7);
    }
}
