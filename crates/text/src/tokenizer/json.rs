//! A vocabulary as the `tokenizer.json` of Hugging Face's library, for programs that have only that.
//!
//! SentencePiece's scores become merges: each way to put a token together of two others, the best score first. What is
//! not said there (a BOS that the text has already is not put before it again) is lost.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::vocabulary::{TokenKind, Vocabulary, VocabularyError};

use super::pieces::SPACE_MARK;
use super::pretokenizers::{self, PreTokenizer, Spelling};
use super::{Tokenizer, ends, fill_in, regex};

/// Why a vocabulary has no such form.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It is none at all.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// Nobody has written down how.
    #[error(
        "a vocabulary of the kind {0:?} can't be written as tokenizer.json; gpt2 (byte-level BPE) and llama (SentencePiece) can"
    )]
    Kind(String),
}

/// The document.
///
/// # Errors
/// If no tokenizer can be made of the vocabulary, or if its kind has no such form.
pub fn document(vocabulary: &Vocabulary) -> Result<Value, ExportError> {
    let tokenizer = Tokenizer::new(vocabulary.clone())?;
    let mut vocabulary = vocabulary.clone();
    fill_in(&mut vocabulary);
    ends::mark(&mut vocabulary);
    let pre = vocabulary.pre.as_deref().filter(|pre| !pre.is_empty()).unwrap_or("default");
    let row = pretokenizers::find(pre).filter(|row| row.spelling == Spelling::Bytes);
    let parts = match (vocabulary.model.as_str(), row) {
        ("gpt2", Some(row)) => bytes(&vocabulary, row),
        ("llama", _) => sentence_piece(&vocabulary),
        (model, _) => return Err(ExportError::Kind(model.chars().take(64).collect())),
    };
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added(&vocabulary),
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": around(&tokenizer, &vocabulary),
        "decoder": parts.decoder,
        "model": parts.model,
    }))
}

/// What the kinds of vocabularies differ in.
struct Parts {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    model: Value,
}

fn bytes(vocabulary: &Vocabulary, row: &PreTokenizer) -> Parts {
    let split = |stage| json!({"type": "Split", "pattern": {"Regex": regex::of_stage(stage)}, "behavior": "Isolated", "invert": false});
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let cuts: Vec<Value> = row.stages.iter().map(split).chain([byte_level.clone()]).collect();
    let merges: Vec<Value> = vocabulary.merges.iter().filter_map(|merge| sides(merge)).collect();
    Parts {
        normalizer: Value::Null,
        pre_tokenizer: json!({"type": "Sequence", "pretokenizers": cuts}),
        decoder: byte_level,
        model: model(vocabulary, merges, &json!({"ignore_merges": row.whole_words})),
    }
}

/// A space may be the left side's first character, never its second.
fn sides(merge: &str) -> Option<Value> {
    let gap = merge.bytes().skip(1).position(|byte| byte == b' ')? + 1;
    Some(json!([&merge[..gap], &merge[gap + 1..]]))
}

