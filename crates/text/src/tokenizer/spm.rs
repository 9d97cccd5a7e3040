//! SentencePiece's BPE as GGUF keeps it: no merges, only a score for each token. Of all neighbours that together
//! are a token, those with the best score merge first.
//!
//! What a hostile vocabulary means: of tokens with the same text the first one counts; a character without a
//! token is spelt by its bytes, and if a byte has no token either, it becomes the unknown token, or nothing if there
//! is none. Control, unknown and byte tokens never come out of text.

use std::collections::{HashMap, HashSet};

use crate::vocabulary::{TokenKind, Vocabulary, VocabularyError};

use super::merge::{Merger, UNKNOWN};
use super::pieces::{SPACE_MARK, byte_tokens};

/// A SentencePiece vocabulary.
#[derive(Debug)]
pub(crate) struct Spm {
    by_text: HashMap<Box<[u8]>, u32>,
    ranks: Vec<i32>, // of each token; the greatest merges first
    longest: usize,  // bytes of the longest token
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
    before_space: HashSet<char>, // characters that a token has before a space
    space_prefix: bool,
}

impl Spm {
    /// Reads tokens and scores.
    pub(crate) fn new(vocabulary: &Vocabulary) -> Result<Spm, VocabularyError> {
        if vocabulary.scores.is_empty() {
            let model = vocabulary.model.clone();
            return Err(VocabularyError::Missing { key: "tokenizer.ggml.scores", model });
        }
        if let Some(id) = vocabulary.scores.iter().position(|score| score.is_nan()) {
            return Err(VocabularyError::Score { id });
        }
        let mut by_text = HashMap::with_capacity(vocabulary.tokens.len());
        let mut before_space = HashSet::new();
        let mut longest = 0;
        for (id, (text, kind)) in vocabulary.tokens.iter().zip(&vocabulary.kinds).enumerate() {
            let is_text = !matches!(kind, TokenKind::Control | TokenKind::Unknown | TokenKind::Byte);
            let Ok(text) = str::from_utf8(text) else { continue };
            if !is_text || text.is_empty() {
                continue;
            }
            by_text.entry(text.as_bytes().into()).or_insert(id as u32);
            longest = longest.max(text.len());
            let pairs = text.chars().zip(text.chars().skip(1));
            before_space.extend(pairs.filter(|pair| pair.1 == SPACE_MARK).map(|pair| pair.0));
        }
        Ok(Spm {
            by_text,
            ranks: vocabulary.scores.iter().map(|&score| rank(score)).collect(),
            longest,
            bytes: Box::new(byte_tokens(vocabulary)?),
            unknown: vocabulary.unk,
            before_space,
            space_prefix: vocabulary.add_space_prefix.unwrap_or(true),
        })
    }

    /// Whether encoded text begins with a space that the text itself does not have.
    pub(crate) fn space_prefix(&self) -> bool {
        self.space_prefix
    }

    /// Appends the tokens of `text`, which `begins` a prompt or follows a special token.
    pub(crate) fn encode(&self, text: &str, begins: bool, merger: &mut Merger<i32>, ids: &mut Vec<u32>) {
        let mut mark = [0; 4];
        let mark: &str = SPACE_MARK.encode_utf8(&mut mark);
        let mut marked = if begins && self.space_prefix { mark.to_string() } else { String::new() };
        marked.push_str(&text.replace(' ', mark));
        let mut start = 0;
        for end in self.seams(&marked) {
            self.encode_part(&marked[start..end], merger, ids);
            start = end;
        }
    }

    /// Where parts of the text end that no token spans: before a space after a character that no token has there.
    /// The parts merge independently, so that cutting changes nothing but the size of what is sorted at once.
    fn seams<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let mut last = SPACE_MARK;
        let cuts = text.char_indices().filter_map(move |(at, c)| {
            let seam = c == SPACE_MARK && last != SPACE_MARK && !self.before_space.contains(&last);
            last = c;
            seam.then_some(at)
        });
        cuts.chain(Some(text.len()))
    }

    fn encode_part(&self, text: &str, merger: &mut Merger<i32>, ids: &mut Vec<u32>) {
        let text = text.as_bytes();
        merger.clear();
        let mut at = 0;
        // Even a character that is no token may be part of one, so no symbol is `UNKNOWN` to the merger.
        const CHARACTER: u32 = UNKNOWN - 1;
        while at < text.len() {
            let len = character_len(text[at]);
            merger.push(len, self.by_text.get(&text[at..at + len]).copied().unwrap_or(CHARACTER));
            at += len;
        }
        merger.merge(|left, right| {
            let len = left.len + right.len;
            if len > self.longest {
                return None;
            }
            let id = *self.by_text.get(&text[left.start..left.start + len])?;
            Some((self.ranks[id as usize], id))
        });
        for symbol in merger.symbols() {
            if symbol.id == CHARACTER {
                self.spell(&text[symbol.start..symbol.start + symbol.len], ids);
            } else {
                ids.push(symbol.id);
            }
        }
    }

    /// Appends the byte tokens of a character that is no token.
    fn spell(&self, character: &[u8], ids: &mut Vec<u32>) {
        let known = ids.len();
        for &byte in character {
            match self.bytes[usize::from(byte)] {
                Some(id) => ids.push(id),
                None => {
                    ids.truncate(known);
                    ids.extend(self.unknown);
                    return;
                }
            }
        }
    }
}

/// The length of the UTF-8 character that begins with `first`.
fn character_len(first: u8) -> usize {
    match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}

/// An integer that sorts as the score does; both zeros are one.
fn rank(score: f32) -> i32 {
    let bits = (score + 0.0).to_bits() as i32;
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_sort_as_scores_do() {
        let scores = [f32::NEG_INFINITY, -1e9, -1.5, -1.0, -1e-40, 0.0, 1e-40, 1.0, 2.0, f32::INFINITY];
        for pair in scores.windows(2) {
            assert!(rank(pair[0]) < rank(pair[1]), "{pair:?}");
        }
        assert_eq!(rank(-0.0), rank(0.0));
    }
}
