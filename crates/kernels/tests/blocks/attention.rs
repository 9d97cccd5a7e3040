//! Attention against softmax(scale q k) v, computed score by score in f64.

use crate::random::Random;
use crate::{assert_close, assert_same, cpu, cpus};
use half::f16;
use kernels::attention::{AttentionKind, AttentionScratch, AttentionSpan, KvArena, PAGE_TOKENS, attention};
use kernels::{Cpu, Heads, Isa, RopePairs, RopeTable};

/// Heads, window and the spans of a batch, each of a sequence of its own.
#[derive(Debug, Clone)]
struct Case {
    kv_heads: usize,
    /// Query heads for each of them.
    group: usize,
    head_dim: usize,
    window: Option<usize>,
    /// First position and tokens.
    spans: Vec<(usize, usize)>,
    /// Size of queries and keys: large ones make one position win.
    size: f32,
}

fn cases() -> Vec<Case> {
    let long = [(0, 40), (31, 1), (32, 1), (0, 1), (255, 2), (256, 1), (700, 1), (250, 70), (511, 3)];
    let base = Case { kv_heads: 2, group: 2, head_dim: 32, window: None, spans: long.to_vec(), size: 1.0 };
    let mut cases = Vec::new();
    for head_dim in [16, 48, 64, 80, 96, 128, 256, 512] {
        cases.push(Case { head_dim, ..base.clone() });
    }
    for group in 1..=16 {
        cases.push(Case { group, spans: vec![(0, 9), (300, 1), (290, 5)], ..base.clone() });
    }
    for window in [1, 2, 31, 32, 33, 100, 256, 257, 600, 10_000] {
        cases.push(Case { window: Some(window), ..base.clone() });
        cases.push(Case {
            window: Some(window),
            kv_heads: 1,
            group: 4,
            spans: vec![(900, 1)],
            ..base.clone()
        });
    }
    // One sequence alone, whose chunks are computed apart; a whole prompt of two chunks; decoding by the dozen.
    for spans in [vec![(0, 1)], vec![(1500, 1)], vec![(1023, 1)], vec![(0, 300)], vec![(1500, 3)]] {
        cases.push(Case { kv_heads: 1, group: 3, spans, ..base.clone() });
    }
    cases.push(Case { spans: (0..64).map(|i| (i * 13 % 400, 1)).collect(), ..base.clone() });
    cases.push(Case {
        kv_heads: 5,
        group: 1,
        spans: (0..20).map(|i| (i * 31, 1 + i % 3)).collect(),
        ..base.clone()
    });
    // Scores of hundreds: all but one weight vanish. Scores of nothing: all weights are the same.
    cases.push(Case { size: 12.0, head_dim: 64, ..base.clone() });
    cases.push(Case { size: 0.0, ..base });
    cases
}

/// A case with its numbers: for each sequence keys and values `[position][kv head][head_dim]`, and queries
/// `[token of the batch][query head][head_dim]`.
struct Data {
    case: Case,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    queries: Vec<f32>,
    pages: Vec<Vec<u32>>,
}

impl Data {
    fn new(case: &Case) -> Data {
        let Case { kv_heads, group, head_dim, .. } = *case;
        let mut random = Random::new(case.spans.len() as u64 * 1000 + (head_dim + group) as u64);
        let lengths: Vec<usize> = case.spans.iter().map(|(start, len)| start + len).collect();
        let mut rows = |size| -> Vec<Vec<f32>> {
            lengths.iter().map(|len| random.numbers(len * kv_heads * head_dim, size)).collect()
        };
        let (keys, values) = (rows(case.size), rows(2.0));
        let tokens: usize = case.spans.iter().map(|(_, len)| len).sum();
        let queries = random.numbers(tokens * kv_heads * group * head_dim, case.size);
        let counts: Vec<usize> = lengths.iter().map(|len| len.div_ceil(PAGE_TOKENS)).collect();
        let mut order = random.order(counts.iter().sum::<usize>()).into_iter();
        let pages = counts.iter().map(|count| order.by_ref().take(*count).collect()).collect();
        Data { case: case.clone(), keys, values, queries, pages }
    }

    fn kind(&self) -> AttentionKind {
        let Case { kv_heads, group, head_dim, window, .. } = self.case;
        AttentionKind { query_heads: kv_heads * group, scale: 1.0 / (head_dim as f32).sqrt(), window }
    }

    /// A cache that holds the keys and values, over pages that were in use before.
    fn cache(&self, cpu: &Cpu) -> KvArena {
        let Case { kv_heads, head_dim, .. } = self.case;
        let pages = self.pages.iter().map(Vec::len).sum();
        let mut kv = KvArena::new(pages, kv_heads, head_dim, 0.5);
        let all: Vec<u32> = (0..pages as u32).collect();
        // What another sequence has left must not matter, however large.
        let rest = vec![60_000.0; pages * PAGE_TOKENS * kv_heads * head_dim];
        append(cpu, &mut kv, &all, rest.clone(), rest);
        for ((keys, values), pages) in self.keys.iter().zip(&self.values).zip(&self.pages) {
            append(cpu, &mut kv, pages, keys.clone(), values.clone());
        }
        kv
    }

