//! Packed layouts: the few shapes into which the many quantised formats are packed.
//!
//! A packed matrix is cut into tiles of 16 rows, a tile into groups of 32 values of k. A group holds the
//! codes of its 16 rows as bit planes and, beside them, their scales.
//!
//! [`Layout::weight`] is the definition of what the stored numbers stand for.

use half::f16;

use crate::formats::BlockParts;

/// How the codes of a packed matrix are stored and what they stand for.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// The layout's name, for messages and benches.
    pub name: &'static str,
    /// Width of a code.
    pub codes: Codes,
    /// How scales (and minimums) are stored.
    pub scales: Scales,
    /// Values of k that share a scale: 16 or 32.
    pub group_len: usize,
}

/// What a code is.
#[derive(Debug, PartialEq, Eq)]
pub enum Codes {
    /// An unsigned number of `bits` bits (2, 3, 4, 5, 6, 8) less `zero_point`.
    Linear {
        /// Width.
        bits: u8,
        /// Subtracted from the code: 8 for Q4_0, 32 for Q6_K, 0 where there is a minimum.
        zero_point: u8,
    },
    /// A 4-bit index into a table of signed bytes (IQ4_NL, IQ4_XS, MXFP4).
    Table(&'static [i8; 16]),
}

/// How the scale of a group is stored, and the formula of a weight: f32 arithmetic in exactly this order,
/// every operation rounded. `value` is [`Layout::value`] of the code.
///
/// Only the additions do round: the products of an f16 number with these scales and values need at most 23
/// bits, so they are exact in any order, and a fused multiply-add gives the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scales {
    /// Blocks of 32: f16 scale `d`. w = d * value.
    F16,
    /// Blocks of 32: f16 scale `d` and f16 minimum `dmin`. w = (d * value) + dmin.
    F16Min,
    /// Blocks of 256: f16 `d` times a signed byte a group. w = (d * scale) * value.
    Super,
    /// Blocks of 256: as `Super`, and minimums. w = ((d * scale) * value) - (dmin * min).
    SuperMin,
    /// Blocks of 32: an E8M0 exponent. w = 2^(e - 128) * value (the table of MXFP4 holds doubled values).
    E8m0,
}

impl Layout {
    /// The whole number that a code stands for.
    pub fn value(&self, code: u8) -> i16 {
        match self.codes {
            Codes::Linear { zero_point, .. } => i16::from(code) - i16::from(zero_point),
            Codes::Table(values) => i16::from(values[usize::from(code)]),
        }
    }

    /// Weight `k` of a block that was taken apart for this layout. This is the definition; see [`Scales`].
    pub fn weight(&self, parts: &BlockParts, k: usize) -> f32 {
        let value = f32::from(self.value(parts.codes[k]));
        let group = k / self.group_len;
        let d = f16::from_bits(parts.d).to_f32();
        let dmin = f16::from_bits(parts.dmin).to_f32();
        let scale = parts.scales[group];
        match self.scales {
            Scales::F16 => d * value,
            Scales::F16Min => (d * value) + dmin,
            Scales::Super => (d * f32::from(scale)) * value,
            Scales::SuperMin => ((d * f32::from(scale)) * value) - (dmin * f32::from(parts.mins[group])),
            Scales::E8m0 => e8m0_half(scale.cast_unsigned()) * value,
        }
    }
}

/// Half of the power of two that an E8M0 exponent stands for: 2^(e - 128). The lowest two are subnormal.
pub fn e8m0_half(e: u8) -> f32 {
    match e {
        0 | 1 => f32::from_bits(0x0020_0000 << e),
        _ => f32::from_bits((u32::from(e) - 1) << 23),
    }
}

/// The code book of IQ4_NL and IQ4_XS.
pub static IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The E2M1 numbers of MXFP4, doubled. Negative zero reads as zero.
pub static MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 4-bit codes about 8, a scale for each 32: Q4_0.
pub static U4_F16: Layout = linear("u4-f16", 4, 8, Scales::F16, 32);
/// 4-bit codes, a scale and a minimum for each 32: Q4_1.
pub static U4_F16_MIN: Layout = linear("u4-f16-min", 4, 0, Scales::F16Min, 32);
/// 5-bit codes about 16, a scale for each 32: Q5_0.
pub static U5_F16: Layout = linear("u5-f16", 5, 16, Scales::F16, 32);
/// 5-bit codes, a scale and a minimum for each 32: Q5_1.
pub static U5_F16_MIN: Layout = linear("u5-f16-min", 5, 0, Scales::F16Min, 32);
/// 8-bit codes about 128, a scale for each 32: Q8_0.
pub static U8_F16: Layout = linear("u8-f16", 8, 128, Scales::F16, 32);
/// 2-bit codes, two-level scales and minimums for each 16: Q2_K.
pub static U2_SUPER_MIN: Layout = linear("u2-super-min", 2, 0, Scales::SuperMin, 16);
/// 3-bit codes about 4, two-level scales for each 16: Q3_K.
pub static U3_SUPER: Layout = linear("u3-super", 3, 4, Scales::Super, 16);
/// 4-bit codes, two-level scales and minimums for each 32: Q4_K.
pub static U4_SUPER_MIN: Layout = linear("u4-super-min", 4, 0, Scales::SuperMin, 32);
/// 5-bit codes, two-level scales and minimums for each 32: Q5_K.
pub static U5_SUPER_MIN: Layout = linear("u5-super-min", 5, 0, Scales::SuperMin, 32);
/// 6-bit codes about 32, two-level scales for each 16: Q6_K.
pub static U6_SUPER: Layout = linear("u6-super", 6, 32, Scales::Super, 16);
/// Indices into the IQ4 code book, a scale for each 32: IQ4_NL.
pub static IQ4_F16: Layout = table("iq4-f16", &IQ4_VALUES, Scales::F16);
/// Indices into the IQ4 code book, two-level scales for each 32: IQ4_XS.
pub static IQ4_SUPER: Layout = table("iq4-super", &IQ4_VALUES, Scales::Super);
/// Indices into the E2M1 numbers, an exponent for each 32: MXFP4.
pub static MXFP4_E8M0: Layout = table("mxfp4-e8m0", &MXFP4_VALUES, Scales::E8m0);

const fn linear(name: &'static str, bits: u8, zero_point: u8, scales: Scales, group_len: usize) -> Layout {
    Layout { name, codes: Codes::Linear { bits, zero_point }, scales, group_len }
}

const fn table(name: &'static str, values: &'static [i8; 16], scales: Scales) -> Layout {
    Layout { name, codes: Codes::Table(values), scales, group_len: 32 }
}
