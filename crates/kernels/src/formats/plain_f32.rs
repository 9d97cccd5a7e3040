//! F32: one IEEE 754 binary32 number, 4 bytes.

use super::{Float, Packing, TensorFormat};

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "F32",
    ggml_type: 0,
    block_len: 1,
    block_bytes: 4,
    decode,
    packing: Packing::Float(Float::F32),
};

fn decode(block: &[u8], out: &mut [f32]) {
    out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
}
