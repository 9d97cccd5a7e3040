//! `POST /api/embed`, and `POST /api/embeddings`, which came before it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use engine::request::TokenId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::nanoseconds;
use super::options::Options;
use super::{KeepAlive, find};
use crate::body::Json;
use crate::embedding::{INPUTS_MAX, embed};
use crate::error::ApiError;
use crate::job::{Caller, whole};
use crate::lowering::beside;
use crate::model::ServedModel;
use crate::openai::embeddings::shortened;
use crate::openai::{OneOrManyTexts, Texts};
use crate::state::App;

/// A request to `/api/embed`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OllamaEmbedRequest)]
pub(crate) struct EmbedRequest {
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
    /// Nothing only loads the model.
    #[schema(value_type = OneOrManyTexts)]
    input: Texts,
    /// Cut what is too long for the context, which is the usual case; else it is an error.
    #[serde(default)]
    truncate: Option<bool>,
    /// The first so many numbers of each vector, brought to length 1 again.
    #[serde(default)]
    dimensions: Option<i64>,
    #[serde(default)]
    options: Option<Options>,
    /// Taken; the server decides by itself.
    #[serde(default)]
    #[allow(dead_code, reason = "it is checked to be a time")]
    keep_alive: Option<KeepAlive>,
}

/// The vectors of texts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaEmbedAnswer)]
pub(crate) struct EmbedAnswer {
    model: String,
    embeddings: Vec<Vec<f32>>,
    total_duration: u64,
    load_duration: u64,
    prompt_eval_count: usize,
}

/// A request to `/api/embeddings`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OllamaEmbeddingsRequest)]
pub(crate) struct EmbeddingsRequest {
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
    /// None only loads the model.
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    options: Option<Options>,
    /// Taken; the server decides by itself.
    #[serde(default)]
    #[allow(dead_code, reason = "it is checked to be a time")]
    keep_alive: Option<KeepAlive>,
}

/// The vector of a text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaEmbeddingsAnswer)]
pub(crate) struct EmbeddingsAnswer {
    embedding: Vec<f32>,
}

/// Makes vectors of texts.
#[utoipa::path(
    post,
    path = "/api/embed",
    tag = "ollama",
    request_body = EmbedRequest,
    responses((status = 200, body = EmbedAnswer))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<EmbedRequest>,
) -> Result<axum::Json<EmbedAnswer>, ApiError> {
    let (model, clock) = find(&app, request.model.as_deref()).await?;
    request.options.unwrap_or_default().refuse(&model)?;
    let width = model.handle.shape().embedding;
    let dimensions = whole("dimensions", request.dimensions, 1, width as i64)?;
    let dimensions = dimensions.map_or(width, |n| n as usize);
    if request.input.0.len() > INPUTS_MAX {
        let message = format!("input has {} texts, at most {INPUTS_MAX} are possible", request.input.0.len());
        return Err(ApiError::field("input", message));
    }
    let mut answer = EmbedAnswer {
        model: model.name.clone(),
        embeddings: Vec::new(),
        total_duration: 0,
        load_duration: nanoseconds(clock.load),
        prompt_eval_count: 0,
    };
    let texts = request.input.0;
    if !texts.iter().all(String::is_empty) {
        let place = app.enter(&model).await?;
        let inputs = tokens(&model, texts, request.truncate.unwrap_or(true)).await?;
        drop(place);
        let embedded = embed(&model, inputs, "input", caller).await?;
        answer.embeddings = embedded.vectors.into_iter().map(|v| shortened(v, dimensions)).collect();
        answer.prompt_eval_count = embedded.prompt_tokens;
    }
    answer.total_duration = nanoseconds(clock.started.elapsed());
    Ok(axum::Json(answer))
}

/// Makes a vector of a text.
#[utoipa::path(
    post,
    path = "/api/embeddings",
    tag = "ollama",
    request_body = EmbeddingsRequest,
    responses((status = 200, body = EmbeddingsAnswer))
)]
pub(crate) async fn create_one(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<EmbeddingsRequest>,
) -> Result<axum::Json<EmbeddingsAnswer>, ApiError> {
    let (model, _) = find(&app, request.model.as_deref()).await?;
    request.options.unwrap_or_default().refuse(&model)?;
    let mut vectors = Vec::new();
    if let Some(prompt) = request.prompt.filter(|prompt| !prompt.is_empty()) {
        let place = app.enter(&model).await?;
        let inputs = tokens(&model, vec![prompt], true).await?;
        drop(place);
        vectors = embed(&model, inputs, "prompt", caller).await?.vectors;
    }
    Ok(axum::Json(EmbeddingsAnswer { embedding: vectors.pop().unwrap_or_default() }))
}

async fn tokens(
    model: &Arc<ServedModel>,
    texts: Vec<String>,
    truncate: bool,
) -> Result<Vec<Vec<TokenId>>, ApiError> {
    let model = Arc::clone(model);
    beside(move || {
        if !truncate {
            texts.iter().try_for_each(|text| model.check_length(text, "input"))?;
        }
        let mut inputs: Vec<_> = texts.iter().map(|text| model.tokenize(text)).collect();
        if truncate {
            inputs.iter_mut().for_each(|tokens| tokens.truncate(model.context_tokens()));
        }
        Ok(inputs)
    })
    .await
}
