//! A small model file without weights: a byte-level vocabulary, a template and a few hyper-parameters.

use std::path::PathBuf;

use weights::gguf::{Array, GgufWriter, Strings, Value};

use crate::kun::Scratch;

/// Ids 0 to 255 are the bytes in the order of their values, then come the merged ones and the markers.
pub(crate) const HE: u32 = 256;
pub(crate) const HELL: u32 = 258;
pub(crate) const BOS: u32 = 260;
pub(crate) const EOS: u32 = 261;
pub(crate) const SIZE: usize = 262;

pub(crate) const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}\
     {% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}";

/// Writes the file.
pub(crate) fn write(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.path(name);
    writer().write_file(&path).expect("the target folder can be written");
    path
}

/// The file, to be changed.
pub(crate) fn writer() -> GgufWriter {
    // 1 is a normal token, 3 one that is structure.
    let kinds = (0..SIZE as u32).map(|id| if id >= BOS { 3 } else { 1 }).collect();
    let mut writer = GgufWriter::new();
    writer
        .set("general.architecture", text("llama"))
        .set("general.name", text("small"))
        .set("llama.block_count", Value::U32(2))
        .set("llama.context_length", Value::U32(4096))
        .set("llama.embedding_length", Value::U32(64))
        .set("llama.attention.head_count", Value::U32(4))
        .set("llama.attention.head_count_kv", Value::U32(2))
        .set("tokenizer.ggml.model", text("gpt2"))
        .set("tokenizer.ggml.pre", text("gpt-2"))
        .set("tokenizer.ggml.tokens", tokens("<|begin|>"))
        .set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)))
        .set("tokenizer.ggml.merges", texts(["h e", "l l", "he ll", "\u{120} he"].iter()))
        .set("tokenizer.ggml.bos_token_id", Value::U32(BOS))
        .set("tokenizer.ggml.eos_token_id", Value::U32(EOS))
        .set("tokenizer.ggml.add_bos_token", Value::Bool(true))
        .set("tokenizer.chat_template", text(TEMPLATE));
    writer
}

/// The texts of the tokens, with one of choice for the marker that begins texts.
pub(crate) fn tokens(begin: &str) -> Value {
    let bytes = (0..=255u8).map(|byte| byte_character(byte).to_string());
    let others = ["he", "ll", "hell", "\u{120}he", begin, "<|end|>"].map(str::to_owned);
    let tokens: Vec<String> = bytes.chain(others).collect();
    assert_eq!(tokens.len(), SIZE);
    texts(tokens.iter())
}

pub(crate) fn text(text: &str) -> Value {
    Value::String(text.as_bytes().to_vec())
}

fn texts<T: AsRef<str>>(texts: impl Iterator<Item = T>) -> Value {
    let mut strings = Strings::default();
    texts.for_each(|text| strings.push(text.as_ref().as_bytes()));
    Value::Array(Array::String(strings))
}

/// The character that stands for a byte in byte-level vocabularies: printable ones stand for themselves, the
/// others for those from U+0100 on.
fn byte_character(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|b| !printable(*b)).count() as u32;
    char::from_u32(0x100 + before).expect("there are 68 of them")
}
