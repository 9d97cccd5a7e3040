//! `POST /api/chat`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::answer::{self, Kind, Line, Renderer};
use super::options::Options;
use super::{KeepAlive, check_images, check_load, check_unset, find, logprobs, once, think, wanted_form};
use crate::answers::collect;
use crate::body::Json;
use crate::conversation::{self, check_count};
use crate::error::ApiError;
use crate::job::{Caller, Thought};
use crate::model::ServedModel;
use crate::running::Running;
use crate::state::App;
use crate::stream::{self, Framing};
use crate::tools::wire::{self, ChatTool};

/// A request to `/api/chat`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct OllamaChatRequest {
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
    /// None only load the model.
    #[serde(default)]
    messages: Option<Vec<OllamaMessage>>,
    #[serde(default)]
    options: Option<Options>,
    /// The usual case.
    #[serde(default)]
    stream: Option<bool>,
    /// Taken; the server decides by itself.
    #[serde(default)]
    keep_alive: Option<KeepAlive>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    format: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<ChatTool>>)]
    tools: Option<Value>,
    #[serde(default)]
    /// Whether the model thinks before it answers, or how hard: low, medium or high.
    #[schema(value_type = Option<Think>)]
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

/// How thinking is asked for.
#[derive(ToSchema)]
#[schema(as = OllamaThink)]
#[serde(untagged)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
enum Think {
    Whether(bool),
    Effort(String),
}

/// A message as clients send it.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct OllamaMessage {
    /// system, user, assistant or tool.
    role: String,
    #[serde(default)]
    content: Option<String>,
    /// What the model thought before an answer in the history.
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    images: Option<Value>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
    #[serde(default)]
    tool_name: Option<String>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

/// A call of an answer in the history.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OllamaToolCall)]
struct ToolCall {
    #[serde(default)]
    id: Option<String>,
    function: ToolFunction,
}

/// What is called.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OllamaToolFunction)]
struct ToolFunction {
    name: String,
    #[schema(value_type = Object)]
    arguments: Map<String, Value>,
}

/// Answers a chat.
#[utoipa::path(
    post,
    path = "/api/chat",
    tag = "ollama",
    request_body = OllamaChatRequest,
    responses((status = 200, content((Line = "application/x-ndjson"), (Line = "application/json"))))
)]
pub(crate) async fn complete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<OllamaChatRequest>,
) -> Result<Response<Body>, ApiError> {
    request.refuse()?;
    let (model, clock) = find(&app, request.model.as_deref()).await?;
    let stream = request.stream.unwrap_or(true);
    let mut parameters = request.options.unwrap_or_default().parameters(&model)?;
    parameters.thought = thought(request.think.as_ref());
    let logprobs = logprobs(request.logprobs, request.top_logprobs)?;
    let form = wanted_form(request.format.as_ref())?;
    let tools = wire::of_chat(request.tools.as_ref(), None, None)?;
    let messages = request.messages.unwrap_or_default();
    if messages.is_empty() {
        check_load(request.keep_alive.as_ref())?;
        return Ok(once(stream, &answer::loaded(Kind::Chat, &model)));
    }
    let place = app.enter(&model).await?;
    let mut extra = thoughts(&model, request.think.as_ref())?;
    tools.tell(&mut extra);
    let prompt = conversation::prompt(&model, lower(messages)?, extra).await?;
    let tokens = prompt.tokens.clone();
    let mut job = parameters.lower(model, vec![tokens], "messages", &app.config, caller)?;
    job.logprobs = logprobs;
    job.speak(tools, prompt.before(), form, "options.stop").await?;
    let render = Renderer::new(Kind::Chat, &job, clock);
    let running = Running::start(&job)?;
    drop(place);
    if stream {
        return Ok(stream::response(running, render, Framing::Lines, app.config.keep_alive));
    }
    let mut answers = collect(running).await?;
    let answer = answers.pop().expect("a job with one prompt and one choice has one answer");
    Ok(axum::Json(render.answer(answer)).into_response())
}

