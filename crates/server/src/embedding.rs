//! Vectors of texts, for every API that gives them out.
//!
//! All inputs are checked before the first one runs. The engine has no more than a window of them at a time, so that a
//! long list takes neither the whole queue nor another client's turn; dropping the future cancels those in it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::Duration;

use axum::http::StatusCode;
use engine::engine::Generation;
use engine::request::{Chunk, FinishReason, Finished, Rank, Request, TokenId};

use crate::error::{self, ApiError};
use crate::job::Caller;
use crate::metrics::meter::{Meter, Pace};
use crate::model::ServedModel;
use crate::running::{Timings, shutting_down, timed_out};

/// Inputs of one request.
pub(crate) const INPUTS_MAX: usize = 2048;
/// Inputs that the engine has at a time.
const WINDOW: usize = 64;

/// The vectors, in the order of their inputs.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// Each of length 1.
    pub(crate) vectors: Vec<Vec<f32>>,
    /// Of all inputs together.
    pub(crate) prompt_tokens: usize,
    /// The longest queueing, and the sum of what computing took.
    pub(crate) timings: Timings,
}

/// Has the model make a vector of each input. `field` names where they came from.
pub(crate) async fn embed(
    model: &ServedModel,
    inputs: Vec<Vec<TokenId>>,
    field: &str,
    caller: Caller,
) -> Result<Embedded, ApiError> {
    let requests = requests(model, inputs, field, &caller)?;
    let mut meter: Option<Meter> = None;
    let mut embedded = Embedded {
        vectors: Vec::with_capacity(requests.len()),
        prompt_tokens: 0,
        timings: Timings::default(),
    };
    let mut running: VecDeque<Generation> = VecDeque::with_capacity(WINDOW.min(requests.len()));
    let mut waiting = requests.iter();
    loop {
        while running.len() < WINDOW
            && let Some(request) = waiting.as_slice().first()
        {
            match model.submit(vec![request.clone()], field) {
                Ok(generation) => {
                    meter.get_or_insert_with(|| {
                        let tokens = requests.iter().map(|request| request.prompt.len()).sum();
                        Meter::new(caller.exchange.as_ref(), &model.name, requests.len(), tokens)
                    });
                    running.extend(generation);
                }
                // One of ours will make room; without any, somebody else has to.
                Err(error) if error.status == StatusCode::TOO_MANY_REQUESTS && !running.is_empty() => break,
                Err(error) => return Err(error),
            }
            waiting.next();
        }
        let Some(mut generation) = running.pop_front() else { return Ok(embedded) };
        let chunk = last(&mut generation).await;
        if let Some(meter) = &mut meter {
            let tokens = chunk.finished.as_ref().map_or(0, |finished| finished.prompt_tokens);
            meter.chunk(&mut Pace::new(tokens, true), &chunk, false);
        }
        let (vector, finished) = vector(chunk)?;
        embedded.vectors.push(vector);
        embedded.prompt_tokens += finished.prompt_tokens;
        embedded.timings.queue = embedded.timings.queue.max(finished.queued);
        embedded.timings.prompt += finished.prompt;
    }
}

/// The engine's requests, each of which it will take.
fn requests(
    model: &ServedModel,
    inputs: Vec<Vec<TokenId>>,
    field: &str,
    caller: &Caller,
) -> Result<Vec<Request>, ApiError> {
    let pooling = model.pooling.as_ref().map_err(|why| {
        ApiError::field("model", format!("the model {:?} gives no embeddings: {why}", model.name))
    })?;
    let count = inputs.len();
    if count == 0 {
        return Err(ApiError::field(field, format!("{field} is empty; give at least one text")));
    }
    if count > INPUTS_MAX {
        let message = format!("{field} has {count} texts, at most {INPUTS_MAX} are possible");
        return Err(ApiError::field(field, message));
    }
    let (limits, shape) = (model.handle.limits(), model.handle.shape());
    let mut requests = Vec::with_capacity(count);
    for (index, input) in inputs.into_iter().enumerate() {
        let request = Request {
            embedding: Some(*pooling),
            rank: Rank {
                owner: caller.owner,
                priority: caller.priority.unwrap_or(0),
                deadline: caller.deadline,
            },
            ..Request::new(input, 0)
        };
        let place = if count > 1 { format!("{field}[{index}]") } else { field.to_owned() };
        // The queue is not looked at here, so there is nothing to come back for.
        limits.check(&request, shape).map_err(|why| error::refused(why, &place, Duration::ZERO))?;
        requests.push(request);
    }
    Ok(requests)
}

/// The last chunk, and the only one.
async fn last(generation: &mut Generation) -> Chunk {
    loop {
        let chunk = poll_fn(|context| generation.poll_next(context)).await;
        let chunk = chunk.expect("it is polled up to its last chunk");
        if chunk.finished.is_some() {
            return chunk;
        }
    }
}

/// The vector that comes with the last chunk.
fn vector(chunk: Chunk) -> Result<(Vec<f32>, Finished), ApiError> {
    let finished = chunk.finished.expect("the last chunk says how it ended");
    match finished.reason {
        FinishReason::Stop | FinishReason::Length | FinishReason::Repetition => {
            Ok((chunk.embedding, finished))
        }
        FinishReason::Cancelled => Err(shutting_down()),
        FinishReason::TimedOut => Err(timed_out()),
        FinishReason::Impossible(why) => Err(ApiError::invalid(why)),
        FinishReason::Error(why) => Err(ApiError::internal(why)),
    }
}
