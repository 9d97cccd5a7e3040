//! AVX2, FMA and F16C: a vector of 16 lanes is two registers of 8.
//!
//! Products of codes below 64 use `vpmaddubsw`, whose pair sums fit in 16 bits so often over that several
//! quads are added there before one `vpmaddwd` widens them: nearly twice the rate of widening each time.
//! For codes up to 255 that would saturate, so they are multiplied in 16 bits.

use super::{CodePlanes, Op, QuadRange, Simd};
use std::arch::x86_64::*;

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c"))
        .then_some(Avx2(()))
    }

    pub(crate) fn run<O: Op>(self, op: O) -> O::Out {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled<O: Op>(s: Avx2, op: O) -> O::Out {
            op.eval(s)
        }
        // SAFETY: `self` exists, so the processor has the features.
        unsafe { compiled(self, op) }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct F2(__m256, __m256);
#[derive(Clone, Copy)]
pub(crate) struct I2(__m256i, __m256i);

macro_rules! both {
    ($f:ident, $a:expr) => {
        F2($f($a.0), $f($a.1))
    };
    ($f:ident, $a:expr, $b:expr) => {
        F2($f($a.0, $b.0), $f($a.1, $b.1))
    };
    ($f:ident, $a:expr, $b:expr, $c:expr) => {
        F2($f($a.0, $b.0, $c.0), $f($a.1, $b.1, $c.1))
    };
}
macro_rules! both_int {
    ($f:ident, $a:expr) => {
        I2($f($a.0), $f($a.1))
    };
    ($f:ident, $a:expr, $b:expr) => {
        I2($f($a.0, $b.0), $f($a.1, $b.1))
    };
}

/// One quad into 16-bit sums.
#[inline(always)]
unsafe fn quad16<C: CodePlanes, const M: usize, const Q: usize, const FIRST: bool>(
    s: Avx2,
    group: *const u8,
    acts: *const u8,
    sums: &mut [I2; M],
) {
    // SAFETY: as `Simd::dot` asks.
    unsafe {
        let codes = C::quad::<Avx2, Q>(s, group);
        for (m, sum) in sums.iter_mut().enumerate() {
            let act = _mm256_set1_epi32(acts.add((Q * M + m) * 4).cast::<i32>().read_unaligned());
            let products = I2(_mm256_maddubs_epi16(codes.0, act), _mm256_maddubs_epi16(codes.1, act));
            *sum = if FIRST { products } else { both_int!(_mm256_add_epi16, sum, products) };
        }
    }
}

/// Adds the pairs of 16-bit sums to the 32-bit ones.
#[inline(always)]
unsafe fn widen<const M: usize>(sums16: &[I2; M], sums: &mut [I2; M]) {
    // SAFETY: AVX2, which `Avx2` proves.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        for (sum16, sum) in sums16.iter().zip(sums) {
            let wide = I2(_mm256_madd_epi16(sum16.0, ones), _mm256_madd_epi16(sum16.1, ones));
            *sum = both_int!(_mm256_add_epi32, sum, wide);
        }
    }
}

/// Two quads into 16-bit sums.
#[inline(always)]
unsafe fn two_quads<C: CodePlanes, const M: usize, const Q0: usize, const Q1: usize, const FIRST: bool>(
    s: Avx2,
    group: *const u8,
    acts: *const u8,
    sums16: &mut [I2; M],
) {
    // SAFETY: as `Simd::dot` asks.
    unsafe {
        quad16::<C, M, Q0, FIRST>(s, group, acts, sums16);
        quad16::<C, M, Q1, false>(s, group, acts, sums16);
    }
}

/// Quads that fit in 16-bit sums: 2 x 127 x (2^bits - 1) each.
const fn quads_in_16_bits(bits: u32) -> usize {
    32767 / (2 * 127 * ((1 << bits) - 1))
}

