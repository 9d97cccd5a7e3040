//! Tiles of quantised numbers.
//!
//! Within a group the sums are whole numbers and exact; the groups are added in the order of k:
//! `y += (sum * scale - min * sum of the activations) * scale of the activations`.

use super::scales::{GroupScales, Scale};
use super::{Kernel, Out};
use crate::activations::RECORD;
use crate::matrix::GROUP;
use crate::simd::{CodePlanes, QuadRange, Simd};
use std::marker::PhantomData;

/// How far ahead of its use a weight is fetched from memory.
const PREFETCH_BYTES: usize = 2048;

/// A block of quantised tokens.
pub(super) struct Block<C, X> {
    pub(super) groups: usize,
    /// Subtracted from codes; 0 where there are minimums.
    pub(super) zero_point: u8,
    /// Whether the weights may still lie in memory: their first use.
    pub(super) fetch: bool,
    pub(super) codes: *const u8,
    pub(super) wide: *const u8,
    pub(super) sums: *const u32,
    pub(super) kernel: PhantomData<(C, X)>,
}

impl<C: CodePlanes, X: GroupScales> Kernel for Block<C, X> {
    #[inline(always)]
    unsafe fn compute<S: Simd, const T: usize, const M: usize>(
        &self,
        s: S,
        tiles: [*const u8; T],
        out: [Out; T],
    ) {
        let mut y = [[s.splat(0.0); M]; T];
        let mut at = tiles;
        let per_block = groups_a_block::<X>();
        // SAFETY: `matrix` lays a tile out like this, and the activations' parts have `groups` groups.
        unsafe {
            for block in 0..self.groups / per_block {
                // No closures here: one that is not inlined would be compiled without the instruction set.
                let mut heads = [X::head(s, at[0]); T];
                for t in 0..T {
                    heads[t] = X::head(s, at[t]);
                    at[t] = at[t].add(X::HEADER_BYTES);
                }
                for g in 0..per_block {
                    if M <= 4 || self.fetch {
                        self.prefetch(s, at);
                    }
                    self.add_group::<S, T, M>(s, Group { at, heads }, block * per_block + g, &mut y);
                    for at in &mut at {
                        *at = at.add(C::GROUP_BYTES + X::TAIL_BYTES);
                    }
                }
            }
            for (y, out) in y.iter().zip(out) {
                for (token, y) in y.iter().enumerate() {
                    out.put(s, token, *y);
                }
            }
        }
    }
}

/// Groups that have a header in common.
pub(super) const fn groups_a_block<X: GroupScales>() -> usize {
    if X::HEADER_BYTES > 0 { 8 } else { 1 }
}

/// Where a group starts in T tiles, and what the headers of its blocks say.
struct Group<F, const T: usize> {
    at: [*const u8; T],
    heads: [(F, F); T],
}

impl<C: CodePlanes, X: GroupScales> Block<C, X> {
    #[inline(always)]
    pub(super) fn prefetch<S: Simd, const T: usize>(&self, s: S, at: [*const u8; T]) {
        for at in at {
            for line in 0..(C::GROUP_BYTES + X::TAIL_BYTES).div_ceil(64) {
                s.prefetch(at.wrapping_add(PREFETCH_BYTES + 64 * line));
            }
        }
    }

    /// Adds the products of group `g` to `y`.
    ///
    /// # Safety
    /// `group` is group `g` of tiles of the matrix, the block at the parts of M tokens.
    #[inline(always)]
    unsafe fn add_group<S: Simd, const T: usize, const M: usize>(
        &self,
        s: S,
        group: Group<S::F, T>,
        g: usize,
        y: &mut [[S::F; M]; T],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let codes = self.codes.add(g * M * RECORD);
            let scales = codes.add(GROUP * M).cast::<f32>();
            let sums = self.sums.add(g * M * X::HALVES);
            let mut terms = [[s.splat(0.0); M]; T];
            for half in 0..X::HALVES {
                let quads = match (X::HALVES, half) {
                    (1, _) => QuadRange::All,
                    (_, 0) => QuadRange::FirstHalf,
                    _ => QuadRange::SecondHalf,
                };
                let mut dots = [[s.splat_i32(0); M]; T];
                if !X::HAS_MIN {
                    for m in 0..M {
                        let start = s.splat_i32(sums.add(half * M + m).read().cast_signed());
                        for dots in &mut dots {
                            dots[m] = start;
                        }
                    }
                }
                if C::BITS == 8 {
                    let x = if S::WIDE_8BIT { self.wide.add(g * M * GROUP * 2) } else { codes };
                    s.dot8::<C, T, M>(group.at, quads, x, &mut dots);
                } else {
                    s.dot::<C, T, M>(group.at, quads, codes, &mut dots);
                }
                for t in 0..T {
                    let (head, tail) = (group.heads[t], group.at[t].add(C::GROUP_BYTES));
                    let scale =
                        Scale { scale: X::scale(s, head, tail, half), min: X::min(s, head, tail, half) };
                    // Each sum goes all the way at once: a register is free before the next one is needed.
                    for m in 0..M {
                        let sum = sums.wrapping_add(half * M + m);
                        let term = X::term(s, half, dots[t][m], scale, sum, terms[t][m]);
                        if half + 1 < X::HALVES {
                            terms[t][m] = term;
                        } else {
                            y[t][m] = s.fma(term, s.splat(scales.add(m).read_unaligned()), y[t][m]);
                        }
                    }
                }
            }
        }
    }
}
