//! Panels: the codes of one or two tiles, unpacked for the processor's matrix unit and used for a run of tokens.
//!
//! ```text
//! for each 4 groups of k, or 2 if scales are for 16:
//!   unpack: codes less their zero point, as signed bytes, and scales as f32       once for all tokens of the run
//!   for each block of up to 16 tokens:
//!     multiply: activations x codes -> sums, exact whole numbers                  the matrix unit
//!     add: y += (sum * scale + min * sum of the activations) * scale of the activations
//! ```
//!
//! All that a run touches stays in the first-level cache. The last step is the one that `quantised` has, so the bits are the same.

use super::quantised::{Block, groups_a_block};
use super::scales::{GroupScales, Scale};
use super::{TILES_MAX, Tiles};
use crate::activations::RECORD;
use crate::formats::Packing;
use crate::matrix::GROUP;
use crate::simd::{CodePlanes, LANES, Simd};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Groups that are unpacked together; half as many where a group has two scales.
const GROUPS: usize = 4;
/// Tokens whose results wait in the cache: whole blocks.
const TOKENS: usize = 96;
/// Tokens of a block at most.
const BLOCK: usize = 16;

/// 16 rows' f32 or i32.
const ROW_BYTES: usize = 4 * LANES;
/// A group's codes, one byte each.
const CODES: usize = LANES * GROUP;
/// Sums of products of a block with a tile over a group or a half of it: `[token][16]` i32.
const DOTS: usize = BLOCK * ROW_BYTES;

/// What a run of tokens needs beside weights and activations. It is written before it is read.
#[repr(C, align(64))]
struct Scratch {
    // [group][tile]
    codes: [u8; GROUPS * TILES_MAX * CODES],
    // [group][half][tile][scale, min]
    scales: [u8; GROUPS * 2 * TILES_MAX * 2 * ROW_BYTES],
    // [group][half][tile]
    dots: [u8; GROUPS * TILES_MAX * DOTS],
    // [token][tile]
    results: [u8; TOKENS * TILES_MAX * ROW_BYTES],
}

/// Where the parts of a scratch are.
#[derive(Clone, Copy)]
struct Panel {
    codes: *mut u8,
    scales: *mut u8,
    dots: *mut u8,
    results: *mut u8,
}

