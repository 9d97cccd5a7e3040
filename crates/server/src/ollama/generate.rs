//! `POST /api/generate`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::response::IntoResponse;
use engine::request::TokenId;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::answer::{self, Kind, Line, Renderer};
use super::options::Options;
use super::{KeepAlive, check_images, check_load, check_unset, find, logprobs, once, think, wanted_form};
use crate::answers::collect;
use crate::body::Json;
use crate::conversation;
use crate::error::ApiError;
use crate::job::Caller;
use crate::lowering::beside;
use crate::model::ServedModel;
use crate::running::Running;
use crate::state::App;
use crate::stream::{self, Framing};

/// A request to `/api/generate`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OllamaGenerateRequest)]
pub(crate) struct GenerateRequest {
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
    /// None only loads the model.
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    system: Option<String>,
    /// The prompt goes to the model as it is, without the template.
    #[serde(default)]
    raw: Option<bool>,
    /// What comes behind the gap that the model fills in.
    #[serde(default)]
    suffix: Option<String>,
    #[serde(default)]
    options: Option<Options>,
    /// The usual case.
    #[serde(default)]
    stream: Option<bool>,
    /// Taken; the server decides by itself.
    #[serde(default)]
    keep_alive: Option<KeepAlive>,
    #[serde(default)]
    template: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<i64>>)]
    context: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    images: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    format: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    think: Option<Value>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    top_logprobs: Option<i64>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    truncate: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    shift: Option<Value>,
}

/// Answers a prompt.
#[utoipa::path(
    post,
    path = "/api/generate",
    tag = "ollama",
    request_body = GenerateRequest,
    responses((status = 200, content((Line = "application/x-ndjson"), (Line = "application/json"))))
)]
pub(crate) async fn complete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(mut request): Json<GenerateRequest>,
) -> Result<Response<Body>, ApiError> {
    request.refuse()?;
    let (model, clock) = find(&app, request.model.as_deref()).await?;
    let stream = request.stream.unwrap_or(true);
    let parameters = request.options.take().unwrap_or_default().parameters(&model)?;
    let logprobs = logprobs(request.logprobs, request.top_logprobs)?;
    let form = wanted_form(request.format.as_ref())?;
    if request.prompt.as_deref().is_none_or(str::is_empty) {
        check_load(request.keep_alive.as_ref())?;
        return Ok(once(stream, &answer::loaded(Kind::Generate, &model)));
    }
    let place = app.enter(&model).await?;
    let tokens = request.tokens(&model).await?;
    let mut job = parameters.lower(model, vec![tokens], "prompt", &app.config, caller)?;
    job.logprobs = logprobs;
    job.follow(form, "options.stop").await?;
    let render = Renderer::new(Kind::Generate, &job, clock);
    let running = Running::start(&job)?;
    drop(place);
    if stream {
        return Ok(stream::response(running, render, Framing::Lines, app.config.keep_alive));
    }
    let mut answers = collect(running).await?;
    let answer = answers.pop().expect("a job with one prompt and one choice has one answer");
    Ok(axum::Json(render.answer(answer)).into_response())
}

impl GenerateRequest {
    /// Fields that this server knows and can't honour.
    fn refuse(&self) -> Result<(), ApiError> {
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        check_images("images", self.images.as_ref())?;
        check_unset("template", text(&self.template).as_ref(), "put the prompt into its form and set raw")?;
        check_unset("context", self.context.as_ref(), "give the history as messages to /api/chat")?;
        check_unset("truncate", self.truncate.as_ref(), "a prompt that is too long is refused, never cut")?;
        check_unset("shift", self.shift.as_ref(), "an answer ends where the context does")?;
        let raw = self.raw == Some(true);
        if raw && is_said(&self.system) {
            let message = "system has no place in a raw prompt: write it into the prompt";
            return Err(ApiError::field("system", message));
        }
        if is_said(&self.suffix) && (raw || is_said(&self.system)) {
            return Err(ApiError::field("suffix", "suffix goes neither with raw nor with system"));
        }
        Ok(())
    }

    async fn tokens(&self, model: &Arc<ServedModel>) -> Result<Vec<TokenId>, ApiError> {
        let extra = think(self.think.as_ref())?;
        let prompt = self.prompt.clone().unwrap_or_default();
        let system = self.system.as_deref().filter(|system| !system.is_empty());
        // A model without a template is one that continues texts.
        let has_no_template = matches!(model.template, Ok(None));
        if self.raw == Some(true) || is_said(&self.suffix) || (has_no_template && system.is_none()) {
            let (model, suffix) = (Arc::clone(model), self.suffix.clone().unwrap_or_default());
            return beside(move || match suffix.as_str() {
                "" => {
                    model.check_length(&prompt, "prompt")?;
                    Ok(model.tokenize(&prompt))
                }
                suffix => model.fill_in_the_middle(&prompt, suffix),
            })
            .await;
        }
        let system = system.map(|system| json!({"role": "system", "content": system}));
        let messages = system.into_iter().chain([json!({"role": "user", "content": prompt})]).collect();
        Ok(conversation::prompt(model, messages, extra).await?.tokens)
    }
}

fn is_said(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(|text| !text.is_empty())
}
