//! Tiles of plain numbers: f32, f16 and bf16.

use super::{Kernel, Out};
use crate::simd::{LANES, Simd};

/// A block of plain tokens.
pub(super) struct FloatBlock<P> {
    pub(super) columns: usize,
    pub(super) x: *const f32,
    pub(super) kernel: std::marker::PhantomData<P>,
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
pub(super) trait Plain {
    unsafe fn load<S: Simd>(s: S, tile: *const u8, k: usize) -> S::F;
}

macro_rules! plain {
    ($($name:ident $load:ident $number:ty;)*) => {$(
        pub(super) struct $name;
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
