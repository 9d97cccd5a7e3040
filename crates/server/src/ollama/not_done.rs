//! What Ollama's server does with the files of models and this one leaves to the command line. Such a request is told so.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{find, once};
use crate::body::Json;
use crate::error::ApiError;
use crate::state::App;

/// A request to have a model here.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OllamaPullRequest)]
pub(crate) struct PullRequest {
    #[serde(default, alias = "name")]
    model: Option<String>,
    /// The usual case.
    #[serde(default)]
    stream: Option<bool>,
}

/// How far a request has come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaStatus)]
pub(crate) struct Status {
    status: &'static str,
}

/// Says that a model is here, if it is. None is fetched.
#[utoipa::path(
    post,
    path = "/api/pull",
    tag = "ollama",
    request_body = PullRequest,
    responses(
        (status = 200, content((Status = "application/x-ndjson"), (Status = "application/json"))),
        (status = 400, description = "The model is not here."),
    )
)]
pub(crate) async fn pull(
    State(app): State<Arc<App>>,
    Json(request): Json<PullRequest>,
) -> Result<Response<Body>, ApiError> {
    match find(&app, request.model.as_deref()).await {
        Ok(_) => Ok(once(request.stream.unwrap_or(true), &Status { status: "success" })),
        Err(error) if error.status == StatusCode::NOT_FOUND => Err(not_done(format!(
            "{}; models are not fetched over HTTP: run kun pull, and name the model to kun serve",
            error.message
        ))),
        Err(error) => Err(error),
    }
}

/// No model is sent anywhere.
#[utoipa::path(post, path = "/api/push", tag = "ollama", responses((status = 400, description = "Always.")))]
pub(crate) async fn push() -> ApiError {
    not_done("models are not sent anywhere".to_owned())
}

/// No model is made.
#[utoipa::path(post, path = "/api/create", tag = "ollama", responses((status = 400, description = "Always.")))]
pub(crate) async fn create() -> ApiError {
    not_done("models are not made here: run kun pull, and name the model to kun serve".to_owned())
}

/// No model gets another name.
#[utoipa::path(post, path = "/api/copy", tag = "ollama", responses((status = 400, description = "Always.")))]
pub(crate) async fn copy() -> ApiError {
    not_done("models are not copied over HTTP: their names are given to kun serve".to_owned())
}

/// No model is removed.
#[utoipa::path(delete, path = "/api/delete", tag = "ollama", responses((status = 400, description = "Always.")))]
pub(crate) async fn remove() -> ApiError {
    not_done("models are not removed over HTTP: run kun rm".to_owned())
}

fn not_done(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", message).with_code("not_supported")
}
