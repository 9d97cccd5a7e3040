//! `GET /v1/models`, `GET /v1/models/{id}`: what is served.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, Uri};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::anthropic::{self, models::AnthropicModel};
use crate::error::ApiError;
use crate::model::ServedModel;
use crate::state::App;

/// The models that are served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// A model that is served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    /// When the server started, in seconds since 1970.
    created: u64,
    owned_by: &'static str,
    /// Tokens of context, prompt and answer together.
    max_model_len: usize,
    /// The same under the name that other clients read.
    context_length: usize,
}

impl Model {
    fn of(model: &ServedModel, app: &App) -> Self {
        Model {
            id: model.name.clone(),
            object: "model",
            created: app.started_unix_seconds,
            owned_by: "kun",
            max_model_len: model.context_tokens(),
            context_length: model.context_tokens(),
        }
    }
}

/// Lists the models.
#[utoipa::path(get, path = "/v1/models", tag = "models", responses((status = 200, body = ModelList)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    if anthropic::is_asked(&headers) {
        return Ok(Json(anthropic::models::list(&app, &uri)?).into_response());
    }
    let data = app.models().iter().map(|model| Model::of(model, &app)).collect();
    Ok(Json(ModelList { object: "list", data }).into_response())
}

/// Shows one model.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "models", params(("id" = String, Path)), responses((status = 200, body = Model)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let model = app.model(Some(&id)).await?;
    if anthropic::is_asked(&headers) {
        return Ok(Json(AnthropicModel::of(&model)).into_response());
    }
    Ok(Json(Model::of(&model, &app)).into_response())
}
