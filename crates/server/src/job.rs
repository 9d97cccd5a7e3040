//! The one request that every API is lowered to.
//!
//! A wire request becomes [`Parameters`] (what was said, with the names it was said under) and then a [`Job`] that can
//! only fail for lack of room. Every 400 is decided on the way.

mod samplers;
mod thought;

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::request::{Form, LoopGuard, Rank, Request, Sampling, Thinking, TokenId};
use text::phrases::Phrases;
use text::stop::{STOP_STRINGS_MAX, StopStrings};

use crate::bias::Biases;
use crate::config::Config;
use crate::error::ApiError;
use crate::exchange::Exchange;
use crate::forms::{self, Wanted};
use crate::model::ServedModel;
use crate::speech::Speech;

pub(crate) use samplers::Samplers;
pub(crate) use thought::Thought;

/// Bytes of a stop string.
const STOP_BYTES_MAX: usize = 1024;
/// Stop tokens that a request may add.
const STOP_TOKENS_MAX: usize = 64;
/// A request can't ask for more tokens than this, whatever the context.
const MAX_TOKENS_MAX: i64 = i32::MAX as i64;

/// The priority of what nobody waits for: below the lowest that a request can have.
pub(crate) const PRIORITY_IDLE: i32 = 1_000_000;

/// Prompts to answer, and how.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) model: Arc<ServedModel>,
    pub(crate) prompts: Vec<Vec<TokenId>>,
    /// The field that the prompts came from.
    pub(crate) prompt_field: &'static str,
    /// Answers to each prompt.
    pub(crate) choices: usize,
    pub(crate) sampling: Sampling,
    /// As much as there is room for, if nothing is said.
    pub(crate) max_tokens: Option<usize>,
    pub(crate) min_tokens: usize,
    /// The model's own first.
    pub(crate) stop_tokens: Vec<TokenId>,
    /// How many of them are the model's own, which clients are not told of.
    pub(crate) model_stops: usize,
    pub(crate) stop_strings: Vec<String>,
    pub(crate) loop_guard: LoopGuard,
    /// Texts that the answers must not have.
    pub(crate) banned: Option<Phrases>,
    /// Tokens after which a thinking is ended.
    pub(crate) thinking_budget: Option<usize>,
    /// How the thinking is told from the answer.
    pub(crate) thinking: Option<Thinking>,
    /// Alternatives beside each token of an answer.
    pub(crate) logprobs: Option<usize>,
    /// Tokens whose log-probabilities are told beside each token of an answer.
    pub(crate) logprob_tokens: Vec<TokenId>,
    /// Alternatives beside each token of the prompt.
    pub(crate) prompt_logprobs: Option<usize>,
    /// Show special tokens in the text.
    pub(crate) show_specials: bool,
    /// What the answers must look like.
    pub(crate) form: Option<Box<Form>>,
    /// The field that it came from.
    pub(crate) form_field: Option<Arc<str>>,
    /// How the answers are read; as they are, if it is none.
    pub(crate) speech: Option<Arc<Speech>>,
    pub(crate) rank: Rank,
    /// Say what the prefix cache had, and why not more.
    pub(crate) debug_cache: bool,
    /// Where it is noted what becomes of it.
    pub(crate) exchange: Option<Arc<Exchange>>,
}

/// Who asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    /// The number of the key; 0 without keys.
    pub(crate) owner: u64,
    /// When its answer is of no use any more.
    pub(crate) deadline: Option<Instant>,
    /// Where it is noted what becomes of the request.
    pub(crate) exchange: Option<Arc<Exchange>>,
    /// The priority of all that it asks, whatever it says; what it says, if it is none.
    pub(crate) priority: Option<i32>,
}

/// What the APIs have in common, as it was said; what was not said is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters {
    pub(crate) temperature: Option<f32>,
    /// The highest temperature of the API.
    pub(crate) top_p: Option<f32>,
    pub(crate) top_k: Option<i64>,
    pub(crate) min_p: Option<f32>,
    pub(crate) typical_p: Option<f32>,
    pub(crate) repeat_penalty: Option<f32>,
    pub(crate) repeat_window: Option<i64>,
    pub(crate) frequency_penalty: Option<f32>,
    pub(crate) presence_penalty: Option<f32>,
    pub(crate) logit_bias: Biases,
    pub(crate) samplers: Samplers,
    pub(crate) seed: Option<Seed>,
    /// The value and the name of its field.
    pub(crate) max_tokens: Option<(i64, &'static str)>,
    /// Whether an answer of no tokens may be asked for.
    pub(crate) may_be_empty: bool,
    pub(crate) min_tokens: Option<i64>,
    /// The name of the field for stop strings, for messages.
    pub(crate) stop_field: &'static str,
    pub(crate) stop: Vec<String>,
    pub(crate) stop_token_ids: Vec<i64>,
    pub(crate) ignore_eos: bool,
    pub(crate) loop_guard: Option<LoopGuard>,
    pub(crate) banned_strings: Vec<String>,
    pub(crate) logprob_token_ids: Vec<i64>,
    pub(crate) thought: Thought,
    pub(crate) n: Option<i64>,
    pub(crate) priority: Option<i64>,
    pub(crate) deadline_ms: Option<i64>,
    pub(crate) show_specials: bool,
    pub(crate) debug_cache: bool,
}

