//! Q5_1: 32 weights in 24 bytes: scale `d` and minimum `m` (f16), 4 bytes with the fifth bit of each code
//! (bit i: weight i), then 16 bytes with the low four bits, as in Q4_1. w = d * code + m.

use super::unpack::{f16_at, fields, u16_at};
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q5_1",
    ggml_type: 7,
    block_len: 32,
    block_bytes: 2 + 2 + 4 + 16,
    decode,
    packing: Packing::Quantised { layout: &layout::U5_F16_MIN, take_apart },
};

fn decode(block: &[u8], out: &mut [f32]) {
    let (d, min) = (f16_at(block, 0), f16_at(block, 2));
    for (out, code) in out.iter_mut().zip(codes(block)) {
        *out = d * f32::from(code) + min;
    }
}

fn take_apart(block: &[u8], parts: &mut BlockParts) {
    parts.d = u16_at(block, 0);
    parts.dmin = u16_at(block, 2);
    parts.codes[..32].copy_from_slice(&codes(block));
}

fn codes(block: &[u8]) -> [u8; 32] {
    let mut codes = fields::<32>(&block[8..24], 4, 16);
    for (code, high) in codes.iter_mut().zip(fields::<32>(&block[4..8], 1, 1)) {
        *code |= high << 4;
    }
    codes
}
