//! The form that an answer must have, as one sequence follows it.
//!
//! What may come next is a function of the answer so far, so the mask of a step is made beside its forward pass
//! ([`crate::engine`]'s masks). Tokens that the form leaves no choice about are not sampled: they are added at once and
//! computed together in the next step. With log-probabilities asked for they come one by one, as each needs its row of
//! logits; they are the same tokens.

use std::collections::VecDeque;

use text::grammar::{Constraint, ConstraintError};

use crate::request::{Form, TokenId};

/// How far an answer has come in its form.
#[derive(Debug)]
pub(crate) struct FormState {
    constraint: Constraint,
    /// The tokens behind which it begins, such as the end of the thinking; none if it begins with the answer.
    begins_after: Vec<TokenId>,
    /// Behind how many tokens of the answer it has begun.
    begun: Option<usize>,
    /// Of each token since then whether the form left a choice.
    free: Vec<bool>,
    mask: Vec<u32>,
    /// What came of the mask for the next token, if it was made.
    made: Option<Result<(), ConstraintError>>,
    /// Tokens that come next in any case.
    forced: VecDeque<TokenId>,
}

impl FormState {
    /// The form of an answer of which `begun` is there already.
    pub(crate) fn new(form: Form, begun: &[TokenId]) -> Self {
        let Form { constraint, begins_after } = form;
        let begun_at = begins_after.is_empty().then_some(0);
        let mut state = FormState {
            constraint,
            begins_after,
            begun: begun_at,
            free: Vec::new(),
            mask: Vec::new(),
            made: None,
            forced: VecDeque::new(),
        };
        if state.begun.is_some() {
            state.force();
        }
        for len in 1..=begun.len() {
            let taken = match (state.pop_forced(), begun[..len].last()) {
                (None, _) => state.commit(&begun[..len]),
                (forced, token) if forced.as_ref() == token => Ok(()),
                _ => Err(ConstraintError::of_another_form()),
            };
            if let Err(error) = taken {
                // It shows as soon as a token is wanted.
                state.forced.clear();
                state.made = Some(Err(error));
                break;
            }
        }
        state
    }

    /// Makes the mask for the next token. It takes up to some milliseconds.
    pub(crate) fn make_mask(&mut self) {
        if self.begun.is_some() && self.forced.is_empty() && self.made.is_none() {
            self.made = Some(self.constraint.mask(&mut self.mask));
        }
    }

    /// The tokens that may come next; none if all may.
    pub(crate) fn allowed(&mut self) -> Result<Option<&[u32]>, ConstraintError> {
        self.make_mask();
        match self.made.clone() {
            None => Ok(None),
            Some(Ok(())) => Ok(Some(&self.mask)),
            Some(Err(error)) => Err(error),
        }
    }

    /// The next token, if there is no choice.
    pub(crate) fn pop_forced(&mut self) -> Option<TokenId> {
        let token = self.forced.pop_front()?;
        self.free.push(false);
        Some(token)
    }

    /// Takes over a token that was chosen; `answer` ends with it.
    pub(crate) fn commit(&mut self, answer: &[TokenId]) -> Result<(), ConstraintError> {
        let made = self.made.take();
        if self.begun.is_none() {
            if answer.ends_with(&self.begins_after) {
                self.begun = Some(answer.len());
                self.force();
            }
            return Ok(());
        }
        let choices: u32 = self.mask.iter().map(|word| word.count_ones()).sum();
        self.free.push(made.is_none() || choices > 1);
        if self.constraint.is_complete() {
            return Ok(());
        }
        let token = *answer.last().expect("it ends with the chosen token");
        self.constraint.commit(token)?;
        self.force();
        Ok(())
    }

    /// Whether there was a choice behind so many tokens of the answer, for the token there or any later one.
    pub(crate) fn was_free_from(&self, answer_tokens: usize) -> bool {
        let Some(begun) = self.begun else { return true };
        answer_tokens < begun
            || self.free.get(answer_tokens - begun..).is_some_and(|free| free.contains(&true))
    }

    /// The same for that token alone.
    pub(crate) fn was_free_at(&self, answer_tokens: usize) -> bool {
        let since = |begun| answer_tokens.checked_sub(begun);
        self.begun.and_then(since).is_none_or(|at| self.free.get(at).is_none_or(|&free| free))
    }

    /// Goes back to so many tokens of the answer.
    pub(crate) fn rewind(&mut self, answer_tokens: usize) {
        let Some(begun) = self.begun else { return };
        let kept = answer_tokens.saturating_sub(begun);
        // What was forced has been taken over although it has not come yet.
        let back = self.free.len().saturating_sub(kept) + self.forced.len();
        self.free.truncate(kept);
        self.forced.clear();
        self.made = self.constraint.rewind(back).err().map(Err);
        if answer_tokens < begun {
            self.begun = None;
        } else if self.made.is_none() {
            self.force();
        }
    }

    /// Whether this token ends the answer.
    pub(crate) fn ends_with(&self, token: TokenId) -> bool {
        self.begun.is_some() && self.constraint.is_end(token)
    }

    /// Whether nothing can come any more.
    pub(crate) fn is_complete(&self) -> bool {
        self.begun.is_some() && self.forced.is_empty() && self.constraint.is_complete()
    }

    fn force(&mut self) {
        // A form that can't be followed shows in the mask.
        let forced = self.constraint.forced();
        if forced.iter().try_for_each(|&token| self.constraint.commit(token)).is_ok() {
            self.forced.extend(forced);
        }
    }
}
