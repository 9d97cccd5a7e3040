//! The request of a completion, field by field: honoured, or refused by name.

use std::collections::BTreeMap;
use std::fmt;

use engine::request::TokenId;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::super::{Debug, OneOrManyTexts, StreamOptions, Texts, include_usage};
use crate::cache_doctor::Origin;
use crate::error::ApiError;
use crate::job::{Caller, Job, Parameters, Seed, whole};
use crate::model::ServedModel;
use crate::state::App;

/// Alternatives beside a token.
const LOGPROBS_MAX: i64 = 20;
/// Prompts of one request.
const PROMPTS_MAX: usize = 1024;
/// Tokens of an answer if nothing is said, as the original API has it.
const MAX_TOKENS_DEFAULT: i64 = 16;

/// A request to `/v1/completions`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CompletionRequest {
    /// A text, a list of texts, a list of token ids or a list of such lists.
    #[schema(value_type = Object)]
    prompt: Prompts,
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<i64>,
    #[serde(default)]
    n: Option<i64>,
    #[serde(default)]
    best_of: Option<i64>,
    /// Give the prompt back before the answer.
    #[serde(default)]
    echo: Option<bool>,
    /// What comes after the answer: for models that fill in the middle.
    #[serde(default)]
    suffix: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<OneOrManyTexts>)]
    stop: Option<Texts>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    frequency_penalty: Option<f32>,
    #[serde(default)]
    presence_penalty: Option<f32>,
    #[serde(default)]
    logit_bias: Option<BTreeMap<String, f64>>,
    /// Alternatives beside each token; with `echo` also of the prompt.
    #[serde(default)]
    logprobs: Option<i64>,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    seed: Option<Seed>,
    #[serde(default)]
    user: Option<String>,

    /// From here on additions to the original API. Alternatives beside each token of the prompt.
    #[serde(default)]
    prompt_logprobs: Option<i64>,
    #[serde(default)]
    top_k: Option<i64>,
    #[serde(default)]
    min_p: Option<f32>,
    #[serde(default)]
    typical_p: Option<f32>,
    #[serde(default, alias = "repetition_penalty")]
    repeat_penalty: Option<f32>,
    #[serde(default)]
    repeat_last_n: Option<i64>,
    #[serde(default)]
    min_tokens: Option<i64>,
    #[serde(default)]
    ignore_eos: Option<bool>,
    #[serde(default)]
    stop_token_ids: Option<Vec<i64>>,
    #[serde(default)]
    skip_special_tokens: Option<bool>,
    /// Put the beginning-of-text token before texts where the vocabulary asks for one.
    #[serde(default)]
    add_special_tokens: Option<bool>,
    #[serde(default)]
    priority: Option<i64>,
    #[serde(default)]
    deadline_ms: Option<i64>,
    #[serde(default)]
    debug: Option<Debug>,
}

/// Prompts as they are given.
#[derive(Debug, Clone)]
enum Prompts {
    Texts(Vec<String>),
    Tokens(Vec<Vec<i64>>),
}

/// Completions, ready to run.
pub(crate) struct Lowered {
    pub(crate) job: Job,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) echo: bool,
    /// Whether log-probabilities of the prompt stand before those of the answer.
    pub(crate) echo_logprobs: bool,
    /// The answer's part is left out: only the prompt was asked for.
    pub(crate) origin: Origin,
}

impl CompletionRequest {
    pub(crate) async fn lower(self, app: &App, caller: Caller) -> Result<Lowered, ApiError> {
        let (model, _place) = app.admit(self.model.as_deref()).await?;
        let stream = self.stream.unwrap_or(false);
        let include_usage = include_usage(stream, self.stream_options.as_ref())?;
        let logprobs = whole("logprobs", self.logprobs, 0, LOGPROBS_MAX)?.map(|n| n as usize);
        let own = whole("prompt_logprobs", self.prompt_logprobs, 0, LOGPROBS_MAX)?.map(|n| n as usize);
        self.check_best_of()?;
        let echo = self.echo.unwrap_or(false);
        let prompt_logprobs = own.or(logprobs.filter(|_| echo));
        let parameters = self.parameters();
        let prompts = self.prompts(&model)?;
        let mut job = parameters.lower(model, prompts, "prompt", &app.config, caller)?;
        job.logprobs = logprobs;
        job.prompt_logprobs = prompt_logprobs;
        let echo_logprobs = echo && logprobs.is_some();
        let origin = Origin::Field("prompt".to_owned());
        Ok(Lowered { job, stream, include_usage, echo, echo_logprobs, origin })
    }

    fn check_best_of(&self) -> Result<(), ApiError> {
        match self.best_of {
            Some(best_of) if best_of != self.n.unwrap_or(1) => {
                let message =
                    "best_of other than n is not supported: ask for n answers and choose among them";
                Err(ApiError::unsupported("best_of", message))
            }
            _ => Ok(()),
        }
    }

