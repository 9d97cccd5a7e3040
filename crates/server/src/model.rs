//! A model that is served: the engine's handle, and what turns text into its tokens and back.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::batch::PAGE_TOKENS;
use engine::engine::{Generation, Handle};
use engine::kv_events::KvEvents;
use engine::limits::Refused;
use engine::request::{Pooling, Request, TokenId};
use serde_json::{Map, Value};
use text::template::{ChatTemplate, TemplateError, TemplateLimits};
use text::tokenizer::{Specials, Tokenizer};

use crate::error::{self, ApiError};
use crate::forms::Forms;
use crate::running::timed_out;
use crate::speech::Speaking;
use crate::tools::told;

/// A loaded model, as whoever starts the server gives it.
pub struct ServedModel {
    /// The name that clients ask for.
    pub name: String,
    /// The engine.
    pub handle: Handle,
    /// Text to tokens and back.
    pub tokenizer: Arc<Tokenizer>,
    /// The chat template: none if the file has none, or why it can't be used.
    pub template: Result<Option<ChatTemplate>, String>,
    /// `bos_token` and `eos_token` as templates know them.
    pub marker_tokens: Vec<(&'static str, String)>,
    /// What suits the model where a request says nothing.
    pub defaults: Defaults,
    /// How a text becomes one vector, or why it can't.
    pub pooling: Result<Pooling, String>,
    /// What the model is, for those who ask.
    pub details: Details,
    /// What compiles the forms of answers.
    pub forms: Forms,
    /// How its answers are read.
    pub speaking: Speaking,
}

/// What suits a model where a request says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// The first message of a chat that has no system message of its own.
    pub system: Option<String>,
    /// Sampling temperature.
    pub temperature: f32,
    /// See `engine::request::Sampling`.
    pub top_k: usize,
    /// See `engine::request::Sampling`.
    pub top_p: f32,
    /// See `engine::request::Sampling`.
    pub min_p: f32,
}

/// What a model is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// `general.architecture`.
    pub architecture: String,
    /// How many weights it has.
    pub parameters: u64,
    /// The name of the file's quantisation, such as `Q4_K_M`.
    pub quantisation: String,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// SHA-256 of the file, if it is known.
    pub sha256: Option<String>,
    /// The chat template's source.
    pub template_source: Option<String>,
    /// When the file was written, in seconds since 1970.
    pub modified_unix_seconds: u64,
    /// The file's metadata; null in the place of lists.
    pub metadata: Map<String, Value>,
}

