//! Phrases in the text of tokens: what an answer must not say, and what begins and ends a model's thoughts.
//!
//! A phrase may be cut into tokens in many ways, so it is looked for in their bytes. What is said of the end of an answer is a
//! function of its last tokens alone: nothing is carried from one token to the next, so an answer may be taken back to any
//! place.

use std::fmt;
use std::sync::Arc;

use crate::tokenizer::Tokenizer;

/// The most phrases that are looked for at a time.
pub const PHRASES_MAX: usize = 64;
/// The most bytes of a phrase.
pub const PHRASE_BYTES_MAX: usize = 256;

/// Why phrases are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhrasesError {
    /// There are too many.
    #[error("{0} strings, at most {PHRASES_MAX} are possible")]
    TooMany(usize),
    /// One is empty and would stand everywhere, or is too long.
    #[error("string {0} has {1} bytes; it must have 1 to {PHRASE_BYTES_MAX}")]
    Length(usize, usize),
}

/// Texts that are looked for in what tokens of one vocabulary say.
#[derive(Clone)]
pub struct Phrases {
    tokenizer: Arc<Tokenizer>,
    phrases: Arc<[Box<[u8]>]>,
    /// Bytes of the longest.
    longest: usize,
    /// Whether special tokens have the text of their names; else they have none.
    names: bool,
    /// The bytes of the last tokens, and where each token begins in them. For their memory alone.
    bytes: Vec<u8>,
    begins: Vec<usize>,
}

/// What the end of an answer has to do with phrases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sighting {
    /// The last so many tokens have a phrase in them that the last one completes; of several the one that begins first.
    pub found: Option<usize>,
    /// The last so many tokens end with the beginning of a phrase.
    pub begun: usize,
}

impl fmt::Debug for Phrases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.phrases.iter().map(|phrase| String::from_utf8_lossy(phrase)).collect();
        f.debug_tuple("Phrases").field(&texts).finish()
    }
}

impl Phrases {
    /// Looks for these in the text that clients are shown, in which special tokens are nothing.
    ///
    /// # Errors
    /// If there are too many, or one is empty or too long.
    pub fn in_text(tokenizer: Arc<Tokenizer>, texts: &[String]) -> Result<Phrases, PhrasesError> {
        Phrases::new(tokenizer, texts, false)
    }

    /// Looks for markers, which may be special tokens.
    ///
    /// # Errors
    /// If there are too many, or one is empty or too long.
    pub fn of_markers(tokenizer: Arc<Tokenizer>, texts: &[String]) -> Result<Phrases, PhrasesError> {
        Phrases::new(tokenizer, texts, true)
    }

    fn new(tokenizer: Arc<Tokenizer>, texts: &[String], names: bool) -> Result<Phrases, PhrasesError> {
        if texts.len() > PHRASES_MAX {
            return Err(PhrasesError::TooMany(texts.len()));
        }
        let is_long = |text: &String| !(1..=PHRASE_BYTES_MAX).contains(&text.len());
        if let Some(index) = texts.iter().position(is_long) {
            return Err(PhrasesError::Length(index, texts[index].len()));
        }
        let phrases = texts.iter().map(|text| text.as_bytes().into()).collect();
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        Ok(Phrases { tokenizer, phrases, longest, names, bytes: Vec::new(), begins: Vec::new() })
    }

    /// Looks at the end of an answer, of which these are the tokens, or the last of them.
    pub fn look(&mut self, tokens: &[u32]) -> Sighting {
        let Some(last_begin) = self.gather(tokens) else { return Sighting::default() };
        let found = self.phrases.iter().filter_map(|phrase| first_in(&self.bytes, phrase, last_begin)).min();
        let begun = self.phrases.iter().filter_map(|phrase| begun_in(&self.bytes, phrase)).min();
        let tokens_from = |at: usize| self.begins.len() - (self.begins.partition_point(|&b| b <= at) - 1);
        Sighting { found: found.map(tokens_from), begun: begun.map_or(0, tokens_from) }
    }

    /// Gathers as many of the last tokens' bytes as matter. Where those of the last token begin; none if it has none.
    fn gather(&mut self, tokens: &[u32]) -> Option<usize> {
        self.bytes.clear();
        self.begins.clear();
        let (&last, before) = tokens.split_last()?;
        let mut wanted = self.longest.checked_sub(1)?;
        let mut first = before.len();
        while first > 0 && wanted > 0 {
            first -= 1;
            wanted = wanted.saturating_sub(self.len_of(before[first]));
        }
        for &token in &before[first..] {
            self.add(token);
        }
        let last_begin = self.bytes.len();
        self.add(last);
        (self.bytes.len() > last_begin).then_some(last_begin)
    }

