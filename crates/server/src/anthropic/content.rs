//! The messages of a conversation in blocks, checked and made into what templates know.
//!
//! The texts of a message are put together as they are. Messages of one role that follow each other become one turn, each
//! on a line of its own. The results of tools, which are blocks of the user's here, become messages of their own before the
//! rest of the turn.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::conversation::check_count;
use crate::error::ApiError;

/// What a line at the head of a system prompt begins with that some clients put there for billing. It has a number that
/// changes with every request.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";

/// A message as clients send it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicMessage)]
pub(crate) struct Message {
    /// user, assistant or system.
    role: String,
    /// A string or a list of blocks.
    #[schema(value_type = Content)]
    content: Value,
}

/// How a content is described.
#[derive(ToSchema)]
#[schema(as = AnthropicContent)]
#[serde(untagged)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
pub(crate) enum Content {
    Text(String),
    Blocks(Vec<BTreeMap<String, Value>>),
}

/// The messages as a template takes them.
pub(crate) fn lower(system: Option<Value>, messages: Vec<Message>) -> Result<Vec<Value>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::field("messages", "messages is empty; give at least one message"));
    }
    check_count(messages.len())?;
    let mut turns = Vec::with_capacity(messages.len() + 1);
    if let Some(system) = system.filter(|system| !system.is_null()) {
        let mut texts = texts(&system, "system")?;
        if let Some(first) = texts.first_mut() {
            *first = without_billing_header(first).to_owned();
        }
        let text = texts.concat();
        if !text.is_empty() {
            turns.push(Turn { text, ..Turn::of("system") });
        }
    }
    for (index, message) in messages.into_iter().enumerate() {
        for turn in message.turns(index)? {
            match turns.last_mut() {
                Some(last) if last.role == turn.role && turn.result.is_none() => last.extend(turn),
                _ => turns.push(turn),
            }
        }
    }
    Ok(turns.into_iter().map(Turn::lowered).collect())
}

/// What one role says.
#[derive(Debug)]
struct Turn {
    role: &'static str,
    text: String,
    reasoning: String,
    calls: Vec<Value>,
    /// Whose result this is, and whether it is an error.
    result: Option<(String, bool)>,
}

impl Message {
    fn turns(self, index: usize) -> Result<Vec<Turn>, ApiError> {
        let field = |name: &str| format!("messages[{index}].{name}");
        let role = match self.role.as_str() {
            "user" => "user",
            "assistant" => "assistant",
            "system" => "system",
            other => {
                let shown: String = other.chars().take(40).collect();
                let message = format!("{} is {shown:?}; it must be user, assistant or system", field("role"));
                return Err(ApiError::field(field("role"), message));
            }
        };
        let field = field("content");
        if role == "system" {
            return Ok(vec![Turn { text: texts(&self.content, &field)?.concat(), ..Turn::of(role) }]);
        }
        let mut turn = Turn::of(role);
        let mut turns = Vec::new();
        match self.content {
            Value::String(text) => turn.text = text,
            Value::Array(blocks) if !blocks.is_empty() || role == "assistant" => {
                for (index, block) in blocks.iter().enumerate() {
                    turns.extend(turn.take(block, &format!("{field}[{index}]"))?);
                }
            }
            Value::Array(_) => {
                return Err(ApiError::field(field.clone(), format!("{field} is empty; give it a block")));
            }
            _ => return Err(no_content(&field)),
        }
        // After the results of tools there need not be more.
        if turns.is_empty() || !turn.text.is_empty() {
            turns.push(turn);
        }
        Ok(turns)
    }
}

impl Turn {
    fn of(role: &'static str) -> Self {
        Turn { role, text: String::new(), reasoning: String::new(), calls: Vec::new(), result: None }
    }

