//! One answer: a prompt of tokens into the engine, text out of it as it comes.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use engine::request::{FinishReason, Finished, Form, Request, TokenId};
use text::decoder::StreamDecoder;

use crate::failure::Outcome;
use crate::parameters::Parameters;
use crate::session::{self, Session};

/// How often a waiting answer looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A finished answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The text, without the token that ended it.
    pub(crate) text: String,
    /// How it ended; none if the user stopped it.
    pub(crate) finished: Option<Finished>,
}

/// What is to be answered.
pub(crate) struct Ask {
    pub(crate) prompt: Vec<TokenId>,
    /// What the answer must look like.
    pub(crate) form: Option<Box<Form>>,
}

/// Generates the answer to a prompt. `on_text` gets each new piece of text, never part of a character;
/// `unwanted` is asked now and then whether to stop.
pub(crate) fn generate(
    session: &Session,
    ask: Ask,
    parameters: &Parameters,
    mut on_text: impl FnMut(&str) -> Outcome,
    unwanted: impl Fn() -> bool,
) -> Outcome<Answer> {
    let request = Request {
        sampling: parameters.sampling(),
        stop_tokens: session.tokenizer.end_of_generation().to_vec(),
        form: ask.form,
        loop_guard: parameters.loop_guard,
        ..Request::new(ask.prompt, parameters.max_tokens)
    };
    let mut generation = session.submit(request)?;
    let mut decoder = StreamDecoder::new();
    let mut text = String::new();
    let mut tokens: Vec<TokenId> = Vec::new();
    let piece = |token: TokenId| session.tokenizer.piece(token).unwrap_or_default();
    let finished = loop {
        if unwanted() {
            break None;
        }
        let chunk = match generation.recv_timeout(LOOK_EVERY) {
            Ok(chunk) => chunk,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the last chunk says so and ends this loop"),
        };
        if chunk.rewind > 0 {
            // What was said stays where it was said; the answer goes on without it.
            tokens.truncate(tokens.len() - chunk.rewind);
            decoder = StreamDecoder::new();
            text = tokens.iter().map(|&token| decoder.push(piece(token))).collect();
        }
        let mut new: String = chunk.tokens.iter().map(|&token| decoder.push(piece(token))).collect();
        tokens.extend(chunk.tokens);
        if chunk.finished.is_some() {
            new.push_str(&std::mem::take(&mut decoder).finish());
        }
        if !new.is_empty() {
            on_text(&new)?;
            text.push_str(&new);
        }
        if chunk.finished.is_some() {
            break chunk.finished;
        }
    };
    match finished {
        Some(finished) => Ok(Answer { text, finished: Some(session::checked(finished)?) }),
        None => Ok(Answer { text, finished: None }),
    }
}

/// The word for how an answer ended, as the APIs of others have it.
pub(crate) fn reason_word(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Repetition => "repetition",
        FinishReason::Cancelled => "cancelled",
        FinishReason::TimedOut => "timed_out",
        FinishReason::Error(_) | FinishReason::Impossible(_) => "error",
    }
}

/// Prompt tokens per second.
pub(crate) fn prompt_speed(finished: &Finished) -> f64 {
    crate::terminal::per_second(finished.prompt_tokens, finished.prompt)
}

/// Generated tokens per second. The first one comes out of the prompt's last step.
pub(crate) fn generation_speed(finished: &Finished) -> f64 {
    crate::terminal::per_second(finished.completion_tokens.saturating_sub(1), finished.generation)
}

/// The last line of an answer on standard error.
pub(crate) fn speeds(finished: &Finished) -> String {
    let end = match finished.reason {
        FinishReason::Length => " (cut short: --max-tokens or the context is used up)",
        FinishReason::Repetition => " (ended: it repeated itself; --loop-guard off lets it)",
        _ if finished.repetition.is_some() => " (it repeated itself on the way and found out of it)",
        _ => "",
    };
    format!(
        "prompt: {} tokens, {:.1} tokens/s; answer: {} tokens, {:.1} tokens/s{end}",
        finished.prompt_tokens,
        prompt_speed(finished),
        finished.completion_tokens,
        generation_speed(finished),
    )
}
