//! What happens to queries, keys and values between their matrices and attention: biases, norms of the heads,
//! rotary position embedding (Su et al. 2021), and the way of keys and values into the cache.

use crate::activations::unit_count;
use crate::attention::{AttentionSpan, HEAD_DIM_MAX, KvArena, KvWriter, PAGE_TOKENS};
use crate::cpu::Cpu;
use crate::norm::RmsNorm;
use crate::share::Shared;
use crate::simd::{LANES, Op, Simd};

/// Which numbers of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairs {
    /// 2i and 2i + 1: Llama in GGUF files, whose rows were permuted for it.
    Neighbours,
    /// i and i + half: NeoX, Qwen, Gemma.
    Halves,
}

/// The angles of a batch: cosine and sine for each token and pair.
#[derive(Debug, Default)]
pub struct RopeTable {
    /// `[token][pair]`: cosine, sine.
    turns: Vec<(f32, f32)>,
    pairs: usize,
    positions: Vec<usize>,
}

impl RopeTable {
    /// Angles `position * frequency`, for each token's position and each pair's frequency. Computed in f64: far
    /// positions lose nothing.
    pub fn fill(
        &mut self,
        cpu: &Cpu,
        positions: impl Iterator<Item = usize>,
        frequencies: &[f64],
        magnitude: f32,
    ) {
        self.positions.clear();
        self.positions.extend(positions);
        let positions = &self.positions;
        let pairs = frequencies.len();
        self.pairs = pairs;
        self.turns.resize(positions.len() * pairs, (0.0, 0.0));
        let turns = Shared::new(&mut self.turns);
        let units = unit_count(cpu, positions.len());
        cpu.run(units.count, |unit| {
            for token in units.range(unit) {
                // SAFETY: each token's angles are one unit's.
                let turns = unsafe { turns.slice(token * pairs, pairs) };
                for (turn, frequency) in turns.iter_mut().zip(frequencies) {
                    let (sin, cos) = (positions[token] as f64 * frequency).sin_cos();
                    *turn = (cos as f32 * magnitude, sin as f32 * magnitude);
                }
            }
        });
    }
}

