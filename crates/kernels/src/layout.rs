//! Packed layouts: the few shapes into which the many quantised formats are packed.
//!
//! A packed matrix is cut into tiles of 16 rows, a tile into groups of 32 values of k. A group holds the
//! codes of its 16 rows as bit planes and, beside them, their scales.

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

/// How the scale of a group is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scales {
    /// Blocks of 32: f16 scale `d`. w = d * value.
    F16,
    /// Blocks of 32: f16 scale `d` and f16 minimum `dmin`. w = d * code + dmin.
    F16Min,
    /// Blocks of 256: f16 `d` times a signed byte a group. w = (d * scale) * value.
    Super,
    /// Blocks of 256: as `Super`, and minimums. w = (d * scale) * code - (dmin * min).
    SuperMin,
    /// Blocks of 32: an E8M0 exponent. w = 2^(e - 128) * value (the table of MXFP4 holds doubled values).
    E8m0,
}

/// The values of IQ4_NL's and IQ4_XS's codes.
pub const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// Twice the values of MXFP4's codes (E2M1).
pub const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
