//! Q5_K: 256 weights in 176 bytes: `d` and `dmin` (f16); 12 bytes with a 6-bit scale and a 6-bit minimum for
//! each 32 weights; 32 bytes with the fifth bit of each code (bit j of byte i: weight 32 * j + i); 128 bytes
//! with the low four bits, arranged as in Q4_K. w = (d * scale) * code - (dmin * min).

use super::unpack::{f16_at, fields, scales_and_mins, u16_at};
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q5_K",
    ggml_type: 13,
    block_len: 256,
    block_bytes: 2 + 2 + 12 + 32 + 128,
    decode,
    packing: Packing::Quantised { layout: &layout::U5_SUPER_MIN, take_apart },
};

fn decode(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scales, mins) = scales_and_mins(&block[4..16]);
    let codes = codes(block);
    for (group, (out, codes)) in out.chunks_exact_mut(32).zip(codes.chunks_exact(32)).enumerate() {
        let scale = d * f32::from(scales[group]);
        let min = dmin * f32::from(mins[group]);
        for (out, &code) in out.iter_mut().zip(codes) {
            *out = scale * f32::from(code) - min;
        }
    }
}

fn take_apart(block: &[u8], parts: &mut BlockParts) {
    let (scales, mins) = scales_and_mins(&block[4..16]);
    parts.d = u16_at(block, 0);
    parts.dmin = u16_at(block, 2);
    parts.scales[..8].copy_from_slice(&scales.map(u8::cast_signed));
    parts.mins[..8].copy_from_slice(&mins);
    parts.codes = codes(block);
}

fn codes(block: &[u8]) -> [u8; 256] {
    let mut codes = fields::<256>(&block[48..176], 4, 32);
    for (code, high) in codes.iter_mut().zip(fields::<256>(&block[16..48], 1, 32)) {
        *code |= high << 4;
    }
    codes
}