/// Half a group: quads Q to Q + 3.
#[inline(always)]
unsafe fn half_group<C, const M: usize, const Q0: usize, const Q1: usize, const Q2: usize, const Q3: usize>(
    s: Avx2,
    group: *const u8,
    acts: *const u8,
    sums: &mut [I2; M],
) where
    C: CodePlanes,
{
    debug_assert!(quads_in_16_bits(C::BITS) >= 2, "8-bit codes go through `dot8`");
    // SAFETY: as `Simd::dot` asks.
    unsafe {
        let mut sums16 = [I2(_mm256_setzero_si256(), _mm256_setzero_si256()); M];
        two_quads::<C, M, Q0, Q1, true>(s, group, acts, &mut sums16);
        if quads_in_16_bits(C::BITS) < 4 {
            widen(&sums16, sums);
            two_quads::<C, M, Q2, Q3, true>(s, group, acts, &mut sums16);
        } else {
            two_quads::<C, M, Q2, Q3, false>(s, group, acts, &mut sums16);
        }
        widen(&sums16, sums);
    }
}

/// A whole group whose 16-bit sums can't overflow.
#[inline(always)]
unsafe fn whole_group<C: CodePlanes, const M: usize>(
    s: Avx2,
    group: *const u8,
    acts: *const u8,
    sums: &mut [I2; M],
) {
    // SAFETY: as `Simd::dot` asks.
    unsafe {
        let mut sums16 = [I2(_mm256_setzero_si256(), _mm256_setzero_si256()); M];
        two_quads::<C, M, 0, 4, true>(s, group, acts, &mut sums16);
        two_quads::<C, M, 1, 5, false>(s, group, acts, &mut sums16);
        two_quads::<C, M, 2, 6, false>(s, group, acts, &mut sums16);
        two_quads::<C, M, 3, 7, false>(s, group, acts, &mut sums16);
        widen(&sums16, sums);
    }
}

/// One quad of codes up to 255: even and odd bytes as 16-bit numbers against activations k0, k2 and k1, k3.
#[inline(always)]
unsafe fn quad_wide<C: CodePlanes, const M: usize, const Q: usize>(
    s: Avx2,
    group: *const u8,
    acts: *const u8,
    sums: &mut [I2; M],
) {
    // SAFETY: as `Simd::dot8` asks.
    unsafe {
        let codes = C::quad::<Avx2, Q>(s, group);
        let low = _mm256_set1_epi16(255);
        let even = I2(_mm256_and_si256(codes.0, low), _mm256_and_si256(codes.1, low));
        let odd = I2(_mm256_srli_epi16::<8>(codes.0), _mm256_srli_epi16::<8>(codes.1));
        for (m, sum) in sums.iter_mut().enumerate() {
            let act = acts.add((Q * M + m) * 8).cast::<i32>();
            let act02 = _mm256_set1_epi32(act.read_unaligned());
            let act13 = _mm256_set1_epi32(act.add(1).read_unaligned());
            let first = I2(_mm256_madd_epi16(even.0, act02), _mm256_madd_epi16(even.1, act02));
            let second = I2(_mm256_madd_epi16(odd.0, act13), _mm256_madd_epi16(odd.1, act13));
            *sum = both_int!(_mm256_add_epi32, sum, first);
            *sum = both_int!(_mm256_add_epi32, sum, second);
        }
    }
}

/// `Simd::dot` of one tile.
#[inline(always)]
unsafe fn dot_tile<C: CodePlanes, const M: usize>(
    s: Avx2,
    group: *const u8,
    quads: QuadRange,
    acts: *const u8,
    sums: &mut [I2; M],
) {
    // SAFETY: the caller's.
    unsafe {
        if quads == QuadRange::All && quads_in_16_bits(C::BITS) >= 8 {
            whole_group::<C, M>(s, group, acts, sums);
            return;
        }
        if quads != QuadRange::SecondHalf {
            half_group::<C, M, 0, 1, 2, 3>(s, group, acts, sums);
        }
        if quads != QuadRange::FirstHalf {
            half_group::<C, M, 4, 5, 6, 7>(s, group, acts, sums);
        }
    }
}

/// `Simd::dot8` of one tile.
#[inline(always)]
unsafe fn dot8_tile<C: CodePlanes, const M: usize>(
    s: Avx2,
    group: *const u8,
    quads: QuadRange,
    acts: *const u8,
    sums: &mut [I2; M],
) {
    // SAFETY: the caller's.
    unsafe {
        if quads != QuadRange::SecondHalf {
            quad_wide::<C, M, 0>(s, group, acts, sums);
            quad_wide::<C, M, 1>(s, group, acts, sums);
            quad_wide::<C, M, 2>(s, group, acts, sums);
            quad_wide::<C, M, 3>(s, group, acts, sums);
        }
        if quads != QuadRange::FirstHalf {
            quad_wide::<C, M, 4>(s, group, acts, sums);
            quad_wide::<C, M, 5>(s, group, acts, sums);
            quad_wide::<C, M, 6>(s, group, acts, sums);
            quad_wide::<C, M, 7>(s, group, acts, sums);
        }
    }
}

