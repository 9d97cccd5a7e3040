//! Answers that are told at once: a running job up to its end.

use crate::error::ApiError;
use crate::running::{Ending, Event, Piece, Running, Timings, Usage};

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) piece: Piece,
    pub(crate) ending: Ending,
}

/// Waits for all answers of a job, in the order of its choices.
pub(crate) async fn collect(mut running: Running) -> Result<Vec<Answer>, ApiError> {
    let mut pieces: Vec<Piece> = vec![Piece::default(); running.choices()];
    let mut endings: Vec<Option<Ending>> = vec![None; running.choices()];
    while let Some(event) = running.next().await {
        match event {
            Event::Piece { choice, piece } if piece.again => {
                let prompt_logprobs = std::mem::take(&mut pieces[choice].prompt_logprobs);
                pieces[choice] = Piece { prompt_logprobs, ..piece };
            }
            Event::Piece { choice, piece } => pieces[choice].add(piece),
            Event::End { choice, ending } => endings[choice] = Some(ending),
            Event::Failed(error) => return Err(error),
        }
    }
    let ended = |ending: Option<Ending>| ending.expect("each choice ends or the job fails");
    Ok(pieces
        .into_iter()
        .zip(endings)
        .map(|(piece, ending)| Answer { piece, ending: ended(ending) })
        .collect())
}

/// The sums that a response with several choices reports. The choices of one prompt share its tokens, which count once:
/// `choices` is how many there are for each prompt.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) usage: Usage,
    pub(crate) timings: Timings,
}

impl Totals {
    /// Of one answer.
    pub(crate) fn of(ending: &Ending) -> Self {
        Totals { usage: ending.usage, timings: ending.timings }
    }

    /// Adds the end of the choice with this number.
    pub(crate) fn add(&mut self, choice: usize, choices: usize, ending: &Ending) {
        if choice.is_multiple_of(choices) {
            self.usage.prompt_tokens += ending.usage.prompt_tokens;
            self.usage.cached_tokens += ending.usage.cached_tokens;
        }
        self.usage.completion_tokens += ending.usage.completion_tokens;
        self.usage.reasoning_tokens += ending.usage.reasoning_tokens;
        // Choices run at the same time, so the longest counts.
        let Timings { queue, prompt, generation } = ending.timings;
        let timings = &mut self.timings;
        timings.queue = timings.queue.max(queue);
        timings.prompt = timings.prompt.max(prompt);
        timings.generation = timings.generation.max(generation);
    }
}