impl OllamaChatRequest {
    /// Fields that this server knows and can't honour.
    fn refuse(&self) -> Result<(), ApiError> {
        check_unset("truncate", self.truncate.as_ref(), "a chat that is too long is refused, never cut")?;
        check_unset("shift", self.shift.as_ref(), "an answer ends where the context does")
    }
}

/// `think`: how much of it there may be.
fn thought(think: Option<&Value>) -> Thought {
    Thought {
        effort: think.and_then(Value::as_str).map(str::to_owned),
        is_off: think == Some(&Value::Bool(false)),
        ..Thought::default()
    }
}

/// `think`: what the template is told. The thoughts stand beside the answer in any case.
fn thoughts(model: &ServedModel, asked: Option<&Value>) -> Result<Map<String, Value>, ApiError> {
    let effort = asked.and_then(Value::as_str).filter(|effort| ["low", "medium", "high"].contains(effort));
    if asked != Some(&Value::Bool(true)) && effort.is_none() {
        return think(asked);
    }
    if !model.known().shows_thinking {
        let message = "think: this model's template has no thinking: leave it out or set it to false";
        return Err(ApiError::unsupported("think", message));
    }
    let mut variables = Map::from_iter([("enable_thinking".to_owned(), true.into())]);
    if let Some(effort) = effort {
        variables.insert("reasoning_effort".to_owned(), effort.into());
    }
    Ok(variables)
}

/// The messages as a template takes them.
fn lower(messages: Vec<OllamaMessage>) -> Result<Vec<Value>, ApiError> {
    check_count(messages.len())?;
    messages.into_iter().enumerate().map(|(index, message)| message.lower(index)).collect()
}

impl OllamaMessage {
    fn lower(self, index: usize) -> Result<Value, ApiError> {
        let field = |name: &str| format!("messages[{index}].{name}");
        let role = self.role.as_str();
        if !["system", "user", "assistant", "tool"].contains(&role) {
            let shown: String = role.chars().take(40).collect();
            let message =
                format!("{} is {shown:?}; it must be system, user, assistant or tool", field("role"));
            return Err(ApiError::field(field("role"), message));
        }
        check_images(&field("images"), self.images.as_ref())?;
        let calls = self.tool_calls.unwrap_or_default();
        let content = match self.content {
            Some(text) if text.is_empty() && !calls.is_empty() => Value::Null,
            Some(text) => text.into(),
            None if role == "assistant" && !calls.is_empty() => Value::Null,
            None if role == "assistant" => "".into(),
            None => {
                return Err(ApiError::field(
                    field("content"),
                    format!("{} must be a string", field("content")),
                ));
            }
        };
        let mut lowered = Map::new();
        lowered.insert("role".to_owned(), role.into());
        lowered.insert("content".to_owned(), content);
        let mut keep = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                lowered.insert(name.to_owned(), value);
            }
        };
        keep("reasoning_content", self.thinking.filter(|text| !text.is_empty()).map(Value::String));
        keep(
            "tool_calls",
            (!calls.is_empty()).then(|| calls.iter().enumerate().map(ToolCall::lower).collect()),
        );
        keep("name", self.tool_name.map(Value::String));
        keep("tool_call_id", self.tool_call_id.map(Value::String));
        Ok(Value::Object(lowered))
    }
}

impl ToolCall {
    /// As the OpenAI style has it. Calls have no ids in older histories; templates that show them get their place.
    fn lower((index, call): (usize, &ToolCall)) -> Value {
        let id = call.id.clone().unwrap_or_else(|| format!("call_{index}"));
        let arguments = Value::Object(call.function.arguments.clone()).to_string();
        json!({"id": id, "type": "function", "function": {"name": call.function.name, "arguments": arguments}})
    }
}