fn sentence_piece(vocabulary: &Vocabulary) -> Parts {
    let mark = SPACE_MARK.to_string();
    let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": mark});
    let marks = json!({"type": "Replace", "pattern": {"String": mark}, "content": " "});
    let mut decoders = vec![marks, json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    let mut normalizers = vec![spaces];
    if vocabulary.add_space_prefix.unwrap_or(true) {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": mark}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let unknown = vocabulary.unk.and_then(|id| text(vocabulary, id as usize));
    let more = json!({"unk_token": unknown, "fuse_unk": true, "byte_fallback": true});
    Parts {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: Value::Null,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model: model(vocabulary, merges(vocabulary), &more),
    }
}

/// Merges that do what the scores do.
fn merges(vocabulary: &Vocabulary) -> Vec<Value> {
    let is_text =
        |kind: TokenKind| !matches!(kind, TokenKind::Control | TokenKind::Unknown | TokenKind::Byte);
    let mut by_text: HashMap<&str, usize> = HashMap::new();
    for (id, kind) in vocabulary.kinds.iter().enumerate() {
        if let Some(text) = text(vocabulary, id).filter(|text| is_text(*kind) && !text.is_empty()) {
            by_text.entry(text).or_insert(id);
        }
    }
    let mut merges = Vec::new();
    for (whole, &id) in &by_text {
        let cuts = whole.char_indices().skip(1).map(|(at, _)| whole.split_at(at));
        for (left, right) in
            cuts.filter(|(left, right)| by_text.contains_key(left) && by_text.contains_key(right))
        {
            merges.push((id, left, right));
        }
    }
    let score = |id: usize| vocabulary.scores.get(id).copied().unwrap_or_default();
    merges.sort_by(|a, b| {
        score(b.0)
            .total_cmp(&score(a.0))
            .then(a.0.cmp(&b.0))
            .then(Reverse(a.1.len()).cmp(&Reverse(b.1.len())))
    });
    merges.into_iter().map(|(_, left, right)| json!([left, right])).collect()
}

fn model(vocabulary: &Vocabulary, merges: Vec<Value>, more: &Value) -> Value {
    let mut ids = Map::new();
    for id in 0..vocabulary.tokens.len() {
        // Of tokens with the same text the first one counts.
        if let Some(text) = text(vocabulary, id) {
            ids.entry(text).or_insert_with(|| id.into());
        }
    }
    let mut model = json!({
        "type": "BPE",
        "dropout": null,
        "unk_token": null,
        "continuing_subword_prefix": null,
        "end_of_word_suffix": null,
        "fuse_unk": false,
        "byte_fallback": false,
        "ignore_merges": false,
    });
    let fields = model.as_object_mut().expect("it is written above");
    fields.extend(more.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    fields.insert("vocab".to_owned(), ids.into());
    fields.insert("merges".to_owned(), merges.into());
    model
}

/// Tokens that are found before everything else.
fn added(vocabulary: &Vocabulary) -> Vec<Value> {
    let added = |(id, kind): (usize, &TokenKind)| {
        let special = match kind {
            TokenKind::Control | TokenKind::Unknown => true,
            TokenKind::UserDefined => false,
            _ => return None,
        };
        let content = text(vocabulary, id).filter(|text| !text.is_empty())?;
        let strips = |ids: &[u32]| ids.contains(&(id as u32));
        Some(json!({
            "id": id,
            "content": content,
            "single_word": false,
            "lstrip": strips(&vocabulary.strip_before),
            "rstrip": strips(&vocabulary.strip_after),
            "normalized": false,
            "special": special,
        }))
    };
    vocabulary.kinds.iter().enumerate().filter_map(added).collect()
}

/// What a prompt begins and ends with.
fn around(tokenizer: &Tokenizer, vocabulary: &Vocabulary) -> Value {
    let named = |id: Option<u32>| id.and_then(|id| Some((id, text(vocabulary, id as usize)?)));
    let (first, last) = (named(tokenizer.first), named(tokenizer.last));
    if first.is_none() && last.is_none() {
        return Value::Null;
    }
    let token = |(_, text): (u32, &str)| json!({"SpecialToken": {"id": text, "type_id": 0}});
    let sequence = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    let whole = |name: &str| -> Vec<Value> {
        first.map(token).into_iter().chain([sequence(name)]).chain(last.map(token)).collect()
    };
    let pair: Vec<Value> = whole("A").into_iter().chain(whole("B")).collect();
    let mut specials = Map::new();
    for (id, text) in [first, last].into_iter().flatten() {
        specials.insert(text.to_owned(), json!({"id": text, "ids": [id], "tokens": [text]}));
    }
    json!({"type": "TemplateProcessing", "single": whole("A"), "pair": pair, "special_tokens": specials})
}

fn text(vocabulary: &Vocabulary, id: usize) -> Option<&str> {
    str::from_utf8(vocabulary.tokens.get(id)?).ok()
}
