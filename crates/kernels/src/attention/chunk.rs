//! One chunk's part of attention for R rows, and how chunks are merged.

use super::{CHUNK_TOKENS, HEAD_DIM_MAX, KvArena, PAGE_TOKENS};
use crate::math;
use crate::simd::{LANES, Simd};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The largest block of rows with at most `rows` rows that there is a kernel for.
pub(super) fn block_len<S: Simd>(rows: usize) -> usize {
    let sizes: &[usize] = if S::QUERIES_MAX >= 12 {
        &[12, 8, 4, 3, 2, 1]
    } else if S::QUERIES_MAX >= 6 {
        &[6, 4, 3, 2, 1]
    } else {
        &[4, 3, 2, 1]
    };
    *sizes.iter().find(|size| **size <= rows).expect("there are rows left")
}

/// The queries of R rows and what each of them sees.
pub(super) struct Rows<const R: usize> {
    /// `[head_dim][R]`, scaled.
    queries: [[MaybeUninit<f32>; R]; HEAD_DIM_MAX],
    visible: [Range<usize>; R],
}

impl<const R: usize> Rows<R> {
    #[inline(always)]
    pub(super) fn new(queries: [&[f32]; R], visible: [Range<usize>; R], scale: f32) -> Self {
        let mut rows = Rows { queries: [const { [MaybeUninit::uninit(); R] }; HEAD_DIM_MAX], visible };
        for (r, query) in queries.into_iter().enumerate() {
            for (column, x) in rows.queries.iter_mut().zip(query) {
                column[r].write(x * scale);
            }
        }
        rows
    }

    /// The first position that any row sees.
    pub(super) fn begin(&self) -> usize {
        self.visible.iter().map(|v| v.start).min().unwrap_or(0)
    }

    /// One past the last position that any row sees.
    pub(super) fn end(&self) -> usize {
        self.visible.iter().map(|v| v.end).max().unwrap_or(0)
    }
}

/// The keys and values of one head of a sequence, page by page.
#[derive(Clone, Copy)]
pub(super) struct Pages<'a> {
    pub(super) kv: &'a KvArena,
    pub(super) pages: &'a [u32],
    pub(super) head: usize,
}

impl<'a> Pages<'a> {
    /// Keys `[head_dim][32]` and values `[32][head_dim]` of the page that holds `position`.
    #[inline(always)]
    fn at(self, position: usize) -> (&'a [u16], &'a [u16]) {
        let from = self.kv.page_head(self.pages[position / PAGE_TOKENS], self.head);
        self.kv.data[from..from + 2 * self.kv.half()].split_at(self.kv.half())
    }

    /// The page after the one that holds `position`, to fetch it ahead; that page itself if it is the last.
    #[inline(always)]
    fn after(self, position: usize) -> (&'a [u16], &'a [u16]) {
        let next = (position / PAGE_TOKENS + 1).min(self.pages.len() - 1);
        self.at(next * PAGE_TOKENS)
    }
}

/// A softmax over some positions: the largest score, the sum of e^(score - largest), and as much of the
/// weighted values.
pub(super) struct State<const R: usize> {
    pub(super) maximum: [f32; R],
    pub(super) sum: [f32; R],
    values: [[MaybeUninit<f32>; HEAD_DIM_MAX]; R],
}

impl<const R: usize> Default for State<R> {
    #[inline(always)]
    fn default() -> Self {
        State {
            maximum: [f32::NEG_INFINITY; R],
            sum: [0.0; R],
            values: [const { [MaybeUninit::uninit(); HEAD_DIM_MAX] }; R],
        }
    }
}

/// Scores, then weights, of R rows: `[row][position in the chunk]`.
type Scores<const R: usize> = [[MaybeUninit<f32>; CHUNK_TOKENS]; R];

impl<const R: usize> State<R> {
    /// Zeroes the first `dim` values; no more are ever used.
    #[inline(always)]
    pub(super) fn clear(&mut self, dim: usize) {
        self.values.iter_mut().for_each(|row| row[..dim].iter_mut().for_each(|v| _ = v.write(0.0)));
    }

    /// A row's values; the first `dim` of them are initialised.
    pub(super) fn row(&self, r: usize) -> &[f32; HEAD_DIM_MAX] {
        // SAFETY: only the first `dim` numbers, which were written, are ever read; any bits are a valid f32.
        unsafe { &*(&raw const self.values[r]).cast() }
    }

    #[inline(always)]
    fn row_pointer(&mut self, r: usize) -> *mut f32 {
        self.values[r].as_mut_ptr().cast()
    }

