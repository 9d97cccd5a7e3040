//! The messages of a chat, checked and made into what templates know.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::model::ServedModel;
use crate::templated::{Said, add_default_system};

/// Messages of one request.
pub(crate) const MESSAGES_MAX: usize = 4096;

/// A message as clients send it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub(crate) struct Message {
    role: String,
    /// A string or a list of parts.
    #[serde(default)]
    #[schema(value_type = Option<Content>)]
    content: Option<Value>,
    #[serde(default)]
    name: Option<String>,
    /// What the model thought before an answer in the history.
    #[serde(default)]
    reasoning_content: Option<String>,
    /// The same under its other name.
    #[serde(default)]
    reasoning: Option<String>,
    /// Of an answer in the history; they go to the template as they are.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    tool_calls: Option<Value>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

/// How a content is described.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
enum Content {
    Text(String),
    Parts(Vec<BTreeMap<String, Value>>),
}

/// The messages as a template takes them, with the model's own first message where there is none.
pub(crate) fn lower(messages: Vec<Message>, model: &ServedModel) -> Result<Vec<Said>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::field("messages", "messages is empty; give at least one message"));
    }
    if messages.len() > MESSAGES_MAX {
        let message =
            format!("messages has {} messages, at most {MESSAGES_MAX} are possible", messages.len());
        return Err(ApiError::field("messages", message));
    }
    let mut lowered = Vec::with_capacity(messages.len() + 1);
    for (index, message) in messages.into_iter().enumerate() {
        lowered.push(message.lower(&format!("messages[{index}]"))?);
    }
    add_default_system(&mut lowered, model);
    Ok(lowered)
}

impl Message {
    /// One that only has a content.
    pub(crate) fn new(role: String, content: Option<Value>) -> Self {
        Message {
            role,
            content,
            name: None,
            reasoning_content: None,
            reasoning: None,
            tool_calls: None,
            tool_call_id: None,
        }
    }

    /// As templates know it. `place` is where it stands in the request.
    pub(crate) fn lower(self, place: &str) -> Result<Said, ApiError> {
        let field = |name: &str| format!("{place}.{name}");
        // "developer" is what newer clients call the system.
        let role = match self.role.as_str() {
            "developer" => "system",
            "system" | "user" | "assistant" | "tool" | "function" => self.role.as_str(),
            other => {
                let shown: String = other.chars().take(40).collect();
                let message = format!(
                    "{} is {shown:?}; it must be system, developer, user, assistant or tool",
                    field("role")
                );
                return Err(ApiError::field(field("role"), message));
            }
        };
        let has_calls =
            self.tool_calls.as_ref().is_some_and(|calls| calls.as_array().is_some_and(|c| !c.is_empty()));
        let content = match self.content {
            None | Some(Value::Null) if role == "assistant" => None,
            content => Some(text(content.as_ref(), &field("content"))?),
        };
        let mut lowered = Map::new();
        lowered.insert("role".to_owned(), role.into());
        let content = if has_calls {
            content.map_or(Value::Null, Value::String)
        } else {
            content.unwrap_or_default().into()
        };
        lowered.insert("content".to_owned(), content);
        let mut keep = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                lowered.insert(name.to_owned(), value);
            }
        };
        keep("name", self.name.map(Value::String));
        keep("reasoning_content", self.reasoning_content.or(self.reasoning).map(Value::String));
        keep("tool_calls", self.tool_calls.filter(|_| has_calls));
        keep("tool_call_id", self.tool_call_id.map(Value::String));
        Ok(Said { field: field("content"), message: Value::Object(lowered) })
    }
}

/// The text of a content: as it is, or in parts.
pub(crate) fn text(content: Option<&Value>, field: &str) -> Result<String, ApiError> {
    match content {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => text_of(parts, field),
        _ => Err(ApiError::field(field, format!("{field} must be a string or a list of parts"))),
    }
}

/// The text of a message in parts. Parts that are no text are refused by name.
fn text_of(parts: &[Value], field: &str) -> Result<String, ApiError> {
    let mut texts = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let place = format!("{field}[{index}]");
        let kind = part.get("type").and_then(Value::as_str);
        match (kind, part.get("text").or_else(|| part.get("refusal")).and_then(Value::as_str)) {
            (Some("text" | "input_text" | "output_text" | "refusal"), Some(text)) => texts.push(text),
            (
                Some(
                    kind @ ("image_url" | "input_image" | "input_audio" | "audio" | "file" | "input_file"
                    | "video_url" | "image"),
                ),
                _,
            ) => {
                let message = format!("{place} is of type {kind}; this model takes text only");
                return Err(ApiError::field(place, message).with_code("unsupported_media"));
            }
            _ => {
                let message = format!("{place} must be {{\"type\": \"text\", \"text\": …}}");
                return Err(ApiError::field(place, message));
            }
        }
    }
    Ok(texts.join(""))
}