/// A seed as JSON has it: any whole number of 64 bits, with or without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64);

impl Parameters {
    /// What the parameters ask of a model, with `prompts` to answer.
    pub(crate) fn lower(
        self,
        model: Arc<ServedModel>,
        prompts: Vec<Vec<TokenId>>,
        prompt_field: &'static str,
        config: &Config,
        caller: Caller,
    ) -> Result<Job, ApiError> {
        let sampling = self.sampling(&model)?;
        let max_tokens = self.max_tokens(config)?;
        let min_tokens = self.min_tokens(max_tokens)?;
        let stop_tokens = self.stop_tokens(&model)?;
        let model_stops = if self.ignore_eos { 0 } else { model.tokenizer.end_of_generation().len() };
        let stop_strings = self.stop_strings()?;
        let loop_guard = self.loop_guard(config);
        let banned = self.banned(&model)?;
        let thinking_budget = self.thought.budget(&model)?;
        let logprob_tokens = self.logprob_tokens(&model)?;
        let choices = self.choices(prompts.len(), &model, config)?;
        let rank = self.rank(&caller)?;
        Ok(Job {
            model,
            prompts,
            prompt_field,
            choices,
            sampling,
            max_tokens,
            min_tokens,
            stop_tokens,
            model_stops,
            stop_strings,
            loop_guard,
            banned,
            thinking_budget,
            thinking: None,
            logprobs: None,
            logprob_tokens,
            prompt_logprobs: None,
            show_specials: self.show_specials,
            form: None,
            form_field: None,
            speech: None,
            rank,
            debug_cache: self.debug_cache,
            exchange: caller.exchange,
        })
    }

    fn sampling(&self, model: &ServedModel) -> Result<Sampling, ApiError> {
        let defaults = &model.defaults;
        let plain = Sampling::default();
        let top_k = whole("top_k", self.top_k, -1, i64::from(i32::MAX))?;
        let repeat_window = whole("repeat_last_n", self.repeat_window, -1, i64::from(i32::MAX))?;
        let window = repeat_window.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let sampling = Sampling {
            temperature: within("temperature", self.temperature, 0.0, 2.0)?.unwrap_or(defaults.temperature),
            // -1 is how some clients say "all".
            top_k: top_k.map_or(defaults.top_k, |k| usize::try_from(k).unwrap_or(0)),
            top_p: above_zero("top_p", self.top_p)?.unwrap_or(defaults.top_p),
            min_p: within("min_p", self.min_p, 0.0, 1.0)?.unwrap_or(defaults.min_p),
            typical_p: above_zero("typical_p", self.typical_p)?.unwrap_or(1.0),
            repeat_penalty: within("repeat_penalty", self.repeat_penalty, 0.1, 10.0)?.unwrap_or(1.0),
            repeat_window: window.unwrap_or(plain.repeat_window),
            count_window: window.unwrap_or(plain.count_window),
            frequency_penalty: within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?.unwrap_or(0.0),
            presence_penalty: within("presence_penalty", self.presence_penalty, -2.0, 2.0)?.unwrap_or(0.0),
            logit_bias: self.logit_bias.lower(model)?,
            seed: self.seed.map_or_else(random_seed, |seed| Ok(seed.0))?,
            ..plain
        };
        self.add_samplers(sampling, model)
    }

    fn max_tokens(&self, config: &Config) -> Result<Option<usize>, ApiError> {
        let Some((value, name)) = self.max_tokens else { return Ok(config.max_tokens_limit) };
        let least = i64::from(!self.may_be_empty);
        let value = whole(name, Some(value), least, MAX_TOKENS_MAX)?.map(|value| value as usize);
        match (value, config.max_tokens_limit) {
            (Some(value), Some(limit)) if value > limit => Err(ApiError::field(
                name,
                format!("{name} is {value}, more than the limit of {limit} that this server has"),
            )),
            (value, _) => Ok(value),
        }
    }

