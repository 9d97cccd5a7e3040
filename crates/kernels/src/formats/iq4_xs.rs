//! IQ4_XS: 256 weights in 136 bytes: `d` (f16); the high two and then the low four bits of a 6-bit scale for
//! each 32 weights (2 and 4 bytes, both plain bit streams); 128 bytes of 4-bit indices into the table of
//! IQ4_NL, each 16 bytes as in IQ4_NL. w = (d * (scale - 32)) * table[index].

use super::unpack::{f16_at, fields, u16_at};
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "IQ4_XS",
    ggml_type: 23,
    block_len: 256,
    block_bytes: 2 + 2 + 4 + 128,
    decode,
    packing: Packing::Quantised { layout: &layout::IQ4_SUPER, take_apart },
};

fn decode(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    let codes = codes(block);
    for ((out, codes), scale) in out.chunks_exact_mut(32).zip(codes.chunks_exact(32)).zip(scales(block)) {
        let scale = d * f32::from(scale);
        for (out, &code) in out.iter_mut().zip(codes) {
            *out = scale * f32::from(layout::IQ4_VALUES[usize::from(code)]);
        }
    }
}

fn take_apart(block: &[u8], parts: &mut BlockParts) {
    parts.d = u16_at(block, 0);
    parts.scales[..8].copy_from_slice(&scales(block));
    parts.codes = codes(block);
}

fn scales(block: &[u8]) -> [i8; 8] {
    let high = fields::<8>(&block[2..4], 2, 1);
    let low = fields::<8>(&block[4..8], 4, 1);
    std::array::from_fn(|i| (low[i] | (high[i] << 4)).cast_signed() - 32)
}

fn codes(block: &[u8]) -> [u8; 256] {
    fields(&block[8..136], 4, 16)
}
