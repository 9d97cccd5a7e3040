//! F16: one IEEE 754 binary16 number, 2 bytes.

use super::unpack::f16_at;
use super::{Float, Packing, TensorFormat};

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "F16",
    ggml_type: 1,
    block_len: 1,
    block_bytes: 2,
    decode,
    packing: Packing::Float(Float::F16),
};

fn decode(block: &[u8], out: &mut [f32]) {
    out[0] = f16_at(block, 0);
}
