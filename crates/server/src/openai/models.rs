//! `GET /v1/models`, `GET /v1/models/{id}`: what is served.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, Uri};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::anthropic::{self, models::AnthropicModel};
use crate::error::ApiError;
use crate::registry::Listed;
use crate::state::App;

/// The models that are served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// A model that is served, or another name of one.
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
    /// The model that this name stands for: its own, unless it is an alias.
    root: String,
    /// Always none: there are no fine-tunes of models here.
    parent: Option<String>,
    /// Whether it is in memory. If not, the first request waits for it.
    loaded: bool,
}

impl Model {
    fn of(id: &str, listed: &Listed<'_>, app: &App) -> Self {
        let context = listed.entry.context_tokens;
        Model {
            id: id.to_owned(),
            object: "model",
            created: app.started_unix_seconds,
            owned_by: "kun",
            max_model_len: context,
            context_length: context,
            root: listed.entry.name.clone(),
            parent: None,
            loaded: listed.model.is_some(),
        }
    }
}

/// Lists the models, each with its aliases behind it.
#[utoipa::path(get, path = "/v1/models", tag = "models", responses((status = 200, body = ModelList)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    if anthropic::is_asked(&headers) {
        return Ok(Json(anthropic::models::list(&app, &uri)?).into_response());
    }
    let listed = app.registry.list();
    let names = |listed: &Listed<'_>| {
        let entry = listed.entry;
        std::iter::once(&entry.name)
            .chain(&entry.aliases)
            .map(|id| Model::of(id, listed, &app))
            .collect::<Vec<_>>()
    };
    let data = listed.iter().flat_map(names).collect();
    Ok(Json(ModelList { object: "list", data }).into_response())
}

/// Shows one model. It is not loaded for that.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "models", params(("id" = String, Path)), responses((status = 200, body = Model)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    // A name that is no UTF-8 is nobody's.
    let Path(id) = id.unwrap_or_else(|_| Path("\u{fffd}".to_owned()));
    let listed = app.registry.find_listed(&id)?;
    // What was typed on the command line may be a path, which is not told again.
    let id = if listed.entry.aliases.contains(&id) { &id } else { &listed.entry.name };
    if anthropic::is_asked(&headers) {
        return Ok(Json(AnthropicModel::of(id, listed.entry)).into_response());
    }
    Ok(Json(Model::of(id, &listed, &app)).into_response())
}