    /// The tokens of all prompts.
    fn prompts(&self, model: &ServedModel) -> Result<Vec<Vec<TokenId>>, ApiError> {
        let count = match &self.prompt {
            Prompts::Texts(texts) => texts.len(),
            Prompts::Tokens(lists) => lists.len(),
        };
        if count == 0 || count > PROMPTS_MAX {
            let message = format!("prompt has {count} prompts; 1 to {PROMPTS_MAX} are possible");
            return Err(ApiError::field("prompt", message));
        }
        match (&self.prompt, &self.suffix) {
            (Prompts::Texts(texts), Some(suffix)) if !suffix.is_empty() => {
                texts.iter().map(|text| fill_in_the_middle(model, text, suffix)).collect()
            }
            (Prompts::Tokens(_), Some(suffix)) if !suffix.is_empty() => {
                Err(ApiError::field("suffix", "suffix needs a prompt of text, not of tokens"))
            }
            (Prompts::Texts(texts), _) => {
                let begin = self.add_special_tokens.unwrap_or(true);
                let tokens = texts
                    .iter()
                    .map(|text| if begin { model.tokenize(text) } else { model.tokenize_bare(text) });
                let tokens: Vec<_> = tokens.collect();
                match tokens.iter().position(Vec::is_empty) {
                    Some(_) => Err(ApiError::field("prompt", "prompt is empty; give at least one token")),
                    None => Ok(tokens),
                }
            }
            (Prompts::Tokens(lists), _) => {
                let vocabulary = model.handle.shape().vocabulary;
                lists
                    .iter()
                    .enumerate()
                    .map(|(index, list)| checked(index, list, lists.len(), vocabulary))
                    .collect()
            }
        }
    }

    fn parameters(&self) -> Parameters {
        Parameters {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            typical_p: self.typical_p,
            repeat_penalty: self.repeat_penalty,
            repeat_window: self.repeat_last_n,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            logit_bias: self.logit_bias.clone().unwrap_or_default(),
            seed: self.seed,
            max_tokens: Some((self.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT), "max_tokens")),
            // Evaluation harnesses ask for the prompt alone.
            may_be_empty: self.echo.unwrap_or(false) || self.prompt_logprobs.is_some(),
            min_tokens: self.min_tokens,
            stop_field: "stop",
            stop: self.stop.clone().unwrap_or_default().0,
            stop_token_ids: self.stop_token_ids.clone().unwrap_or_default(),
            ignore_eos: self.ignore_eos.unwrap_or(false),
            n: self.n,
            priority: self.priority,
            deadline_ms: self.deadline_ms,
            show_specials: !self.skip_special_tokens.unwrap_or(true),
            debug_cache: self.debug.as_ref().and_then(|debug| debug.cache).unwrap_or(false),
        }
    }
}

/// A prompt of token ids, each of which the model knows.
fn checked(index: usize, tokens: &[i64], lists: usize, vocabulary: usize) -> Result<Vec<TokenId>, ApiError> {
    let list = if lists > 1 { format!("prompt[{index}]") } else { "prompt".to_owned() };
    if tokens.is_empty() {
        return Err(ApiError::field("prompt", format!("{list} is empty; give at least one token")));
    }
    let check = |(place, &token): (usize, &i64)| {
        usize::try_from(token)
            .ok()
            .filter(|&token| token < vocabulary)
            .map(|token| token as TokenId)
            .ok_or_else(|| {
                ApiError::field(
                    "prompt",
                    format!("{list}[{place}] is {token}; token ids are 0 to {}", vocabulary - 1),
                )
            })
    };
    tokens.iter().enumerate().map(check).collect()
}

/// The prompt of a model that writes what stands between two texts.
fn fill_in_the_middle(model: &ServedModel, prefix: &str, suffix: &str) -> Result<Vec<TokenId>, ApiError> {
    let _ = (prefix, suffix);
    Err(ApiError::unsupported(
        "suffix",
        format!("suffix: {} has no tokens to fill in the middle", model.name),
    ))
}

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PromptsVisitor)
    }
}

/// What a list of prompts holds: all items are of one kind.
enum Item {
    Text(String),
    Token(i64),
    Tokens(Vec<i64>),
}

struct PromptsVisitor;

impl<'de> Visitor<'de> for PromptsVisitor {
    type Value = Prompts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of texts, a list of token ids or a list of lists of token ids")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Prompts, E> {
        Ok(Prompts::Texts(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Prompts, A::Error> {
        let mixed =
            || de::Error::custom("a list of prompts must be all texts, all token ids or all lists of them");
        let mut prompts = match items.next_element()? {
            None => return Ok(Prompts::Tokens(vec![Vec::new()])),
            Some(Item::Text(text)) => Prompts::Texts(vec![text]),
            Some(Item::Token(token)) => {
                let mut tokens = vec![token];
                while let Some(item) = items.next_element()? {
                    let Item::Token(token) = item else { return Err(mixed()) };
                    tokens.push(token);
                }
                return Ok(Prompts::Tokens(vec![tokens]));
            }
            Some(Item::Tokens(tokens)) => Prompts::Tokens(vec![tokens]),
        };
        while let Some(item) = items.next_element()? {
            match (&mut prompts, item) {
                (Prompts::Texts(texts), Item::Text(text)) => texts.push(text),
                (Prompts::Tokens(lists), Item::Tokens(tokens)) => lists.push(tokens),
                _ => return Err(mixed()),
            }
        }
        Ok(prompts)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;
        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a token id or a list of token ids")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Item, E> {
                Ok(Item::Text(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, token: i64) -> Result<Item, E> {
                Ok(Item::Token(token))
            }

            fn visit_u64<E: de::Error>(self, token: u64) -> Result<Item, E> {
                // What is too large for a token id stays too large for one.
                Ok(Item::Token(i64::try_from(token).unwrap_or(i64::MAX)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item, A::Error> {
                let mut tokens = Vec::new();
                while let Some(token) = items.next_element()? {
                    tokens.push(token);
                }
                Ok(Item::Tokens(tokens))
            }
        }
        deserializer.deserialize_any(ItemVisitor)
    }
}