    /// Takes a block over, or gives the turn that it makes by itself.
    fn take(&mut self, block: &Value, place: &str) -> Result<Option<Turn>, ApiError> {
        let kind = block.get("type").and_then(Value::as_str).unwrap_or_default();
        match (self.role, kind) {
            (_, "text") => self.text.push_str(&string(block, "text", place)?),
            ("assistant", "thinking") => add_line(&mut self.reasoning, string(block, "thinking", place)?),
            // Only whoever wrote it can read it.
            ("assistant", "redacted_thinking") => {}
            ("assistant", "tool_use") => {
                let input = block.get("input").filter(|input| input.is_object()).ok_or_else(|| {
                    ApiError::field(format!("{place}.input"), format!("{place}.input must be an object"))
                })?;
                self.calls.push(json!({
                    "id": string(block, "id", place)?,
                    "type": "function",
                    "function": {"name": string(block, "name", place)?, "arguments": input.to_string()},
                }));
            }
            ("user", "tool_result") => {
                let content = block.get("content").filter(|content| !content.is_null());
                let text = match content {
                    Some(content) => texts(content, &format!("{place}.content"))?.concat(),
                    None => String::new(),
                };
                let is_error = block.get("is_error").and_then(Value::as_bool).unwrap_or(false);
                let result = Some((string(block, "tool_use_id", place)?, is_error));
                return Ok(Some(Turn { text, result, ..Turn::of("tool") }));
            }
            (_, kind) => return Err(no_block(kind, self.role, place)),
        }
        Ok(None)
    }

    fn extend(&mut self, turn: Turn) {
        add_line(&mut self.text, turn.text);
        add_line(&mut self.reasoning, turn.reasoning);
        self.calls.extend(turn.calls);
    }

    /// As a template takes it.
    fn lowered(self) -> Value {
        let mut message = Map::new();
        message.insert("role".to_owned(), self.role.into());
        let no_text = self.text.is_empty() && !self.calls.is_empty();
        let content = if no_text { Value::Null } else { self.text.into() };
        message.insert("content".to_owned(), content);
        if !self.reasoning.is_empty() {
            message.insert("reasoning_content".to_owned(), self.reasoning.into());
        }
        if !self.calls.is_empty() {
            message.insert("tool_calls".to_owned(), self.calls.into());
        }
        if let Some((id, is_error)) = self.result {
            message.insert("tool_call_id".to_owned(), id.into());
            if is_error {
                message.insert("is_error".to_owned(), true.into());
            }
        }
        Value::Object(message)
    }
}

/// Adds a text on a line of its own.
fn add_line(to: &mut String, text: String) {
    if !to.is_empty() && !text.is_empty() {
        to.push('\n');
    }
    to.push_str(&text);
}

/// The texts of content that can't be anything else.
fn texts(content: &Value, field: &str) -> Result<Vec<String>, ApiError> {
    match content {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(blocks) => {
            let text = |(index, block): (usize, &Value)| {
                let place = format!("{field}[{index}]");
                match block.get("type").and_then(Value::as_str).unwrap_or_default() {
                    "text" => string(block, "text", &place),
                    kind => Err(no_block(kind, field, &place)),
                }
            };
            blocks.iter().enumerate().map(text).collect()
        }
        _ => Err(no_content(field)),
    }
}

/// A field of a block that must be there.
fn string(block: &Value, name: &str, place: &str) -> Result<String, ApiError> {
    let field = format!("{place}.{name}");
    let text = block.get(name).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| ApiError::field(field.clone(), format!("{field} must be a string")))
}

fn no_content(field: &str) -> ApiError {
    ApiError::field(field, format!("{field} must be a string or a list of blocks"))
}

fn no_block(kind: &str, of: &str, place: &str) -> ApiError {
    if matches!(kind, "image" | "document" | "search_result" | "container_upload") {
        let message = format!("{place} is of type {kind}; this model takes text only");
        return ApiError::field(place, message).with_code("unsupported_media");
    }
    let shown: String = kind.chars().take(40).collect();
    let message = match kind {
        "" => format!("{place}.type is missing; give a block such as {{\"type\": \"text\", \"text\": …}}"),
        _ => format!("{place} is of type {shown}, which has no place in {of}"),
    };
    ApiError::field(place, message)
}

