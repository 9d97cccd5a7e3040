//! The input of a response: a text, or items of a history, made into what templates know.
//!
//! Instructions and the messages of the system become one message at the beginning. What other servers' tools did in a
//! history is left out; what a function was called with and gave goes to the template.

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::super::messages::{self, MESSAGES_MAX, Message};
use crate::error::ApiError;
use crate::model::ServedModel;
use crate::templated::{Said, add_default_system};

/// Items that tools of other servers leave in a history.
const SKIPPED: [&str; 21] = [
    "web_search_call",
    "file_search_call",
    "computer_call",
    "computer_call_output",
    "code_interpreter_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "shell_call",
    "shell_call_output",
    "apply_patch_call",
    "apply_patch_call_output",
    "mcp_list_tools",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "custom_tool_call",
    "custom_tool_call_output",
    "tool_search_call",
    "tool_search_output",
    "compaction",
];

/// A text or a list of items.
#[derive(Debug)]
pub(crate) enum Input {
    Text(String),
    Items(Vec<Value>),
}

/// The messages of an input, the system's first.
pub(crate) fn lower(
    input: Input,
    instructions: Option<&str>,
    model: &ServedModel,
) -> Result<Vec<Said>, ApiError> {
    let mut history = History::default();
    if let Some(text) = instructions {
        history.system.push(("instructions".to_owned(), text.to_owned()));
    }
    match input {
        Input::Text(text) if text.is_empty() => {
            return Err(ApiError::field("input", "input is empty; give at least one character"));
        }
        Input::Text(text) => history
            .said
            .push(Said { field: "input".to_owned(), message: json!({"role": "user", "content": text}) }),
        Input::Items(items) => {
            if items.is_empty() || items.len() > MESSAGES_MAX {
                let message = format!("input has {} items; 1 to {MESSAGES_MAX} are possible", items.len());
                return Err(ApiError::field("input", message));
            }
            for (index, item) in items.into_iter().enumerate() {
                history.take(item, &format!("input[{index}]"))?;
            }
        }
    }
    history.finish(model)
}

/// Items up to some place.
#[derive(Default)]
struct History {
    /// What the system says, each with its field.
    system: Vec<(String, String)>,
    said: Vec<Said>,
    /// What the model thought before what it says next.
    reasoning: String,
}

impl History {
    fn take(&mut self, item: Value, place: &str) -> Result<(), ApiError> {
        let Value::Object(item) = item else {
            return Err(ApiError::field(place, format!("{place} must be an object")));
        };
        let kind = match item.get("type") {
            None | Some(Value::Null) => "message".to_owned(),
            Some(Value::String(kind)) => kind.clone(),
            Some(_) => {
                let field = format!("{place}.type");
                return Err(ApiError::field(field.clone(), format!("{field} must be a string")));
            }
        };
        match kind.as_str() {
            "message" => self.message(item, place),
            "reasoning" => {
                self.reasoning.push_str(&reasoning_text(&item));
                Ok(())
            }
            "function_call" => self.function_call(&item, place),
            "function_call_output" => self.function_output(&item, place),
            "item_reference" => {
                let message = format!("{place} refers to an item, but this server keeps none: send it whole");
                Err(ApiError::unsupported(place, message))
            }
            kind if SKIPPED.contains(&kind) => Ok(()),
            kind => {
                let field = format!("{place}.type");
                let shown: String = kind.chars().take(40).collect();
                let message = format!(
                    "{field} is {shown:?}; it must be message, reasoning, function_call or function_call_output"
                );
                Err(ApiError::field(field, message))
            }
        }
    }

    fn message(&mut self, mut item: Map<String, Value>, place: &str) -> Result<(), ApiError> {
        let role = item.get("role").and_then(Value::as_str).unwrap_or_default();
        if !["user", "assistant", "system", "developer"].contains(&role) {
            let field = format!("{place}.role");
            let shown: String = role.chars().take(40).collect();
            let message = format!("{field} is {shown:?}; it must be user, assistant, system or developer");
            return Err(ApiError::field(field, message));
        }
        let message = Message::new(role.to_owned(), item.remove("content"));
        let mut said = message.lower(place)?;
        match said.message["role"].as_str() {
            Some("system") => {
                let text = said.message["content"].as_str().unwrap_or_default().to_owned();
                self.system.push((said.field, text));
            }
            Some("assistant") => {
                self.add_reasoning(&mut said.message);
                self.said.push(said);
            }
            _ => {
                self.reasoning.clear();
                self.said.push(said);
            }
        }
        Ok(())
    }

    /// Calls that follow each other, or a text of the model's, are of one message.
    fn function_call(&mut self, item: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        let name = string(item, "name", place)?;
        let arguments = string(item, "arguments", place)?;
        let id = string(item, "call_id", place)?;
        let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        let open = self.said.last_mut().filter(|said| said.message["role"] == "assistant");
        if let Some(calls) = open.and_then(|said| said.message.as_object_mut()) {
            let calls = calls.entry("tool_calls").or_insert_with(|| json!([]));
            calls.as_array_mut().expect("it is ours").push(call);
            return Ok(());
        }
        let mut message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        self.add_reasoning(&mut message);
        self.said.push(Said { field: format!("{place}.arguments"), message });
        Ok(())
    }

    fn function_output(&mut self, item: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        let id = string(item, "call_id", place)?;
        let field = format!("{place}.output");
        let output = messages::text(item.get("output"), &field)?;
        let message = json!({"role": "tool", "content": output, "tool_call_id": id});
        self.reasoning.clear();
        self.said.push(Said { field, message });
        Ok(())
    }

    fn add_reasoning(&mut self, message: &mut Value) {
        if !self.reasoning.is_empty() {
            message["reasoning_content"] = std::mem::take(&mut self.reasoning).into();
        }
    }

    fn finish(self, model: &ServedModel) -> Result<Vec<Said>, ApiError> {
        let mut said = self.said;
        if said.is_empty() {
            return Err(ApiError::field("input", "input has no message that the model could answer"));
        }
        let texts: Vec<&str> = self.system.iter().map(|(_, text)| text.as_str()).collect();
        if let Some((field, _)) = self.system.first() {
            let message = json!({"role": "system", "content": texts.join("\n\n")});
            said.insert(0, Said { field: field.clone(), message });
        }
        add_default_system(&mut said, model);
        Ok(said)
    }
}

/// The text of the thoughts, where it is not a secret of the server that they come from.
fn reasoning_text(item: &Map<String, Value>) -> String {
    let parts = item.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
}

fn string<'a>(item: &'a Map<String, Value>, name: &str, place: &str) -> Result<&'a str, ApiError> {
    item.get(name).and_then(Value::as_str).ok_or_else(|| {
        let field = format!("{place}.{name}");
        ApiError::field(field.clone(), format!("{field} must be a string"))
    })
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Input::Text(text)),
            Value::Array(items) => Ok(Input::Items(items)),
            _ => Err(de::Error::custom("invalid type, expected a text or a list of items")),
        }
    }
}

impl PartialSchema for Input {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new().schema_type(Type::Object).build();
        OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)))
            .item(ArrayBuilder::new().items(object).min_items(Some(1)).max_items(Some(MESSAGES_MAX)))
            .description(Some("A text, or a list of messages and other items."))
            .into()
    }
}

impl ToSchema for Input {}