    fn compute(&self, cpu: &Cpu, kv: &KvArena) -> Vec<f32> {
        let spans: Vec<AttentionSpan<'_>> = (self.case.spans.iter().zip(&self.pages))
            .map(|(&(start, len), pages)| AttentionSpan { start, len, pages })
            .collect();
        let mut out = vec![f32::NAN; self.queries.len()];
        attention(cpu, kv, self.kind(), &spans, &self.queries, &mut out, &mut AttentionScratch::default());
        out
    }

    /// Each token of each span in a call of its own.
    fn compute_apart(&self, cpu: &Cpu, kv: &KvArena) -> Vec<f32> {
        let row = self.kind().query_heads * self.case.head_dim;
        let mut out = vec![f32::NAN; self.queries.len()];
        // Room that was used for other shapes before.
        let mut scratch = AttentionScratch::default();
        let mut rows = self.queries.chunks(row).zip(out.chunks_mut(row));
        for (&(start, len), pages) in self.case.spans.iter().zip(&self.pages) {
            for position in start..start + len {
                let (query, out) = rows.next().unwrap();
                let span = [AttentionSpan { start: position, len: 1, pages }];
                attention(cpu, kv, self.kind(), &span, query, out, &mut scratch);
            }
        }
        out
    }

    /// One row by definition.
    fn expected(&self, span: usize, token: usize, head: usize, query: &[f32]) -> Vec<f64> {
        let Case { kv_heads, group, head_dim, window, .. } = self.case;
        let rounded = |x: f32| f64::from(f16::from_f32(x).to_f32());
        let place = |position: usize| (position * kv_heads + head / group) * head_dim;
        let last = self.case.spans[span].0 + token;
        let first = window.map_or(0, |window| (last + 1).saturating_sub(window));
        let scale = f64::from(self.kind().scale);
        let score = |position: usize| -> f64 {
            let key = &self.keys[span][place(position)..][..head_dim];
            query.iter().zip(key).map(|(q, k)| f64::from(*q) * rounded(*k)).sum::<f64>() * scale
        };
        let scores: Vec<f64> = (first..=last).map(score).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        (0..head_dim)
            .map(|d| {
                let value = |position: usize| rounded(self.values[span][place(position) + d]);
                (first..=last).zip(&weights).map(|(p, weight)| weight * value(p)).sum::<f64>() / sum
            })
            .collect()
    }
}

/// Writes keys and values of a sequence from its beginning.
fn append(cpu: &Cpu, kv: &mut KvArena, pages: &[u32], mut keys: Vec<f32>, mut values: Vec<f32>) {
    let len = keys.len() / (kv.heads() * kv.head_dim());
    let mut rope = RopeTable::default();
    rope.fill(cpu, 0..len, &[], 1.0);
    let query_heads = kv.heads();
    let heads = Heads { query_heads, bias: None, norms: None, rope: &rope, pairs: RopePairs::Halves };
    let mut queries = vec![0.0; keys.len()];
    let spans = [AttentionSpan { start: 0, len, pages }];
    heads.prepare(cpu, &spans, &mut queries, [&mut keys, &mut values], kv);
}

#[test]
fn attention_is_a_weighted_mean_of_the_values_seen() {
    let cpu = cpu(Isa::detect(), 2);
    for case in cases() {
        let data = Data::new(&case);
        let out = data.compute(&cpu, &data.cache(&cpu));
        let (dim, heads) = (case.head_dim, data.kind().query_heads);
        let mut rows = data.queries.chunks(dim).zip(out.chunks(dim));
        // An error of a score is one of its weight; sizes of scores grow with `size` squared.
        let tolerance = 4e-6 * f64::from(1.0 + case.size * case.size);
        for (span, (_, len)) in case.spans.iter().enumerate() {
            for token in 0..*len {
                for head in 0..heads {
                    let (query, out) = rows.next().unwrap();
                    let expected = data.expected(span, token, head, query);
                    for (got, expected) in out.iter().zip(expected) {
                        let place = || format!("{case:?}, span {span}, token {token}, head {head}");
                        let distance = (f64::from(*got) - expected).abs();
                        assert!(distance <= tolerance, "{}: {got}, not {expected}", place());
                    }
                }
            }
        }
        assert!(rows.next().is_none());
    }
}

#[test]
fn attention_has_the_same_bits_everywhere() {
    for case in cases() {
        let data = Data::new(&case);
        let scalar = cpu(Isa::Scalar, 1);
        let expected = data.compute(&scalar, &data.cache(&scalar));
        for cpu in cpus() {
            let kv = data.cache(&cpu);
            let name = format!("{case:?} on {} with {} threads", cpu.isa(), cpu.threads());
            assert_same(&name, &expected, &data.compute(&cpu, &kv));
            if cpu.threads() < 3 {
                assert_same(&format!("{name}, apart"), &expected, &data.compute_apart(&cpu, &kv));
            }
        }
    }
}

#[test]
fn a_window_of_one_gives_the_token_s_own_value() {
    let case =
        Case { kv_heads: 1, group: 2, head_dim: 16, window: Some(1), spans: vec![(0, 70)], size: 100.0 };
    let data = Data::new(&case);
    for cpu in cpus() {
        let out = data.compute(&cpu, &data.cache(&cpu));
        for (token, heads) in out.chunks(2 * 16).enumerate() {
            for (i, got) in heads.iter().enumerate() {
                let value = f16::from_f32(data.values[0][token * 16 + i % 16]).to_f32();
                assert_close("own value", *got, f64::from(value), 0.0);
            }
        }
    }
}
