//! The request of a completion, field by field: honoured, or refused by name.

use std::sync::Arc;

use engine::request::TokenId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::form::FormFields;
use super::super::prompts::Prompts;
use super::super::{Debug, StreamOptions, include_usage, note_user};
use crate::cache_doctor::Origin;
use crate::error::ApiError;
use crate::job::{Caller, Job, Parameters, whole};
use crate::lowering::beside;
use crate::model::ServedModel;
use crate::sampling_fields::with_sampling_fields;
use crate::state::App;

/// Alternatives beside a token.
const LOGPROBS_MAX: i64 = 20;
/// Prompts of one request.
const PROMPTS_MAX: usize = 1024;
/// Tokens of an answer if nothing is said, as the original API has it.
const MAX_TOKENS_DEFAULT: i64 = 16;

with_sampling_fields! {
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
        /// Alternatives beside each token; with `echo` also of the prompt.
        #[serde(default)]
        #[schema(minimum = 0, maximum = 20)]
        logprobs: Option<i64>,
        /// Tokens whose log-probabilities are told beside those of each token.
        #[serde(default)]
        logprob_token_ids: Option<Vec<i64>>,
        /// Give the token ids of the answer beside its text.
        #[serde(default)]
        return_token_ids: Option<bool>,
        #[serde(default)]
        user: Option<String>,

        /// Alternatives beside each token of the prompt. An addition to the original API, as is what follows.
        #[serde(default)]
        #[schema(minimum = 0, maximum = 20)]
        prompt_logprobs: Option<i64>,
        /// Put the beginning-of-text token before texts where the vocabulary asks for one.
        #[serde(default)]
        add_special_tokens: Option<bool>,
        #[serde(default)]
        debug: Option<Debug>,
        #[serde(flatten)]
        form: FormFields,
    }
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
        let logprobs = logprobs.or(self.logprob_token_ids.as_ref().map(|_| 0));
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
            max_tokens: Some((self.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT), "max_tokens")),
            // Evaluation harnesses ask for the prompt alone.
            may_be_empty: self.echo.unwrap_or(false) || self.prompt_logprobs.is_some(),
            n: self.n,
            logprob_token_ids: self.logprob_token_ids.clone().unwrap_or_default(),
            debug_cache: self.debug.as_ref().and_then(|debug| debug.cache).unwrap_or(false),
            ..self.said()
        }
    }
}
