//! IQ4_NL: 32 weights in 18 bytes: scale `d` (f16), then 16 bytes of 4-bit indices into a table, weight i in
//! the low half of byte i and weight i + 16 in the high half. w = d * table[index].

use super::unpack::{f16_at, fields, u16_at};
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "IQ4_NL",
    ggml_type: 20,
    block_len: 32,
    block_bytes: 2 + 16,
    decode,
    packing: Packing::Quantised { layout: &layout::IQ4_F16, take_apart },
};

fn decode(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (out, code) in out.iter_mut().zip(codes(block)) {
        *out = d * f32::from(layout::IQ4_VALUES[usize::from(code)]);
    }
}

fn take_apart(block: &[u8], parts: &mut BlockParts) {
    parts.d = u16_at(block, 0);
    parts.codes[..32].copy_from_slice(&codes(block));
}

fn codes(block: &[u8]) -> [u8; 32] {
    fields(&block[2..18], 4, 16)
}
