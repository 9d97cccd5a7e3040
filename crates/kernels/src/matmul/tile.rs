//! The micro-kernel: one or two tiles of 16 rows times a run of tokens, M tokens at a time.
//!
//! For each group of 32 k the codes are unpacked once and used for M tokens; where the registers hold two tiles,
//! an activation is loaded once for both. Within a group the sums are
//! whole numbers and exact; the groups are added in the order of k:
//! `y += (sum * scale - min * sum of the activations) * scale of the activations`.

use crate::activations::{Activations, RECORD, block_at, is_8bit, sum_kind};
use crate::codes::{Bits2, Bits3, Bits4, Bits5, Bits6, Bits8, TableIq4, TableMxfp4};
use crate::formats::{Float, Packing};
use crate::layout::{Codes, Layout, MXFP4_VALUES, Scales};
use crate::matrix::{GROUP, Matrix};
use crate::simd::{CodePlanes, LANES, Op, QuadRange, Simd};
use std::ops::Range;

/// What to do with what is in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Store,
    Add,
}

/// The products of one or two neighbouring tiles with some tokens.
pub(super) struct Tiles<'a> {
    pub(super) weights: &'a Matrix,
    pub(super) first: usize,
    /// At most `TILES_MAX`.
    pub(super) count: usize,
    pub(super) x: &'a Activations,
    /// Starts at a block of the activations.
    pub(super) tokens: Range<usize>,
    /// The first tile's first element for the first of `tokens`; as many rows as the matrix has are written.
    pub(super) out: *mut f32,
    /// From one token's elements to the next one's.
    pub(super) stride: usize,
    pub(super) write: Write,
}

/// Tiles that an operation may ask for together.
pub(super) const TILES_MAX: usize = 2;

/// How far ahead of its use a weight is fetched from memory.
const PREFETCH_BYTES: usize = 2048;

impl Op for Tiles<'_> {
    type Out = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        assert!((1..=TILES_MAX).contains(&self.count));
        assert!(self.tokens.start.is_multiple_of(self.x.block()) && self.tokens.end <= self.x.rows());
        match &self.weights.format().packing {
            Packing::Float(Float::F32) => self.float::<S, PlainF32>(s),
            Packing::Float(Float::F16) => self.float::<S, PlainF16>(s),
            Packing::Float(Float::Bf16) => self.float::<S, PlainBf16>(s),
            Packing::Quantised { layout, .. } => self.quantised(s, layout),
        }
    }
}

