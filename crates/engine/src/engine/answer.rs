//! From a step's logits and hidden states to the next piece of an answer.

use crate::batch::{LogitsWanted, Span};
use crate::guard::Verdict;
use crate::pooling::BadHidden;
use crate::request::{Chunk, FinishReason, TokenId};
use crate::sampler::{NoChoice, Place, Sampler};
use crate::scheduler::Sequence;

/// A piece of an answer that is ready to be sent.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) chunk: Chunk,
    /// Set if it is the last.
    pub(super) reason: Option<FinishReason>,
    /// Set if the answer repeats itself: the sequence is to be taken back until it has so many tokens, before this is sent.
    pub(super) rewind_to: Option<usize>,
}

impl Piece {
    fn last(chunk: Chunk, reason: FinishReason) -> Self {
        Piece { chunk, reason: Some(reason), rewind_to: None }
    }
}

/// What a pass gave for one span.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    pub(super) logits: &'a mut [f32], // [span.logit_rows(), vocabulary]
    pub(super) hidden: &'a [f32],     // [span.hidden_rows(), embedding]
}

/// Why an answer cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadRows {
    #[error(transparent)]
    Logits(#[from] NoChoice),
    #[error(transparent)]
    Hidden(#[from] BadHidden),
}

/// Takes a computed span over into its sequence and chooses the next token if it has reached the end.
/// None as long as it has not.
pub(super) fn advance(
    sequence: &mut Sequence,
    span: &Span,
    rows: Rows<'_>,
    sampler: &mut Sampler,
    context_tokens: usize,
) -> Result<Option<Piece>, BadRows> {
    let Rows { logits, hidden } = rows;
    let vocabulary = logits.len() / span.logit_rows().max(1);
    sequence.computed = span.start + span.len;
    if span.logits == LogitsWanted::All {
        note_prompt_logprobs(sequence, span, logits, vocabulary, sampler)?;
    }
    note_hidden(sequence, span, hidden);
    if sequence.remaining() > 0 {
        return Ok(None);
    }
    // Whoever asked for them finds them in the first chunk; they are gone from here then.
    let prompt_logprobs = std::mem::take(&mut sequence.prompt_logprobs);
    let mut chunk = Chunk { prompt_logprobs, ..Chunk::default() };
    let request = &sequence.request;
    if request.embedding.is_some() {
        chunk.embedding = sequence.pool.unit()?;
    }
    if request.max_tokens == 0 {
        return Ok(Some(Piece::last(chunk, FinishReason::Length)));
    }
    let last_row_start = logits.len() - vocabulary;
    let row = &mut logits[last_row_start..];
    let token = match sequence.guard.forced(&sequence.request) {
        Some(token) => token,
        None => choose(sequence, row, sampler)?,
    };
    sequence.tokens.push(token);
    if sequence.request.stop_tokens.contains(&token) {
        return Ok(Some(Piece::last(chunk, FinishReason::Stop)));
    }
    if let Some(top_n) = sequence.request.logprobs {
        sequence.held_logprobs.push(sampler.logprobs(row, token, top_n)?);
    }
    Ok(Some(judge(sequence, chunk, context_tokens)))
}

/// The token that follows a sequence by its last row of logits.
fn choose(sequence: &Sequence, row: &mut [f32], sampler: &mut Sampler) -> Result<TokenId, NoChoice> {
    let request = &sequence.request;
    let early = sequence.completion_tokens() < request.min_tokens;
    let place = Place {
        history: &sequence.tokens,
        prompt_tokens: sequence.prompt_tokens,
        forbidden: if early { &request.stop_tokens } else { &[] },
        attempt: sequence.guard.attempts(),
        way_out: sequence.guard.way_out(),
    };
    sampler.sample(row, &request.sampling, &place)
}

/// Sends the newest token on, or not, as the guard says.
fn judge(sequence: &mut Sequence, mut chunk: Chunk, context_tokens: usize) -> Piece {
    let Sequence { guard, request, tokens, prompt_tokens, .. } = &mut *sequence;
    let prompt_tokens = *prompt_tokens;
    match guard.look(request, &tokens[prompt_tokens..]) {
        Verdict::Rewind(kept) => return Piece { chunk, reason: None, rewind_to: Some(prompt_tokens + kept) },
        Verdict::Stop(kept) => {
            let reason = Some(FinishReason::Repetition);
            return Piece { chunk, reason, rewind_to: Some(prompt_tokens + kept) };
        }
        Verdict::Hold => {}
        Verdict::Pass => sequence.release(&mut chunk, false),
    }
    let full = sequence.completion_tokens() >= sequence.request.max_tokens
        || sequence.tokens.len() >= context_tokens;
    Piece { chunk, reason: full.then_some(FinishReason::Length), rewind_to: None }
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
    for (row, position) in rows.chunks_exact(vocabulary).zip(span.start..sequence.prompt_tokens - 1) {
        // After a preemption the first of them come a second time.
        if position == sequence.logprobs_noted {
            let next = sequence.tokens[position + 1];
            sequence.prompt_logprobs.push(sampler.logprobs(row, next, top_n)?);
            sequence.logprobs_noted += 1;
        }
    }
    Ok(())
}

/// Adds the hidden states of the span's last tokens to the prompt's vector.
fn note_hidden(sequence: &mut Sequence, span: &Span, hidden: &[f32]) {
    let rows = span.hidden_rows();
    if rows == 0 {
        return;
    }
    let first = span.start + span.len - rows;
    for (state, position) in hidden.chunks_exact(hidden.len() / rows).zip(first..) {
        // After a preemption the first of them come a second time.
        if span.logits == LogitsWanted::HiddenLast || position == sequence.pool.tokens() {
            sequence.pool.add(state);
        }
    }
}
