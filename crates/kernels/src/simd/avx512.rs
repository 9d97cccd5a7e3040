//! AVX-512 F, BW, VL and VNNI: a vector of 16 lanes is one register, and `vpdpbusd` multiplies 64 codes.

use super::{CodePlanes, MatrixUnit, Op, QuadRange, Simd, amx};
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512 F, BW, VL and VNNI; with `AMX`, that it has AMX, too, whose part is in `amx`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512<const AMX: bool = false>(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni"))
        .then_some(Avx512(()))
    }

    /// The same with AMX.
    ///
    /// # Safety
    /// The processor has AMX, and this process may use it.
    pub(crate) unsafe fn with_amx(self) -> Avx512<true> {
        Avx512(())
    }
}

impl<const AMX: bool> Avx512<AMX> {
    pub(crate) fn run<O: Op>(self, op: O) -> O::Out {
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn compiled<O: Op, const AMX: bool>(s: Avx512<AMX>, op: O) -> O::Out {
            op.eval(s)
        }
        // SAFETY: `self` exists, so the processor has the features; AVX-512 implies AVX2, FMA and F16C.
        unsafe { compiled(self, op) }
    }
}

/// One quad: `vpdpbusd` adds the 4 products of each row and token.
#[inline(always)]
unsafe fn quad<C: CodePlanes, const AMX: bool, const T: usize, const M: usize, const Q: usize>(
    s: Avx512<AMX>,
    groups: [*const u8; T],
    acts: *const u8,
    sums: &mut [[__m512i; M]; T],
) {
    // SAFETY: as `Simd::dot` asks.
    unsafe {
        let mut codes = [C::quad::<Avx512<AMX>, Q>(s, groups[0]); T];
        for t in 1..T {
            codes[t] = C::quad::<Avx512<AMX>, Q>(s, groups[t]);
        }
        for m in 0..M {
            let act = _mm512_set1_epi32(acts.add((Q * M + m) * 4).cast::<i32>().read_unaligned());
            for (sums, codes) in sums.iter_mut().zip(codes) {
                sums[m] = _mm512_dpbusd_epi32(sums[m], codes, act);
            }
        }
    }
}

// SAFETY: the ways to an `Avx512` are `detect` and `with_amx`, and the methods are inlined into `run`.
unsafe impl<const AMX: bool> Simd for Avx512<AMX> {
    type F = __m512;
    type I = __m512i;
    type B = __m512i;

    const TOKENS_MAX: usize = 6;
    const TWO_TILES: bool = true;
    const QUERIES_MAX: usize = 12;
    const WIDE_8BIT: bool = false;
    const UNIT: Option<MatrixUnit> = if AMX { Some(amx::UNIT) } else { None };

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, x: __m512, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store_f16(self, x: __m512, to: *mut u16) {
        // SAFETY: the caller's.
        unsafe { _mm256_storeu_si256(to.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x)) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m512 {
        // SAFETY: the caller's.
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
        }
    }
    #[inline(always)]
    unsafe fn load_i8(self, from: *const i8) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn load_u8(self, from: *const u8) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn fnma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_abs_ps(a) }
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512i {
        // SAFETY: see the impl. The rounding mode is never changed from nearest even.
        unsafe { _mm512_cvtps_epi32(a) }
    }
    #[inline(always)]
    fn exp2i(self, n: __m512i) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(n, _mm512_set1_epi32(127)))) }
    }
    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_cvtepi32_ps(a) }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        // SAFETY: see the impl.
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn load_i32(self, from: *const i32) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store_i8(self, a: __m512i, to: *mut i8) {
        // SAFETY: the caller's.
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(a)) }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    fn and(self, a: __m512i, mask: u8) -> __m512i {
        // SAFETY: see the impl.
        unsafe { _mm512_and_si512(a, _mm512_set1_epi8(mask as i8)) }
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the impl.
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn shr(self, a: __m512i, bits: u32) -> __m512i {
        // SAFETY: see the impl. `bits` is a constant after inlining.
        unsafe { _mm512_srl_epi16(a, _mm_cvtsi32_si128(bits as i32)) }
    }
    #[inline(always)]
    fn shl(self, a: __m512i, bits: u32) -> __m512i {
        // SAFETY: see the impl. `bits` is a constant after inlining.
        unsafe { _mm512_sll_epi16(a, _mm_cvtsi32_si128(bits as i32)) }
    }
    #[inline(always)]
    unsafe fn lookup(self, table: *const u8, index: __m512i) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table.cast())), index) }
    }
    #[inline(always)]
    unsafe fn dot<C: CodePlanes, const T: usize, const M: usize>(
        self,
        groups: [*const u8; T],
        quads: QuadRange,
        acts: *const u8,
        sums: &mut [[__m512i; M]; T],
    ) {
        // SAFETY: the caller's.
        unsafe {
            if quads != QuadRange::SecondHalf {
                quad::<C, AMX, T, M, 0>(self, groups, acts, sums);
                quad::<C, AMX, T, M, 1>(self, groups, acts, sums);
                quad::<C, AMX, T, M, 2>(self, groups, acts, sums);
                quad::<C, AMX, T, M, 3>(self, groups, acts, sums);
            }
            if quads != QuadRange::FirstHalf {
                quad::<C, AMX, T, M, 4>(self, groups, acts, sums);
                quad::<C, AMX, T, M, 5>(self, groups, acts, sums);
                quad::<C, AMX, T, M, 6>(self, groups, acts, sums);
                quad::<C, AMX, T, M, 7>(self, groups, acts, sums);
            }
        }
    }
    #[inline(always)]
    unsafe fn dot8<C: CodePlanes, const T: usize, const M: usize>(
        self,
        groups: [*const u8; T],
        quads: QuadRange,
        acts: *const u8,
        sums: &mut [[__m512i; M]; T],
    ) {
        // SAFETY: the caller's; `vpdpbusd` takes codes up to 255 as they are.
        unsafe { self.dot::<C, T, M>(groups, quads, acts, sums) }
    }
    #[inline(always)]
    fn multiply_bytes(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see the impl.
        unsafe { _mm512_dpbusd_epi32(sum, a, b) }
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        // SAFETY: see the impl.
        unsafe {
            let a = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn max_lane(self, a: __m512) -> f32 {
        // SAFETY: see the impl.
        unsafe { _mm512_reduce_max_ps(a) }
    }
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    unsafe fn unit_begin(self, halves: usize) {
        // SAFETY: the caller's, and whoever asks for the unit looked at `UNIT`.
        unsafe { amx::begin(halves) }
    }
    #[inline(always)]
    fn unit_end(self) {
        // SAFETY: as above.
        unsafe { amx::end() }
    }
    #[inline(always)]
    unsafe fn unit_quad(self, codes: __m512i, zero_point: u8, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_si512(to.cast(), _mm512_sub_epi8(codes, _mm512_set1_epi8(zero_point as i8))) }
    }
    #[inline(always)]
    unsafe fn unit_products<const T: usize>(
        self,
        acts: *const u8,
        quads: [*const u8; T],
        dots: [*mut i32; T],
    ) {
        // SAFETY: the caller's.
        unsafe { amx::products(acts, quads, dots) }
    }
    #[inline(always)]
    fn unit_multiply(self, steps: usize) -> usize {
        // SAFETY: as in `unit_begin`.
        unsafe { amx::multiply(steps) }
    }
}
