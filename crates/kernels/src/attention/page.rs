//! One page's part of attention for R rows, and the running state of their softmax.

use super::{HEAD_DIM_MAX, PAGE_TOKENS};
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
        for d in 0..queries[0].len() {
            for r in 0..R {
                rows.queries[d][r].write(queries[r][d] * scale);
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

/// Softmax so far: the largest score, the sum of e^(score - largest), and as much of the weighted values.
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

impl<const R: usize> State<R> {
    /// Zeroes the first `dim` values; no more are ever used.
    #[inline(always)]
    pub(super) fn clear(&mut self, dim: usize) {
        self.values.iter_mut().for_each(|row| row[..dim].iter_mut().for_each(|v| _ = v.write(0.0)));
    }

    /// A row's values; the first `dim` of them are initialised.
    pub(super) fn row(&self, r: usize) -> &[f32; HEAD_DIM_MAX] {
        // SAFETY: only the first `dim` numbers, which `clear` wrote, are ever read; any bits are a valid f32.
        unsafe { &*(&raw const self.values[r]).cast() }
    }

    #[inline(always)]
    fn row_pointer(&mut self, r: usize) -> *mut f32 {
        self.values[r].as_mut_ptr().cast()
    }

    /// Adds the keys and values of the page whose first token has position `first`.
    #[inline(always)]
    pub(super) fn add_page<S: Simd>(
        &mut self,
        s: S,
        rows: &Rows<R>,
        first: usize,
        keys: &[u16],
        values: &[u16],
        dim: usize,
    ) {
        assert!(keys.len() == dim * PAGE_TOKENS && values.len() == keys.len() && dim <= HEAD_DIM_MAX);
        let mut scores = [[0.0f32; PAGE_TOKENS]; R];
        for half in 0..PAGE_TOKENS / LANES {
            let mut sums = [s.splat(0.0); R];
            for d in 0..dim {
                // SAFETY: in bounds by the assert above; `Rows::new` wrote the first `dim` queries.
                unsafe {
                    let key = s.load_f16(keys.as_ptr().add(d * PAGE_TOKENS + half * LANES));
                    for (r, sum) in sums.iter_mut().enumerate() {
                        *sum = s.fma(s.splat(rows.queries.get_unchecked(d)[r].assume_init()), key, *sum);
                    }
                }
            }
            for (sum, scores) in sums.into_iter().zip(&mut scores) {
                // SAFETY: 16 of 32 numbers.
                unsafe { s.store(sum, scores.as_mut_ptr().add(half * LANES)) };
            }
        }
        let seen: [Range<usize>; R] = std::array::from_fn(|r| {
            let clamp = |position: usize| position.saturating_sub(first).min(PAGE_TOKENS);
            clamp(rows.visible[r].start)..clamp(rows.visible[r].end)
        });
        for (r, seen) in seen.iter().enumerate() {
            self.weigh(s, r, seen, &mut scores[r], dim);
        }
        let tokens =
            seen.iter().map(|v| v.start).min().unwrap_or(0)..seen.iter().map(|v| v.end).max().unwrap_or(0);
        for at in (0..dim).step_by(LANES) {
            // SAFETY: `at + 16 <= dim`, as `dim` is a multiple of 16; `tokens` lies within the page.
            unsafe {
                let mut sums: [S::F; R] = std::array::from_fn(|r| s.load(self.row_pointer(r).add(at)));
                for token in tokens.clone() {
                    let value = s.load_f16(values.as_ptr().add(token * dim + at));
                    for (sum, weights) in sums.iter_mut().zip(&scores) {
                        *sum = s.fma(s.splat(*weights.get_unchecked(token)), value, *sum);
                    }
                }
                for (r, sum) in sums.into_iter().enumerate() {
                    s.store(sum, self.row_pointer(r).add(at));
                }
            }
        }
    }

    /// Turns a row's scores into weights e^(score - largest so far), 0 for what it does not see, and scales
    /// what was summed before to the new largest score.
    #[inline(always)]
    fn weigh<S: Simd>(
        &mut self,
        s: S,
        r: usize,
        seen: &Range<usize>,
        scores: &mut [f32; PAGE_TOKENS],
        dim: usize,
    ) {
        if seen.is_empty() {
            *scores = [0.0; PAGE_TOKENS];
            return;
        }
        scores[..seen.start].fill(f32::NEG_INFINITY);
        scores[seen.end..].fill(f32::NEG_INFINITY);
        // SAFETY: 32 scores are two vectors; `dim` is a multiple of 16 and within the row.
        unsafe {
            let (low, high) = (s.load(scores.as_ptr()), s.load(scores.as_ptr().add(LANES)));
            let largest = s.max_lane(s.max(low, high)).max(self.maximum[r]);
            let before = self.maximum[r];
            let (low, high) =
                (math::exp(s, s.sub(low, s.splat(largest))), math::exp(s, s.sub(high, s.splat(largest))));
            s.store(low, scores.as_mut_ptr());
            s.store(high, scores.as_mut_ptr().add(LANES));
            let sum = s.sum(s.add(low, high));
            if largest == before {
                self.sum[r] += sum;
                return;
            }
            let scale = lane(s, math::exp(s, s.splat(before - largest)));
            self.sum[r] = self.sum[r].mul_add(scale, sum);
            self.maximum[r] = largest;
            let row = self.row_pointer(r);
            for at in (0..dim).step_by(LANES) {
                s.store(s.mul(s.load(row.add(at)), s.splat(scale)), row.add(at));
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

/// The first lane.
#[inline(always)]
fn lane<S: Simd>(s: S, x: S::F) -> f32 {
    let mut lanes = [0.0; LANES];
    // SAFETY: room for 16 numbers.
    unsafe { s.store(x, lanes.as_mut_ptr()) };
    lanes[0]
}
