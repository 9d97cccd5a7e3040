//! The micro-kernel: one or two tiles of 16 rows times a run of tokens, M tokens at a time.
//!
//! For each group of 32 k the codes are unpacked once and used for M tokens; where the registers hold two tiles,
//! an activation is loaded once for both.

mod panel;
mod plain;
mod quantised;
mod scales;

use crate::activations::{Activations, Blocks, RECORD, UNIT_BEYOND, is_8bit, sum_kind, zero_point};
use crate::codes::{Bits2, Bits3, Bits4, Bits5, Bits6, Bits8, TableIq4, TableMxfp4};
use crate::cpu::Cpu;
use crate::formats::{Float, Packing};
use crate::layout::{Codes, Layout, MXFP4_VALUES, Scales};
use crate::matrix::{GROUP, Matrix};
use crate::simd::{CodePlanes, LANES, Op, Simd};
use plain::{FloatBlock, Plain, PlainBf16, PlainF16, PlainF32};
use quantised::Block;
use scales::*;
use std::marker::PhantomData;
use std::ops::Range;

/// What to do with what is in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Store,
    Add,
}

/// The products of neighbouring tiles with some tokens.
pub(super) struct Tiles<'a> {
    pub(super) weights: &'a Matrix,
    pub(super) tiles: Range<usize>,
    pub(super) x: &'a Activations,
    /// Starts at a block of the activations.
    pub(super) tokens: Range<usize>,
    /// The first tile's first element for the first of `tokens`; as many rows as the matrix has are written.
    pub(super) out: *mut f32,
    /// From one token's elements to the next one's.
    pub(super) stride: usize,
    pub(super) write: Write,
}

/// Tiles that are computed together.
pub(super) const TILES_MAX: usize = 2;

impl Tiles<'_> {
    /// Computes them: what is the matrix unit's with it, the rest with vectors.
    pub(super) fn compute(self, cpu: &Cpu) {
        assert!(self.tokens.start.is_multiple_of(self.x.blocks().full()) && self.tokens.end <= self.x.rows());
        let unit = self.unit_tokens();
        let rest = unit.end..self.tokens.end;
        if !unit.is_empty() {
            cpu.dispatch(OnUnit(Tiles { tokens: unit, tiles: self.tiles.clone(), ..self }));
        }
        if !rest.is_empty() {
            let out = self.out.wrapping_add((rest.start - self.tokens.start) * self.stride);
            cpu.dispatch(Tiles { tokens: rest, out, ..self });
        }
    }
}

/// With vectors.
impl Op for Tiles<'_> {
    type Out = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        match &self.weights.format().packing {
            Packing::Float(Float::F32) => self.float::<S, PlainF32>(s),
            Packing::Float(Float::F16) => self.float::<S, PlainF16>(s),
            Packing::Float(Float::Bf16) => self.float::<S, PlainBf16>(s),
            Packing::Quantised { layout, .. } => self.quantised::<S, false>(s, layout),
        }
    }
}

/// With the matrix unit.
struct OnUnit<'a>(Tiles<'a>);

impl Op for OnUnit<'_> {
    type Out = ();
    const ON_UNIT: bool = true;

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        match &self.0.weights.format().packing {
            // Nothing of it is compiled where there is no unit.
            Packing::Quantised { layout, .. } if const { S::UNIT.is_some() } => {
                self.0.quantised::<S, true>(s, layout);
            }
            _ => unreachable!("`unit_tokens` gave it no tokens"),
        }
    }
}