    /// Becomes the state of the chunk that starts at position `start`: softmax with one maximum a row.
    #[inline(always)]
    pub(super) fn compute<S: Simd>(&mut self, s: S, rows: &Rows<R>, kv: Pages<'_>, start: usize) {
        let dim = kv.kv.head_dim;
        let (begin, end) = (rows.begin().max(start), rows.end().min(start + CHUNK_TOKENS));
        if begin >= end {
            // The unit's chunks are those of all its rows; these may see fewer.
            (self.maximum, self.sum) = ([f32::NEG_INFINITY; R], [0.0; R]);
            self.clear(dim);
            return;
        }
        let (begin, end) = (begin - start, end - start);
        assert!(dim <= HEAD_DIM_MAX && end <= CHUNK_TOKENS);
        let mut scores: Scores<R> = [const { [MaybeUninit::uninit(); CHUNK_TOKENS] }; R];
        // Whole vectors of scores; what a row does not see of them is masked.
        let vectors = begin / LANES * LANES..end.next_multiple_of(LANES);
        let mut at = vectors.start;
        while at < vectors.end {
            let page_end = (at / PAGE_TOKENS + 1) * PAGE_TOKENS;
            // SAFETY: the page's keys are `dim` times 32 numbers and `at` starts a vector of the page.
            unsafe {
                let keys = KeyPointers {
                    here: kv.at(start + at).0.as_ptr().add(at % PAGE_TOKENS),
                    next: kv.after(start + at).0.as_ptr(),
                };
                if S::TWO_TILES && at + LANES < vectors.end && at + LANES < page_end {
                    score::<S, R, 2>(s, rows, keys, dim, &mut scores, at);
                    at += 2 * LANES;
                } else {
                    score::<S, R, 1>(s, rows, keys, dim, &mut scores, at);
                    at += LANES;
                }
            }
        }
        for (r, scores) in scores.iter_mut().enumerate() {
            let seen = rows.visible[r].start.max(start) - start..rows.visible[r].end.saturating_sub(start);
            let seen = seen.start..seen.end.min(CHUNK_TOKENS);
            // SAFETY: the scores of `vectors` were written above.
            (self.maximum[r], self.sum[r]) = unsafe { weigh(s, scores, vectors.clone(), seen) };
        }
        let mut at = 0;
        while at < dim {
            // SAFETY: `at + 16 <= dim`, as `dim` is a multiple of 16, and the weights of `begin..end` are written.
            unsafe {
                if S::TWO_TILES && at + LANES < dim {
                    self.mix::<S, 2>(s, &scores, kv, start, begin..end, at);
                    at += 2 * LANES;
                } else {
                    self.mix::<S, 1>(s, &scores, kv, start, begin..end, at);
                    at += LANES;
                }
            }
        }
    }

    /// Values `at` to `at + 16 W`: the sums of the weighted values of the chunk's `tokens`.
    #[inline(always)]
    unsafe fn mix<S: Simd, const W: usize>(
        &mut self,
        s: S,
        weights: &Scores<R>,
        kv: Pages<'_>,
        start: usize,
        tokens: Range<usize>,
        at: usize,
    ) {
        let dim = kv.kv.head_dim;
        let mut sums = [[s.splat(0.0); R]; W];
        let mut token = tokens.start;
        while token < tokens.end {
            let page_end = ((token / PAGE_TOKENS + 1) * PAGE_TOKENS).min(tokens.end);
            let values = kv.at(start + token).1.as_ptr();
            let next = kv.after(start + token).1.as_ptr();
            while token < page_end {
                // SAFETY: the caller's; the page has the token's `dim` values.
                unsafe {
                    let from = values.add(token % PAGE_TOKENS * dim + at);
                    if R <= FEW_ROWS {
                        s.prefetch(next.add(token % PAGE_TOKENS * dim + at).cast());
                    }
                    let mut vectors = [s.load_f16(from); W];
                    for (w, vector) in vectors.iter_mut().enumerate().skip(1) {
                        *vector = s.load_f16(from.add(w * LANES));
                    }
                    for r in 0..R {
                        let weight = s.splat(weights.get_unchecked(r).get_unchecked(token).assume_init());
                        for (sums, value) in sums.iter_mut().zip(vectors) {
                            sums[r] = s.fma(weight, value, sums[r]);
                        }
                    }
                }
                token += 1;
            }
        }
        for (w, sums) in sums.into_iter().enumerate() {
            for (r, sum) in sums.into_iter().enumerate() {
                // SAFETY: the caller's.
                unsafe { s.store(sum, self.row_pointer(r).add(at + w * LANES)) };
            }
        }
    }

    /// Adds another state of row `r`, of the positions that follow.
    #[inline(always)]
    pub(super) fn merge<S: Simd>(&mut self, s: S, r: usize, maximum: f32, sum: f32, values: &[f32]) {
        if maximum == f32::NEG_INFINITY {
            return;
        }
        let largest = if maximum > self.maximum[r] { maximum } else { self.maximum[r] };
        let (before, after) = (
            lane(s, math::exp(s, s.splat(self.maximum[r] - largest))),
            lane(s, math::exp(s, s.splat(maximum - largest))),
        );
        self.maximum[r] = largest;
        self.sum[r] = self.sum[r].mul_add(before, sum * after);
        let row = self.row_pointer(r);
        for at in (0..values.len()).step_by(LANES) {
            // SAFETY: `values` has `dim` numbers, a multiple of 16, and so has the row.
            unsafe {
                let more = s.mul(s.load(values.as_ptr().add(at)), s.splat(after));
                s.store(s.fma(s.load(row.add(at)), s.splat(before), more), row.add(at));
            }
        }
    }

