//! `POST /v1/messages` and `POST /v1/messages/count_tokens`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Renderer;
use crate::answers::collect;
use crate::body::Json;
use crate::error::ApiError;
use crate::job::Caller;
use crate::running::Running;
use crate::state::App;
use crate::stream::{self, Framing};

pub(crate) use super::answer::{MessageAnswer, StreamEvent};
pub(crate) use super::request::{CountRequest, MessagesRequest};

/// Answers a conversation.
#[utoipa::path(
    post,
    path = "/v1/messages",
    tag = "anthropic",
    request_body = MessagesRequest,
    responses(
        (status = 200, content(
            (MessageAnswer = "application/json"),
            (StreamEvent = "text/event-stream"),
        )),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<MessagesRequest>,
) -> Result<Response<Body>, ApiError> {
    let lowered = request.lower(&app, caller).await?;
    let running = Running::start(&lowered.job)?;
    let render = Renderer::new(&lowered.job)?;
    if lowered.stream {
        return Ok(stream::response(running, render, Framing::ServerSentEvents, app.config.keep_alive));
    }
    let mut answers = collect(running).await?;
    let answer = answers.pop().expect("a job with one prompt and one choice has one answer");
    Ok(axum::Json(render.answer(answer)).into_response())
}

/// How many tokens a prompt has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnthropicTokenCount)]
pub(crate) struct TokenCount {
    input_tokens: usize,
}

/// Counts the tokens of a conversation as `/v1/messages` would.
#[utoipa::path(
    post,
    path = "/v1/messages/count_tokens",
    tag = "anthropic",
    request_body = CountRequest,
    responses((status = 200, body = TokenCount))
)]
pub(crate) async fn count_tokens(
    State(app): State<Arc<App>>,
    Json(request): Json<CountRequest>,
) -> Result<axum::Json<TokenCount>, ApiError> {
    Ok(axum::Json(TokenCount { input_tokens: request.prompt(&app).await?.len() }))
}