impl fmt::Debug for ServedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedModel").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ServedModel {
    /// Tokens of context.
    pub(crate) fn context_tokens(&self) -> usize {
        self.handle.limits().context_tokens
    }

    /// Tells whether two answers came from the same model and build.
    pub(crate) fn fingerprint(&self) -> String {
        let hash = self.details.sha256.as_deref().map_or("local", |hash| &hash[..hash.len().min(8)]);
        format!("kun-{}-{hash}", env!("CARGO_PKG_VERSION"))
    }

    /// Messages, and whatever else a template can ask for, as the text of a prompt. `extra` never replaces what the
    /// server sets.
    pub(crate) fn render(
        &self,
        messages: &[Value],
        extra: &Map<String, Value>,
        answer: bool,
    ) -> Result<String, ApiError> {
        let template = match &self.template {
            Ok(Some(template)) => template,
            Ok(None) => {
                return Err(ApiError::field(
                    "messages",
                    "this model has no chat template: use /v1/completions",
                )
                .with_code("no_chat_template"));
            }
            Err(why) => {
                let message = format!("this model's chat template can't be used: {why}; use /v1/completions");
                return Err(ApiError::field("messages", message).with_code("invalid_chat_template"));
            }
        };
        let mut input = extra.clone();
        for (name, text) in &self.marker_tokens {
            input.insert((*name).to_owned(), text.as_str().into());
        }
        input.insert("add_generation_prompt".to_owned(), answer.into());
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_secs()).ok());
        let limits = TemplateLimits { now_unix_seconds: now, ..TemplateLimits::default() };
        let mut messages = messages.to_vec();
        told::adapt(self.known(), &mut messages, &mut input);
        template.adapt_calls(&mut messages, &limits);
        input.insert("messages".to_owned(), messages.into());
        template.render(&Value::Object(input), &limits).map_err(|error| {
            let message = match &error {
                // The template's own words: roles must alternate, and the like.
                TemplateError::Raised { message, .. } => message.clone(),
                TemplateError::NoThread(_) => {
                    return ApiError::unavailable("no_memory", error.to_string(), Duration::from_secs(5));
                }
                other => other.to_string(),
            };
            ApiError::field("messages", message).with_code("template_error")
        })
    }

    /// Refuses a text that the context has no room for however few tokens it has, before it is taken apart: that takes
    /// many times the text's own memory.
    pub(crate) fn check_length(&self, text: &str, param: &str) -> Result<(), ApiError> {
        let least = text.len() / self.tokenizer.longest_token_bytes();
        if least > self.context_tokens() {
            return Err(ApiError::context_length_exceeded(param, least, self.context_tokens()));
        }
        Ok(())
    }

    /// The tokens of a prompt. Special tokens in it are read as such.
    pub(crate) fn tokenize(&self, text: &str) -> Vec<TokenId> {
        self.tokenizer.encode_prompt(text, Specials::Parse)
    }

    /// The same without the beginning-of-text token that the vocabulary asks for.
    pub(crate) fn tokenize_bare(&self, text: &str) -> Vec<TokenId> {
        self.tokenizer.encode(text, Specials::Parse)
    }

    /// The prompt of a model that writes what stands between two texts.
    pub(crate) fn fill_in_the_middle(&self, prefix: &str, suffix: &str) -> Result<Vec<TokenId>, ApiError> {
        let Some(fim) = self.tokenizer.fim() else {
            let message = format!("suffix: {} has no tokens to fill in the middle; leave it out", self.name);
            return Err(ApiError::unsupported("suffix", message));
        };
        let mut tokens: Vec<TokenId> = self.tokenizer.bos_to_add().into_iter().collect();
        // Both are text of files, in which nothing is structure.
        for (text, param) in [(prefix, "prompt"), (suffix, "suffix")] {
            self.check_length(text, param)?;
        }
        let mut add = |marker, text: &str| {
            tokens.push(marker);
            tokens.extend(self.tokenizer.encode(text, Specials::AsText));
        };
        add(fim.prefix, prefix);
        add(fim.suffix, suffix);
        add(fim.middle, "");
        Ok(tokens)
    }

    /// Hands requests to the engine, all or none. `prompt` names the field that the prompts came from.
    pub(crate) fn submit(&self, requests: Vec<Request>, prompt: &str) -> Result<Vec<Generation>, ApiError> {
        self.check_deadlines(&requests)?;
        let refused = |why: Refused| error::refused(why, prompt, self.retry_after());
        self.handle.submit_all(requests).map_err(refused)
    }

    /// What changes in its prefix cache from now on. That may wait for a step.
    pub(crate) fn kv_events(&self) -> KvEvents {
        self.handle.kv_events()
    }

    /// Refuses a request that will find the queue full, when `before` others are on their way into it.
    pub(crate) fn check_queue(&self, before: usize) -> Result<(), ApiError> {
        let queue_max = self.handle.limits().queue_max;
        let stats = self.handle.stats();
        // Those that can start at once are in the queue for the length of a step only.
        let starting = self.handle.limits().sequences_max.saturating_sub(stats.running);
        if stats.queued < queue_max && stats.queued + before < queue_max + starting {
            return Ok(());
        }
        Err(error::refused(Refused::QueueFull { queue_max }, "prompt", self.retry_after()))
    }

    /// Refuses requests that can't be answered in the time that they have, by what was measured. Only what has to be done
    /// in any case counts: an answer may be shorter than it was allowed to be, and of a prompt as much may be cached as
    /// there are pages.
    fn check_deadlines(&self, requests: &[Request]) -> Result<(), ApiError> {
        let Some(deadline) = requests.iter().filter_map(|request| request.rank.deadline).min() else {
            return Ok(());
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timed_out());
        }
        let stats = self.handle.stats();
        let cached = (stats.pages_cached + stats.pages_used) * PAGE_TOKENS;
        let waits = requests.iter().filter_map(|request| {
            let prompt_tokens = request.prompt.len().saturating_sub(cached);
            let wait = stats.wait_estimate(prompt_tokens, request.min_tokens.max(1))?;
            // The order is not that of arrival where priorities and keys have a say: who stands before it is not known.
            let in_order = request.rank.priority >= 0 && request.rank.owner == 0;
            let before = if in_order { wait.begin } else { Duration::ZERO };
            Some((before, wait.end.saturating_sub(wait.begin)))
        });
        let Some((before, own)) = waits.max_by_key(|(before, own)| before.saturating_add(*own)) else {
            return Ok(());
        };
        check_time(before, own, left)
    }

    /// When the queue is likely to have room again: when those that wait now have begun, by what was measured.
    fn retry_after(&self) -> Duration {
        const LEAST: Duration = Duration::from_secs(1);
        const MOST: Duration = Duration::from_secs(600);
        self.handle.stats().wait_estimate(1, 1).map_or(LEAST, |wait| wait.begin.clamp(LEAST, MOST))
    }
}

/// Refuses a request that has `left` and needs `own` after a wait of `before`. It may come again if that is the wait's
/// fault.
fn check_time(before: Duration, own: Duration, left: Duration) -> Result<(), ApiError> {
    let needed = before.saturating_add(own);
    if needed <= left {
        return Ok(());
    }
    let (needed_ms, left_ms) = (needed.as_millis(), left.as_millis());
    let message = format!(
        "this request needs about {needed_ms} ms by what was measured, {} ms of them in the queue, and has {left_ms} ms",
        before.as_millis()
    );
    let error = if own > left {
        ApiError::invalid(format!("{message}; allow more time or ask for less"))
    } else {
        ApiError::overloaded(format!("{message}; try again later"), needed - left)
    };
    Err(error.with_code("deadline_unreachable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_cannot_be_met_is_told_with_what_would_help() {
        let check = |[before, own, left]: [u64; 3], expect: Option<(u16, Option<u64>)>| {
            let [before, own, left] = [before, own, left].map(Duration::from_millis);
            let error = check_time(before, own, left).err();
            assert!(error.iter().all(|error| error.code == Some("deadline_unreachable")));
            let told = error.map(|error| {
                (error.status.as_u16(), error.retry_after.map(|after| after.as_millis() as u64))
            });
            assert_eq!(told, expect, "{before:?} {own:?} {left:?}");
        };
        check([0, 10, 10], None);
        check([500, 500, 1000], None);
        check([0, 11, 10], Some((400, None)));
        check([900, 500, 1000], Some((429, Some(400))));
        check([900, 1500, 1000], Some((400, None)));
    }
}