/// What is done to the heads of a layer.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'a> {
    /// Query heads.
    pub query_heads: usize,
    /// Added to queries, keys and values first.
    pub bias: Option<[&'a [f32]; 3]>,
    /// Norms of each query and of each key.
    pub norms: Option<[RmsNorm<'a>; 2]>,
    /// Angles of the batch's tokens.
    pub rope: &'a RopeTable,
    /// Which numbers they turn.
    pub pairs: RopePairs,
}

impl Heads<'_> {
    /// Prepares `q`, `[tokens][query heads][head_dim]`, in place, and moves `k` and `v`, whose contents are
    /// then undefined, into the spans' pages.
    ///
    /// # Panics
    /// If sizes do not fit or a span has too few pages.
    pub fn prepare(
        &self,
        cpu: &Cpu,
        spans: &[AttentionSpan<'_>],
        q: &mut [f32],
        [k, v]: [&mut [f32]; 2],
        kv: &mut KvArena,
    ) {
        let (heads, dim) = (kv.heads(), kv.head_dim());
        let tokens: usize = spans.iter().map(|s| s.len).sum();
        assert_eq!(q.len(), tokens * self.query_heads * dim);
        assert!(k.len() == tokens * heads * dim && v.len() == k.len());
        assert!(self.rope.turns.len() == tokens * self.rope.pairs && 2 * self.rope.pairs <= dim);
        let (q, k, v, kv) = (Shared::new(q), Shared::new(k), Shared::new(v), kv.writer());
        let units = unit_count(cpu, tokens);
        cpu.run(units.count, |unit| {
            for token in units.range(unit) {
                // SAFETY: each token is one unit's, and no two tokens have the same place.
                let op = unsafe {
                    TokenOp {
                        heads: self,
                        dim,
                        turns: &self.rope.turns[token * self.rope.pairs..][..self.rope.pairs],
                        q: q.slice(token * self.query_heads * dim, self.query_heads * dim),
                        k: k.slice(token * heads * dim, heads * dim),
                        v: v.slice(token * heads * dim, heads * dim),
                        kv: &kv,
                        place: place(spans, token),
                    }
                };
                cpu.dispatch(op);
            }
        });
    }
}

/// The page and the place in it of the batch's `token`.
fn place(spans: &[AttentionSpan<'_>], token: usize) -> (u32, usize) {
    let mut before = 0;
    for span in spans {
        if token < before + span.len {
            let position = span.start + token - before;
            return (span.pages[position / PAGE_TOKENS], position % PAGE_TOKENS);
        }
        before += span.len;
    }
    unreachable!("the spans' lengths add up to the batch's tokens")
}

/// One token's heads.
struct TokenOp<'a> {
    heads: &'a Heads<'a>,
    dim: usize,
    turns: &'a [(f32, f32)],
    q: &'a mut [f32],
    k: &'a mut [f32],
    v: &'a mut [f32],
    kv: &'a KvWriter<'a>,
    place: (u32, usize),
}

impl Op for TokenOp<'_> {
    type Out = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        if let Some([q, k, v]) = self.heads.bias {
            add(self.q, q);
            add(self.k, k);
            add(self.v, v);
        }
        let norms = self.heads.norms.map_or([None, None], |[q, k]| [Some(q), Some(k)]);
        for (x, norm) in [(&mut *self.q, norms[0]), (&mut *self.k, norms[1])] {
            for head in x.chunks_exact_mut(self.dim) {
                if let Some(norm) = norm {
                    norm.in_place(s, head);
                }
                rotate(head, self.turns, self.heads.pairs);
            }
        }
        let (mut key, mut value) = ([0; HEAD_DIM_MAX], [0; HEAD_DIM_MAX]);
        let (page, token) = self.place;
        for (head, (k, v)) in self.k.chunks_exact(self.dim).zip(self.v.chunks_exact(self.dim)).enumerate() {
            narrow(s, k, &mut key);
            narrow(s, v, &mut value);
            // SAFETY: a token's place is its own, and one thread has the token.
            unsafe { self.kv.put(page, token, head, &key[..self.dim], &value[..self.dim]) };
        }
    }
}

/// f16 bits of `x`, a multiple of 16 numbers. What is beyond f16 is clamped to its range.
#[inline(always)]
fn narrow<S: Simd>(s: S, x: &[f32], out: &mut [u16; HEAD_DIM_MAX]) {
    let (top, bottom) = (s.splat(65504.0), s.splat(-65504.0));
    for (x, out) in x.as_chunks::<LANES>().0.iter().zip(out.as_chunks_mut::<LANES>().0) {
        // SAFETY: 16 numbers each.
        unsafe { s.store_f16(s.min(s.max(s.load(x.as_ptr()), bottom), top), out.as_mut_ptr()) };
    }
}

#[inline(always)]
fn add(x: &mut [f32], bias: &[f32]) {
    assert_eq!(x.len(), bias.len());
    x.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
}

#[inline(always)]
fn rotate(head: &mut [f32], turns: &[(f32, f32)], pairs: RopePairs) {
    let turn = |a: f32, b: f32, (cos, sin): (f32, f32)| (a * cos - b * sin, a * sin + b * cos);
    match pairs {
        RopePairs::Neighbours => {
            for (pair, angle) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                (pair[0], pair[1]) = turn(pair[0], pair[1], *angle);
            }
        }
        RopePairs::Halves => {
            let (low, high) = head[..2 * turns.len()].split_at_mut(turns.len());
            for ((a, b), angle) in low.iter_mut().zip(high).zip(turns) {
                (*a, *b) = turn(*a, *b, *angle);
            }
        }
    }
}
