//! How far an answer is with its thinking, and the end of a thinking that takes too long.
//!
//! When the budget is used up, or the guard has found a loop in it, the tokens that end the thinking come next,
//! whatever the model would choose.
//!
//! Invariant: it is a function of the answer's tokens and of where the guard ended a thinking, and goes back with them.

use crate::request::{Marker, Thinking, TokenId};

/// Text before the thinking that an answer may have: what comes later and looks like its beginning is talk about it.
const BEGIN_TOKENS_MAX: usize = 16;

/// How far an answer is, each place as a number of its tokens.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Where the thinking began.
    begun: Option<usize>,
    /// Where the tokens that end it begin, if they are said in the model's place.
    closing: Option<usize>,
    /// Where it was over.
    ended: Option<usize>,
}

impl Progress {
    /// Of an answer of which `answer` is there already.
    pub(crate) fn new(mut thinking: Option<&mut Thinking>, answer: &[TokenId]) -> Self {
        let begun = thinking.as_ref().filter(|thinking| thinking.open).map(|_| 0);
        let mut progress = Progress { begun, ..Progress::default() };
        for len in 0..=answer.len() {
            progress.look(thinking.as_deref_mut(), &answer[..len]);
        }
        progress
    }

    /// Whether an answer is in its thinking and nobody has told it to end it.
    pub(crate) fn is_open(&self) -> bool {
        self.begun.is_some() && self.closing.is_none() && self.ended.is_none()
    }

    /// The token that comes next whatever the model would choose, behind so many of the answer.
    pub(crate) fn forced(&self, thinking: Option<&Thinking>, answer_tokens: usize) -> Option<TokenId> {
        thinking?.close.get(answer_tokens - self.closing?).copied()
    }

    /// Whether the token at this place came in the model's place.
    pub(crate) fn was_forced(&self, thinking: Option<&Thinking>, at: usize) -> bool {
        self.closing.is_some_and(|from| at >= from && self.forced(thinking, at).is_some())
    }

    /// Looks at the newest token of an answer.
    pub(crate) fn look(&mut self, thinking: Option<&mut Thinking>, answer: &[TokenId]) {
        let Some(thinking) = thinking else { return };
        match (self.begun, self.ended) {
            (None, _) => {
                let begins = |begin: &mut Marker| begin.ends(answer);
                if answer.len() <= BEGIN_TOKENS_MAX && thinking.begin.as_mut().is_some_and(begins) {
                    self.begun = Some(answer.len());
                }
            }
            (Some(_), None) if thinking.end.ends(answer) => self.ended = Some(answer.len()),
            _ => {}
        }
        self.keep_to_budget(thinking, answer.len());
    }

    /// Has the thinking end behind so many tokens of the answer, if it can be ended.
    pub(crate) fn close(&mut self, thinking: Option<&Thinking>, answer_tokens: usize) -> bool {
        let closes = self.is_open() && thinking.is_some_and(|thinking| !thinking.close.is_empty());
        if closes {
            self.closing = Some(answer_tokens);
        }
        closes
    }

    /// Goes back to so many tokens of the answer.
    pub(crate) fn rewind(&mut self, thinking: Option<&Thinking>, answer_tokens: usize) {
        let open_from_the_start = thinking.is_some_and(|thinking| thinking.open);
        self.begun = self.begun.filter(|&at| at <= answer_tokens && (at > 0 || open_from_the_start));
        self.ended = self.ended.filter(|&at| at <= answer_tokens);
        self.closing = self.closing.filter(|&at| at <= answer_tokens);
    }

    fn keep_to_budget(&mut self, thinking: &Thinking, answer_tokens: usize) {
        let thought = self.begun.map_or(0, |begun| answer_tokens - begun);
        if thinking.budget_tokens.is_some_and(|budget| thought >= budget) {
            self.close(Some(thinking), answer_tokens);
        }
    }
}

impl Marker {
    /// Whether the last token of these completes it.
    fn ends(&mut self, tokens: &[TokenId]) -> bool {
        match self {
            Marker::Tokens(marker) => !marker.is_empty() && tokens.ends_with(marker),
            Marker::Text(phrases) => phrases.look(tokens).found.is_some(),
        }
    }
}
