//! The OpenAI-style routes: what their requests are lowered from and their answers are rendered to.

pub(crate) mod batches;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod files;
pub(crate) mod form;
pub(crate) mod logprobs;
pub(crate) mod messages;
pub(crate) mod models;
pub(crate) mod prompts;
pub(crate) mod responses;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::answers::Totals;
use crate::cache_doctor::CacheDebug;
use crate::error::ApiError;
use crate::running::{Ending, Finish, StoppedBy};

/// Tokens that a request took.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: usize,
    pub(crate) completion_tokens: usize,
    pub(crate) total_tokens: usize,
    pub(crate) prompt_tokens_details: PromptTokensDetails,
    pub(crate) completion_tokens_details: CompletionTokensDetails,
}

/// Of the prompt's tokens.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct PromptTokensDetails {
    /// Not computed again.
    pub(crate) cached_tokens: usize,
    pub(crate) audio_tokens: usize,
}

/// Of the answers' tokens.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub(crate) struct CompletionTokensDetails {
    pub(crate) reasoning_tokens: usize,
    pub(crate) audio_tokens: usize,
    pub(crate) accepted_prediction_tokens: usize,
    pub(crate) rejected_prediction_tokens: usize,
}

/// Where the time of a request went. An addition to the original API.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Timings {
    pub(crate) queue_ms: f64,
    pub(crate) prompt_ms: f64,
    pub(crate) generation_ms: f64,
    /// Of the tokens that were computed: those from the cache don't count.
    pub(crate) prompt_tokens_per_second: f64,
    pub(crate) generation_tokens_per_second: f64,
}

impl Usage {
    pub(crate) fn of(totals: &Totals) -> Self {
        let usage = totals.usage;
        Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
            prompt_tokens_details: PromptTokensDetails {
                cached_tokens: usage.cached_tokens,
                audio_tokens: 0,
            },
            completion_tokens_details: CompletionTokensDetails {
                reasoning_tokens: usage.reasoning_tokens,
                ..CompletionTokensDetails::default()
            },
        }
    }
}

impl Timings {
    pub(crate) fn of(totals: &Totals) -> Self {
        let crate::running::Timings { queue, prompt, generation } = totals.timings;
        let milliseconds = |time: std::time::Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let per_second = |tokens: usize, time: std::time::Duration| match time.as_secs_f64() {
            seconds if seconds > 0.0 => (tokens as f64 / seconds * 100.0).round() / 100.0,
            _ => 0.0,
        };
        let usage = totals.usage;
        Timings {
            queue_ms: milliseconds(queue),
            prompt_ms: milliseconds(prompt),
            generation_ms: milliseconds(generation),
            prompt_tokens_per_second: per_second(
                usage.prompt_tokens.saturating_sub(usage.cached_tokens),
                prompt,
            ),
            // The first token comes out of the prompt's last step.
            generation_tokens_per_second: per_second(usage.completion_tokens.saturating_sub(1), generation),
        }
    }
}

/// The word for how an answer ended.
pub(crate) fn finish_reason(reason: Finish) -> &'static str {
    match reason {
        // None of the API's words says it. It has ended before its limit, so that clients need not ask for the rest; what
        // happened stands in `stop_reason`.
        Finish::Stop | Finish::Repetition => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
    }
}

/// What else there is to say of the end: the stop string or token, or `repetition`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum StopReason {
    Text(String),
    Token(u32),
}

impl StopReason {
    pub(crate) fn of(ending: &Ending) -> Option<Self> {
        if ending.reason == Finish::Repetition {
            return Some(StopReason::Text("repetition".to_owned()));
        }
        ending.stopped_by.clone().map(|stop| match stop {
            StoppedBy::Text(text) => StopReason::Text(text),
            StoppedBy::Token(token) => StopReason::Token(token),
        })
    }
}

/// What is done when an answer repeats itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoopGuard {
    Off,
    Stop,
    Recover,
}

