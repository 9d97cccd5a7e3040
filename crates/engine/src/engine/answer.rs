//! From a step's logits to the next piece of an answer.

use crate::batch::{LogitsWanted, Span};
use crate::request::{Chunk, FinishReason};
use crate::sampler::{NoChoice, Place, Sampler};
use crate::scheduler::Sequence;

/// A piece of an answer that is ready to be sent.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) chunk: Chunk,
    /// Set if it is the last.
    pub(super) reason: Option<FinishReason>,
}

/// Takes a computed span over into its sequence and chooses the next token if it has reached the end.
/// None as long as it has not.
pub(super) fn advance(
    sequence: &mut Sequence,
    span: &Span,
    rows: &mut [f32], // [span.logit_rows(), vocabulary]
    sampler: &mut Sampler,
    context_tokens: usize,
) -> Result<Option<Piece>, NoChoice> {
    let vocabulary = rows.len() / span.logit_rows().max(1);
    sequence.computed = span.start + span.len;
    if span.logits == LogitsWanted::All {
        note_prompt_logprobs(sequence, span, rows, vocabulary, sampler)?;
    }
    if sequence.remaining() > 0 {
        return Ok(None);
    }
    let mut chunk = Chunk::default();
    if sequence.completion_tokens() == 0 {
        // The sequence keeps its own, which say after a preemption that they need not be computed again.
        chunk.prompt_logprobs.clone_from(&sequence.prompt_logprobs);
    }
    let request = &sequence.request;
    if request.max_tokens == 0 {
        return Ok(Some(Piece { chunk, reason: Some(FinishReason::Length) }));
    }
    let last_row_start = rows.len() - vocabulary;
    let row = &mut rows[last_row_start..];
    let early = sequence.completion_tokens() < request.min_tokens;
    let place = Place {
        history: &sequence.tokens,
        prompt_tokens: sequence.prompt_tokens,
        forbidden: if early { &request.stop_tokens } else { &[] },
    };
    let token = sampler.sample(row, &request.sampling, &place)?;
    sequence.tokens.push(token);
    if request.stop_tokens.contains(&token) {
        return Ok(Some(Piece { chunk, reason: Some(FinishReason::Stop) }));
    }
    if let Some(top_n) = request.logprobs {
        chunk.logprobs = vec![sampler.logprobs(row, token, top_n)?];
    }
    chunk.tokens = vec![token];
    let full = sequence.completion_tokens() >= sequence.request.max_tokens
        || sequence.tokens.len() >= context_tokens;
    Ok(Some(Piece { chunk, reason: full.then_some(FinishReason::Length) }))
}

/// Position p's row says how probable token p + 1 was.
fn note_prompt_logprobs(
    sequence: &mut Sequence,
    span: &Span,
    rows: &[f32],
    vocabulary: usize,
    sampler: &mut Sampler,
) -> Result<(), NoChoice> {
    let top_n = sequence.request.prompt_logprobs.unwrap_or(0);
    for (row, next) in rows.chunks_exact(vocabulary).zip(span.start + 1..sequence.prompt_tokens) {
        // After a preemption the first of them come a second time.
        if next == sequence.prompt_logprobs.len() + 1 {
            sequence.prompt_logprobs.push(sampler.logprobs(row, sequence.tokens[next], top_n)?);
        }
    }
    Ok(())
}
