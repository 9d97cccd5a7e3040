//! Byte-pair encoding: words of a text are merged from bytes (or characters) in the order of a list of merges.
//!
//! All is done on the bytes that tokens stand for; GPT-2's alphabet is decoded once, when the vocabulary is read.
//! What a hostile vocabulary means:
//! - of tokens with the same text the first one counts;
//! - a merge without two sides is ignored, of merges with the same sides the first one counts;
//! - a merge whose result is no token is kept, as it may lead to one. What ends as no token is spelt by bytes, and a
//!   byte without a token is dropped, as the reference does it;
//! - control tokens never come out of text, whatever the merges say.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::vocabulary::{TokenKind, Vocabulary, VocabularyError};

use super::merge::{Merger, UNKNOWN};
use super::pieces::{SPACE_MARK, byte_tokens, spelt};
use super::pretokenizers::{self, PreTokenizer, Spelling};
use super::split;

/// Texts by id: tokens have their own, texts that occur only in merges have ids behind them.
type Symbols = HashMap<Box<[u8]>, u32>;

/// The rank of a merge and the symbol that it makes.
type Merge = (u32, u32);

/// A BPE vocabulary.
#[derive(Debug)]
pub(crate) struct Bpe {
    pre: &'static PreTokenizer,
    symbols: Symbols,
    tokens: u32,
    merges: HashMap<(u32, u32), Merge>,
    bytes: Box<[u32; 256]>, // symbol of a byte, or UNKNOWN: those that words begin as, and the last resort
}

impl Bpe {
    /// Reads tokens and merges.
    pub(crate) fn new(vocabulary: &Vocabulary, pre: &str) -> Result<Bpe, VocabularyError> {
        let pre = pretokenizers::find(pre).ok_or_else(|| VocabularyError::UnknownPre {
            pre: pre.chars().take(64).collect(),
            nearest: pretokenizers::nearest(pre),
        })?;
        let tokens = vocabulary.tokens.len() as u32;
        let bytes_of = |text: &[u8]| match pre.spelling {
            Spelling::Bytes => spelt(text),
            Spelling::Plain => Some(text.to_vec()),
        };
        let mut symbols = Symbols::with_capacity(vocabulary.tokens.len());
        for (id, (text, kind)) in vocabulary.tokens.iter().zip(&vocabulary.kinds).enumerate() {
            if matches!(kind, TokenKind::Control | TokenKind::Unknown | TokenKind::Byte) {
                continue;
            }
            if let Some(bytes) = bytes_of(text).filter(|bytes| !bytes.is_empty()) {
                symbols.entry(bytes.into()).or_insert(id as u32);
            }
        }
        let mut next = tokens;
        let mut symbol = |bytes: Vec<u8>| {
            *symbols.entry(bytes.into()).or_insert_with(|| {
                next += 1;
                next - 1
            })
        };
        let mut merges = HashMap::with_capacity(vocabulary.merges.len());
        for (rank, merge) in vocabulary.merges.iter().enumerate() {
            // A space may be the left side's first character, never its second.
            let gap = merge.bytes().skip(1).position(|byte| byte == b' ').map(|at| at + 1);
            let sides = gap.and_then(|gap| {
                Some((bytes_of(&merge.as_bytes()[..gap])?, bytes_of(&merge.as_bytes()[gap + 1..])?))
            });
            let Some((left, right)) = sides.filter(|(_, right)| !right.is_empty()) else { continue };
            let both = [left.as_slice(), right.as_slice()].concat();
            let (left, right, both) = (symbol(left), symbol(right), symbol(both));
            merges.entry((left, right)).or_insert((rank as u32, both));
        }
        let spelt_bytes = match pre.spelling {
            Spelling::Bytes => [None; 256],
            Spelling::Plain => byte_tokens(vocabulary)?,
        };
        let byte = |byte: usize| spelt_bytes[byte].or_else(|| symbols.get([byte as u8].as_slice()).copied());
        let bytes = Box::new(std::array::from_fn(|b| byte(b).unwrap_or(UNKNOWN)));
        Ok(Bpe { pre, symbols, tokens, merges, bytes })
    }

    /// How text is cut and spelt.
    pub(crate) fn pre(&self) -> &'static PreTokenizer {
        self.pre
    }

    /// Appends the tokens of `text`.
    pub(crate) fn encode(&self, text: &str, merger: &mut Merger<Reverse<u32>>, ids: &mut Vec<u32>) {
        match self.pre.spelling {
            Spelling::Bytes => self.encode_words(text, merger, ids),
            Spelling::Plain => {
                self.encode_words(&text.replace(' ', SPACE_MARK.encode_utf8(&mut [0; 4])), merger, ids);
            }
        }
    }

    fn encode_words(&self, text: &str, merger: &mut Merger<Reverse<u32>>, ids: &mut Vec<u32>) {
        for word in split::words(text, self.pre.stages) {
            self.encode_word(&text[word], merger, ids);
        }
    }

    fn encode_word(&self, word: &str, merger: &mut Merger<Reverse<u32>>, ids: &mut Vec<u32>) {
        let newlines = || self.pre.spelling == Spelling::Plain && word.bytes().all(|byte| byte == b'\n');
        if (self.pre.whole_words || newlines())
            && let Some(id) = self.token(word.as_bytes())
        {
            ids.push(id);
            return;
        }
        merger.clear();
        match self.pre.spelling {
            Spelling::Bytes => word.bytes().for_each(|byte| merger.push(1, self.bytes[usize::from(byte)])),
            Spelling::Plain => {
                let mut buffer = [0; 4];
                for c in word.chars() {
                    let bytes = c.encode_utf8(&mut buffer).as_bytes();
                    merger.push(bytes.len(), self.symbols.get(bytes).copied().unwrap_or(UNKNOWN));
                }
            }
        }
        merger.merge(|left, right| {
            let (rank, id) = *self.merges.get(&(left.id, right.id))?;
            Some((Reverse(rank), id))
        });
        for symbol in merger.symbols() {
            if symbol.id < self.tokens {
                ids.push(symbol.id);
            } else {
                let bytes = &word.as_bytes()[symbol.start..symbol.start + symbol.len];
                ids.extend(
                    bytes.iter().map(|&byte| self.bytes[usize::from(byte)]).filter(|&id| id < self.tokens),
                );
            }
        }
    }

    fn token(&self, bytes: &[u8]) -> Option<u32> {
        self.symbols.get(bytes).copied().filter(|&id| id < self.tokens)
    }
}
