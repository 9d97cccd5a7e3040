//! `POST /v1/responses`: the OpenAI Responses API, without anything that would have to be kept.

mod answer;
mod input;
mod items;
mod object;
mod request;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http;
use axum::response::IntoResponse;

use crate::answers::collect;
use crate::body::Json;
use crate::error::ApiError;
use crate::job::Caller;
use crate::running::Running;
use crate::state::App;
use crate::stream::{self, Framing};

pub(crate) use answer::StreamEvent;
pub(crate) use object::Response;
pub(crate) use request::ResponsesRequest;

/// Answers an input.
#[utoipa::path(
    post,
    path = "/v1/responses",
    tag = "responses",
    request_body = ResponsesRequest,
    responses(
        (status = 200, content(
            (Response = "application/json"),
            (StreamEvent = "text/event-stream"),
        )),
    )
)]
pub(crate) async fn respond(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ResponsesRequest>,
) -> Result<http::Response<Body>, ApiError> {
    let lowered = request.lower(&app, caller).await?;
    let running = Running::start(&lowered.job)?;
    let stream = lowered.stream;
    let render = answer::Renderer::new(lowered)?;
    if stream {
        return Ok(stream::response(running, render, Framing::ServerSentEvents, app.config.keep_alive));
    }
    let answers = collect(running).await?;
    Ok(axum::Json(render.response(answers)).into_response())
}
