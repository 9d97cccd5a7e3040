//! Q8_0: 32 weights in 34 bytes: scale `d` (f16), then 32 signed bytes. w = d * q.

use super::unpack::{f16_at, u16_at};
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q8_0",
    ggml_type: 8,
    block_len: 32,
    block_bytes: 2 + 32,
    decode,
    packing: Packing::Quantised { layout: &layout::U8_F16, take_apart },
};

fn decode(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (out, &byte) in out.iter_mut().zip(&block[2..34]) {
        *out = d * f32::from(byte.cast_signed());
    }
}

fn take_apart(block: &[u8], parts: &mut BlockParts) {
    parts.d = u16_at(block, 0);
    // Codes are unsigned everywhere: flipping the sign bit adds 128.
    for (code, &byte) in parts.codes.iter_mut().zip(&block[2..34]) {
        *code = byte ^ 0x80;
    }
}
