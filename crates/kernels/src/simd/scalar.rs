//! Plain Rust, lane after lane: the definition that every other instruction set must equal.

use super::{CodePlanes, QuadRange, Simd};
use half::{bf16, f16};
use std::array::from_fn;

/// Needs nothing of the processor. Nothing is inlined: this code is compiled for every kernel and need not be fast.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar;

fn zip(a: [f32; 16], b: [f32; 16], f: impl Fn(f32, f32) -> f32) -> [f32; 16] {
    from_fn(|i| f(a[i], b[i]))
}

/// Sums one quad's products for M tokens.
#[inline(never)]
unsafe fn dot_quad<C: CodePlanes, const M: usize, const Q: usize>(
    group: *const u8,
    acts: *const u8,
    sums: &mut [[i32; 16]; M],
) {
    // SAFETY: the caller's `group` and `acts` are those of `Simd::dot`.
    let codes = unsafe { C::quad::<Scalar, Q>(Scalar, group) };
    for (m, sums) in sums.iter_mut().enumerate() {
        for (row, sum) in sums.iter_mut().enumerate() {
            for k in 0..4 {
                // SAFETY: as above: `[quad][M][4]`.
                let act = unsafe { *acts.add((Q * M + m) * 4 + k) } as i8;
                *sum += i32::from(codes[row * 4 + k]) * i32::from(act);
            }
        }
    }
}

/// The quads of one tile.
#[inline(never)]
unsafe fn dot_tile<C: CodePlanes, const M: usize>(
    group: *const u8,
    quads: QuadRange,
    acts: *const u8,
    sums: &mut [[i32; 16]; M],
) {
    // SAFETY: the caller's.
    unsafe {
        if quads != QuadRange::SecondHalf {
            dot_quad::<C, M, 0>(group, acts, sums);
            dot_quad::<C, M, 1>(group, acts, sums);
            dot_quad::<C, M, 2>(group, acts, sums);
            dot_quad::<C, M, 3>(group, acts, sums);
        }
        if quads != QuadRange::FirstHalf {
            dot_quad::<C, M, 4>(group, acts, sums);
            dot_quad::<C, M, 5>(group, acts, sums);
            dot_quad::<C, M, 6>(group, acts, sums);
            dot_quad::<C, M, 7>(group, acts, sums);
        }
    }
}

// SAFETY: uses no special instructions.
unsafe impl Simd for Scalar {
    type F = [f32; 16];
    type I = [i32; 16];
    type B = [u8; 64];

    const TOKENS_MAX: usize = 1;
    const TWO_TILES: bool = false;
    const QUERIES_MAX: usize = 4;
    const WIDE_8BIT: bool = false;

