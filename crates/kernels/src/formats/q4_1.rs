//! Q4_1: 32 weights in 20 bytes: scale `d` and minimum `m` (f16), then 16 bytes of 4-bit codes, weight i in
//! the low half of byte i and weight i + 16 in the high half. w = d * code + m.

use super::unpack::{f16_at, fields, u16_at};
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q4_1",
    ggml_type: 3,
    block_len: 32,
    block_bytes: 2 + 2 + 16,
    decode,
    packing: Packing::Quantised { layout: &layout::U4_F16_MIN, take_apart },
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
    fields(&block[4..20], 4, 16)
}