    /// Writes row `r` for a later merge: maximum, sum, values.
    pub(super) fn save(&self, r: usize, part: &mut [f32]) {
        let dim = part.len() - 2;
        part[0] = self.maximum[r];
        part[1] = self.sum[r];
        part[2..].copy_from_slice(&self.row(r)[..dim]);
    }

    /// The weighted mean of the values of row `r`.
    #[inline(always)]
    pub(super) fn finish<S: Simd>(&mut self, s: S, r: usize, out: &mut [f32]) {
        let sum = s.splat(self.sum[r]);
        for at in (0..out.len()).step_by(LANES) {
            // SAFETY: `out` has `dim` numbers, a multiple of 16, and so has the row.
            unsafe { s.store(s.div(s.load(self.row_pointer(r).add(at)), sum), out.as_mut_ptr().add(at)) };
        }
    }
}

/// So few rows wait for memory: what follows is fetched ahead. Each page is a place of its own in memory, which
/// the processor does not foresee.
const FEW_ROWS: usize = 4;

/// The first key numbers of a vector of tokens, and those of the page that follows.
#[derive(Clone, Copy)]
struct KeyPointers {
    here: *const u16,
    next: *const u16,
}

/// Scores of W vectors of 16 tokens.
#[inline(always)]
unsafe fn score<S: Simd, const R: usize, const W: usize>(
    s: S,
    rows: &Rows<R>,
    keys: KeyPointers,
    dim: usize,
    scores: &mut Scores<R>,
    at: usize,
) {
    let mut sums = [[s.splat(0.0); R]; W];
    // SAFETY: the caller's: `dim` rows of 32 numbers; `Rows::new` wrote the first `dim` queries.
    unsafe {
        for d in 0..dim {
            let from = keys.here.add(d * PAGE_TOKENS);
            if R <= FEW_ROWS {
                s.prefetch(keys.next.add(d * PAGE_TOKENS).cast());
            }
            let mut vectors = [s.load_f16(from); W];
            for (w, vector) in vectors.iter_mut().enumerate().skip(1) {
                *vector = s.load_f16(from.add(w * LANES));
            }
            for r in 0..R {
                let query = s.splat(rows.queries.get_unchecked(d)[r].assume_init());
                for (sums, key) in sums.iter_mut().zip(vectors) {
                    sums[r] = s.fma(query, key, sums[r]);
                }
            }
        }
        for (w, sums) in sums.into_iter().enumerate() {
            for (sum, scores) in sums.into_iter().zip(scores.iter_mut()) {
                s.store(sum, scores.as_mut_ptr().cast::<f32>().add(at + w * LANES));
            }
        }
    }
}

/// Turns a row's scores of the positions `vectors` into weights e^(score - largest), 0 for what is not `seen`.
/// Gives the largest score and the sum of the weights.
#[inline(always)]
unsafe fn weigh<S: Simd>(
    s: S,
    scores: &mut [MaybeUninit<f32>; CHUNK_TOKENS],
    vectors: Range<usize>,
    seen: Range<usize>,
) -> (f32, f32) {
    if seen.start >= seen.end {
        scores[vectors].fill(MaybeUninit::new(0.0));
        return (f32::NEG_INFINITY, 0.0);
    }
    scores[vectors.start..seen.start].fill(MaybeUninit::new(f32::NEG_INFINITY));
    scores[seen.end..vectors.end].fill(MaybeUninit::new(f32::NEG_INFINITY));
    let at = scores.as_mut_ptr().cast::<f32>();
    // SAFETY: the scores of `vectors`, whole vectors, are written: the caller's promise.
    unsafe {
        let mut most = s.splat(f32::NEG_INFINITY);
        for position in vectors.clone().step_by(LANES) {
            most = s.max(most, s.load(at.add(position)));
        }
        let largest = s.max_lane(most);
        let (shift, mut sum) = (s.splat(largest), s.splat(0.0));
        for position in vectors.step_by(LANES) {
            let weights = math::exp(s, s.sub(s.load(at.add(position)), shift));
            s.store(weights, at.add(position));
            sum = s.add(sum, weights);
        }
        (largest, s.sum(sum))
    }
}

/// The first lane.
#[inline(always)]
fn lane<S: Simd>(s: S, x: S::F) -> f32 {
    let mut lanes = [0.0; LANES];
    // SAFETY: room for 16 numbers.
    unsafe { s.store(x, lanes.as_mut_ptr()) };
    lanes[0]
}