    fn len_of(&self, token: u32) -> usize {
        match (self.tokenizer.is_special(token), self.names) {
            (true, true) => self.tokenizer.token_text(token).map_or(0, |name| name.len()),
            (true, false) => 0,
            (false, _) => self.tokenizer.piece(token).map_or(0, <[u8]>::len),
        }
    }

    fn add(&mut self, token: u32) {
        self.begins.push(self.bytes.len());
        match (self.tokenizer.is_special(token), self.names) {
            (true, true) => {
                let name = self.tokenizer.token_text(token).unwrap_or_default();
                self.bytes.extend_from_slice(name.as_bytes());
            }
            (true, false) => {}
            (false, _) => self.bytes.extend_from_slice(self.tokenizer.piece(token).unwrap_or_default()),
        }
    }
}

/// Where a phrase begins that ends behind `last_begin`.
fn first_in(bytes: &[u8], phrase: &[u8], last_begin: usize) -> Option<usize> {
    let from = (last_begin + 1).saturating_sub(phrase.len());
    let at = bytes[from..].windows(phrase.len()).position(|part| part == phrase)?;
    Some(from + at)
}

/// Where the longest beginning of a phrase begins that the bytes end with, if it is not all of it.
fn begun_in(bytes: &[u8], phrase: &[u8]) -> Option<usize> {
    let most = bytes.len().min(phrase.len() - 1);
    let length = (1..=most).rev().find(|&length| bytes.ends_with(&phrase[..length]))?;
    Some(bytes.len() - length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{TokenKind, Vocabulary};

    /// Tokens 0 to 6, the last of which is special.
    const TOKENS: [&str; 7] = ["a", "b", "ab", "ba", "xaby", "é", "<end>"];

    fn tokenizer() -> Arc<Tokenizer> {
        let kinds = (0..7).map(|id| if id == 6 { TokenKind::Control } else { TokenKind::Normal });
        let vocabulary = Vocabulary {
            model: "llama".to_owned(),
            tokens: TOKENS.iter().map(|text| text.as_bytes().to_vec()).collect(),
            scores: vec![0.0; 7],
            kinds: kinds.collect(),
            ..Vocabulary::default()
        };
        Arc::new(Tokenizer::new(vocabulary).expect("a vocabulary"))
    }

    fn check(texts: &[&str], tokens: &[u32], found: Option<usize>, begun: usize) {
        let texts: Vec<String> = texts.iter().map(|text| text.to_string()).collect();
        let mut phrases = Phrases::in_text(tokenizer(), &texts).expect("few and short");
        assert_eq!(phrases.look(tokens), Sighting { found, begun }, "{texts:?} in {tokens:?}");
    }

    #[test]
    fn a_phrase_is_found_however_it_is_cut() {
        check(&["aba"], &[0, 1, 0], Some(3), 1);
        check(&["aba"], &[2, 0], Some(2), 1);
        check(&["aba"], &[1, 0, 3], Some(2), 1);
        check(&["ab"], &[5, 4], Some(1), 0);
        check(&["é"], &[0, 5], Some(1), 0);
        // It was complete before.
        check(&["ab"], &[2, 1], None, 0);
        check(&["abab"], &[0, 1], None, 2);
        check(&["bab"], &[0, 3, 1, 0], None, 2);
        check(&["ab"], &[], None, 0);
        check(&[], &[0], None, 0);
    }

    #[test]
    fn of_several_the_one_that_begins_first_counts() {
        check(&["ab", "bab"], &[1, 2], Some(2), 1);
        check(&["b", "aab"], &[0, 0, 1], Some(3), 0);
        check(&["abb", "bba"], &[0, 1], None, 2);
    }

    #[test]
    fn special_tokens_are_nothing_in_a_text_and_have_names_as_markers() {
        check(&["ab"], &[0, 6, 1], Some(3), 0);
        check(&["ab"], &[0, 1, 6], None, 0);
        let mut markers = Phrases::of_markers(tokenizer(), &["<end>".to_owned()]).expect("one");
        assert_eq!(markers.look(&[0, 6]).found, Some(1));
        assert_eq!(markers.look(&[6, 0]).found, None);
    }

    #[test]
    fn too_many_and_empty_and_long_ones_are_refused() {
        let new = |texts: &[String]| Phrases::in_text(tokenizer(), texts).map(|_| ());
        assert_eq!(new(&vec!["a".to_owned(); 65]), Err(PhrasesError::TooMany(65)));
        assert_eq!(new(&["a".to_owned(), String::new()]), Err(PhrasesError::Length(1, 0)));
        assert_eq!(new(&["a".repeat(257)]), Err(PhrasesError::Length(0, 257)));
        assert_eq!(new(&["a".repeat(256)]), Ok(()));
    }
}
