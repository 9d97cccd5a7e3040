//! The request of a completion, field by field: honoured, or refused by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::request::TokenId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::form::FormFields;
use super::super::prompts::Prompts;
use super::super::{Debug, LoopGuard, OneOrManyTexts, StreamOptions, Texts, include_usage, note_user};
use crate::cache_doctor::Origin;
use crate::error::ApiError;
use crate::job::{Caller, Job, Parameters, Samplers, Seed, whole};
use crate::lowering::beside;
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
    prompt: Prompts,
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2147483647)]
    max_tokens: Option<i64>,
    #[serde(default)]
    #[schema(minimum = 1)]
    n: Option<i64>,
    #[serde(default)]
    #[schema(minimum = 1)]
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
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f32>,
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 1)]
    top_p: Option<f32>,
    #[serde(default)]
    #[schema(minimum = -2, maximum = 2)]
    frequency_penalty: Option<f32>,
    #[serde(default)]
    #[schema(minimum = -2, maximum = 2)]
    presence_penalty: Option<f32>,
    #[serde(default)]
    logit_bias: Option<BTreeMap<String, f64>>,
    /// Alternatives beside each token; with `echo` also of the prompt.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 20)]
    logprobs: Option<i64>,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    seed: Option<Seed>,
    #[serde(default)]
    user: Option<String>,

    /// From here on additions to the original API. Alternatives beside each token of the prompt.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 20)]
    prompt_logprobs: Option<i64>,
    #[serde(default)]
    #[schema(minimum = -1, maximum = 2147483647)]
    top_k: Option<i64>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    min_p: Option<f32>,
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 1)]
    typical_p: Option<f32>,
    #[serde(default, alias = "repetition_penalty")]
    #[schema(minimum = 0.1, maximum = 10)]
    repeat_penalty: Option<f32>,
    #[serde(default)]
    #[schema(minimum = -1, maximum = 2147483647)]
    repeat_last_n: Option<i64>,
    /// Keep the tokens within so many standard deviations of the best; -1 or 0 is off.
    #[serde(default)]
    #[schema(minimum = -1, maximum = 1000)]
    top_n_sigma: Option<f32>,
    /// How often the most probable tokens are left out in favour of others.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    xtc_probability: Option<f32>,
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 1)]
    xtc_threshold: Option<f32>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2)]
    dynatemp_range: Option<f32>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 100)]
    dynatemp_exponent: Option<f32>,
    /// A penalty on what prolongs a repetition; 0 is off.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 100)]
    dry_multiplier: Option<f32>,
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    dry_base: Option<f32>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2147483647)]
    dry_allowed_length: Option<i64>,
    /// -1 for all.
    #[serde(default)]
    #[schema(minimum = -1, maximum = 2147483647)]
    dry_penalty_last_n: Option<i64>,
    /// Single characters.
    #[serde(default)]
    dry_sequence_breakers: Option<Vec<String>>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2147483647)]
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
    #[schema(minimum = -1000, maximum = 1000)]
    priority: Option<i64>,
    #[serde(default)]
    #[schema(minimum = 1)]
    deadline_ms: Option<i64>,
    /// Give the token ids of the answer beside its text.
    #[serde(default)]
    return_token_ids: Option<bool>,
    /// What is done when the answer repeats itself; without it what the server was started with.
    #[serde(default)]
    loop_guard: Option<LoopGuard>,
    #[serde(default)]
    debug: Option<Debug>,
    #[serde(flatten)]
    form: FormFields,
}

/// Completions, ready to run.
pub(crate) struct Lowered {
    pub(crate) job: Job,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) echo: bool,
    /// Whether log-probabilities of the prompt stand before those of the answer.
    pub(crate) echo_logprobs: bool,
    /// Whether the answer's token ids are told.
    pub(crate) wants_token_ids: bool,
    /// The answer's part is left out: only the prompt was asked for.
    pub(crate) origin: Origin,
}

impl CompletionRequest {
    pub(crate) async fn lower(self, app: &App, caller: Caller) -> Result<Lowered, ApiError> {
        let (model, _place) = app.admit(self.model.as_deref()).await?;
        note_user([&self.user]);
        let stream = self.stream.unwrap_or(false);
        let include_usage = include_usage(stream, self.stream_options.as_ref())?;
        let logprobs = whole("logprobs", self.logprobs, 0, LOGPROBS_MAX)?.map(|n| n as usize);
        let own = whole("prompt_logprobs", self.prompt_logprobs, 0, LOGPROBS_MAX)?.map(|n| n as usize);
        self.check_best_of()?;
        let form = self.form.wanted()?;
        let echo = self.echo.unwrap_or(false);
        let prompt_logprobs = own.or(logprobs.filter(|_| echo));
        let wants_token_ids = self.return_token_ids;
        let parameters = self.parameters();
        let prompts = {
            let model = Arc::clone(&model);
            beside(move || self.prompts(&model)).await?
        };
        let mut job = parameters.lower(model, prompts, "prompt", &app.config, caller)?;
        job.logprobs = logprobs;
        job.prompt_logprobs = prompt_logprobs;
        job.follow(form, "stop").await?;
        let echo_logprobs = echo && logprobs.is_some();
        let wants_token_ids = wants_token_ids.unwrap_or(false);
        let origin = Origin::Field("prompt".to_owned());
        Ok(Lowered { job, stream, include_usage, echo, echo_logprobs, wants_token_ids, origin })
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
        self.prompt.check_count("prompt", PROMPTS_MAX)?;
        match (&self.prompt, self.suffix.as_deref().filter(|suffix| !suffix.is_empty())) {
            (prompts, None) => prompts.tokens("prompt", model, self.add_special_tokens.unwrap_or(true)),
            (Prompts::Texts(_), Some(_)) if self.echo == Some(true) => {
                Err(ApiError::field("suffix", "suffix does not go with echo: the answer stands before it"))
            }
            (Prompts::Texts(texts), Some(suffix)) => {
                texts.iter().map(|text| model.fill_in_the_middle(text, suffix)).collect()
            }
            (Prompts::Tokens(_), Some(_)) => {
                Err(ApiError::field("suffix", "suffix needs a prompt of text, not of tokens"))
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
            samplers: self.samplers(),
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
            loop_guard: self.loop_guard.map(Into::into),
            show_specials: !self.skip_special_tokens.unwrap_or(true),
            debug_cache: self.debug.as_ref().and_then(|debug| debug.cache).unwrap_or(false),
        }
    }

    fn samplers(&self) -> Samplers {
        Samplers {
            top_n_sigma: self.top_n_sigma,
            xtc_probability: self.xtc_probability,
            xtc_threshold: self.xtc_threshold,
            dynatemp_range: self.dynatemp_range,
            dynatemp_exponent: self.dynatemp_exponent,
            dry_multiplier: self.dry_multiplier,
            dry_base: self.dry_base,
            dry_allowed_length: self.dry_allowed_length,
            dry_penalty_last_n: self.dry_penalty_last_n,
            dry_sequence_breakers: self.dry_sequence_breakers.clone(),
        }
    }
}
