//! The request of a chat, field by field: honoured, or refused by name.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::form::FormFields;
use super::super::messages::{self, Message};
use super::super::{
    Debug, LoopGuard, NameOrObject, OneOrManyTexts, StreamOptions, Texts, check_metadata, include_usage,
    note_user,
};
use crate::cache_doctor::Origin;
use crate::error::ApiError;
use crate::job::{Caller, Job, Parameters, Samplers, Seed, whole};
use crate::speech::Before;
use crate::state::App;
use crate::templated::{self, templated};
use crate::tools::wire::{self, ChatTool};

/// Alternatives beside a token of a chat.
const TOP_LOGPROBS_MAX: i64 = 20;
/// A request to `/v1/chat/completions`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ChatRequest {
    pub(crate) messages: Vec<Message>,
    /// The first model that is served, if none is named.
    #[serde(default)]
    pub(crate) model: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    /// The most tokens of an answer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2147483647)]
    max_completion_tokens: Option<i64>,
    /// The same under its older name.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2147483647)]
    max_tokens: Option<i64>,
    #[serde(default)]
    #[schema(minimum = 1)]
    n: Option<i64>,
    #[serde(default)]
    #[schema(value_type = Option<OneOrManyTexts>)]
    stop: Option<Texts>,
    /// 0 to 2; 0 takes the most probable token.
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
    /// From token ids to what is added to their logits, -100 to 100.
    #[serde(default)]
    logit_bias: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 20)]
    top_logprobs: Option<i64>,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    seed: Option<Seed>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    safety_identifier: Option<String>,
    #[serde(default)]
    prompt_cache_key: Option<String>,
    /// Given back in the response.
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    service_tier: Option<String>,
    #[serde(default)]
    store: Option<bool>,
    /// Given to the template, which may know what to do with it.
    #[serde(default)]
    reasoning_effort: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<ChatTool>>)]
    tools: Option<Value>,
    /// auto, none, required, or `{"type": "function", "function": {"name": …}}`.
    #[serde(default)]
    #[schema(value_type = Option<NameOrObject>)]
    tool_choice: Option<Value>,
    /// Whether an answer may have more than one call; it may if nothing is said.
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    functions: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<NameOrObject>)]
    function_call: Option<Value>,
    #[serde(default)]
    modalities: Option<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    audio: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    prediction: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    web_search_options: Option<Value>,
    #[serde(default)]
    verbosity: Option<String>,

    /// From here on additions to the original API. Choose among the K most probable tokens; 0 or -1 for all.
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
    /// How many of the last tokens `repeat_penalty` looks at; -1 for all.
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
    /// Lower comes first.
    #[serde(default)]
    #[schema(minimum = -1000, maximum = 1000)]
    priority: Option<i64>,
    /// The request is of no use after so many milliseconds.
    #[serde(default)]
    #[schema(minimum = 1)]
    deadline_ms: Option<i64>,
    /// What is done when the answer repeats itself; without it what the server was started with.
    #[serde(default)]
    loop_guard: Option<LoopGuard>,
    /// More variables for the template.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
    /// Whether the model answers (the usual case) or continues the last message.
    #[serde(default)]
    add_generation_prompt: Option<bool>,
    #[serde(default)]
    debug: Option<Debug>,
    #[serde(flatten)]
    form: FormFields,
}

/// A chat, ready to run.
pub(crate) struct Lowered {
    pub(crate) job: Job,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    pub(crate) origin: Origin,
}