impl Tiles<'_> {
    /// The tokens whose blocks are the matrix unit's: all but a few at the end, or none.
    pub(super) fn unit_tokens(&self) -> Range<usize> {
        let (blocks, Range { start, end }) = (self.x.blocks(), self.tokens.clone());
        let is_quantised = matches!(self.weights.format().packing, Packing::Quantised { .. });
        if !blocks.are_of_a_unit() || !is_quantised {
            return start..start;
        }
        let rest = (end - start) % blocks.full();
        start..if blocks.is_unit_s(rest) { end } else { end - rest }
    }

    /// Computes the products of one or two tiles with the tokens, all of which are the matrix unit's.
    ///
    /// # Safety
    /// Between `unit_begin` and `unit_end`; `block` points at the parts of a block's tokens.
    #[inline(always)]
    pub(super) unsafe fn on_unit<S: Simd, C: CodePlanes, X: GroupScales>(
        &self,
        s: S,
        tiles: Range<usize>,
        block: &impl Fn(usize) -> Block<C, X>,
    ) {
        assert!(self.x.blocks().full() == BLOCK && TOKENS.is_multiple_of(BLOCK));
        let mut scratch = MaybeUninit::<Scratch>::uninit();
        let scratch = scratch.as_mut_ptr();
        let tile = |n: usize| self.weights.tile(tiles.start + n).as_ptr();
        // SAFETY: the caller's; `tile` points at tiles of the same matrix. The scratch outlives the panel.
        unsafe {
            let panel = Panel {
                codes: (&raw mut (*scratch).codes).cast(),
                scales: (&raw mut (*scratch).scales).cast(),
                dots: (&raw mut (*scratch).dots).cast(),
                results: (&raw mut (*scratch).results).cast(),
            };
            for first in self.tokens.clone().step_by(TOKENS) {
                let run = first..self.tokens.end.min(first + TOKENS);
                if tiles.len() == 2 {
                    self.run_of_tokens(s, panel, run, tiles.start, [tile(0), tile(1)], block);
                } else {
                    self.run_of_tokens(s, panel, run, tiles.start, [tile(0)], block);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn run_of_tokens<S: Simd, C: CodePlanes, X: GroupScales, const T: usize>(
        &self,
        s: S,
        panel: Panel,
        tokens: Range<usize>,
        first_tile: usize,
        tiles: [*const u8; T],
        block: &impl Fn(usize) -> Block<C, X>,
    ) {
        let (mut at, groups) = (tiles, block(tokens.start).groups);
        let mut heads = [(s.splat(0.0), s.splat(0.0)); T];
        for first in (0..groups).step_by(GROUPS / X::HALVES) {
            let part = first..groups.min(first + GROUPS / X::HALVES);
            // SAFETY: the caller's.
            unsafe {
                if first.is_multiple_of(groups_a_block::<X>()) {
                    for t in 0..T {
                        heads[t] = X::head(s, at[t]);
                        at[t] = at[t].add(X::HEADER_BYTES);
                    }
                }
                block(tokens.start).unpack(s, part.len(), &heads, &mut at, panel);
                for token in tokens.clone().step_by(BLOCK) {
                    let results = panel.results.add((token - tokens.start) * TILES_MAX * ROW_BYTES);
                    let part = Part {
                        block: block(token),
                        tokens: BLOCK.min(tokens.end - token),
                        first,
                        groups: part.len(),
                        panel: Panel { results, ..panel },
                    };
                    part.multiply::<S, T>(s);
                    part.add_all::<S, T>(s);
                }
            }
        }
        for token in tokens.clone() {
            for t in 0..T {
                let at = (token - tokens.start) * TILES_MAX + t;
                // SAFETY: the results of all groups are there.
                unsafe {
                    let y = s.load(panel.results.add(at * ROW_BYTES).cast());
                    self.out(token, first_tile + t).put(s, 0, y);
                }
            }
        }
    }
}

/// Bytes of the unpacked scales of a group.
const fn scales_bytes<X: GroupScales>() -> usize {
    X::HALVES * TILES_MAX * 2 * ROW_BYTES
}

impl<C: CodePlanes, X: GroupScales> Block<C, X> {
    /// Unpacks `groups` groups of T tiles and goes on to the next.
    #[inline(always)]
    unsafe fn unpack<S: Simd, const T: usize>(
        &self,
        s: S,
        groups: usize,
        heads: &[(S::F, S::F); T],
        at: &mut [*const u8; T],
        panel: Panel,
    ) {
        // SAFETY: the caller's: tiles are laid out like this; the panel has room for `GROUPS`.
        unsafe {
            for t in 0..T {
                let mut codes = panel.codes.add(t * CODES);
                let mut scales = panel.scales.add(t * 2 * ROW_BYTES);
                for _ in 0..groups {
                    if self.fetch {
                        self.prefetch(s, [at[t]]);
                    }
                    let zero = self.zero_point;
                    s.unit_quad(C::quad::<S, 0>(s, at[t]), zero, codes);
                    s.unit_quad(C::quad::<S, 1>(s, at[t]), zero, codes.add(64));
                    s.unit_quad(C::quad::<S, 2>(s, at[t]), zero, codes.add(2 * 64));
                    s.unit_quad(C::quad::<S, 3>(s, at[t]), zero, codes.add(3 * 64));
                    s.unit_quad(C::quad::<S, 4>(s, at[t]), zero, codes.add(4 * 64));
                    s.unit_quad(C::quad::<S, 5>(s, at[t]), zero, codes.add(5 * 64));
                    s.unit_quad(C::quad::<S, 6>(s, at[t]), zero, codes.add(6 * 64));
                    s.unit_quad(C::quad::<S, 7>(s, at[t]), zero, codes.add(7 * 64));
                    codes = codes.add(TILES_MAX * CODES);
                    let tail = at[t].add(C::GROUP_BYTES);
                    for half in 0..X::HALVES {
                        let to = scales.add(half * TILES_MAX * 2 * ROW_BYTES);
                        s.store(X::scale(s, heads[t], tail, half), to.cast());
                        if X::HAS_MIN {
                            s.store(X::min(s, heads[t], tail, half), to.add(ROW_BYTES).cast());
                        }
                    }
                    scales = scales.add(scales_bytes::<X>());
                    at[t] = tail.add(X::TAIL_BYTES);
                }
            }
        }
    }
}

/// Some groups of a block of tokens, and what is unpacked of them.
struct Part<C, X> {
    block: Block<C, X>,
    tokens: usize,
    first: usize,
    groups: usize,
    panel: Panel,
}

impl<C: CodePlanes, X: GroupScales> Part<C, X> {
    /// The sums of products, for T tiles.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const T: usize>(&self, s: S) {
        // SAFETY: the caller's.
        unsafe {
            let record = self.tokens * RECORD;
            let mut acts = self.block.codes.add(self.first * record);
            let (mut codes, mut dots) = (self.panel.codes, self.panel.dots);
            for _ in 0..self.groups {
                for half in 0..X::HALVES {
                    let mut quads = [codes.add(half * CODES / 2).cast_const(); T];
                    let mut to = [dots.cast::<i32>(); T];
                    for t in 1..T {
                        quads[t] = quads[0].add(t * CODES);
                        to[t] = dots.add(t * DOTS).cast();
                    }
                    s.unit_products(acts.add(half * GROUP / 2), quads, to);
                    dots = dots.add(TILES_MAX * DOTS);
                }
                acts = acts.add(record);
                codes = codes.add(TILES_MAX * CODES);
            }
        }
    }

    /// Adds the terms of the block, some tokens at a time: what the registers hold.
    #[inline(always)]
    unsafe fn add_all<S: Simd, const T: usize>(&self, s: S) {
        let mut token = 0;
        // SAFETY: the caller's.
        unsafe {
            while token + 8 <= self.tokens {
                self.add::<S, T, 8>(s, token);
                token += 8;
            }
            while token + 2 <= self.tokens {
                self.add::<S, T, 2>(s, token);
                token += 2;
            }
            if token < self.tokens {
                self.add::<S, T, 1>(s, token);
            }
        }
    }

    /// Adds the terms of the block's M tokens from `token` on.
    #[inline(always)]
    unsafe fn add<S: Simd, const T: usize, const M: usize>(&self, s: S, token: usize) {
        // SAFETY: the caller's.
        unsafe {
            let results = self.panel.results.add(token * TILES_MAX * ROW_BYTES);
            let place = |t: usize, m: usize| results.add((m * TILES_MAX + t) * ROW_BYTES).cast::<f32>();
            let mut y = [[s.splat(0.0); M]; T];
            if self.first > 0 {
                for (t, y) in y.iter_mut().enumerate() {
                    for (m, y) in y.iter_mut().enumerate() {
                        *y = s.load(place(t, m));
                    }
                }
            }
            let record = self.tokens * RECORD;
            let mut x =
                self.block.codes.add(self.first * record + GROUP * self.tokens).cast::<f32>().add(token);
            let mut sums = self.block.sums.add(self.first * self.tokens * X::HALVES + token);
            let mut scales = self.panel.scales;
            let mut dots = self.panel.dots.add(token * ROW_BYTES);
            for _ in 0..self.groups {
                let mut scale = [[Scale { scale: s.splat(0.0), min: s.splat(0.0) }; T]; 2];
                for (half, scale) in scale[..X::HALVES].iter_mut().enumerate() {
                    for (t, scale) in scale.iter_mut().enumerate() {
                        let from = scales.add((half * TILES_MAX + t) * 2 * ROW_BYTES);
                        scale.scale = s.load(from.cast());
                        if X::HAS_MIN {
                            scale.min = s.load(from.add(ROW_BYTES).cast());
                        }
                    }
                }
                for m in 0..M {
                    let x = s.splat(x.add(m).read_unaligned());
                    for (t, y) in y.iter_mut().enumerate() {
                        let mut term = s.splat(0.0);
                        for (half, scale) in scale[..X::HALVES].iter().enumerate() {
                            let dot = dots.add((half * TILES_MAX + t) * DOTS + m * ROW_BYTES);
                            let sum = sums.wrapping_add(half * self.tokens + m);
                            term = X::term(s, half, s.load_i32(dot.cast()), scale[t], sum, term);
                        }
                        y[m] = s.fma(term, x, y[m]);
                    }
                }
                x = x.cast::<u8>().add(record).cast();
                sums = sums.wrapping_add(self.tokens * X::HALVES);
                scales = scales.add(scales_bytes::<X>());
                dots = dots.add(X::HALVES * TILES_MAX * DOTS);
            }
            for (t, y) in y.iter().enumerate() {
                for (m, y) in y.iter().enumerate() {
                    s.store(*y, place(t, m));
                }
            }
        }
    }
}
