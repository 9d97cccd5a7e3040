//! What a request does to the logits before a token is chosen: bias, bans and penalties, each taken back after
//! the choice.
//!
//! Invariant: after `undo` the row has the bits that it had before, whatever was changed and how often. A token's
//! count is not 0 only while it stands in `distinct`, so a panic on the way does not spoil the next choice.

use super::Place;
use super::dry::Prolonging;
use crate::request::{Dry, Sampling, TokenId};

/// The buffers, and what is to be taken back.
#[derive(Debug, Default)]
pub(super) struct Changes {
    before: Vec<(TokenId, f32)>,
    counts: Vec<u32>, // [vocabulary], once anything was counted
    distinct: Vec<TokenId>,
    prolonging: Prolonging,
}

impl Changes {
    /// Changes the row as the parameters say, in the documented order. Whether anything was changed.
    pub(super) fn apply(&mut self, logits: &mut [f32], sampling: &Sampling, place: &Place<'_>) -> bool {
        self.before.clear();
        let Sampling { frequency_penalty: frequency, presence_penalty: presence, .. } = *sampling;
        let (repeats, counts) = (sampling.repeat_penalty != 1.0, frequency != 0.0 || presence != 0.0);
        if repeats || counts {
            // An answer can come to have every token, and no step on its way there should have to make room.
            let lists = sampling.logit_bias.len() + place.forbidden.len();
            self.before.reserve(lists + 2 * logits.len());
        }
        for &(token, bias) in &sampling.logit_bias {
            self.change(logits, token, |logit| logit + bias);
        }
        for &token in place.forbidden {
            self.change(logits, token, |_| f32::NEG_INFINITY);
        }
        if repeats {
            let penalty = sampling.repeat_penalty;
            let window = place.history.len().saturating_sub(sampling.repeat_window);
            // A division alone would make a token with a negative logit more probable.
            self.change_each(logits, &place.history[window..], |logit, _| {
                if logit > 0.0 { logit / penalty } else { logit * penalty }
            });
        }
        if counts {
            self.change_each(logits, &place.history[place.prompt_tokens..], |logit, count| {
                logit - count as f32 * frequency - presence
            });
        }
        if let Some(dry) = &sampling.dry {
            self.penalise_prolonging(logits, place.history, dry);
        }
        if let Some(dry) = place.way_out {
            self.penalise_prolonging(logits, &place.history[place.prompt_tokens..], dry);
        }
        !self.before.is_empty()
    }

    /// Takes all changes back.
    pub(super) fn undo(&mut self, logits: &mut [f32]) {
        // A token that was changed twice must get its first value last.
        for (token, logit) in self.before.drain(..).rev() {
            logits[token as usize] = logit;
        }
    }

    fn penalise_prolonging(&mut self, logits: &mut [f32], history: &[TokenId], dry: &Dry) {
        let mut prolonging = std::mem::take(&mut self.prolonging);
        for &(token, length) in prolonging.find(history, dry) {
            let penalty = dry.penalty(length as usize);
            self.change(logits, token, |logit| logit - penalty);
        }
        self.prolonging = prolonging;
    }

    fn change(&mut self, logits: &mut [f32], token: TokenId, to: impl Fn(f32) -> f32) {
        let logit = &mut logits[token as usize];
        self.before.push((token, *logit));
        *logit = to(*logit);
    }

    /// Changes the logit of each of these tokens once, told how often it is among them.
    fn change_each(&mut self, logits: &mut [f32], tokens: &[TokenId], to: impl Fn(f32, u32) -> f32) {
        for token in self.distinct.drain(..) {
            self.counts[token as usize] = 0;
        }
        self.counts.resize(logits.len(), 0);
        self.distinct.reserve(logits.len());
        for &token in tokens {
            let count = &mut self.counts[token as usize];
            if *count == 0 {
                self.distinct.push(token);
            }
            *count += 1;
        }
        for i in 0..self.distinct.len() {
            let token = self.distinct[i];
            let count = self.counts[token as usize];
            self.change(logits, token, |logit| to(logit, count));
        }
    }
}
