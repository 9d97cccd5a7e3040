//! How the scales and minimums of a group are stored beside its codes, for each kind of packed layout.

use crate::simd::Simd;

/// How a group's scales are read. `head` is what a block of 256 starts with, `tail` what follows the codes.
pub(super) trait GroupScales {
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

    /// A group's term after one more of its halves: `dot` are the sums of its products, `min` times the sum of its
    /// activations is added. The one order of operations for every kernel.
    ///
    /// # Safety
    /// With minimums, `sum` points at the sum of the half's activations.
    #[inline(always)]
    unsafe fn term<S: Simd>(
        s: S,
        half: usize,
        dot: S::I,
        scale: Scale<S::F>,
        sum: *const u32,
        term: S::F,
    ) -> S::F {
        let dot = s.to_float(dot);
        let term = if half == 0 { s.mul(dot, scale.scale) } else { s.fma(dot, scale.scale, term) };
        if !Self::HAS_MIN {
            return term;
        }
        // SAFETY: the caller's.
        s.fma(scale.min, s.splat(f32::from_bits(unsafe { sum.read() })), term)
    }
}

/// The scales of a group's half, and what is added for each unit of the activations' sum, for 16 rows.
#[derive(Clone, Copy)]
pub(super) struct Scale<F> {
    pub(super) scale: F,
    pub(super) min: F,
}

pub(super) struct ScaleF16;
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

pub(super) struct ScaleBf16;
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

pub(super) struct ScaleF16Min;
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
pub(super) struct SuperScales<const N: usize>;
pub(super) type Super32 = SuperScales<1>;
pub(super) type Super16 = SuperScales<2>;
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
pub(super) struct SuperMins<const N: usize>;
pub(super) type SuperMin32 = SuperMins<1>;
pub(super) type SuperMin16 = SuperMins<2>;
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