impl From<LoopGuard> for engine::request::LoopGuard {
    fn from(guard: LoopGuard) -> Self {
        match guard {
            LoopGuard::Off => Self::Off,
            LoopGuard::Stop => Self::Stop,
            LoopGuard::Recover => Self::Recover,
        }
    }
}

/// What an answer repeated: the last loop in it. An addition to the original API.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Repetition {
    /// Tokens of what was repeated.
    period_tokens: usize,
    /// How often it stood there.
    repeats: usize,
    /// Tokens that were taken out of the answer for all loops.
    tokens_trimmed: usize,
    /// Whether the answer found a way out and ended in another way.
    recovered: bool,
}

impl Repetition {
    pub(crate) fn of(ending: &Ending) -> Option<Self> {
        let engine::request::Repetition { period_tokens, repeats, tokens_trimmed, recovered } =
            ending.repetition?;
        Some(Repetition { period_tokens, repeats, tokens_trimmed, recovered })
    }
}

/// Options of a stream.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct StreamOptions {
    /// Send a last chunk with the usage.
    #[serde(default)]
    include_usage: Option<bool>,
    /// Taken and without effect: nothing is hidden in chunks here.
    #[serde(default)]
    #[allow(dead_code, reason = "it is checked to be a boolean")]
    include_obfuscation: Option<bool>,
}

/// Whether a stream reports its usage; options without a stream are a mistake.
pub(crate) fn include_usage(stream: bool, options: Option<&StreamOptions>) -> Result<bool, ApiError> {
    match options {
        Some(_) if !stream => Err(ApiError::field(
            "stream_options",
            "stream_options is for streams: set stream to true as well",
        )),
        options => Ok(options.and_then(|options| options.include_usage).unwrap_or(false)),
    }
}

/// What a request may ask to be told beside its answer.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Debug {
    /// What the prefix cache had of the prompt, and where it parted.
    #[serde(default)]
    pub(crate) cache: Option<bool>,
}

/// Characters of what a client says of itself that are worth a line in the log.
const USER_CHARACTERS_MAX: usize = 512;

/// Notes who a client says that it asks for. Nothing else depends on it: the prefix cache needs no hint.
pub(crate) fn note_user<const N: usize>(names: [&Option<String>; N]) {
    for name in names.into_iter().flatten() {
        let shown: String = name.chars().take(USER_CHARACTERS_MAX).collect();
        tracing::debug!(user = shown, "the client names a user");
    }
}

/// Checks what is only given back: it is kept small.
pub(crate) fn check_metadata(metadata: Option<&BTreeMap<String, String>>) -> Result<(), ApiError> {
    const FIELD: &str = "metadata";
    let Some(metadata) = metadata else { return Ok(()) };
    if metadata.len() > 16 {
        let message = format!("metadata has {} entries, at most 16 are possible", metadata.len());
        return Err(ApiError::field(FIELD, message));
    }
    let long = |(key, value): (&String, &String)| key.chars().count() > 64 || value.chars().count() > 512;
    if metadata.iter().any(long) {
        let message = "metadata: a key has at most 64 characters and a value at most 512";
        return Err(ApiError::field(FIELD, message));
    }
    Ok(())
}

/// What was asked for with `debug`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct DebugReport {
    pub(crate) cache: CacheDebug,
}

/// One text or a list of them, as `stop` and `input` are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts(pub(crate) Vec<String>);

/// How [`Texts`] are described.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
pub(crate) enum OneOrManyTexts {
    One(String),
    Many(Vec<String>),
}

/// How a choice is described that is made by a word or in detail.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
pub(crate) enum NameOrObject {
    Name(String),
    Object(BTreeMap<String, serde_json::Value>),
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Texts(list))
            }
        }
        deserializer.deserialize_any(TextsVisitor)
    }
}

/// An identifier that no other answer has, with a prefix that says what it is of.
pub(crate) fn new_id(prefix: &str) -> Result<String, ApiError> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|_| ApiError::internal("the system gives no random numbers"))?;
    let mut id = prefix.to_owned();
    for byte in bytes {
        use fmt::Write;
        write!(id, "{byte:02x}").expect("writing to a string does not fail");
    }
    Ok(id)
}
