//! The request of a chat, field by field: honoured, or refused by name.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::form::FormFields;
use super::super::messages::{self, Message};
use super::super::{Debug, NameOrObject, StreamOptions, check_metadata, include_usage, note_user};
use crate::cache_doctor::Origin;
use crate::error::ApiError;
use crate::job::{Caller, Job, Parameters, Thought, whole};
use crate::sampling_fields::with_sampling_fields;
use crate::speech::Before;
use crate::state::App;
use crate::templated::{self, templated};
use crate::tools::wire::{self, ChatTool};

/// Alternatives beside a token of a chat.
const TOP_LOGPROBS_MAX: i64 = 20;
with_sampling_fields! {
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
        logprobs: Option<bool>,
        #[serde(default)]
        #[schema(minimum = 0, maximum = 20)]
        top_logprobs: Option<i64>,
        /// Tokens whose log-probabilities are told beside those of each token.
        #[serde(default)]
        logprob_token_ids: Option<Vec<i64>>,
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
        /// Given to the template, or made a limit for the thinking if the template does not know the word. `none` ends it
        /// at once.
        #[serde(default)]
        reasoning_effort: Option<String>,
        /// Tokens of thinking after which it is ended; -1 for no limit.
        #[serde(default)]
        #[schema(minimum = -1, maximum = 2147483647)]
        thinking_token_budget: Option<i64>,
        /// The same as llama.cpp calls it.
        #[serde(default, alias = "reasoning_budget")]
        #[schema(minimum = -1, maximum = 2147483647)]
        thinking_budget_tokens: Option<i64>,
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
            (false, Some(_)) if self.logprob_token_ids.is_none() => {
                Err(ApiError::field("top_logprobs", "top_logprobs needs logprobs: set it to true"))
            }
            (false, None) if self.logprob_token_ids.is_none() => Ok(None),
            (_, top) => Ok(Some(top.unwrap_or(0) as usize)),
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
            max_tokens: self.max_tokens()?,
            n: self.n,
            logprob_token_ids: self.logprob_token_ids.clone().unwrap_or_default(),
            thought: Thought { effort: self.reasoning_effort.clone(), ..Thought::default() }
                .with("thinking_token_budget", self.thinking_token_budget)
                .with("thinking_budget_tokens", self.thinking_budget_tokens),
            debug_cache: self.debug.as_ref().and_then(|debug| debug.cache).unwrap_or(false),
            ..self.said()
        })
    }
}
