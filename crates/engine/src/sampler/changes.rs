//! What a request does to the logits before a token is chosen: bias, bans and penalties, each taken back after
//! the choice.
//!
//! Invariant: after `undo` the row has the bits that it had before, whatever was changed and how often. A token's
//! count is not 0 only while it stands in `distinct`, so a panic on the way does not spoil the next choice.

use super::Place;
use super::dry::{Prolonging, Wanted};
use crate::request::{Dry, Sampling, Stage, TokenId};

/// The buffers, and what is to be taken back.
#[derive(Debug, Default)]
pub(super) struct Changes {
    before: Vec<(TokenId, f32)>,
    counts: Vec<u32>, // [vocabulary], once anything was counted
    distinct: Vec<TokenId>,
    prolonging: Prolonging,
}

impl Changes {
    /// Begins with what no order of stages concerns: bias and bans.
    pub(super) fn begin(&mut self, logits: &mut [f32], sampling: &Sampling, place: &Place<'_>) {
        self.before.clear();
        let penalties = sampling.stages().contains(&Stage::Penalties);
        if penalties && (repeats(sampling) || counts(sampling)) {
            // An answer can come to have every token, and no step on its way there should have to make room.
            let lists = sampling.logit_bias.len() + place.forbidden.len() + place.banned.len();
            self.before.reserve(lists + 2 * logits.len());
        }
        for &(token, bias) in &sampling.logit_bias {
            self.change(logits, token, |logit| logit + bias);
        }
        for &token in place.forbidden.iter().chain(place.banned) {
            self.change(logits, token, |_| f32::NEG_INFINITY);
        }
    }

    /// Changes the row as a penalty says; other stages change nothing here.
    pub(super) fn penalise(
        &mut self,
        logits: &mut [f32],
        stage: Stage,
        sampling: &Sampling,
        place: &Place<'_>,
    ) {
        match stage {
            Stage::Penalties => self.penalise_what_was_said(logits, sampling, place),
            Stage::Dry => {
                if let Some(dry) = &sampling.dry {
                    self.penalise_prolonging(logits, place.history, dry);
                }
            }
            Stage::Lz => {
                if let Some(lz) = sampling.lz.as_ref().filter(|lz| lz.strength != 0.0) {
                    let vocabulary = logits.len();
                    self.penalise_by_length(logits, place.history, lz.wanted(), |n| {
                        lz.penalty(n, vocabulary)
                    });
                }
            }
            _ => {}
        }
    }

    /// The penalty that leads out of a loop. No order of stages concerns it.
    pub(super) fn lead_out(&mut self, logits: &mut [f32], place: &Place<'_>) {
        if let Some(dry) = place.way_out {
            self.penalise_prolonging(logits, &place.history[place.prompt_tokens..], dry);
        }
    }

    /// As `penalise`, for a row that is thrown away.
    pub(super) fn penalise_for_good(
        &mut self,
        logits: &mut [f32],
        stage: Stage,
        sampling: &Sampling,
        place: &Place<'_>,
    ) {
        let before = self.before.len();
        self.penalise(logits, stage, sampling, place);
        self.before.truncate(before);
    }

    /// Whether anything was changed.
    pub(super) fn are_some(&self) -> bool {
        !self.before.is_empty()
    }

    /// Takes all changes back.
    pub(super) fn undo(&mut self, logits: &mut [f32]) {
        // A token that was changed twice must get its first value last.
        for (token, logit) in self.before.drain(..).rev() {
            logits[token as usize] = logit;
        }
    }

    fn penalise_what_was_said(&mut self, logits: &mut [f32], sampling: &Sampling, place: &Place<'_>) {
        let last = |tokens: &'_ [TokenId], count: usize| tokens.len().saturating_sub(count);
        if repeats(sampling) {
            let penalty = sampling.repeat_penalty;
            let window = last(place.history, sampling.repeat_window);
            // A division alone would make a token with a negative logit more probable.
            self.change_each(logits, &place.history[window..], |logit, _| {
                if logit > 0.0 { logit / penalty } else { logit * penalty }
            });
        }
        if counts(sampling) {
            let Sampling { frequency_penalty: frequency, presence_penalty: presence, .. } = *sampling;
            let answer = &place.history[place.prompt_tokens..];
            let window = last(answer, sampling.count_window);
            self.change_each(logits, &answer[window..], |logit, count| {
                logit - count as f32 * frequency - presence
            });
        }
    }

    fn penalise_prolonging(&mut self, logits: &mut [f32], history: &[TokenId], dry: &Dry) {
        self.penalise_by_length(logits, history, dry.wanted(), |length| dry.penalty(length));
    }

    /// Takes from each token that would prolong a repetition what its length costs.
    fn penalise_by_length(
        &mut self,
        logits: &mut [f32],
        history: &[TokenId],
        wanted: Wanted<'_>,
        penalty: impl Fn(usize) -> f32,
    ) {
        let mut prolonging = std::mem::take(&mut self.prolonging);
        for &(token, length) in prolonging.find(history, wanted) {
            let penalty = penalty(length as usize);
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

fn repeats(sampling: &Sampling) -> bool {
    sampling.repeat_penalty != 1.0
}

fn counts(sampling: &Sampling) -> bool {
    sampling.frequency_penalty != 0.0 || sampling.presence_penalty != 0.0
}