    #[inline(never)]
    fn splat(self, x: f32) -> Self::F {
        [x; 16]
    }
    #[inline(never)]
    unsafe fn load(self, from: *const f32) -> Self::F {
        // SAFETY: the caller's.
        from_fn(|i| unsafe { from.add(i).read_unaligned() })
    }
    #[inline(never)]
    unsafe fn store(self, x: Self::F, to: *mut f32) {
        // SAFETY: the caller's.
        (0..16).for_each(|i| unsafe { to.add(i).write_unaligned(x[i]) });
    }
    #[inline(never)]
    unsafe fn load_f16(self, from: *const u16) -> Self::F {
        // SAFETY: the caller's.
        from_fn(|i| f16::from_bits(unsafe { from.add(i).read_unaligned() }).to_f32())
    }
    #[inline(never)]
    unsafe fn store_f16(self, x: Self::F, to: *mut u16) {
        // SAFETY: the caller's.
        (0..16).for_each(|i| unsafe { to.add(i).write_unaligned(f16::from_f32(x[i]).to_bits()) });
    }
    #[inline(never)]
    unsafe fn load_bf16(self, from: *const u16) -> Self::F {
        // SAFETY: the caller's.
        from_fn(|i| bf16::from_bits(unsafe { from.add(i).read_unaligned() }).to_f32())
    }
    #[inline(never)]
    unsafe fn load_i8(self, from: *const i8) -> Self::F {
        // SAFETY: the caller's.
        from_fn(|i| f32::from(unsafe { *from.add(i) }))
    }
    #[inline(never)]
    unsafe fn load_u8(self, from: *const u8) -> Self::F {
        // SAFETY: the caller's.
        from_fn(|i| f32::from(unsafe { *from.add(i) }))
    }
    #[inline(never)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a + b)
    }
    #[inline(never)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a - b)
    }
    #[inline(never)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a * b)
    }
    #[inline(never)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a / b)
    }
    #[inline(never)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(never)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        from_fn(|i| (-a[i]).mul_add(b[i], c[i]))
    }
    #[inline(never)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(never)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(never)]
    fn abs(self, a: Self::F) -> Self::F {
        a.map(f32::abs)
    }
    #[inline(never)]
    fn round(self, a: Self::F) -> Self::I {
        a.map(|a| a.round_ties_even() as i32)
    }
    #[inline(never)]
    fn exp2i(self, n: Self::I) -> Self::F {
        n.map(|n| f32::from_bits(((n + 127) as u32) << 23))
    }
    #[inline(never)]
    fn to_float(self, a: Self::I) -> Self::F {
        a.map(|a| a as f32)
    }
    #[inline(never)]
    fn splat_i32(self, x: i32) -> Self::I {
        [x; 16]
    }
    #[inline(never)]
    unsafe fn load_i32(self, from: *const i32) -> Self::I {
        // SAFETY: the caller's.
        unsafe { from.cast::<[i32; 16]>().read_unaligned() }
    }
    #[inline(never)]
    unsafe fn store_i8(self, a: Self::I, to: *mut i8) {
        // SAFETY: the caller's.
        (0..16).for_each(|i| unsafe { *to.add(i) = a[i] as i8 });
    }
    #[inline(never)]
    unsafe fn load_bytes(self, from: *const u8) -> Self::B {
        // SAFETY: the caller's.
        unsafe { from.cast::<[u8; 64]>().read_unaligned() }
    }
    #[inline(never)]
    fn and(self, a: Self::B, mask: u8) -> Self::B {
        a.map(|a| a & mask)
    }
    #[inline(never)]
    fn or(self, a: Self::B, b: Self::B) -> Self::B {
        from_fn(|i| a[i] | b[i])
    }
    #[inline(never)]
    fn shr(self, a: Self::B, bits: u32) -> Self::B {
        let unit = |i: usize| (u16::from_le_bytes([a[i & !1], a[i | 1]]) >> bits).to_le_bytes();
        from_fn(|i| unit(i)[i % 2])
    }
    #[inline(never)]
    fn shl(self, a: Self::B, bits: u32) -> Self::B {
        let unit = |i: usize| (u16::from_le_bytes([a[i & !1], a[i | 1]]) << bits).to_le_bytes();
        from_fn(|i| unit(i)[i % 2])
    }
    #[inline(never)]
    unsafe fn lookup(self, table: *const u8, index: Self::B) -> Self::B {
        // SAFETY: the caller's: 16 bytes and indices below 16.
        index.map(|i| unsafe { *table.add(usize::from(i)) })
    }
    #[inline(never)]
    unsafe fn dot<C: CodePlanes, const T: usize, const M: usize>(
        self,
        groups: [*const u8; T],
        quads: QuadRange,
        acts: *const u8,
        sums: &mut [[Self::I; M]; T],
    ) {
        for (group, sums) in groups.into_iter().zip(sums) {
            // SAFETY: the caller's.
            unsafe { dot_tile::<C, M>(group, quads, acts, sums) }
        }
    }
    #[inline(never)]
    unsafe fn dot8<C: CodePlanes, const T: usize, const M: usize>(
        self,
        groups: [*const u8; T],
        quads: QuadRange,
        acts: *const u8,
        sums: &mut [[Self::I; M]; T],
    ) {
        // SAFETY: the caller's; WIDE_8BIT is false.
        unsafe { self.dot::<C, T, M>(groups, quads, acts, sums) }
    }
    #[inline(never)]
    fn multiply_bytes(self, sum: Self::I, a: Self::B, b: Self::B) -> Self::I {
        let product = |i: usize| i32::from(a[i]) * i32::from(b[i].cast_signed());
        from_fn(|lane| sum[lane] + (0..4).map(|k| product(4 * lane + k)).sum::<i32>())
    }
    #[inline(never)]
    fn sum(self, a: Self::F) -> f32 {
        let a: [f32; 8] = from_fn(|i| a[i] + a[i + 8]);
        let a: [f32; 4] = from_fn(|i| a[i] + a[i + 4]);
        let a: [f32; 2] = from_fn(|i| a[i] + a[i + 2]);
        a[0] + a[1]
    }
    #[inline(never)]
    fn max_lane(self, a: Self::F) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, |a, b| if a > b { a } else { b })
    }
    #[inline(never)]
    fn prefetch(self, _at: *const u8) {}
}
