//! Q2_K: 256 weights in 84 bytes: 16 bytes, each the 4-bit scale (low) and 4-bit minimum (high) of 16
//! weights; 64 bytes of 2-bit codes; `d` and `dmin` (f16). Each 32 code bytes hold 128 weights: the lowest two
//! bits of all 32, then the next two, and so on. w = (d * scale) * code - (dmin * min).

use super::unpack::{f16_at, fields, u16_at};
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q2_K",
    ggml_type: 10,
    block_len: 256,
    block_bytes: 16 + 64 + 2 + 2,
    decode,
    packing: Packing::Quantised { layout: &layout::U2_SUPER_MIN, take_apart },
};

fn decode(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
    let codes = codes(block);
    for ((out, codes), both) in out.chunks_exact_mut(16).zip(codes.chunks_exact(16)).zip(&block[..16]) {
        let scale = d * f32::from(both & 0x0f);
        let min = dmin * f32::from(both >> 4);
        for (out, &code) in out.iter_mut().zip(codes) {
            *out = scale * f32::from(code) - min;
        }
    }
}

fn take_apart(block: &[u8], parts: &mut BlockParts) {
    parts.d = u16_at(block, 80);
    parts.dmin = u16_at(block, 82);
    for (i, &both) in block[..16].iter().enumerate() {
        parts.scales[i] = (both & 0x0f).cast_signed();
        parts.mins[i] = both >> 4;
    }
    parts.codes = codes(block);
}

fn codes(block: &[u8]) -> [u8; 256] {
    fields(&block[16..80], 2, 32)
}
