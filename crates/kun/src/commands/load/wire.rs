//! What servers send: the fields that are measured, of chunks and of whole answers alike. All other fields and
//! all that are missing are as good as none, since servers differ in what they send beside the answer.

use serde::Deserialize;
use serde_json::Value as Json;

/// A chunk of a stream, or a whole answer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    timings: Option<Timings>,
    pub(super) error: Option<Json>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    text: Option<String>,
    delta: Option<Message>,
    message: Option<Message>,
    token_ids: Option<Vec<u32>>,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
}

/// Tokens as a server counts them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: Option<u32>,
    pub(super) completion_tokens: Option<u32>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
}

/// What llama-server says of a request beside `usage`.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Timings {
    cache_n: Option<u32>,
}

/// A part of an answer, or all of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Part {
    pub(super) text: String,
    pub(super) token_ids: Vec<u32>,
    pub(super) finish_reason: Option<String>,
    pub(super) usage: Option<Usage>,
    pub(super) cached_tokens: Option<u32>,
}

impl Chunk {
    /// What there is of the answer in it. No more than one choice was asked for.
    pub(super) fn part(self) -> Part {
        let usage = self.usage;
        let of_usage = usage.and_then(|usage| usage.prompt_tokens_details?.cached_tokens);
        let cached_tokens = of_usage.or_else(|| self.timings?.cache_n);
        let Some(choice) = self.choices.into_iter().flatten().next() else {
            return Part { usage, cached_tokens, ..Part::default() };
        };
        let message = choice.delta.or(choice.message);
        let texts = message.map(|m| [m.reasoning_content.or(m.reasoning), m.content]);
        let mut text = choice.text.unwrap_or_default();
        texts.into_iter().flatten().flatten().for_each(|more| text.push_str(&more));
        Part {
            text,
            token_ids: choice.token_ids.unwrap_or_default(),
            finish_reason: choice.finish_reason.filter(|reason| !reason.is_empty()),
            usage,
            cached_tokens,
        }
    }
}

/// What the body of an error says: its message if it has the usual form, else its text.
pub(super) fn error_text(body: &[u8]) -> String {
    match serde_json::from_slice::<Json>(body) {
        Ok(json) => error_message(json.get("error").unwrap_or(&json)),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

/// What an error's JSON says.
pub(super) fn error_message(error: &Json) -> String {
    let message = ["message", "detail"].into_iter().find_map(|name| error.get(name)?.as_str());
    message.or(error.as_str()).map_or_else(|| error.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(json: &str) -> Part {
        serde_json::from_str::<Chunk>(json).expect(json).part()
    }

    #[test]
    fn parts_are_read_from_chunks_and_answers_of_both_routes() {
        for (json, text, finish_reason) in [
            (r#"{"choices": [{"text": "a", "finish_reason": null}]}"#, "a", None),
            (r#"{"choices": [{"text": "", "finish_reason": "length"}]}"#, "", Some("length")),
            (r#"{"choices": [{"delta": {"role": "assistant", "content": ""}}]}"#, "", None),
            (r#"{"choices": [{"delta": {"role": "assistant", "content": null}}]}"#, "", None),
            (r#"{"choices": [{"delta": {"content": "é"}, "finish_reason": ""}]}"#, "é", None),
            (r#"{"choices": [{"delta": {"reasoning_content": "hm"}}]}"#, "hm", None),
            (r#"{"choices": [{"delta": {"reasoning": "hm", "reasoning_content": "hm"}}]}"#, "hm", None),
            (
                r#"{"choices": [{"message": {"reasoning": "hm ", "content": "b"}, "finish_reason": "stop"}]}"#,
                "hm b",
                Some("stop"),
            ),
            (r#"{"choices": [], "object": "x"}"#, "", None),
            (r#"{}"#, "", None),
        ] {
            let part = part(json);
            assert_eq!((part.text.as_str(), part.finish_reason.as_deref()), (text, finish_reason), "{json}");
        }
        assert_eq!(part(r#"{"choices": [{"text": "", "token_ids": [7, 8]}]}"#).token_ids, [7, 8]);
    }

    #[test]
    fn cached_tokens_are_told_in_two_ways() {
        let usage = r#"{"usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}}"#;
        let part_of_usage = part(usage);
        let usage = part_of_usage.usage.expect("it has one");
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (Some(9), Some(3)));
        assert_eq!(part_of_usage.cached_tokens, Some(4));
        assert_eq!(part(r#"{"timings": {"cache_n": 5, "prompt_n": 1}}"#).cached_tokens, Some(5));
        assert_eq!(part(r#"{"usage": {"prompt_tokens_details": null}}"#).cached_tokens, None);
    }

    #[test]
    fn an_errors_message_is_found_where_servers_put_it() {
        for (body, expect) in [
            (r#"{"error": {"message": "full", "code": 429}}"#, "full"),
            (r#"{"error": "full"}"#, "full"),
            (r#"{"detail": "Not Found"}"#, "Not Found"),
            (r#"{"error": {"code": 5}}"#, r#"{"code":5}"#),
            ("<html>", "<html>"),
            ("", ""),
        ] {
            assert_eq!(error_text(body.as_bytes()), expect, "{body}");
        }
    }
}
