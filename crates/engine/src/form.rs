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
    /// None once it has begun.
    begins_after: Option<Vec<TokenId>>,
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
        let begins_after = Some(begins_after).filter(|tokens| !tokens.is_empty());
        let mut state =
            FormState { constraint, begins_after, mask: Vec::new(), made: None, forced: VecDeque::new() };
        if state.begins_after.is_none() {
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
        if self.begins_after.is_none() && self.forced.is_empty() && self.made.is_none() {
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
        self.forced.pop_front()
    }

    /// Takes over a token that was chosen; `answer` ends with it.
    pub(crate) fn commit(&mut self, answer: &[TokenId]) -> Result<(), ConstraintError> {
        self.made = None;
        if let Some(before) = &self.begins_after {
            if answer.ends_with(before) {
                self.begins_after = None;
                self.force();
            }
            return Ok(());
        }
        // What was forced has been taken over already.
        if !self.forced.is_empty() || self.constraint.is_complete() {
            return Ok(());
        }
        let token = *answer.last().expect("it ends with the chosen token");
        self.constraint.commit(token)?;
        self.force();
        Ok(())
    }

    /// Whether this token ends the answer.
    pub(crate) fn ends_with(&self, token: TokenId) -> bool {
        self.begins_after.is_none() && self.constraint.is_end(token)
    }

    /// Whether nothing can come any more.
    pub(crate) fn is_complete(&self) -> bool {
        self.begins_after.is_none() && self.forced.is_empty() && self.constraint.is_complete()
    }

    fn force(&mut self) {
        // A form that can't be followed shows in the mask.
        let forced = self.constraint.forced();
        if forced.iter().try_for_each(|&token| self.constraint.commit(token)).is_ok() {
            self.forced.extend(forced);
        }
    }
}
