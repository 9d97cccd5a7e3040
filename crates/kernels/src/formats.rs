//! The table of tensor formats: how each GGUF block type is laid out, what it decodes to and how it is
//! taken apart for packing. One file a format; the table lists each of them once.
//!
//! Source of the block layouts: the GGML tensor types as written down in the GGUF specification and the
//! Python package `gguf`, against which every `decode` is tested byte for byte.

mod iq4_nl;
mod iq4_xs;
mod mxfp4;
// The prefix keeps these modules from hiding the types of the same names.
mod plain_bf16;
mod plain_f16;
mod plain_f32;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod unpack;

use crate::layout::Layout;

/// A tensor format: a row of the table.
#[derive(Debug)]
pub struct TensorFormat {
    /// The name people use, `"Q4_K"`.
    pub name: &'static str,
    /// The number that stands for it in a GGUF file.
    pub ggml_type: u32,
    /// Weights in a block.
    pub block_len: usize,
    /// Bytes in a block.
    pub block_bytes: usize,
    /// Decodes one block (`block_bytes` bytes) into `block_len` numbers. This is the definition.
    pub decode: fn(block: &[u8], out: &mut [f32]),
    /// How matrices of this format are packed.
    pub packing: Packing,
}

/// A row of the format table. Two formats are the same if their `ggml_type` is.
pub type Format = &'static TensorFormat;

/// How a format's blocks go into a packed matrix.
#[derive(Debug)]
pub enum Packing {
    /// Plain numbers, multiplied in f32: F32, F16, BF16.
    Float(Float),
    /// Codes and scales, multiplied in int8. `take_apart` splits one block.
    Quantised {
        /// The packed layout that this format goes into.
        layout: &'static Layout,
        /// Splits one block into its parts. Fields that the layout's scales don't use stay as they were.
        take_apart: fn(block: &[u8], parts: &mut BlockParts),
    },
}

/// The plain number formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Float {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of an f32.
    Bf16,
}

/// The parts of one quantised block, in the vocabulary of [`Layout`]: [`Layout::weight`] gives weight k, bit
/// for bit what `decode` gives.
#[derive(Debug, Clone)]
pub struct BlockParts {
    /// One unsigned code a weight, in order of k; the first `block_len` count.
    pub codes: [u8; 256],
    /// The block's scale, f16 bits.
    pub d: u16,
    /// The block's second number, f16 bits: the minimum (`Scales::F16Min`: *added*, as in Q4_1) or the
    /// scale of the minimums (`Scales::SuperMin`: *subtracted*, as in Q4_K).
    pub dmin: u16,
    /// Integer group scales, two's complement; the first `block_len / group_len` count. An E8M0 exponent
    /// stands here as the bits of its unsigned byte.
    pub scales: [i8; 16],
    /// Integer group minimums; as many as `scales`.
    pub mins: [u8; 16],
}

impl Default for BlockParts {
    fn default() -> Self {
        BlockParts { codes: [0; 256], d: 0, dmin: 0, scales: [0; 16], mins: [0; 16] }
    }
}

/// Every tensor format that this build reads.
pub static TABLE: &[Format] = &[
    &plain_f32::FORMAT,
    &plain_f16::FORMAT,
    &plain_bf16::FORMAT,
    &q4_0::FORMAT,
    &q4_1::FORMAT,
    &q5_0::FORMAT,
    &q5_1::FORMAT,
    &q8_0::FORMAT,
    &q2_k::FORMAT,
    &q3_k::FORMAT,
    &q4_k::FORMAT,
    &q5_k::FORMAT,
    &q6_k::FORMAT,
    &iq4_nl::FORMAT,
    &iq4_xs::FORMAT,
    &mxfp4::FORMAT,
];

/// The format with this GGUF number, if this build reads it.
pub fn by_ggml_type(ggml_type: u32) -> Option<Format> {
    TABLE.iter().copied().find(|f| f.ggml_type == ggml_type)
}

/// The format with this name, in any case.
pub fn by_name(name: &str) -> Option<Format> {
    TABLE.iter().copied().find(|f| f.name.eq_ignore_ascii_case(name))
}

/// Decodes a row of blocks: `bytes` holds whole blocks, `out` one number for each weight.
pub fn decode_row(format: Format, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(out.len() % format.block_len, 0, "a row holds whole blocks");
    assert_eq!(
        bytes.len(),
        out.len() / format.block_len * format.block_bytes,
        "row bytes of {}",
        format.name
    );
    for (block, out) in bytes.chunks_exact(format.block_bytes).zip(out.chunks_exact_mut(format.block_len)) {
        (format.decode)(block, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_their_row() {
        for &format in TABLE {
            let by_name = by_name(&format.name.to_lowercase()).expect("every name is found");
            let by_type = by_ggml_type(format.ggml_type).expect("every number is found");
            assert!(std::ptr::eq(by_name, format), "the name {} stands twice", format.name);
            assert!(std::ptr::eq(by_type, format), "the number {} stands twice", format.ggml_type);
        }
        assert!(by_name("Q4_2").is_none());
        assert!(by_ggml_type(4).is_none());
    }

    #[test]
    fn blocks_fit_their_parts() {
        for format in TABLE {
            let Packing::Quantised { layout, .. } = &format.packing else {
                assert_eq!(format.block_len, 1, "{}", format.name);
                continue;
            };
            let parts = BlockParts::default();
            assert!(format.block_len <= parts.codes.len(), "{}", format.name);
            assert_eq!(format.block_len % layout.group_len, 0, "{}", format.name);
            assert!(format.block_len / layout.group_len <= parts.scales.len(), "{}", format.name);
        }
    }
}
