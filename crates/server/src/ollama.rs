//! The Ollama-style routes, under `/api`.
//!
//! A name goes with or without `:latest`. Sampling that a request says nothing about is the model's own, as in the other
//! APIs, and not Ollama's. What is pulled, made or removed with a model's file is the command line's business.

mod answer;
pub(crate) mod chat;
pub(crate) mod embed;
pub(crate) mod generate;
pub(crate) mod models;
pub(crate) mod not_done;
mod options;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use text::grammar::GrammarSource;

use crate::error::ApiError;
use crate::forms::Wanted;
use crate::job::whole;
use crate::model::ServedModel;
use crate::openai::form;
use crate::state::App;

/// Alternatives beside a token.
const TOP_LOGPROBS_MAX: i64 = 20;
/// The tag that a name has when it has none.
const LATEST: &str = ":latest";

/// Since when a request is under way, and how long its model was waited for.
#[derive(Debug, Clone, Copy)]
struct Clock {
    started: Instant,
    load: Duration,
}

/// A model by one of its names.
async fn find(app: &App, name: Option<&str>) -> Result<(Arc<ServedModel>, Clock), ApiError> {
    let started = Instant::now();
    let found = match (app.model(name).await, name) {
        (Err(error), Some(name)) if error.status == StatusCode::NOT_FOUND => {
            let other = match name.strip_suffix(LATEST) {
                Some(bare) => bare.to_owned(),
                None => format!("{name}{LATEST}"),
            };
            // Clients look for these words.
            let not_found = |_| {
                let shown: String = name.chars().take(100).collect();
                ApiError { message: format!("model '{shown}' not found: {}", error.message), ..error.clone() }
            };
            app.model(Some(&other)).await.map_err(not_found)
        }
        (found, _) => found,
    };
    Ok((found?, Clock { started, load: started.elapsed() }))
}

/// A response that has its only line at once: as a stream of one, or as an object.
fn once(stream: bool, line: &impl Serialize) -> Response<Body> {
    let mut response = axum::Json(line).into_response();
    if stream {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    }
    response
}

/// `think`, as far as it can be honoured without taking the thoughts out of the answer: what the template is told.
fn think(think: Option<&Value>) -> Result<Map<String, Value>, ApiError> {
    match think {
        None | Some(Value::Null) => Ok(Map::new()),
        // The name by which templates know it.
        Some(Value::Bool(false)) => Ok(Map::from_iter([("enable_thinking".to_owned(), false.into())])),
        Some(_) => {
            let message =
                "think is not supported by this version of the server: leave it out or set it to false";
            Err(ApiError::unsupported("think", message))
        }
    }
}

/// The form of the answer: `json`, or a schema.
fn wanted_form(format: Option<&Value>) -> Result<Option<Wanted>, ApiError> {
    const FIELD: &str = "format";
    match format {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(none)) if none.is_empty() => Ok(None),
        Some(Value::String(json)) if json == "json" => {
            Ok(Some(Wanted { source: GrammarSource::JsonObject, field: FIELD.to_owned() }))
        }
        Some(schema @ Value::Object(_)) => form::required(FIELD, schema).map(Some),
        Some(_) => Err(ApiError::field(FIELD, "format must be \"json\" or a JSON schema")),
    }
}

/// Refuses a field that is set to anything but nothing, `false` or an empty list.
fn check_unset(param: &str, value: Option<&Value>, why: &str) -> Result<(), ApiError> {
    let unset = match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if unset { Ok(()) } else { Err(ApiError::unsupported(param, format!("{param} is not supported: {why}"))) }
}

/// Refuses pictures.
fn check_images(field: &str, images: Option<&Value>) -> Result<(), ApiError> {
    check_unset(field, images, "this model takes text only").map_err(|e| e.with_code("unsupported_media"))
}

/// How many alternatives are told beside each token, if any are.
fn logprobs(wanted: Option<bool>, top: Option<i64>) -> Result<Option<usize>, ApiError> {
    let top = whole("top_logprobs", top, 0, TOP_LOGPROBS_MAX)?.unwrap_or(0) as usize;
    match wanted.unwrap_or(false) {
        true => Ok(Some(top)),
        false if top > 0 => {
            Err(ApiError::field("top_logprobs", "top_logprobs needs logprobs: set it to true"))
        }
        false => Ok(None),
    }
}

/// How long a model stays loaded. The server decides that by itself, so any will do.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = OllamaKeepAlive)]
enum KeepAlive {
    Seconds(f64),
    Duration(String),
}

impl KeepAlive {
    /// Whether the model is to go at once.
    fn is_zero(&self) -> bool {
        match self {
            KeepAlive::Seconds(seconds) => *seconds == 0.0,
            KeepAlive::Duration(text) => matches!(text.trim_end_matches(char::is_alphabetic), "0"),
        }
    }
}

/// A request without a prompt only sees to it that the model is loaded; to unload one is not for clients to ask.
fn check_load(keep_alive: Option<&KeepAlive>) -> Result<(), ApiError> {
    if keep_alive.is_some_and(KeepAlive::is_zero) {
        let message =
            "keep_alive is 0, but models are unloaded by the server alone, when it needs the memory";
        return Err(ApiError::unsupported("keep_alive", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::KeepAlive;

    #[test]
    fn a_model_may_be_told_to_go_in_several_ways() {
        for (text, is_zero) in
            [("0", true), ("\"0\"", true), ("\"0s\"", true), ("-1", false), ("300", false), ("\"5m\"", false)]
        {
            let keep_alive: KeepAlive = serde_json::from_str(text).expect("a time");
            assert_eq!(keep_alive.is_zero(), is_zero, "{text}");
        }
    }
}