/// The system prompt from its second line on, if the first is a billing header.
fn without_billing_header(text: &str) -> &str {
    if !text.starts_with(BILLING_HEADER) {
        return text;
    }
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Message, lower};

    fn lowered(system: Value, messages: Value) -> Result<Value, (String, Option<&'static str>)> {
        let messages: Vec<Message> = serde_json::from_value(messages).expect("messages");
        let lowered = lower(Some(system), messages);
        lowered.map(Value::Array).map_err(|error| (error.param.unwrap_or_default(), error.code))
    }

    #[test]
    fn the_billing_header_is_left_out() {
        const HEADER: &str =
            "x-anthropic-billing-header: cc_version=2.1.37.0d9; cc_entrypoint=cli; cch=fa690;";
        let text = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
        for (system, expect) in [
            (json!([text(HEADER), text("You code."), text(" Well.")]), Some("You code. Well.")),
            (json!(format!("{HEADER}\nYou code.\nWell.")), Some("You code.\nWell.")),
            (json!([text(&format!("{HEADER}\nYou code.")), text(" Well.")]), Some("You code. Well.")),
            (json!(HEADER), None),
            (json!([text(HEADER)]), None),
            (json!(""), None),
            (json!([]), None),
            (Value::Null, None),
            (json!([text("You code."), text(HEADER)]), Some(&*format!("You code.{HEADER}"))),
        ] {
            let lowered = lowered(system, json!([{"role": "user", "content": "hi"}])).expect("it is right");
            assert_eq!(
                lowered[0].get("content").filter(|_| lowered[0]["role"] == "system"),
                expect.map(Value::from).as_ref()
            );
        }
    }

    #[test]
    fn blocks_become_messages_of_templates() {
        let call =
            json!({"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
        for (messages, expect) in [
            (
                json!([{"role": "user", "content": "a"}, {"role": "user", "content": [
                    {"type": "text", "text": "b"}, {"type": "text", "text": "c"},
                ]}]),
                json!([{"role": "user", "content": "a\nbc"}]),
            ),
            (
                json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "x"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                ]}, {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "no"}], "is_error": true},
                    {"type": "tool_result", "tool_use_id": "t2"},
                    {"type": "text", "text": "go on"},
                ]}]),
                json!([
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [call]},
                    {"role": "tool", "content": "no", "tool_call_id": "t1", "is_error": true},
                    {"role": "tool", "content": "", "tool_call_id": "t2"},
                    {"role": "user", "content": "go on"},
                ]),
            ),
            (
                json!([{"role": "system", "content": "s"}, {"role": "user", "content": ""}, {"role": "assistant", "content": []}]),
                json!([{"role": "system", "content": "s"}, {"role": "user", "content": ""}, {"role": "assistant", "content": ""}]),
            ),
        ] {
            assert_eq!(lowered(Value::Null, messages), Ok(expect));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let block = |role: &str, block: Value| json!([{"role": role, "content": [block]}]);
        for (messages, param, code) in [
            (json!([]), "messages", None),
            (json!([{"role": "tool", "content": "x"}]), "messages[0].role", None),
            (json!([{"role": "user", "content": 5}]), "messages[0].content", None),
            (json!([{"role": "user", "content": null}]), "messages[0].content", None),
            (json!([{"role": "user", "content": []}]), "messages[0].content", None),
            (block("user", json!({"text": "x"})), "messages[0].content[0]", None),
            (block("user", json!("x")), "messages[0].content[0]", None),
            (block("user", json!({"type": "text"})), "messages[0].content[0].text", None),
            (block("user", json!({"type": "thinking", "thinking": "x"})), "messages[0].content[0]", None),
            (block("system", json!({"type": "tool_result"})), "messages[0].content[0]", None),
            (
                block("assistant", json!({"type": "tool_use", "id": "t", "name": "f"})),
                "messages[0].content[0].input",
                None,
            ),
            (block("user", json!({"type": "tool_result"})), "messages[0].content[0].tool_use_id", None),
            (
                block("user", json!({"type": "image", "source": {}})),
                "messages[0].content[0]",
                Some("unsupported_media"),
            ),
            (
                block(
                    "user",
                    json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}),
                ),
                "messages[0].content[0].content[0]",
                Some("unsupported_media"),
            ),
            (Value::Array(vec![json!({"role": "user", "content": "x"}); 5000]), "messages", None),
        ] {
            assert_eq!(lowered(Value::Null, messages), Err((param.to_owned(), code)));
        }
        assert_eq!(
            lowered(json!(5), json!([{"role": "user", "content": "x"}])),
            Err(("system".to_owned(), None))
        );
    }
}
