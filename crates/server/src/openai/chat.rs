//! `POST /v1/chat/completions`.

mod answer;
mod calls;
mod request;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::response::IntoResponse;

use crate::answers::collect;
use crate::body::Json;
use crate::error::ApiError;
use crate::job::Caller;
use crate::running::Running;
use crate::state::App;
use crate::stream::{self, Framing};

pub(crate) use answer::{ChatCompletion, Chunk};
pub(crate) use request::ChatRequest;

/// Answers a chat.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "chat",
    request_body = ChatRequest,
    responses(
        (status = 200, content(
            (ChatCompletion = "application/json"),
            (Chunk = "text/event-stream"),
        )),
    )
)]
pub(crate) async fn complete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ChatRequest>,
) -> Result<Response<Body>, ApiError> {
    let lowered = request.lower(&app, caller).await?;
    let running = Running::start(&lowered.job)?;
    let render = answer::Renderer::new(&lowered)?;
    if lowered.stream {
        return Ok(stream::response(running, render, Framing::ServerSentEvents, app.config.keep_alive));
    }
    let answers = collect(running).await?;
    Ok(axum::Json(render.completion(answers)).into_response())
}