// SAFETY: the one way to an `Avx2` is `detect`, and the methods are inlined into `run`.
unsafe impl Simd for Avx2 {
    type F = F2;
    type I = I2;
    type B = I2;

    const TOKENS_MAX: usize = 4;
    const TWO_TILES: bool = false;
    const QUERIES_MAX: usize = 6;
    const WIDE_8BIT: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> F2 {
        // SAFETY: see the impl.
        unsafe { F2(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> F2 {
        // SAFETY: the caller's.
        unsafe { F2(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn store(self, x: F2, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe {
            _mm256_storeu_ps(to, x.0);
            _mm256_storeu_ps(to.add(8), x.1);
        }
    }
    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> F2 {
        // SAFETY: the caller's.
        unsafe {
            F2(
                _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(from.add(8).cast())),
            )
        }
    }
    #[inline(always)]
    unsafe fn store_f16(self, x: F2, to: *mut u16) {
        // SAFETY: the caller's.
        unsafe {
            _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x.0));
            _mm_storeu_si128(to.add(8).cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x.1));
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> F2 {
        // SAFETY: the caller's.
        unsafe {
            let widen = |at: *const u16| {
                let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
            };
            F2(widen(from), widen(from.add(8)))
        }
    }
    #[inline(always)]
    unsafe fn load_i8(self, from: *const i8) -> F2 {
        // SAFETY: the caller's.
        unsafe {
            let bytes = _mm_loadu_si128(from.cast());
            let (low, high) = (_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)));
            F2(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        }
    }
    #[inline(always)]
    unsafe fn load_u8(self, from: *const u8) -> F2 {
        // SAFETY: the caller's.
        unsafe {
            let bytes = _mm_loadu_si128(from.cast());
            let (low, high) = (_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)));
            F2(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        }
    }
    #[inline(always)]
    fn add(self, a: F2, b: F2) -> F2 {
        // SAFETY: see the impl.
        unsafe { both!(_mm256_add_ps, a, b) }
    }
    #[inline(always)]
    fn sub(self, a: F2, b: F2) -> F2 {
        // SAFETY: see the impl.
        unsafe { both!(_mm256_sub_ps, a, b) }
    }
    #[inline(always)]
    fn mul(self, a: F2, b: F2) -> F2 {
        // SAFETY: see the impl.
        unsafe { both!(_mm256_mul_ps, a, b) }
    }
    #[inline(always)]
    fn div(self, a: F2, b: F2) -> F2 {
        // SAFETY: see the impl.
        unsafe { both!(_mm256_div_ps, a, b) }
    }
    #[inline(always)]
    fn fma(self, a: F2, b: F2, c: F2) -> F2 {
        // SAFETY: see the impl.
        unsafe { both!(_mm256_fmadd_ps, a, b, c) }
    }
    #[inline(always)]
    fn fnma(self, a: F2, b: F2, c: F2) -> F2 {
        // SAFETY: see the impl.
        unsafe { both!(_mm256_fnmadd_ps, a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: F2, b: F2) -> F2 {
        // SAFETY: see the impl.
        unsafe { both!(_mm256_max_ps, a, b) }
    }
    #[inline(always)]
    fn min(self, a: F2, b: F2) -> F2 {
        // SAFETY: see the impl.
        unsafe { both!(_mm256_min_ps, a, b) }
    }
    #[inline(always)]
    fn abs(self, a: F2) -> F2 {
        // SAFETY: see the impl.
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            F2(_mm256_andnot_ps(sign, a.0), _mm256_andnot_ps(sign, a.1))
        }
    }
    #[inline(always)]
    fn round(self, a: F2) -> I2 {
        // SAFETY: see the impl. The rounding mode is never changed from nearest even.
        unsafe { I2(_mm256_cvtps_epi32(a.0), _mm256_cvtps_epi32(a.1)) }
    }
    #[inline(always)]
    fn exp2i(self, n: I2) -> F2 {
        // SAFETY: see the impl.
        unsafe {
            let bias = _mm256_set1_epi32(127);
            let power = |n| _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, bias)));
            F2(power(n.0), power(n.1))
        }
    }
    #[inline(always)]
    fn to_float(self, a: I2) -> F2 {
        // SAFETY: see the impl.
        unsafe { both!(_mm256_cvtepi32_ps, a) }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> I2 {
        // SAFETY: see the impl.
        unsafe { I2(_mm256_set1_epi32(x), _mm256_set1_epi32(x)) }
    }
    #[inline(always)]
    unsafe fn load_i32(self, from: *const i32) -> I2 {
        // SAFETY: the caller's.
        unsafe { I2(_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(8).cast())) }
    }
    #[inline(always)]
    unsafe fn store_i8(self, a: I2, to: *mut i8) {
        // SAFETY: the caller's.
        unsafe {
            // Packing works within 128-bit halves: 0-3, 8-11, 4-7, 12-15; the permutation mends the order.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a.0, a.1));
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.cast(), bytes);
        }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> I2 {
        // SAFETY: the caller's.
        unsafe { I2(_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())) }
    }
    #[inline(always)]
    fn and(self, a: I2, mask: u8) -> I2 {
        // SAFETY: see the impl.
        unsafe {
            let mask = _mm256_set1_epi8(mask as i8);
            I2(_mm256_and_si256(a.0, mask), _mm256_and_si256(a.1, mask))
        }
    }
    #[inline(always)]
    fn or(self, a: I2, b: I2) -> I2 {
        // SAFETY: see the impl.
        unsafe { both_int!(_mm256_or_si256, a, b) }
    }
    #[inline(always)]
    fn shr(self, a: I2, bits: u32) -> I2 {
        // SAFETY: see the impl. `bits` is a constant after inlining.
        unsafe {
            let bits = _mm_cvtsi32_si128(bits as i32);
            I2(_mm256_srl_epi16(a.0, bits), _mm256_srl_epi16(a.1, bits))
        }
    }
    #[inline(always)]
    fn shl(self, a: I2, bits: u32) -> I2 {
        // SAFETY: see the impl. `bits` is a constant after inlining.
        unsafe {
            let bits = _mm_cvtsi32_si128(bits as i32);
            I2(_mm256_sll_epi16(a.0, bits), _mm256_sll_epi16(a.1, bits))
        }
    }
    #[inline(always)]
    unsafe fn lookup(self, table: *const u8, index: I2) -> I2 {
        // SAFETY: the caller's.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.cast()));
            I2(_mm256_shuffle_epi8(table, index.0), _mm256_shuffle_epi8(table, index.1))
        }
    }
    #[inline(always)]
    unsafe fn dot<C: CodePlanes, const T: usize, const M: usize>(
        self,
        groups: [*const u8; T],
        quads: QuadRange,
        acts: *const u8,
        sums: &mut [[I2; M]; T],
    ) {
        for (group, sums) in groups.into_iter().zip(sums) {
            // SAFETY: the caller's.
            unsafe { dot_tile::<C, M>(self, group, quads, acts, sums) }
        }
    }
    #[inline(always)]
    unsafe fn dot8<C: CodePlanes, const T: usize, const M: usize>(
        self,
        groups: [*const u8; T],
        quads: QuadRange,
        acts: *const u8,
        sums: &mut [[I2; M]; T],
    ) {
        for (group, sums) in groups.into_iter().zip(sums) {
            // SAFETY: the caller's.
            unsafe { dot8_tile::<C, M>(self, group, quads, acts, sums) }
        }
    }
    #[inline(always)]
    fn multiply_bytes(self, sum: I2, a: I2, b: I2) -> I2 {
        // SAFETY: see the impl.
        unsafe {
            I2(
                _mm256_add_epi16(sum.0, _mm256_maddubs_epi16(a.0, b.0)),
                _mm256_add_epi16(sum.1, _mm256_maddubs_epi16(a.1, b.1)),
            )
        }
    }
    #[inline(always)]
    fn sum(self, a: F2) -> f32 {
        // SAFETY: see the impl.
        unsafe {
            let a = _mm256_add_ps(a.0, a.1);
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn max_lane(self, a: F2) -> f32 {
        // SAFETY: see the impl.
        unsafe {
            let a = _mm256_max_ps(a.0, a.1);
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}
