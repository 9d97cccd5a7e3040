//! WordPiece: text is normalised, cut into words at spaces, signs and Chinese characters, and each word is taken
//! apart greedily, the longest token first.
//!
//! In GGUF the tokens that begin a word begin with "▁" and the others have no prefix: BERT's `##` the other way
//! round. A word that cannot be taken apart wholly is the unknown token, or nothing if there is none. Of tokens with
//! the same text the first one counts; control tokens never come out of text.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use crate::vocabulary::{TokenKind, Vocabulary};

use super::characters::{ACCENT, CONTROL, PUNCTUATION, SPACE, SYMBOL, classes};
use super::pieces::SPACE_MARK;

/// A word of more characters is unknown, as in BERT. It also keeps long words from costing quadratic time.
const WORD_CHARS_MAX: usize = 100;

/// A WordPiece vocabulary.
#[derive(Debug)]
pub(crate) struct WordPiece {
    by_text: HashMap<Box<[u8]>, u32>,
    longest: usize, // bytes of the longest token
    unknown: Option<u32>,
    lowercase: bool,
    strip_accents: bool,
}

impl WordPiece {
    /// Reads the tokens.
    pub(crate) fn new(vocabulary: &Vocabulary) -> WordPiece {
        let mut by_text = HashMap::with_capacity(vocabulary.tokens.len());
        let mut longest = 0;
        for (id, (text, kind)) in vocabulary.tokens.iter().zip(&vocabulary.kinds).enumerate() {
            if text.is_empty() || matches!(kind, TokenKind::Control | TokenKind::Unknown) {
                continue;
            }
            by_text.entry(text.as_slice().into()).or_insert(id as u32);
            longest = longest.max(text.len());
        }
        let lowercase = vocabulary.lowercase.unwrap_or(true);
        let strip_accents = vocabulary.strip_accents.unwrap_or(lowercase);
        WordPiece { by_text, longest, unknown: vocabulary.unk, lowercase, strip_accents }
    }

    /// Appends the tokens of `text`.
    pub(crate) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let mut words = Words { ids, wordpiece: self, word: String::new() };
        if self.strip_accents {
            text.nfd().filter(|&c| classes(c) & ACCENT == 0).for_each(|c| words.push(c));
        } else {
            text.chars().for_each(|c| words.push(c));
        }
        words.end();
    }

    fn encode_word(&self, word: &str, ids: &mut Vec<u32>) {
        let known = ids.len();
        let marked = format!("{SPACE_MARK}{word}");
        let bytes = marked.as_bytes();
        let mut start = 0;
        let is_long = word.chars().nth(WORD_CHARS_MAX).is_some();
        while start < bytes.len() {
            let ends = (start + 1..=bytes.len().min(start + self.longest)).rev();
            let token = |end: usize| Some((self.by_text.get(&bytes[start..end])?, end));
            match ends.filter(|_| !is_long).find_map(token) {
                Some((&id, end)) => {
                    ids.push(id);
                    start = end;
                }
                None => {
                    ids.truncate(known);
                    ids.extend(self.unknown);
                    return;
                }
            }
        }
    }
}

/// Collects the characters of a word and encodes it when it ends.
struct Words<'a> {
    wordpiece: &'a WordPiece,
    word: String,
    ids: &'a mut Vec<u32>,
}

impl Words<'_> {
    fn push(&mut self, c: char) {
        let classes = classes(c);
        if classes & SPACE != 0 {
            return self.end();
        }
        if c == '\0' || c == '\u{fffd}' || classes & CONTROL != 0 {
            return;
        }
        let alone = classes & PUNCTUATION != 0 || (c.is_ascii() && classes & SYMBOL != 0) || is_chinese(c);
        if alone {
            self.end();
        }
        if self.wordpiece.lowercase {
            self.word.extend(c.to_lowercase());
        } else {
            self.word.push(c);
        }
        if alone {
            self.end();
        }
    }

    fn end(&mut self) {
        if !self.word.is_empty() {
            self.wordpiece.encode_word(&self.word, self.ids);
            self.word.clear();
        }
    }
}

/// The blocks that BERT takes apart. One of them begins later than Unicode's, as it does in BERT's own code.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{20000}'..='\u{2a6df}'
        | '\u{2a700}'..='\u{2b73f}'
        | '\u{2b740}'..='\u{2b81f}'
        | '\u{2b920}'..='\u{2ceaf}'
        | '\u{f900}'..='\u{faff}'
        | '\u{2f800}'..='\u{2fa1f}')
}
