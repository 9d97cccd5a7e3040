//! Functions of vectors: exponential, sigmoid, tanh. The same bits on every instruction set.

use crate::simd::Simd;

/// e^x. Relative error below 2 x 2^-23 for -87 < x < 88; 0 below -104, infinity above 89; NaN gives e^-104.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by a polynomial of degree 6 (Taylor's, whose error is below
/// rounding there), times 2^n in two steps so that n may be outside the range of an f32 exponent.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // `max` gives its second operand for NaN: what follows stays in the integers' range.
    let x = s.min(s.max(x, s.splat(-104.0)), s.splat(89.0));
    let n = s.to_float(s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E))));
    // ln 2 in two parts, the first with few enough bits for n * LN2_HIGH to be exact.
    let r = s.fnma(n, s.splat(355.0 / 512.0), x);
    let r = s.fnma(n, s.splat(-2.121_944_4e-4), r);
    let mut p = s.splat(1.0 / 720.0);
    for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = s.fma(p, r, s.splat(c));
    }
    let half = s.round(s.mul(n, s.splat(0.5)));
    let rest = s.round(s.sub(n, s.to_float(half)));
    s.mul(s.mul(p, s.exp2i(half)), s.exp2i(rest))
}

/// 1 / (1 + e^-x) times x.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::F) -> S::F {
    let e = exp(s, s.sub(s.splat(0.0), x));
    s.div(x, s.add(s.splat(1.0), e))
}

/// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), which is x / (1 + e^(-2 sqrt(2 / pi) (...))).
#[inline(always)]
pub(crate) fn gelu_tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let cubic = s.fma(s.mul(s.mul(x, x), s.splat(0.044_715)), x, x);
    let e = exp(s, s.mul(cubic, s.splat(-2.0 * 0.797_884_6)));
    s.div(x, s.add(s.splat(1.0), e))
}
