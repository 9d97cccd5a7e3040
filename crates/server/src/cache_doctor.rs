//! The cache doctor: why a prompt was not found in the prefix cache, for clients that ask.
//!
//! The engine says how many tokens the prompt has in common with the most similar one it knows; here that becomes the
//! text at which they part, and the message or field that it came from.

use engine::request::{CacheReport, TokenId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::model::ServedModel;
use crate::templated::Said;

/// What the prefix cache had of a prompt.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CacheDebug {
    pub(crate) prompt_tokens: usize,
    /// Tokens that were not computed again. The cache keeps whole pages of 32.
    pub(crate) cached_tokens: usize,
    /// Tokens that the prompt has in common with the most similar one in the cache.
    pub(crate) matched_tokens: usize,
    /// Where they part; none if the whole prompt is known.
    pub(crate) first_difference: Option<Difference>,
}

/// The first token that the cache does not have.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Difference {
    /// Counted from 0.
    pub(crate) position: usize,
    pub(crate) token: TokenId,
    pub(crate) text: String,
    /// What the cache has in its place, if it goes on there.
    pub(crate) cached_token: Option<TokenId>,
    pub(crate) cached_text: Option<String>,
    /// The part of the request that the token came from; none where the chat template wrote it.
    pub(crate) field: Option<String>,
}

/// Where the text of a prompt came from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// One field, as it is.
    Field(String),
    /// Messages that a template put into this text.
    Messages { said: Vec<Said>, text: String },
}

/// What to tell of a prompt.
pub(crate) fn report(
    model: &ServedModel,
    prompt: &[TokenId],
    cache: CacheReport,
    origin: &Origin,
) -> CacheDebug {
    let position = cache.common_tokens.max(cache.cached_tokens);
    let text = |token: TokenId| {
        String::from_utf8_lossy(model.tokenizer.piece(token).unwrap_or_default()).into_owned()
    };
    let first_difference = prompt.get(position).map(|&token| Difference {
        position,
        token,
        text: text(token),
        cached_token: cache.instead,
        cached_text: cache.instead.map(text),
        field: origin.field_at(model, prompt, position),
    });
    CacheDebug {
        prompt_tokens: prompt.len(),
        cached_tokens: cache.cached_tokens,
        matched_tokens: position.min(prompt.len()),
        first_difference,
    }
}

impl Origin {
    /// The field that the token at `position` came from.
    fn field_at(&self, model: &ServedModel, prompt: &[TokenId], position: usize) -> Option<String> {
        match self {
            Origin::Field(name) => Some(name.clone()),
            Origin::Messages { said, text } => {
                // Tokens that were put before the text, such as the beginning of a text, have no place in it.
                let whole = model.tokenizer.decode(prompt, true).len();
                let before = model.tokenizer.decode(&prompt[..position], true).len();
                let offset = before.saturating_sub(whole.saturating_sub(text.len()));
                message_at(said, text, offset).map(str::to_owned)
            }
        }
    }
}

/// The field of the message whose content has the byte at `offset` of the rendered text. Templates write contents in
/// order, so each is looked for behind the one before.
fn message_at<'a>(said: &'a [Said], text: &str, offset: usize) -> Option<&'a str> {
    let mut from = 0;
    for Said { field, message } in said {
        let Some(content) = message.get("content").and_then(Value::as_str).map(str::trim) else { continue };
        if content.is_empty() {
            continue;
        }
        let Some(at) = text.get(from..)?.find(content).map(|at| from + at) else { continue };
        if offset < at {
            return None;
        }
        from = at + content.len();
        if offset < from {
            return Some(field);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Said, message_at};

    #[test]
    fn a_place_in_the_prompt_is_traced_to_its_message() {
        let messages = [
            ("system", json!({"role": "system", "content": "be good"})),
            ("first", json!({"role": "user", "content": "be"})),
            ("second", json!({"role": "user"})),
        ];
        let said = messages.map(|(field, message)| Said { field: field.to_owned(), message });
        let text = "<s>be good<u>be<a>";
        for (offset, expect) in
            [(0, None), (3, Some("system")), (9, Some("system")), (10, None), (13, Some("first")), (15, None)]
        {
            assert_eq!(message_at(&said, text, offset), expect, "{offset}");
        }
    }
}
