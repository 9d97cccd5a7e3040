//! Special tokens in text: they are found first, at each place the longest, and what lies between them is text.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::vocabulary::{TokenKind, Vocabulary, VocabularyError};

/// Whether the texts of control tokens in a text mean these tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// No: they are text as any other. What a user writes cannot pretend to be another role. Tokens that the
    /// vocabulary calls user-defined are text, and found even so.
    AsText,
    /// Yes: for what a chat template made.
    Parse,
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Text to be encoded, not empty.
    Text(&'a str),
    /// A special token.
    Token(u32),
}

/// Finds special tokens.
#[derive(Debug)]
pub(crate) struct Finder {
    user_defined: Automaton,
    all: Automaton,
    strip_before: Vec<u32>, // sorted
    strip_after: Vec<u32>,  // sorted
}

impl Finder {
    /// Collects the special tokens. Those that are no UTF-8 are in no text.
    pub(crate) fn new(vocabulary: &Vocabulary) -> Result<Finder, VocabularyError> {
        let automaton = |wanted: &[TokenKind]| {
            let kinds = &vocabulary.kinds;
            let ids = (0..kinds.len()).filter(|&id| {
                let text = &vocabulary.tokens[id];
                wanted.contains(&kinds[id]) && !text.is_empty() && str::from_utf8(text).is_ok()
            });
            Automaton::new(vocabulary, ids.map(|id| id as u32).collect())
        };
        let sorted = |ids: &[u32]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        Ok(Finder {
            user_defined: automaton(&[TokenKind::UserDefined])?,
            all: automaton(&[TokenKind::UserDefined, TokenKind::Control, TokenKind::Unknown])?,
            strip_before: sorted(&vocabulary.strip_before),
            strip_after: sorted(&vocabulary.strip_after),
        })
    }

    /// The parts of a text, in order.
    pub(crate) fn parts<'a>(
        &'a self,
        text: &'a str,
        specials: Specials,
    ) -> impl Iterator<Item = Part<'a>> + 'a {
        let automaton = match specials {
            Specials::AsText => &self.user_defined,
            Specials::Parse => &self.all,
        };
        let ascii_space = |c: char| matches!(c, ' ' | '\t'..='\r');
        let mut start = 0;
        let mut strip_start = false;
        let ends = automaton.find(text).map(Some).chain(Some(None));
        ends.flat_map(move |found| {
            let end = found.as_ref().map_or(text.len(), |(at, _)| at.start);
            let mut between = &text[start..end];
            if strip_start {
                between = between.trim_start_matches(ascii_space);
            }
            if let Some((at, id)) = &found {
                start = at.end;
                strip_start = self.strip_after.binary_search(id).is_ok();
                if self.strip_before.binary_search(id).is_ok() {
                    between = between.trim_end_matches(ascii_space);
                }
            }
            let text = Some(Part::Text(between)).filter(|_| !between.is_empty());
            [text, found.map(|(_, id)| Part::Token(id))].into_iter().flatten()
        })
    }
}

/// An automaton for some tokens.
#[derive(Debug)]
struct Automaton {
    search: Option<AhoCorasick>, // none without tokens
    ids: Vec<u32>,
}

impl Automaton {
    fn new(vocabulary: &Vocabulary, ids: Vec<u32>) -> Result<Automaton, VocabularyError> {
        if ids.is_empty() {
            return Ok(Automaton { search: None, ids });
        }
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(ids.iter().map(|&id| &vocabulary.tokens[id as usize]))
            .map_err(|error| VocabularyError::Specials { reason: error.to_string() })?;
        Ok(Automaton { search: Some(search), ids })
    }

    fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (std::ops::Range<usize>, u32)> + 'a {
        let found = self.search.iter().flat_map(move |search| search.find_iter(text));
        found.map(|found| (found.range(), self.ids[found.pattern().as_usize()]))
    }
}