impl Tiles<'_> {
    #[inline(always)]
    fn quantised<S: Simd, const UNIT: bool>(self, s: S, layout: &Layout) {
        use Scales::{E8m0, F16, F16Min, Super, SuperMin};
        match (&layout.codes, layout.scales) {
            (Codes::Linear { bits: 4, .. }, F16) => self.run::<S, Bits4, ScaleF16, UNIT>(s, layout),
            (Codes::Linear { bits: 4, .. }, F16Min) => self.run::<S, Bits4, ScaleF16Min, UNIT>(s, layout),
            (Codes::Linear { bits: 4, .. }, SuperMin) => self.run::<S, Bits4, SuperMin32, UNIT>(s, layout),
            (Codes::Linear { bits: 5, .. }, F16) => self.run::<S, Bits5, ScaleF16, UNIT>(s, layout),
            (Codes::Linear { bits: 5, .. }, F16Min) => self.run::<S, Bits5, ScaleF16Min, UNIT>(s, layout),
            (Codes::Linear { bits: 5, .. }, SuperMin) => self.run::<S, Bits5, SuperMin32, UNIT>(s, layout),
            (Codes::Linear { bits: 8, .. }, F16) => self.run::<S, Bits8, ScaleF16, UNIT>(s, layout),
            (Codes::Linear { bits: 6, .. }, Super) => self.run::<S, Bits6, Super16, UNIT>(s, layout),
            (Codes::Linear { bits: 3, .. }, Super) => self.run::<S, Bits3, Super16, UNIT>(s, layout),
            (Codes::Linear { bits: 2, .. }, SuperMin) => self.run::<S, Bits2, SuperMin16, UNIT>(s, layout),
            (Codes::Table(_), F16) => self.run::<S, TableIq4, ScaleF16, UNIT>(s, layout),
            (Codes::Table(_), Super) => self.run::<S, TableIq4, Super32, UNIT>(s, layout),
            (Codes::Table(values), E8m0) if **values == MXFP4_VALUES => {
                self.run::<S, TableMxfp4, ScaleBf16, UNIT>(s, layout);
            }
            _ => unreachable!("the tests multiply every format of the table: {}", layout.name),
        }
    }

    #[inline(always)]
    fn run<S: Simd, C: CodePlanes, X: GroupScales, const UNIT: bool>(self, s: S, layout: &Layout) {
        let halves = GROUP / layout.group_len;
        assert_eq!(X::HALVES, halves, "groups of {}", layout.name);
        let groups = self.x.columns() / GROUP;
        let (kind, wide) = (sum_kind(layout), is_8bit(layout) && S::WIDE_8BIT);
        let tokens = self.x.rows() * groups;
        assert!(
            self.x.codes.len() >= tokens * RECORD + UNIT_BEYOND && self.x.sums[kind].len() >= tokens * halves
        );
        assert!(!wide || self.x.wide.len() >= tokens * GROUP, "the activations were not widened");
        let block = |token: usize| {
            // SAFETY: the asserts above; a block's part starts at its first token's place.
            unsafe {
                Block {
                    groups,
                    zero_point: zero_point(layout).unwrap_or(0),
                    fetch: token == self.tokens.start,
                    codes: self.x.codes.as_ptr().add(token * groups * RECORD),
                    wide: self.x.wide.as_ptr().cast::<u8>().wrapping_add(token * groups * GROUP * 2),
                    sums: self.x.sums[kind].as_ptr().add(token * groups * halves),
                    kernel: PhantomData::<(C, X)>,
                }
            }
        };
        // No closures here, as in `quantised`.
        if UNIT {
            // SAFETY: `block` points at the parts of blocks; the unit is given back.
            unsafe {
                s.unit_begin(X::HALVES);
                for tiles in self.pairs() {
                    self.on_unit(s, tiles, &block);
                }
                s.unit_end();
            }
        } else {
            for tiles in self.pairs() {
                self.blocks(s, tiles, block);
            }
        }
    }

    #[inline(always)]
    fn float<S: Simd, P: Plain>(self, s: S) {
        let columns = self.x.columns();
        assert!(self.x.float.len() >= self.x.rows() * columns, "the activations were not kept in f32");
        for tiles in self.pairs() {
            self.blocks(s, tiles, |token| FloatBlock {
                columns,
                x: self.x.float[token * columns..].as_ptr(),
                kernel: PhantomData::<P>,
            });
        }
    }

    /// Where the products of `tile` and the tokens from `token` on go.
    #[inline(always)]
    fn out(&self, token: usize, tile: usize) -> Out {
        let at = (token - self.tokens.start) * self.stride + (tile - self.tiles.start) * LANES;
        Out {
            start: self.out.wrapping_add(at),
            stride: self.stride,
            rows: (self.weights.rows() - tile * LANES).min(LANES),
            write: self.write,
        }
    }

    /// The tiles, two at a time.
    fn pairs(&self) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = self.tiles;
        (start..end).step_by(TILES_MAX).map(move |first| first..end.min(first + TILES_MAX))
    }

    /// Calls the kernel of one or two tiles for each block of tokens and writes its results.
    #[inline(always)]
    fn blocks<S: Simd, K: Kernel>(&self, s: S, tiles: Range<usize>, kernel: impl Fn(usize) -> K) {
        let tile = |n: usize| self.weights.tile(tiles.start + n).as_ptr();
        let (first, all) = (self.tokens.start, self.tokens.len());
        let mut token = first;
        while token < self.tokens.end {
            let tokens = Blocks::vectors::<S>().at(all, token - first).len();
            let out = |n: usize| self.out(token, tiles.start + n);
            let kernel = kernel(token);
            // SAFETY: `kernel` points at the parts of this block, `tile` at tiles of the same matrix.
            unsafe {
                if const { S::TWO_TILES } && tiles.len() == 2 && tokens == S::TOKENS_MAX {
                    two_tiles(s, &kernel, [tile(0), tile(1)], [out(0), out(1)]);
                } else {
                    for n in 0..tiles.len() {
                        one_tile(s, &kernel, tokens, tile(n), out(n));
                    }
                }
            }
            token += tokens;
        }
    }
}

