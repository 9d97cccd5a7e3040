//! Q5_0: 32 weights in 22 bytes: scale `d` (f16), 4 bytes with the fifth bit of each code (bit i: weight i),
//! then 16 bytes with the low four bits, as in Q4_0. w = d * (code - 16).

use super::unpack::{f16_at, fields, u16_at};
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q5_0",
    ggml_type: 6,
    block_len: 32,
    block_bytes: 2 + 4 + 16,
    decode,
    packing: Packing::Quantised { layout: &layout::U5_F16, take_apart },
};

fn decode(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (out, code) in out.iter_mut().zip(codes(block)) {
        *out = d * (f32::from(code) - 16.0);
    }
}

fn take_apart(block: &[u8], parts: &mut BlockParts) {
    parts.d = u16_at(block, 0);
    parts.codes[..32].copy_from_slice(&codes(block));
}

fn codes(block: &[u8]) -> [u8; 32] {
    let mut codes = fields::<32>(&block[6..22], 4, 16);
    for (code, high) in codes.iter_mut().zip(fields::<32>(&block[2..6], 1, 1)) {
        *code |= high << 4;
    }
    codes
}
