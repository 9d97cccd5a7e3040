//! BF16: one number, 2 bytes: the upper half of an f32.

use super::unpack::u16_at;
use super::{Float, Packing, TensorFormat};

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "BF16",
    ggml_type: 30,
    block_len: 1,
    block_bytes: 2,
    decode,
    packing: Packing::Float(Float::Bf16),
};

fn decode(block: &[u8], out: &mut [f32]) {
    out[0] = f32::from_bits(u32::from(u16_at(block, 0)) << 16);
}
