//! Q6_K: 256 weights in 210 bytes: 128 bytes with the low four bits of each code, 64 bytes with the high two,
//! a signed scale byte for each 16 weights, `d` (f16). Each 64 low bytes hold 128 weights, first their low
//! halves and then their high ones; the high bits are arranged as the codes of Q2_K.
//! w = (d * scale) * (code - 32).

use super::unpack::{f16_at, fields, u16_at};
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q6_K",
    ggml_type: 14,
    block_len: 256,
    block_bytes: 128 + 64 + 16 + 2,
    decode,
    packing: Packing::Quantised { layout: &layout::U6_SUPER, take_apart },
};

fn decode(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 208);
    let codes = codes(block);
    for ((out, codes), scale) in out.chunks_exact_mut(16).zip(codes.chunks_exact(16)).zip(scales(block)) {
        let scale = d * f32::from(scale);
        for (out, &code) in out.iter_mut().zip(codes) {
            *out = scale * (f32::from(code) - 32.0);
        }
    }
}

fn take_apart(block: &[u8], parts: &mut BlockParts) {
    parts.d = u16_at(block, 208);
    parts.scales = scales(block);
    parts.codes = codes(block);
}

fn scales(block: &[u8]) -> [i8; 16] {
    std::array::from_fn(|i| block[192 + i].cast_signed())
}

fn codes(block: &[u8]) -> [u8; 256] {
    let mut codes = fields::<256>(&block[..128], 4, 64);
    for (code, high) in codes.iter_mut().zip(fields::<256>(&block[128..192], 2, 32)) {
        *code |= high << 4;
    }
    codes
}
