//! A whole model of a few kilobytes: the small vocabulary, and one block of weights. It answers, if not wisely.

use std::path::PathBuf;

use weights::gguf::formats::{self, Format};
use weights::gguf::{GgufWriter, Value};

use crate::kun::Scratch;
use crate::vocabulary;

pub(crate) const EMBEDDING: u64 = 32;
pub(crate) const FEED_FORWARD: u64 = 64;
/// Numbers of all key heads; there are 2 query heads and 1 key head of 16 numbers.
pub(crate) const KEYS: u64 = 16;

/// A tensor of the model: its name and its shape, the fastest dimension first.
pub(crate) type Shape = (&'static str, &'static [u64]);

/// The tensors in the order of the file.
pub(crate) const TENSORS: [Shape; 11] = [
    ("token_embd.weight", &[EMBEDDING, vocabulary::SIZE as u64]),
    ("blk.0.attn_norm.weight", &[EMBEDDING]),
    ("blk.0.attn_q.weight", &[EMBEDDING, EMBEDDING]),
    ("blk.0.attn_k.weight", &[EMBEDDING, KEYS]),
    ("blk.0.attn_v.weight", &[EMBEDDING, KEYS]),
    ("blk.0.attn_output.weight", &[EMBEDDING, EMBEDDING]),
    ("blk.0.ffn_norm.weight", &[EMBEDDING]),
    ("blk.0.ffn_gate.weight", &[EMBEDDING, FEED_FORWARD]),
    ("blk.0.ffn_up.weight", &[EMBEDDING, FEED_FORWARD]),
    ("blk.0.ffn_down.weight", &[FEED_FORWARD, EMBEDDING]),
    ("output_norm.weight", &[EMBEDDING]),
];

/// Writes the model.
pub(crate) fn write(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.path(name);
    with_tensors(header(), &TENSORS).write_file(&path).expect("the target folder can be written");
    path
}

/// Everything but the tensors, to be changed.
pub(crate) fn header() -> GgufWriter {
    let mut writer = vocabulary::writer();
    writer
        .set("llama.block_count", Value::U32(1))
        .set("llama.embedding_length", Value::U32(EMBEDDING as u32))
        .set("llama.feed_forward_length", Value::U32(FEED_FORWARD as u32))
        .set("llama.attention.head_count", Value::U32(2))
        .set("llama.attention.head_count_kv", Value::U32(1))
        .set("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
    writer
}

/// The file with these tensors, all of them F32.
pub(crate) fn with_tensors(mut writer: GgufWriter, tensors: &[Shape]) -> GgufWriter {
    for (name, shape) in tensors {
        writer.tensor(name, shape, f32_format(), data(name, shape));
    }
    writer
}

pub(crate) fn f32_format() -> Format {
    format("F32")
}

pub(crate) fn format(name: &str) -> Format {
    formats::by_name(name).expect("the format is in the table")
}

/// Norms of ones; other weights small and different from each other, so that every token has its own logit.
pub(crate) fn data(name: &str, shape: &[u64]) -> Vec<u8> {
    let count = shape.iter().product::<u64>();
    let mut state = 0x9e37_79b9_u32;
    let mut weight = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if name.ends_with("norm.weight") { 1.0 } else { (state >> 16) as f32 / 65_536.0 - 0.5 }
    };
    (0..count).map(&mut weight).flat_map(f32::to_le_bytes).collect()
}
