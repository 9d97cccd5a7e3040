//! From the messages of a conversation to the tokens that the model goes on from, for APIs that let the last message
//! be the beginning of the answer.

use std::sync::Arc;

use engine::request::TokenId;
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::lowering::beside;
use crate::model::ServedModel;
use crate::openai::messages::MESSAGES_MAX;
use crate::speech::Before;

/// A conversation that became a prompt.
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<TokenId>,
    text: String,
    answer_begun: bool,
}

impl Prompt {
    /// What answers to it follow.
    pub(crate) fn before(&self) -> Before<'_> {
        Before { prompt: &self.text, answer_begun: self.answer_begun }
    }
}

/// The prompt of these messages, which are in the shape that templates know. Without a system message they get the
/// model's own. `extra` is given to the template beside them.
pub(crate) async fn prompt(
    model: &Arc<ServedModel>,
    mut messages: Vec<Value>,
    extra: Map<String, Value>,
) -> Result<Prompt, ApiError> {
    let has_system = messages.iter().any(|message| message["role"] == "system");
    if let (false, Some(system)) = (has_system, &model.defaults.system) {
        messages.insert(0, json!({"role": "system", "content": system}));
    }
    let model = Arc::clone(model);
    beside(move || {
        let begun = take_begun(&mut messages);
        let mut text = model.render(&messages, &extra, true)?;
        text.push_str(&begun);
        model.check_length(&text, "messages")?;
        Ok(Prompt { tokens: model.tokenize(&text), text, answer_begun: !begun.is_empty() })
    })
    .await
}

/// Refuses more messages than there may be.
pub(crate) fn check_count(count: usize) -> Result<(), ApiError> {
    if count > MESSAGES_MAX {
        let message = format!("messages has {count} messages, at most {MESSAGES_MAX} are possible");
        return Err(ApiError::field("messages", message));
    }
    Ok(())
}

/// Takes the beginning of the answer out of the messages: a last one of the assistant's with nothing but text.
fn take_begun(messages: &mut Vec<Value>) -> String {
    let is_begun = |message: &Value| {
        let text_alone = message.get("tool_calls").or(message.get("reasoning_content")).is_none();
        message["role"] == "assistant" && message["content"].is_string() && text_alone
    };
    match messages.pop_if(|message| is_begun(message)) {
        Some(message) => message["content"].as_str().unwrap_or_default().to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::take_begun;

    #[test]
    fn a_last_message_of_the_assistant_is_the_beginning_of_the_answer() {
        let check = |last: Value, begun: &str| {
            let mut messages = vec![json!({"role": "user", "content": "hi"}), last];
            assert_eq!(take_begun(&mut messages), begun);
            assert_eq!(messages.len(), if begun.is_empty() { 2 } else { 1 });
        };
        check(json!({"role": "assistant", "content": "The answer is "}), "The answer is ");
        check(json!({"role": "user", "content": "and?"}), "");
        check(json!({"role": "assistant", "content": null, "tool_calls": [{}]}), "");
        check(json!({"role": "assistant", "content": "so", "tool_calls": [{}]}), "");
        check(json!({"role": "assistant", "content": "so", "reasoning_content": "hm"}), "");
    }
}