    fn min_tokens(&self, max_tokens: Option<usize>) -> Result<usize, ApiError> {
        let min_tokens = whole("min_tokens", self.min_tokens, 0, MAX_TOKENS_MAX)?.unwrap_or(0) as usize;
        match max_tokens {
            Some(max_tokens) if min_tokens > max_tokens => Err(ApiError::field(
                "min_tokens",
                format!("min_tokens is {min_tokens}, more than the {max_tokens} of max_tokens"),
            )),
            _ => Ok(min_tokens),
        }
    }

    fn stop_tokens(&self, model: &ServedModel) -> Result<Vec<TokenId>, ApiError> {
        if self.stop_token_ids.len() > STOP_TOKENS_MAX {
            let message = format!(
                "stop_token_ids has {} tokens, at most {STOP_TOKENS_MAX} are possible",
                self.stop_token_ids.len()
            );
            return Err(ApiError::field("stop_token_ids", message));
        }
        let mut tokens = Vec::new();
        if !self.ignore_eos {
            tokens.extend_from_slice(model.tokenizer.end_of_generation());
        }
        for token in token_ids("stop_token_ids", &self.stop_token_ids, model)? {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        Ok(tokens)
    }

    fn stop_strings(&self) -> Result<Vec<String>, ApiError> {
        let field = self.stop_field;
        if let Some(long) = self.stop.iter().position(|stop| stop.len() > STOP_BYTES_MAX) {
            let message = format!("{field}[{long}] is longer than {STOP_BYTES_MAX} bytes");
            return Err(ApiError::field(field, message));
        }
        if self.stop.len() > STOP_STRINGS_MAX {
            let message =
                format!("{field} has {} strings, at most {STOP_STRINGS_MAX} are possible", self.stop.len());
            return Err(ApiError::field(field, message));
        }
        StopStrings::new(&self.stop).map_err(|error| ApiError::field(field, format!("{field}: {error}")))?;
        Ok(self.stop.clone())
    }

    fn loop_guard(&self, config: &Config) -> LoopGuard {
        // An answer that may not end where the model would is bound to repeat itself, and its length is what is wanted.
        let usual = if self.ignore_eos { LoopGuard::Off } else { config.loop_guard };
        self.loop_guard.unwrap_or(usual)
    }

    fn banned(&self, model: &ServedModel) -> Result<Option<Phrases>, ApiError> {
        const FIELD: &str = "banned_strings";
        if self.banned_strings.is_empty() {
            return Ok(None);
        }
        let phrases = Phrases::in_text(Arc::clone(&model.tokenizer), &self.banned_strings);
        phrases.map(Some).map_err(|error| ApiError::field(FIELD, format!("{FIELD}: {error}")))
    }

    fn logprob_tokens(&self, model: &ServedModel) -> Result<Vec<TokenId>, ApiError> {
        const FIELD: &str = "logprob_token_ids";
        let (count, most) = (self.logprob_token_ids.len(), model.handle.limits().logprobs_max);
        if count > most {
            let message = format!("{FIELD} has {count} tokens, at most {most} are possible");
            return Err(ApiError::field(FIELD, message));
        }
        token_ids(FIELD, &self.logprob_token_ids, model)
    }

    fn choices(&self, prompts: usize, model: &ServedModel, config: &Config) -> Result<usize, ApiError> {
        // They enter the queue together or not at all: more than it has places for would never be taken.
        let most = config.choices_max.min(model.handle.limits().queue_max);
        let choices = whole("n", self.n, 1, most as i64)?.unwrap_or(1) as usize;
        if choices * prompts > most {
            let message = format!(
                "{prompts} prompts with {choices} answers each are more than the {most} answers that one request may ask for"
            );
            return Err(ApiError::field(if choices > 1 { "n" } else { "prompt" }, message));
        }
        Ok(choices)
    }

    fn rank(&self, caller: &Caller) -> Result<Rank, ApiError> {
        let priority = whole("priority", self.priority, -1000, 1000)?.unwrap_or(0) as i32;
        let own = whole("deadline_ms", self.deadline_ms, 1, 1 << 40)?
            .and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms as u64)));
        let deadline = match (own, caller.deadline) {
            (Some(own), Some(server)) => Some(own.min(server)),
            (own, server) => own.or(server),
        };
        Ok(Rank { owner: caller.owner, priority: caller.priority.unwrap_or(priority), deadline })
    }
}

