//! What becomes of an answer that repeats itself: the ladder that it climbs down, rung by rung.
//!
//! Each new token is shown to the detector ([`text::repetition`]). While the end of the answer is suspicious, its tokens
//! are held back; as soon as the suspicion ends they are sent. When it is a loop, all copies but the first are taken
//! back, and then:
//!
//! 1. an answer that is still in its thinking is told that it has thought enough: the tokens that end it come next
//!    ([`crate::thinking`]);
//! 2. else what follows is chosen once more, under a penalty on whatever the answer would repeat ([`Dry`]), which stays
//!    until its end, so that it does not find back into the same loop. Each attempt draws other random numbers;
//! 3. after [`ATTEMPTS_MAX`] attempts the answer ends there, with [`FinishReason::Repetition`].
//!
//! A client may have been sent tokens that are taken back, the copies before the suspicion: it is told how many
//! (`Chunk::rewind`). An answer that is told at once leaves them out; a stream of text can't, and goes on behind them.
//!
//! The prompt is not looked at: to go on with a row of zeros is what was asked for. Nor is anything done before
//! `min_tokens`, as until then the answer may not end, and who says so wants its length.
//!
//! An answer that must have a form may have to repeat itself. It is judged like others where the form left a choice in
//! what was repeated, and let be where it left none.
//!
//! Invariant: what happens depends on the answer's own tokens alone, so neither neighbours nor preemptions change it.

use text::repetition::{Finding, Repeated, Repetitions, thresholds};

use crate::request::{Dry, FinishReason, LoopGuard, Repetition, Request, TokenId};
use crate::thinking::Progress;

/// How often an answer is made to go another way.
pub const ATTEMPTS_MAX: u32 = 2;

/// The penalty of each attempt: the second one leaves little that can be said again.
pub static WAYS_OUT: [Dry; ATTEMPTS_MAX as usize] = [
    Dry { multiplier: 2.0, base: 1.75, allowed_length: 3, window: 1024, breakers: Vec::new() },
    Dry { multiplier: 4.0, base: 2.0, allowed_length: 2, window: 1024, breakers: Vec::new() },
];

/// The guard of one answer.
#[derive(Debug)]
pub(crate) struct Guard {
    /// None if nobody is to look.
    repetitions: Option<Repetitions>,
    attempts: u32,
    /// The last loop, and what was taken back for all of them.
    found: Option<Repetition>,
}

/// What is to be done with an answer after its newest token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send what there is.
    Pass,
    /// Keep it back for now.
    Hold,
    /// Take all back but so many tokens of the answer, and go on from there.
    Rewind(usize),
    /// Take all back but so many tokens of the answer, which ends there.
    Stop(usize),
}

impl Guard {
    /// The guard of an answer of which `begun` is there already.
    pub(crate) fn new(request: &Request, begun: &[TokenId]) -> Self {
        let mut repetitions = may_guard(request).then(|| Repetitions::new(&thresholds::TOKENS));
        if let Some(repetitions) = &mut repetitions {
            for len in 1..=begun.len() {
                // What was a loop elsewhere has been dealt with there.
                if let Finding::Loop(_) = repetitions.push(&begun[..len]) {
                    repetitions.restart();
                }
            }
        }
        Guard { repetitions, attempts: 0, found: None }
    }

    /// How often the answer was taken back and chosen anew.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What keeps the answer from repeating itself again.
    pub(crate) fn way_out(&self) -> Option<&'static Dry> {
        self.attempts.checked_sub(1).map(|attempt| &WAYS_OUT[attempt as usize])
    }

    /// Looks at the newest token of an answer. `was_free` tells whether there was a choice behind so many of its tokens.
    pub(crate) fn look(
        &mut self,
        request: &Request,
        answer: &[TokenId],
        progress: &mut Progress,
        was_free: impl FnOnce(usize) -> bool,
    ) -> Verdict {
        let Some(repetitions) = &mut self.repetitions else { return Verdict::Pass };
        let finding = repetitions.push(answer);
        if answer.len() < request.min_tokens {
            return Verdict::Pass;
        }
        match finding {
            Finding::None => Verdict::Pass,
            Finding::Suspicion(_) => Verdict::Hold,
            Finding::Loop(repeated) if !was_free(answer.len() - repeated.excess()) => Verdict::Pass,
            Finding::Loop(repeated) => self.act(request, answer, repeated, progress),
        }
    }

    /// The answer was taken back for another reason: what was counted is no more.
    pub(crate) fn restart(&mut self) {
        if let Some(repetitions) = &mut self.repetitions {
            repetitions.restart();
        }
    }

    /// What is reported of an answer that ends for this reason.
    pub(crate) fn report(&self, reason: &FinishReason) -> Option<Repetition> {
        let recovered = matches!(reason, FinishReason::Stop | FinishReason::Length);
        self.found.map(|found| Repetition { recovered, ..found })
    }

    /// Takes the next rung.
    fn act(
        &mut self,
        request: &Request,
        answer: &[TokenId],
        repeated: Repeated,
        progress: &mut Progress,
    ) -> Verdict {
        self.restart();
        let trimmed_before = self.found.map_or(0, |found| found.tokens_trimmed);
        self.found = Some(Repetition {
            period_tokens: repeated.period,
            repeats: repeated.copies(),
            tokens_trimmed: trimmed_before + repeated.excess(),
            recovered: false,
        });
        let kept = answer.len() - repeated.excess();
        if request.loop_guard == LoopGuard::Stop {
            return Verdict::Stop(kept);
        }
        // As it was then: a thinking that ended in one of the copies ends again.
        progress.rewind(request.thinking.as_ref(), kept);
        if progress.close(request.thinking.as_ref(), kept) {
            return Verdict::Rewind(kept);
        }
        if self.attempts == ATTEMPTS_MAX {
            return Verdict::Stop(kept);
        }
        self.attempts += 1;
        Verdict::Rewind(kept)
    }
}

/// Whether an answer is to be judged at all.
fn may_guard(request: &Request) -> bool {
    request.loop_guard != LoopGuard::Off && request.max_tokens > 0
}