/// A tile and a block of tokens. What an instruction set has no blocks of is not compiled for it.
#[inline(always)]
unsafe fn one_tile<S: Simd, K: Kernel>(s: S, kernel: &K, tokens: usize, tile: *const u8, out: Out) {
    // SAFETY: the caller's.
    unsafe {
        if tokens == 1 {
            kernel.compute::<S, 1, 1>(s, [tile], [out]);
        } else if const { S::TOKENS_MAX >= 4 } {
            match tokens {
                2 => kernel.compute::<S, 1, 2>(s, [tile], [out]),
                4 => kernel.compute::<S, 1, 4>(s, [tile], [out]),
                6 => six(s, kernel, tile, out),
                tokens => unreachable!("no instruction set has blocks of {tokens} tokens"),
            }
        }
    }
}

#[inline(always)]
unsafe fn six<S: Simd, K: Kernel>(s: S, kernel: &K, tile: *const u8, out: Out) {
    if const { S::TOKENS_MAX >= 6 } {
        // SAFETY: the caller's.
        unsafe { kernel.compute::<S, 1, 6>(s, [tile], [out]) }
    }
}

#[inline(always)]
unsafe fn two_tiles<S: Simd, K: Kernel>(s: S, kernel: &K, tiles: [*const u8; 2], out: [Out; 2]) {
    if const { S::TWO_TILES } {
        const { assert!(!S::TWO_TILES || S::TOKENS_MAX == 6) };
        // SAFETY: the caller's.
        unsafe { kernel.compute::<S, 2, 6>(s, tiles, out) }
    }
}

/// Where a block's results go.
#[derive(Debug, Clone, Copy)]
struct Out {
    start: *mut f32,
    stride: usize,
    rows: usize,
    write: Write,
}

impl Out {
    /// Writes one token's 16 elements, or as many as there are rows.
    #[inline(always)]
    unsafe fn put<S: Simd>(self, s: S, token: usize, y: S::F) {
        let to = self.start.wrapping_add(token * self.stride);
        // SAFETY: `Tile::out` has room for `rows` elements of each token.
        unsafe {
            if self.rows == LANES {
                s.store(if self.write == Write::Add { s.add(s.load(to), y) } else { y }, to);
                return;
            }
            let mut all = [0.0; LANES];
            s.store(y, all.as_mut_ptr());
            for (i, y) in all[..self.rows].iter().enumerate() {
                *to.add(i) = if self.write == Write::Add { *to.add(i) + y } else { *y };
            }
        }
    }
}

/// T tiles times M tokens.
trait Kernel {
    /// # Safety
    /// The kernel's pointers are those of M tokens, `tiles` are tiles of the matrix.
    unsafe fn compute<S: Simd, const T: usize, const M: usize>(
        &self,
        s: S,
        tiles: [*const u8; T],
        out: [Out; T],
    );
}
