//! Which tokens end an answer. Model files name one or two of them by id; the others are known by their texts,
//! because files that are wrong or silent about them are common.

use std::collections::HashSet;

use crate::vocabulary::{TokenKind, Vocabulary};

/// Texts of tokens that end a turn, a message or a text, in the vocabularies of public models.
const END_TEXTS: &[&str] = &[
    "<|eot_id|>",            // Llama 3
    "<|eom_id|>",            // Llama 3, before a tool
    "<|end_of_text|>",       // Llama 3, Granite
    "<|im_end|>",            // ChatML
    "<|endoftext|>",         // GPT-2 and many others
    "<|end|>",               // Phi 3
    "<|return|>",            // gpt-oss
    "<|call|>",              // gpt-oss, before a tool
    "<|flush|>",             // Solar Open
    "<|calls|>",             // Solar Open, before a tool
    "<end_of_turn>",         // Gemma
    "<turn|>",               // Gemma 4
    "<|tool_response>",      // Gemma 4, before a tool
    "<eos>",                 // Gemma
    "</s>",                  // Llama 2, Mistral
    "<EOT>",                 // CodeLlama
    "_<EOT>",                // CodeLlama
    "[EOT]",                 // Kimi
    "[EOS]",                 // Kimi
    "[e~[",                  // MiniMax
    "<end_of_utterance>",    // SmolDocling
    "<｜end▁of▁sentence｜>", // DeepSeek
    "<|END_OF_TURN_TOKEN|>", // Command R
];

/// Texts of tokens between files and of padding: a model that was trained on code goes on with another file
/// where its answer ends.
const FILE_TEXTS: &[&str] = &[
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<|repo_name|>",
    "<|fim_repo|>",
    "<fim-repo>",
    "<reponame>",
    "<repo_name>",
    "<|file_sep|>",
    "<file_sep>",
];

/// Gives the tokens that end an answer: first those that the vocabulary names, then those known by their texts.
///
/// A token with the text of an end counts if it is a control token. One that the file calls user-defined is taken
/// for a control token from here on, except `</s>`, which is HTML's strike-through in some vocabularies.
pub(crate) fn mark(vocabulary: &mut Vocabulary) -> Vec<u32> {
    let mut ends: Vec<u32> = [vocabulary.eos, vocabulary.eot, vocabulary.eom].into_iter().flatten().collect();
    let named = ends.len();
    for (id, (text, kind)) in vocabulary.tokens.iter().zip(&mut vocabulary.kinds).enumerate() {
        let may_end = match kind {
            TokenKind::Control => true,
            TokenKind::UserDefined => text != b"</s>",
            _ => false,
        };
        if may_end && END_TEXTS.iter().chain(FILE_TEXTS).any(|end| end.as_bytes() == text) {
            *kind = TokenKind::Control;
            ends.push(id as u32);
        }
    }
    // Where messages end with <|return|> or <|flush|>, <|end|> only ends a part of one.
    let text = |id: u32| vocabulary.tokens[id as usize].as_slice();
    let has = |wanted: &str| ends.iter().any(|&id| text(id) == wanted.as_bytes());
    let ends_parts = (has("<|return|>") && has("<|call|>")) || (has("<|flush|>") && has("<|calls|>"));
    let mut seen = HashSet::new();
    let mut wanted = Vec::new();
    for (index, id) in ends.into_iter().enumerate() {
        if (index < named || !(ends_parts && text(id) == b"<|end|>")) && seen.insert(id) {
            wanted.push(id);
        }
    }
    wanted
}