impl Tiles<'_> {
    #[inline(always)]
    fn quantised<S: Simd>(self, s: S, layout: &Layout) {
        use Scales::{E8m0, F16, F16Min, Super, SuperMin};
        match (&layout.codes, layout.scales) {
            (Codes::Linear { bits: 4, .. }, F16) => self.run::<S, Bits4, ScaleF16>(s, layout),
            (Codes::Linear { bits: 4, .. }, F16Min) => self.run::<S, Bits4, ScaleF16Min>(s, layout),
            (Codes::Linear { bits: 4, .. }, SuperMin) => self.run::<S, Bits4, SuperMin32>(s, layout),
            (Codes::Linear { bits: 5, .. }, F16) => self.run::<S, Bits5, ScaleF16>(s, layout),
            (Codes::Linear { bits: 5, .. }, F16Min) => self.run::<S, Bits5, ScaleF16Min>(s, layout),
            (Codes::Linear { bits: 5, .. }, SuperMin) => self.run::<S, Bits5, SuperMin32>(s, layout),
            (Codes::Linear { bits: 8, .. }, F16) => self.run::<S, Bits8, ScaleF16>(s, layout),
            (Codes::Linear { bits: 6, .. }, Super) => self.run::<S, Bits6, Super16>(s, layout),
            (Codes::Linear { bits: 3, .. }, Super) => self.run::<S, Bits3, Super16>(s, layout),
            (Codes::Linear { bits: 2, .. }, SuperMin) => self.run::<S, Bits2, SuperMin16>(s, layout),
            (Codes::Table(_), F16) => self.run::<S, TableIq4, ScaleF16>(s, layout),
            (Codes::Table(_), Super) => self.run::<S, TableIq4, Super32>(s, layout),
            (Codes::Table(values), E8m0) if **values == MXFP4_VALUES => {
                self.run::<S, TableMxfp4, ScaleBf16>(s, layout);
            }
            _ => unreachable!("the tests multiply every format of the table: {}", layout.name),
        }
    }

    #[inline(always)]
    fn run<S: Simd, C: CodePlanes, X: GroupScales>(self, s: S, layout: &Layout) {
        let halves = GROUP / layout.group_len;
        assert_eq!(X::HALVES, halves, "groups of {}", layout.name);
        let groups = self.x.columns() / GROUP;
        let (kind, wide) = (sum_kind(layout), is_8bit(layout) && S::WIDE_8BIT);
        let tokens = self.x.rows() * groups;
        assert!(self.x.codes.len() >= tokens * RECORD && self.x.sums[kind].len() >= tokens * halves);
        assert!(!wide || self.x.wide.len() >= tokens * GROUP, "the activations were not widened");
        self.blocks(s, |token| {
            // SAFETY: the asserts above; a block's part starts at its first token's place.
            unsafe {
                Block {
                    groups,
                    fetch: token == self.tokens.start,
                    codes: self.x.codes.as_ptr().add(token * groups * RECORD),
                    wide: self.x.wide.as_ptr().cast::<u8>().wrapping_add(token * groups * GROUP * 2),
                    sums: self.x.sums[kind].as_ptr().add(token * groups * halves),
                    kernel: std::marker::PhantomData::<(C, X)>,
                }
            }
        });
    }

    #[inline(always)]
    fn float<S: Simd, P: Plain>(self, s: S) {
        let columns = self.x.columns();
        assert!(self.x.float.len() >= self.x.rows() * columns, "the activations were not kept in f32");
        self.blocks(s, |token| FloatBlock {
            columns,
            x: self.x.float[token * columns..].as_ptr(),
            kernel: std::marker::PhantomData::<P>,
        });
    }

    /// Calls the kernel for each block of tokens and writes its results.
    #[inline(always)]
    fn blocks<S: Simd, K: Kernel>(&self, s: S, kernel: impl Fn(usize) -> K) {
        let tile = |n: usize| self.weights.tile(self.first + n).as_ptr();
        let mut token = self.tokens.start;
        while token < self.tokens.end {
            let tokens = block_at(self.x.block(), self.x.rows(), token).len();
            assert!(token + tokens <= self.tokens.end, "a run of tokens ends with a block");
            let start = self.out.wrapping_add((token - self.tokens.start) * self.stride);
            let out = |n: usize| Out {
                start: start.wrapping_add(n * LANES),
                stride: self.stride,
                rows: (self.weights.rows() - (self.first + n) * LANES).min(LANES),
                write: self.write,
            };
            let kernel = kernel(token);
            // SAFETY: `kernel` points at the parts of this block, `tile` at tiles of the same matrix.
            unsafe {
                if self.count == 2 && tokens == S::TOKENS_MAX && S::TWO_TILES {
                    two_tiles(s, &kernel, [tile(0), tile(1)], [out(0), out(1)]);
                } else {
                    for n in 0..self.count {
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
        } else if S::TOKENS_MAX >= 4 {
            match tokens {
                2 => kernel.compute::<S, 1, 2>(s, [tile], [out]),
                4 => kernel.compute::<S, 1, 4>(s, [tile], [out]),
                8 => eight(s, kernel, tile, out),
                tokens => unreachable!("no instruction set has blocks of {tokens} tokens"),
            }
        }
    }
}

#[inline(always)]
unsafe fn eight<S: Simd, K: Kernel>(s: S, kernel: &K, tile: *const u8, out: Out) {
    if S::TOKENS_MAX >= 8 {
        // SAFETY: the caller's.
        unsafe { kernel.compute::<S, 1, 8>(s, [tile], [out]) }
    }
}

#[inline(always)]
unsafe fn two_tiles<S: Simd, K: Kernel>(s: S, kernel: &K, tiles: [*const u8; 2], out: [Out; 2]) {
    if S::TWO_TILES {
        const { assert!(!S::TWO_TILES || S::TOKENS_MAX == 8) };
        // SAFETY: the caller's.
        unsafe { kernel.compute::<S, 2, 8>(s, tiles, out) }
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

/// A block of quantised tokens.
struct Block<C, X> {
    groups: usize,
    /// Whether the weights may still lie in memory: their first use.
    fetch: bool,
    codes: *const u8,
    wide: *const u8,
    sums: *const u32,
    kernel: std::marker::PhantomData<(C, X)>,
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
        // Two tiles leave no registers for `y`. Behind an opaque pointer it stays in memory, where an addition
        // costs a load and a store; the compiler's own way out is to copy all of it for every group.
        let y = &mut y;
        let mut at = tiles;
        let per_block = if X::HEADER_BYTES > 0 { 8 } else { 1 };
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
                    self.group::<S, T, M>(s, at, heads, block * per_block + g, y);
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

impl<C: CodePlanes, X: GroupScales> Block<C, X> {
    /// Adds one group's products to `y`.
    #[inline(always)]
    unsafe fn group<S: Simd, const T: usize, const M: usize>(
        &self,
        s: S,
        at: [*const u8; T],
        heads: [(S::F, S::F); T],
        g: usize,
        y: &mut [[S::F; M]; T],
    ) {
        // SAFETY: the caller's: group `g` of the tiles is at `at`.
        unsafe {
            let codes = self.codes.add(g * M * RECORD);
            let scales = codes.add(GROUP * M).cast::<f32>();
            let sums = self.sums.add(g * M * X::HALVES);
            if M <= 4 || self.fetch {
                for at in at {
                    for line in 0..(C::GROUP_BYTES + X::TAIL_BYTES).div_ceil(64) {
                        s.prefetch(at.wrapping_add(PREFETCH_BYTES + 64 * line));
                    }
                }
            }
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
                    s.dot8::<C, T, M>(at, quads, x, &mut dots);
                } else {
                    s.dot::<C, T, M>(at, quads, codes, &mut dots);
                }
                for t in 0..T {
                    let tail = at[t].add(C::GROUP_BYTES);
                    let (scale, min) = (X::scale(s, heads[t], tail, half), X::min(s, heads[t], tail, half));
                    // Each sum goes all the way at once: a register is free before the next one is needed.
                    for m in 0..M {
                        let dot = s.to_float(dots[t][m]);
                        let mut term = if half == 0 { s.mul(dot, scale) } else { s.fma(dot, scale, terms[t][m]) };
                        if X::HAS_MIN {
                            let sum = s.splat(f32::from_bits(sums.add(half * M + m).read()));
                            term = s.fma(min, sum, term);
                        }
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

/// How a group's scales are read. `head` is what a block of 256 starts with, `tail` what follows the codes.
trait GroupScales {
    const HALVES: usize;
    const HEADER_BYTES: usize;
    const TAIL_BYTES: usize;
    const HAS_MIN: bool;

    #[inline(always)]
    unsafe fn head<S: Simd>(s: S, _head: *const u8) -> (S::F, S::F) {
        (s.splat(0.0), s.splat(0.0))
    }
    unsafe fn scale<S: Simd>(s: S, head: (S::F, S::F), tail: *const u8, half: usize) -> S::F;
    /// What is *added* for each unit of the activations' sum.
    #[inline(always)]
    unsafe fn min<S: Simd>(s: S, _head: (S::F, S::F), _tail: *const u8, _half: usize) -> S::F {
        s.splat(0.0)
    }
}

struct ScaleF16;
impl GroupScales for ScaleF16 {
    const HALVES: usize = 1;
    const HEADER_BYTES: usize = 0;
    const TAIL_BYTES: usize = 32;
    const HAS_MIN: bool = false;

    #[inline(always)]
    unsafe fn scale<S: Simd>(s: S, _head: (S::F, S::F), tail: *const u8, _half: usize) -> S::F {
        // SAFETY: 16 f16 follow the codes.
        unsafe { s.load_f16(tail.cast()) }
    }
}

struct ScaleBf16;
impl GroupScales for ScaleBf16 {
    const HALVES: usize = 1;
    const HEADER_BYTES: usize = 0;
    const TAIL_BYTES: usize = 32;
    const HAS_MIN: bool = false;

    #[inline(always)]
    unsafe fn scale<S: Simd>(s: S, _head: (S::F, S::F), tail: *const u8, _half: usize) -> S::F {
        // SAFETY: 16 bf16 follow the codes.
        unsafe { s.load_bf16(tail.cast()) }
    }
}

struct ScaleF16Min;
impl GroupScales for ScaleF16Min {
    const HALVES: usize = 1;
    const HEADER_BYTES: usize = 0;
    const TAIL_BYTES: usize = 64;
    const HAS_MIN: bool = true;

    #[inline(always)]
    unsafe fn scale<S: Simd>(s: S, _head: (S::F, S::F), tail: *const u8, _half: usize) -> S::F {
        // SAFETY: 16 f16 follow the codes.
        unsafe { s.load_f16(tail.cast()) }
    }
    #[inline(always)]
    unsafe fn min<S: Simd>(s: S, _head: (S::F, S::F), tail: *const u8, _half: usize) -> S::F {
        // SAFETY: 16 more f16 follow the scales.
        unsafe { s.load_f16(tail.add(32).cast()) }
    }
}

/// Blocks of 256 with signed byte scales, N of them a group.
struct SuperScales<const N: usize>;
type Super32 = SuperScales<1>;
type Super16 = SuperScales<2>;
impl<const N: usize> GroupScales for SuperScales<N> {
    const HALVES: usize = N;
    const HEADER_BYTES: usize = 32;
    const TAIL_BYTES: usize = 16 * N;
    const HAS_MIN: bool = false;

    #[inline(always)]
    unsafe fn head<S: Simd>(s: S, head: *const u8) -> (S::F, S::F) {
        // SAFETY: a block starts with 16 f16.
        unsafe { (s.load_f16(head.cast()), s.splat(0.0)) }
    }
    #[inline(always)]
    unsafe fn scale<S: Simd>(s: S, head: (S::F, S::F), tail: *const u8, half: usize) -> S::F {
        // SAFETY: N x 16 bytes follow the codes.
        unsafe { s.mul(head.0, s.load_i8(tail.add(16 * half).cast())) }
    }
}

/// Blocks of 256 with byte scales and minimums, N of each a group.
struct SuperMins<const N: usize>;
type SuperMin32 = SuperMins<1>;
type SuperMin16 = SuperMins<2>;
impl<const N: usize> GroupScales for SuperMins<N> {
    const HALVES: usize = N;
    const HEADER_BYTES: usize = 64;
    const TAIL_BYTES: usize = 32 * N;
    const HAS_MIN: bool = true;

    #[inline(always)]
    unsafe fn head<S: Simd>(s: S, head: *const u8) -> (S::F, S::F) {
        // SAFETY: a block starts with 32 f16. The minimums are subtracted: their scale changes its sign.
        unsafe { (s.load_f16(head.cast()), s.mul(s.load_f16(head.add(32).cast()), s.splat(-1.0))) }
    }
    #[inline(always)]
    unsafe fn scale<S: Simd>(s: S, head: (S::F, S::F), tail: *const u8, half: usize) -> S::F {
        // SAFETY: N x 16 bytes follow the codes.
        unsafe { s.mul(head.0, s.load_i8(tail.add(16 * half).cast())) }
    }
    #[inline(always)]
    unsafe fn min<S: Simd>(s: S, head: (S::F, S::F), tail: *const u8, half: usize) -> S::F {
        // SAFETY: N x 16 bytes follow the scales.
        unsafe { s.mul(head.1, s.load_u8(tail.add(16 * (N + half)))) }
    }
}

/// A block of plain tokens.
struct FloatBlock<P> {
    columns: usize,
    x: *const f32,
    kernel: std::marker::PhantomData<P>,
}

impl<P: Plain> Kernel for FloatBlock<P> {
    #[inline(always)]
    unsafe fn compute<S: Simd, const T: usize, const M: usize>(
        &self,
        s: S,
        tiles: [*const u8; T],
        out: [Out; T],
    ) {
        let mut y = [[s.splat(0.0); M]; T];
        // SAFETY: a tile has 16 numbers for each k, each token `columns` numbers.
        unsafe {
            for k in 0..self.columns {
                let mut weights = [P::load(s, tiles[0], k); T];
                for t in 1..T {
                    weights[t] = P::load(s, tiles[t], k);
                }
                for m in 0..M {
                    let x = s.splat(*self.x.add(m * self.columns + k));
                    for (y, weights) in y.iter_mut().zip(weights) {
                        y[m] = s.fma(weights, x, y[m]);
                    }
                }
            }
            for (y, out) in y.into_iter().zip(out) {
                for (token, y) in y.into_iter().enumerate() {
                    out.put(s, token, y);
                }
            }
        }
    }
}

/// A plain number format.
trait Plain {
    unsafe fn load<S: Simd>(s: S, tile: *const u8, k: usize) -> S::F;
}

macro_rules! plain {
    ($($name:ident $load:ident $number:ty;)*) => {$(
        struct $name;
        impl Plain for $name {
            #[inline(always)]
            unsafe fn load<S: Simd>(s: S, tile: *const u8, k: usize) -> S::F {
                // SAFETY: the caller's: the tile has 16 numbers for each k.
                unsafe { s.$load(tile.cast::<$number>().add(k * LANES)) }
            }
        }
    )*};
}

plain! {
    PlainF32 load f32;
    PlainF16 load_f16 u16;
    PlainBf16 load_bf16 u16;
}
