//! MXFP4 (OCP Microscaling 1.0): 32 weights in 17 bytes: an E8M0 exponent `e`, then 16 bytes of 4-bit E2M1
//! numbers, weight i in the low half of byte i and weight i + 16 in the high half. The table holds the numbers
//! doubled, to be integers: w = 2^(e - 128) * table[index]. As in GGML, e = 255 is no NaN but 2^127.

use super::unpack::fields;
use super::{BlockParts, Packing, TensorFormat};
use crate::layout;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "MXFP4",
    ggml_type: 39,
    block_len: 32,
    block_bytes: 1 + 16,
    decode,
    packing: Packing::Quantised { layout: &layout::MXFP4_E8M0, take_apart },
};

fn decode(block: &[u8], out: &mut [f32]) {
    let d = layout::e8m0_half(block[0]);
    for (out, code) in out.iter_mut().zip(codes(block)) {
        *out = d * f32::from(layout::MXFP4_VALUES[usize::from(code)]);
    }
}

fn take_apart(block: &[u8], parts: &mut BlockParts) {
    parts.scales[0] = block[0].cast_signed();
    parts.codes[..32].copy_from_slice(&codes(block));
}

fn codes(block: &[u8]) -> [u8; 32] {
    fields(&block[1..17], 4, 16)
}
