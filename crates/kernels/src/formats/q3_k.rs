//! Q3_K: 256 weights in 110 bytes: 32 bytes with the third bit of each code; 64 bytes with the low two bits,
//! arranged as in Q2_K; 12 bytes with sixteen 6-bit scales; `d` (f16). Bit j of high-bit byte i belongs to
//! weight 32 * j + i. w = (d * (scale - 32)) * (code - 4).

use super::unpack::{f16_at, fields, u16_at};
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q3_K",
    ggml_type: 11,
    block_len: 256,
    block_bytes: 32 + 64 + 12 + 2,
    decode,
    packing: Packing::Quantised { layout: &layout::U3_SUPER, take_apart },
};

fn decode(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 108);
    let codes = codes(block);
    for ((out, codes), scale) in out.chunks_exact_mut(16).zip(codes.chunks_exact(16)).zip(scales(block)) {
        let scale = d * f32::from(scale);
        for (out, &code) in out.iter_mut().zip(codes) {
            *out = scale * (f32::from(code) - 4.0);
        }
    }
}

fn take_apart(block: &[u8], parts: &mut BlockParts) {
    parts.d = u16_at(block, 108);
    parts.scales = scales(block);
    parts.codes = codes(block);
}

/// The low four bits of the scales come first (0–7 in the low halves of 8 bytes, 8–15 in the high halves),
/// then their high two bits, four scales a byte: byte i holds those of scales i, i + 4, i + 8 and i + 12.
fn scales(block: &[u8]) -> [i8; 16] {
    let low = fields::<16>(&block[96..104], 4, 8);
    let high = fields::<16>(&block[104..108], 2, 4);
    std::array::from_fn(|i| (low[i] | (high[i] << 4)).cast_signed() - 32)
}

fn codes(block: &[u8]) -> [u8; 256] {
    let mut codes = fields::<256>(&block[32..96], 2, 32);
    for (code, high) in codes.iter_mut().zip(fields::<256>(&block[..32], 1, 32)) {
        *code |= high << 2;
    }
    codes
}
