//! From a step's logits and hidden states to the next piece of an answer.

use crate::bans::{self, TooManyRewinds};
use crate::batch::{LogitsWanted, Span};
use crate::form::FormState;
use crate::guard::Verdict;
use crate::pooling::BadHidden;
use crate::request::{Chunk, FinishReason, TokenId};
use crate::sampler::{Choice, NoChoice, Place, Sampler};
use crate::scheduler::Sequence;
use text::grammar::ConstraintError;

/// A piece of an answer that is ready to be sent.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) chunk: Chunk,
    /// How many tokens came, the stop token included.
    pub(super) generated: u64,
    /// Set if it is the last.
    pub(super) reason: Option<FinishReason>,
    /// Set if the sequence is to be taken back until it has so many tokens, before this is sent.
    pub(super) rewind_to: Option<usize>,
    /// Whether it repeated itself.
    pub(super) looped: bool,
}

impl Piece {
    fn last(chunk: Chunk, reason: FinishReason) -> Self {
        Piece::more(chunk, Some(reason))
    }

    fn more(chunk: Chunk, reason: Option<FinishReason>) -> Self {
        Piece { chunk, generated: 0, reason, rewind_to: None, looped: false }
    }

    fn back(Back { to, looped, reason }: Back) -> Self {
        Piece { rewind_to: Some(to), looped, ..Piece::more(Chunk::default(), reason) }
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
    #[error(transparent)]
    Form(#[from] ConstraintError),
    #[error(transparent)]
    Banned(#[from] TooManyRewinds),
}

impl BadRows {
    /// How the answer ends. What the request itself has forbidden is not the engine's failure.
    pub(super) fn reason(&self) -> FinishReason {
        match self {
            BadRows::Form(_) | BadRows::Banned(_) | BadRows::Logits(NoChoice::AllForbidden) => {
                FinishReason::Impossible(self.to_string())
            }
            BadRows::Logits(NoChoice::BadLogits) | BadRows::Hidden(_) => {
                FinishReason::Error(self.to_string())
            }
        }
    }
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
    let before = sequence.tokens.len();
    let mut piece = match sequence.form.take() {
        Some(mut form) => {
            let piece = formed(sequence, &mut form, row, sampler, context_tokens);
            sequence.form = Some(form);
            piece?
        }
        None => free(sequence, row, sampler, context_tokens)?,
    };
    piece.chunk.prompt_logprobs = chunk.prompt_logprobs;
    piece.generated = (sequence.tokens.len() - before) as u64;
    Ok(Some(piece))
}

/// The next token of an answer that may be anything.
fn free(
    sequence: &mut Sequence,
    row: &mut [f32],
    sampler: &mut Sampler,
    context_tokens: usize,
) -> Result<Piece, BadRows> {
    let choice = match forced_by_thinking(sequence) {
        Some(choice) => choice,
        None => choose(sequence, None, row, sampler)?,
    };
    sequence.push(choice.token, choice.mu);
    if sequence.request.stop_tokens.contains(&choice.token) {
        return Ok(Piece::last(Chunk::default(), FinishReason::Stop));
    }
    note_logprobs(sequence, choice.token, row, sampler)?;
    Ok(match judge(sequence, None)? {
        Judgement::Pass { held } => {
            let mut chunk = Chunk::default();
            sequence.release(&mut chunk, held);
            Piece::more(chunk, is_full(sequence, context_tokens).then_some(FinishReason::Length))
        }
        Judgement::Hold => {
            Piece::more(Chunk::default(), is_full(sequence, context_tokens).then_some(FinishReason::Length))
        }
        Judgement::Back(back) => Piece::back(back),
    })
}

/// The next token of an answer that must have a form, with those that the form adds to it.
fn formed(
    sequence: &mut Sequence,
    form: &mut FormState,
    row: &mut [f32],
    sampler: &mut Sampler,
    context_tokens: usize,
) -> Result<Piece, BadRows> {
    let forced = form.pop_forced().map(|token| Choice { token, mu: sequence.mu() });
    let choice = match forced.or_else(|| forced_by_thinking(sequence)) {
        Some(choice) => choice,
        None => choose(sequence, Some(form), row, sampler)?,
    };
    let mut reason = add(sequence, form, choice, context_tokens);
    if reason == Some(FinishReason::Stop) {
        return Ok(Piece::last(Chunk::default(), FinishReason::Stop));
    }
    note_logprobs(sequence, choice.token, row, sampler)?;
    if forced.is_none() {
        form.commit(&sequence.tokens[sequence.prompt_tokens..])?;
    }
    let mut judgement = judge(sequence, Some(form))?;
    // Each log-probability needs its row, so there they come one by one.
    while reason.is_none() && sequence.request.logprobs.is_none() && !matches!(judgement, Judgement::Back(_))
    {
        let Some(token) = form.pop_forced() else { break };
        reason = add(sequence, form, Choice { token, mu: sequence.mu() }, context_tokens);
        judgement = judge(sequence, Some(form))?;
    }
    let mut chunk = Chunk::default();
    match judgement {
        Judgement::Back(back) => return Ok(Piece::back(back)),
        Judgement::Pass { held } if !form.is_complete() => sequence.release(&mut chunk, held),
        _ => {}
    }
    Ok(Piece::more(chunk, if form.is_complete() { Some(FinishReason::Stop) } else { reason }))
}

/// The token that ends a thinking which has taken too long.
fn forced_by_thinking(sequence: &Sequence) -> Option<Choice> {
    let thinking = sequence.request.thinking.as_ref();
    let token = sequence.thinking.forced(thinking, sequence.completion_tokens())?;
    Some(Choice { token, mu: sequence.mu() })
}

fn note_logprobs(
    sequence: &mut Sequence,
    token: TokenId,
    row: &[f32],
    sampler: &mut Sampler,
) -> Result<(), NoChoice> {
    if let Some(top_n) = sequence.request.logprobs {
        let others = &sequence.request.logprob_tokens;
        sequence.held_logprobs.push(sampler.logprobs(row, token, top_n, others)?);
    }
    Ok(())
}

/// Adds a token to an answer with a form. Why the answer ends with it, if it does.
fn add(
    sequence: &mut Sequence,
    form: &FormState,
    Choice { token, mu }: Choice,
    context_tokens: usize,
) -> Option<FinishReason> {
    sequence.push(token, mu);
    if sequence.request.stop_tokens.contains(&token) || form.ends_with(token) {
        return Some(FinishReason::Stop);
    }
    is_full(sequence, context_tokens).then_some(FinishReason::Length)
}

fn is_full(sequence: &Sequence, context_tokens: usize) -> bool {
    sequence.completion_tokens() >= sequence.request.max_tokens || sequence.tokens.len() >= context_tokens
}

/// The token that follows a sequence by its last row of logits.
fn choose(
    sequence: &Sequence,
    form: Option<&mut FormState>,
    row: &mut [f32],
    sampler: &mut Sampler,
) -> Result<Choice, BadRows> {
    let request = &sequence.request;
    let early = form.is_none() && sequence.completion_tokens() < request.min_tokens;
    let place = Place {
        history: &sequence.tokens,
        prompt_tokens: sequence.prompt_tokens,
        forbidden: if early { &request.stop_tokens } else { &[] },
        banned: sequence.bans.at(sequence.completion_tokens()),
        allowed: form.map(FormState::allowed).transpose()?.flatten(),
        attempt: sequence.guard.attempts(),
        way_out: sequence.guard.way_out(),
        mu: sequence.mu(),
    };
    Ok(sampler.sample(row, &request.sampling, &place)?)
}

/// What becomes of an answer after its newest token.
enum Judgement {
    /// It is sent, but for so many tokens at its end.
    Pass { held: usize },
    /// It is held back.
    Hold,
    /// It is taken back.
    Back(Back),
}

/// Where an answer goes back to, and why.
struct Back {
    /// How many tokens remain, the prompt's among them.
    to: usize,
    looped: bool,
    /// Set if it ends there.
    reason: Option<FinishReason>,
}

/// Looks at the newest token: at the thinking, the texts that must not be said, and loops.
fn judge(sequence: &mut Sequence, form: Option<&FormState>) -> Result<Judgement, BadRows> {
    let Sequence { guard, request, thinking, bans, tokens, prompt_tokens, .. } = &mut *sequence;
    let prompt_tokens = *prompt_tokens;
    let answer = &tokens[prompt_tokens..];
    thinking.look(request.thinking.as_mut(), answer);
    let seen = bans::look(request, answer);
    if let Some(place) = seen.found.map(|tokens| answer.len() - tokens)
        && !thinking.was_forced(request.thinking.as_ref(), place)
        && form.is_none_or(|form| form.was_free_at(place))
    {
        bans.add(answer, place)?;
        guard.restart();
        return Ok(Judgement::Back(Back { to: prompt_tokens + place, looped: false, reason: None }));
    }
    let was_free = |place| form.is_none_or(|form| form.was_free_from(place));
    let looped = |kept, reason| Judgement::Back(Back { to: prompt_tokens + kept, looped: true, reason });
    Ok(match guard.look(request, answer, thinking, was_free) {
        Verdict::Pass => Judgement::Pass { held: seen.begun },
        Verdict::Hold => Judgement::Hold,
        Verdict::Rewind(kept) => looped(kept, None),
        Verdict::Stop(kept) => looped(kept, Some(FinishReason::Repetition)),
    })
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
            sequence.prompt_logprobs.push(sampler.logprobs(row, next, top_n, &[])?);
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
