//! The messages of a chat, checked and made into what templates know.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::model::ServedModel;

/// Messages of one request.
const MESSAGES_MAX: usize = 4096;

/// A message as clients send it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub(crate) struct Message {
    role: String,
    /// A string or a list of parts.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
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

/// The messages as a template takes them, with the model's own first message where there is none.
pub(crate) fn lower(messages: Vec<Message>, model: &ServedModel) -> Result<Vec<Value>, ApiError> {
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
        lowered.push(message.lower(index)?);
    }
    let has_system = lowered.iter().any(|message| message["role"] == "system");
    if let (false, Some(system)) = (has_system, &model.defaults.system) {
        lowered.insert(0, json!({"role": "system", "content": system}));
    }
    Ok(lowered)
}

impl Message {
    fn lower(self, index: usize) -> Result<Value, ApiError> {
        let field = |name: &str| format!("messages[{index}].{name}");
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
            Some(Value::String(text)) => Some(text),
            Some(Value::Array(parts)) => Some(text_of(&parts, &field("content"))?),
            None | Some(Value::Null) if role == "assistant" => None,
            _ => {
                let message = format!("{} must be a string or a list of parts", field("content"));
                return Err(ApiError::field(field("content"), message));
            }
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
        Ok(Value::Object(lowered))
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