impl ChatRequest {
    pub(crate) async fn lower(self, app: &App, caller: Caller) -> Result<Lowered, ApiError> {
        self.refuse()?;
        note_user([&self.user, &self.safety_identifier, &self.prompt_cache_key]);
        check_metadata(self.metadata.as_ref())?;
        let (model, _place) = app.admit(self.model.as_deref()).await?;
        let stream = self.stream.unwrap_or(false);
        let include_usage = include_usage(stream, self.stream_options.as_ref())?;
        let logprobs = self.logprobs()?;
        let form = self.form.wanted()?;
        let effort = self.reasoning_effort.as_deref().map(|effort| ("reasoning_effort", effort));
        let mut variables = templated::variables(self.chat_template_kwargs.clone(), effort)?;
        let tools = wire::of_chat(self.tools.as_ref(), self.tool_choice.as_ref(), self.parallel_tool_calls)?;
        tools.tell(&mut variables);
        let parameters = self.parameters()?;
        let answer = self.add_generation_prompt.unwrap_or(true);
        let said = messages::lower(self.messages, &model)?;
        let prompt = templated(&model, said, variables, answer, "messages").await?;
        let origin = prompt.origin();
        let mut job = parameters.lower(model, vec![prompt.tokens], "messages", &app.config, caller)?;
        job.logprobs = logprobs;
        let before = Before { prompt: &prompt.text, answer_begun: false };
        job.speak(tools, before, form, "stop").await?;
        Ok(Lowered { job, stream, include_usage, metadata: self.metadata, origin })
    }

    /// Fields that this server knows and can't honour.
    fn refuse(&self) -> Result<(), ApiError> {
        let is_set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        // What tools were called before they were tools.
        if is_set(&self.functions) {
            return Err(ApiError::unsupported("functions", "functions is not supported: send tools"));
        }
        if self.function_call.as_ref().is_some_and(|v| !v.is_null() && v != "none" && v != "auto") {
            let message = "function_call is not supported: send tools and tool_choice";
            return Err(ApiError::field("function_call", message));
        }
        if self.modalities.as_ref().is_some_and(|list| list.iter().any(|modality| modality != "text")) {
            return Err(ApiError::unsupported(
                "modalities",
                "modalities: this server answers with text only",
            ));
        }
        for (param, value) in [
            ("audio", &self.audio),
            ("prediction", &self.prediction),
            ("web_search_options", &self.web_search_options),
        ] {
            if is_set(value) {
                return Err(ApiError::unsupported(param, format!("{param} is not supported: leave it out")));
            }
        }
        if self.store == Some(true) {
            return Err(ApiError::unsupported(
                "store",
                "store: this server keeps no answers: leave it out or set it to false",
            ));
        }
        if self.verbosity.as_deref().is_some_and(|verbosity| verbosity != "medium") {
            return Err(ApiError::unsupported(
                "verbosity",
                "verbosity is not supported: say it in the messages",
            ));
        }
        if self.service_tier.as_deref().is_some_and(|tier| tier != "auto" && tier != "default") {
            return Err(ApiError::unsupported("service_tier", "service_tier must be auto or default"));
        }
        Ok(())
    }

    fn logprobs(&self) -> Result<Option<usize>, ApiError> {
        let top = whole("top_logprobs", self.top_logprobs, 0, TOP_LOGPROBS_MAX)?;
        match (self.logprobs.unwrap_or(false), top) {
            (false, Some(_)) => {
                Err(ApiError::field("top_logprobs", "top_logprobs needs logprobs: set it to true"))
            }
            (false, None) => Ok(None),
            (true, top) => Ok(Some(top.unwrap_or(0) as usize)),
        }
    }

    fn max_tokens(&self) -> Result<Option<(i64, &'static str)>, ApiError> {
        match (self.max_completion_tokens, self.max_tokens) {
            (Some(new), Some(old)) if new != old => Err(ApiError::field(
                "max_tokens",
                "max_tokens and max_completion_tokens say different things: leave max_tokens out",
            )),
            (Some(value), _) => Ok(Some((value, "max_completion_tokens"))),
            (None, value) => Ok(value.map(|value| (value, "max_tokens"))),
        }
    }

    fn parameters(&self) -> Result<Parameters, ApiError> {
        Ok(Parameters {
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
            max_tokens: self.max_tokens()?,
            may_be_empty: false,
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
        })
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
