//! What a client is told when a request goes wrong, in the shape of the API that it speaks.
//!
//! Handlers return an [`ApiError`]; it is carried out of them in the response's extensions, and one layer around all
//! routes writes the body, so that a 404 of the router and a 429 of the engine look alike. A message says what is
//! wrong and what would work; it never holds a path, an address or a key.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use engine::limits::Refused;
use serde_json::{Map, Value, json};

/// Whose shape an error has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
    Ollama,
}

impl Dialect {
    /// The dialect of a path; that of the models depends on who asks.
    pub(crate) fn of(path: &str, by_anthropic: bool) -> Self {
        if path.starts_with("/v1/messages") || (by_anthropic && path.starts_with("/v1/models")) {
            Dialect::Anthropic
        } else if path.starts_with("/api/") {
            Dialect::Ollama
        } else {
            Dialect::OpenAi
        }
    }
}

/// A request that is not answered.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// OpenAI's `type`.
    pub(crate) kind: &'static str,
    pub(crate) code: Option<&'static str>,
    /// The field that is at fault.
    pub(crate) param: Option<String>,
    pub(crate) message: String,
    /// When another try makes sense.
    pub(crate) retry_after: Option<Duration>,
    /// More for programs: numbers beside a message that has them in words.
    pub(crate) extra: Box<Map<String, Value>>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        ApiError {
            status,
            kind,
            code: None,
            param: None,
            message: message.into(),
            retry_after: None,
            extra: Box::default(),
        }
    }

    /// A field that is wrong.
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        ApiError::invalid(message).with_param(param)
    }

    /// A request that is wrong as a whole.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// A field that this server knows and does not honour.
    pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        ApiError::field(param, message).with_code("unsupported_parameter")
    }

    /// A bug or a fault of ours.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message).with_code("internal_error")
    }

    /// Not now.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>, retry_after: Duration) -> Self {
        let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message);
        error.retry_after = Some(retry_after);
        error.with_code(code)
    }

    /// Too many at once.
    pub(crate) fn overloaded(message: impl Into<String>, retry_after: Duration) -> Self {
        let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        error.retry_after = Some(retry_after);
        error.with_code("queue_full")
    }

    /// A model that is not served here.
    pub(crate) fn model_not_found(name: &str, known: &str) -> Self {
        let shown: String = name.chars().take(100).collect();
        let message = format!("the model {shown:?} is not served here; served are: {known}");
        let mut error = ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message);
        error.param = Some("model".to_owned());
        error.with_code("model_not_found")
    }

    /// A prompt that the context has no room for, in the words that clients look for.
    pub(crate) fn context_length_exceeded(param: &str, prompt_tokens: usize, context_tokens: usize) -> Self {
        let message = format!(
            "This model's maximum context length is {context_tokens} tokens. However, your request has \
             {prompt_tokens} tokens in the prompt, which leaves no room for an answer. Please shorten it."
        );
        let mut error = ApiError::field(param, message).with_code("context_length_exceeded");
        error.extra.insert("n_prompt_tokens".to_owned(), prompt_tokens.into());
        error.extra.insert("n_ctx".to_owned(), context_tokens.into());
        error
    }

    pub(crate) fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The error's body. In a stream it is an event of its own.
    pub(crate) fn body(&self, dialect: Dialect) -> Value {
        match dialect {
            Dialect::OpenAi => {
                let mut error = Map::new();
                error.insert("message".to_owned(), self.message.clone().into());
                error.insert("type".to_owned(), self.kind.into());
                error.insert("param".to_owned(), self.param.clone().into());
                error.insert("code".to_owned(), self.code.into());
                error.extend(self.extra.iter().map(|(name, value)| (name.clone(), value.clone())));
                json!({ "error": error })
            }
            Dialect::Anthropic => {
                let kind = match self.status.as_u16() {
                    401 => "authentication_error",
                    403 => "permission_error",
                    404 => "not_found_error",
                    413 => "request_too_large",
                    429 => "rate_limit_error",
                    503 | 529 => "overloaded_error",
                    400..=499 => "invalid_request_error",
                    _ => "api_error",
                };
                let mut error = Map::new();
                error.insert("type".to_owned(), kind.into());
                error.insert("message".to_owned(), self.anthropic_message().into());
                json!({ "type": "error", "error": error })
            }
            Dialect::Ollama => json!({ "error": self.message }),
        }
    }

    /// A prompt that is too long has its own words here, too, by which clients know that it is time to shorten it.
    fn anthropic_message(&self) -> String {
        match (self.extra.get("n_prompt_tokens"), self.extra.get("n_ctx")) {
            (Some(prompt), Some(context)) => {
                format!("prompt is too long: {prompt} tokens > {context} maximum. {}", self.message)
            }
            _ => self.message.clone(),
        }
    }

    /// The whole response.
    pub(crate) fn response(&self, dialect: Dialect) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body(dialect).to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: a client that waits less only comes in vain.
            let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Marks the response; the layer around all routes writes it.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

/// What the engine does not take. `prompt` names the field that the prompt came from.
pub(crate) fn refused(refused: Refused, prompt: &str, retry_after: Duration) -> ApiError {
    match refused {
        Refused::EmptyPrompt | Refused::Generated { .. } => ApiError::field(prompt, refused.to_string()),
        Refused::TooLong { prompt_tokens, context_tokens, .. } => {
            ApiError::context_length_exceeded(prompt, prompt_tokens, context_tokens)
        }
        Refused::NeverFits { .. } => ApiError::field("max_tokens", refused.to_string()),
        Refused::TokenOutOfVocabulary { field, .. } => {
            let field = if field == "prompt" { prompt } else { field };
            ApiError::field(field, refused.to_string())
        }
        Refused::Parameter { name, .. } | Refused::AboveLimit { name, .. } => {
            ApiError::field(name, refused.to_string())
        }
        Refused::PromptLogprobs { .. } => ApiError::field("prompt_logprobs", refused.to_string()),
        Refused::Bias { .. } | Refused::BiasTwice { .. } => {
            ApiError::field("logit_bias", refused.to_string())
        }
        Refused::MinTokens { .. } => ApiError::field("min_tokens", refused.to_string()),
        Refused::BesideEmbedding { .. } => ApiError::field(prompt, refused.to_string()),
        Refused::QueueFull { .. } => ApiError::overloaded(refused.to_string(), retry_after),
        Refused::Stopped => {
            ApiError::unavailable("shutting_down", "the server is shutting down", Duration::from_secs(5))
        }
    }
}