impl Job {
    /// Lets the answers have a form only.
    pub(crate) async fn follow(
        &mut self,
        wanted: Option<Wanted>,
        stop_field: &'static str,
    ) -> Result<(), ApiError> {
        let Some(wanted) = wanted else { return Ok(()) };
        if !self.stop_strings.is_empty() {
            let message = format!(
                "{stop_field} does not go with {}: the answer ends when it is complete",
                wanted.field
            );
            return Err(ApiError::field(stop_field, message));
        }
        if self.max_tokens == Some(0) {
            return Ok(());
        }
        self.form_field = Some(wanted.field.as_str().into());
        let constraint = forms::compiled(&self.model, wanted).await?;
        let begins_after = self.speech.as_ref().map(|speech| speech.form_begins_after.clone());
        self.form = Some(Box::new(Form { constraint, begins_after: begins_after.unwrap_or_default() }));
        Ok(())
    }

    /// The engine's requests: for each prompt each choice.
    pub(crate) fn requests(&self) -> Result<Vec<Request>, ApiError> {
        let mut requests = Vec::with_capacity(self.prompts.len() * self.choices);
        for prompt in &self.prompts {
            let max_tokens = self.max_tokens.unwrap_or_else(|| self.room(prompt.len()));
            for choice in 0..self.choices {
                let mut sampling = self.sampling.clone();
                // Each choice has its own seed; the first one's is that of the request.
                sampling.seed =
                    sampling.seed.wrapping_add((choice as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
                requests.push(Request {
                    sampling,
                    min_tokens: self.min_tokens.min(max_tokens),
                    stop_tokens: self.stop_tokens.clone(),
                    prompt_logprobs: self.prompt_logprobs,
                    logprobs: self.logprobs.or((!self.logprob_tokens.is_empty()).then_some(0)),
                    logprob_tokens: self.logprob_tokens.clone(),
                    form: self.form.clone(),
                    loop_guard: self.loop_guard,
                    thinking: self.thinking.clone(),
                    banned: self.banned.clone(),
                    rank: self.rank,
                    ..Request::new(prompt.clone(), max_tokens)
                });
            }
        }
        Ok(requests)
    }

    /// The most tokens that can follow a prompt: to the end of the context, or of the memory if that comes first.
    fn room(&self, prompt_tokens: usize) -> usize {
        let limits = self.model.handle.limits();
        let memory_tokens = limits.kv_pages * engine::batch::PAGE_TOKENS;
        limits.context_tokens.min(memory_tokens + 1).saturating_sub(prompt_tokens).max(1)
    }
}

/// Token ids of the model's vocabulary.
fn token_ids(field: &str, ids: &[i64], model: &ServedModel) -> Result<Vec<TokenId>, ApiError> {
    let vocabulary = model.handle.shape().vocabulary;
    let one = |(index, &id): (usize, &i64)| {
        let token = usize::try_from(id).ok().filter(|&token| token < vocabulary);
        token.map(|token| token as TokenId).ok_or_else(|| {
            let field = format!("{field}[{index}]");
            let message = format!("{field} is {id}; token ids are 0 to {}", vocabulary - 1);
            ApiError::field(field, message)
        })
    };
    ids.iter().enumerate().map(one).collect()
}

/// A number within a closed range, or none.
pub(crate) fn within(name: &str, value: Option<f32>, min: f32, max: f32) -> Result<Option<f32>, ApiError> {
    match value {
        Some(value) if !(min..=max).contains(&value) => {
            Err(ApiError::field(name, format!("{name} is {value}; it must be between {min} and {max}")))
        }
        value => Ok(value),
    }
}

/// A share above nothing and up to all, or none.
fn above_zero(name: &str, value: Option<f32>) -> Result<Option<f32>, ApiError> {
    match value {
        Some(value) if !(value > 0.0 && value <= 1.0) => {
            Err(ApiError::field(name, format!("{name} is {value}; it must be above 0 and at most 1")))
        }
        value => Ok(value),
    }
}

/// A whole number within a closed range, or none.
pub(crate) fn whole(name: &str, value: Option<i64>, min: i64, max: i64) -> Result<Option<i64>, ApiError> {
    match value {
        Some(value) if !(min..=max).contains(&value) => {
            Err(ApiError::field(name, format!("{name} is {value}; it must be between {min} and {max}")))
        }
        value => Ok(value),
    }
}

fn random_seed() -> Result<u64, ApiError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| ApiError::internal("the system gives no random numbers"))?;
    Ok(u64::from_le_bytes(bytes))
}

impl<'de> serde::Deserialize<'de> for Seed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Seed;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number between -2^63 and 2^64 - 1")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Seed, E> {
                Ok(Seed(value))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Seed, E> {
                // Two's complement: every number is a seed of its own.
                Ok(Seed(value as u64))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
