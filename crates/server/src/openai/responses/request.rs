//! The request of a response, field by field: honoured, or refused by name.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use text::grammar::GrammarSource;
use utoipa::ToSchema;

use super::super::{Debug, NameOrObject, StreamOptions, check_metadata, form, note_user};
use super::input::{self, Input};
use super::object::{Echo, ReasoningEcho, TextEcho};
use crate::cache_doctor::Origin;
use crate::error::ApiError;
use crate::forms::Wanted;
use crate::job::{Caller, Job, Parameters, Thought, whole};
use crate::sampling_fields::with_sampling_fields;
use crate::speech::Before;
use crate::state::App;
use crate::templated::{self, templated};
use crate::tools::wire;

/// Alternatives beside a token.
const TOP_LOGPROBS_MAX: i64 = 20;
/// What can be asked for beside the text. All but the first is of tools, which leave nothing here.
const INCLUDABLE: [&str; 8] = [
    LOGPROBS,
    "reasoning.encrypted_content",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
];
const LOGPROBS: &str = "message.output_text.logprobs";

with_sampling_fields! {
    /// A request to `/v1/responses`.
    #[derive(Debug, Deserialize, ToSchema)]
    pub(crate) struct ResponsesRequest {
        input: Input,
        /// The first model that is served, if none is named.
        #[serde(default)]
        model: Option<String>,
        /// What the system says, before what it says in the input.
        #[serde(default)]
        instructions: Option<String>,
        #[serde(default)]
        #[schema(minimum = 1, maximum = 2147483647)]
        max_output_tokens: Option<i64>,
        /// Alternatives beside each token.
        #[serde(default)]
        #[schema(minimum = 0, maximum = 20)]
        top_logprobs: Option<i64>,
        /// `message.output_text.logprobs` for log-probabilities.
        #[serde(default)]
        include: Option<Vec<String>>,
        #[serde(default)]
        stream: Option<bool>,
        #[serde(default)]
        stream_options: Option<StreamOptions>,
        /// Given back in the response.
        #[serde(default)]
        metadata: Option<BTreeMap<String, String>>,
        #[serde(default)]
        reasoning: Option<Reasoning>,
        /// Tokens of thinking after which it is ended; -1 for no limit.
        #[serde(default)]
        #[schema(minimum = -1, maximum = 2147483647)]
        thinking_token_budget: Option<i64>,
        /// The same as llama.cpp calls it.
        #[serde(default, alias = "reasoning_budget")]
        #[schema(minimum = -1, maximum = 2147483647)]
        thinking_budget_tokens: Option<i64>,
        #[serde(default)]
        text: Option<Text>,
        /// Functions; tools of other servers are skipped.
        #[serde(default)]
        #[schema(value_type = Option<Vec<Object>>)]
        tools: Option<Vec<Value>>,
        #[serde(default)]
        #[schema(value_type = Option<NameOrObject>)]
        tool_choice: Option<Value>,
        #[serde(default)]
        parallel_tool_calls: Option<bool>,
        #[serde(default)]
        max_tool_calls: Option<i64>,
        #[serde(default)]
        truncation: Option<String>,
        #[serde(default)]
        store: Option<bool>,
        #[serde(default)]
        background: Option<bool>,
        #[serde(default)]
        previous_response_id: Option<String>,
        #[serde(default)]
        #[schema(value_type = Option<NameOrObject>)]
        conversation: Option<Value>,
        #[serde(default)]
        #[schema(value_type = Option<Object>)]
        prompt: Option<Value>,
        #[serde(default)]
        #[schema(value_type = Option<Object>)]
        context_management: Option<Value>,
        #[serde(default)]
        #[schema(value_type = Option<Object>)]
        moderation: Option<Value>,
        #[serde(default)]
        service_tier: Option<String>,
        #[serde(default)]
        prompt_cache_key: Option<String>,
        #[serde(default)]
        safety_identifier: Option<String>,
        #[serde(default)]
        user: Option<String>,
        /// More variables for the template.
        #[serde(default)]
        #[schema(value_type = Option<Object>)]
        chat_template_kwargs: Option<Map<String, Value>>,
        #[serde(default)]
        debug: Option<Debug>,
    }
}

/// How hard the model is asked to think.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct Reasoning {
    /// Given to the template, which may know what to do with it.
    #[serde(default)]
    effort: Option<String>,
    /// Of thoughts; where there are none, there is no summary.
    #[serde(default)]
    summary: Option<String>,
}

/// The form of the text.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct Text {
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    format: Option<Value>,
    #[serde(default)]
    verbosity: Option<String>,
}

/// A response, ready to run.
pub(crate) struct Lowered {
    pub(crate) job: Job,
    pub(crate) stream: bool,
    pub(crate) echo: Echo,
    pub(crate) origin: Origin,
}

impl ResponsesRequest {
    pub(crate) async fn lower(self, app: &App, caller: Caller) -> Result<Lowered, ApiError> {
        self.refuse_state()?;
        self.refuse_features()?;
        note_user([&self.user, &self.safety_identifier, &self.prompt_cache_key]);
        check_metadata(self.metadata.as_ref())?;
        let (model, _place) = app.admit(self.model.as_deref()).await?;
        let stream = self.stream.unwrap_or(false);
        super::super::include_usage(stream, self.stream_options.as_ref())?;
        let logprobs = self.logprobs()?;
        let form = self.form()?;
        let effort = self.effort().map(|effort| ("reasoning.effort", effort));
        let mut variables = templated::variables(self.chat_template_kwargs.clone(), effort)?;
        let tools =
            wire::of_responses(self.tools.as_deref(), self.tool_choice.as_ref(), self.parallel_tool_calls)?;
        tools.tell(&mut variables);
        let parameters = self.parameters();
        let echo = self.echo(logprobs);
        let said = input::lower(self.input, self.instructions.as_deref(), &model)?;
        let prompt = templated(&model, said, variables, true, "input").await?;
        let origin = prompt.origin();
        let mut job = parameters.lower(model, vec![prompt.tokens], "input", &app.config, caller)?;
        job.logprobs = logprobs;
        let before = Before { prompt: &prompt.text, answer_begun: false };
        job.speak(tools, before, form, "stop").await?;
        let echo = Echo { temperature: job.sampling.temperature, top_p: job.sampling.top_p, ..echo };
        Ok(Lowered { job, stream, echo, origin })
    }

    /// Nothing is kept between requests.
    fn refuse_state(&self) -> Result<(), ApiError> {
        let is_set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        for (param, is_set, instead) in [
            ("store", self.store == Some(true), "leave it out or set it to false"),
            ("background", self.background == Some(true), "leave it out or set it to false"),
            ("previous_response_id", self.previous_response_id.is_some(), "send the history in input"),
            ("conversation", is_set(&self.conversation), "send the history in input"),
            ("prompt", is_set(&self.prompt), "send its text in instructions or input"),
        ] {
            if is_set {
                let message = format!("{param}: this server keeps nothing between requests: {instead}");
                return Err(ApiError::unsupported(param, message));
            }
        }
        Ok(())
    }

    fn refuse_features(&self) -> Result<(), ApiError> {
        let is_set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        for (param, value) in
            [("context_management", &self.context_management), ("moderation", &self.moderation)]
        {
            if is_set(value) {
                return Err(ApiError::unsupported(param, format!("{param} is not supported: leave it out")));
            }
        }
        if self.truncation.as_deref().is_some_and(|truncation| truncation != "disabled") {
            let message = "truncation must be disabled: shorten the input where it is too long";
            return Err(ApiError::unsupported("truncation", message));
        }
        if self.service_tier.as_deref().is_some_and(|tier| tier != "auto" && tier != "default") {
            return Err(ApiError::unsupported("service_tier", "service_tier must be auto or default"));
        }
        let Some(text) = &self.text else { return Ok(()) };
        if text.verbosity.as_deref().is_some_and(|verbosity| verbosity != "medium") {
            let message = "text.verbosity is not supported: say it in the instructions";
            return Err(ApiError::unsupported("text.verbosity", message));
        }
        Ok(())
    }

    /// The form of the text, if it must have one.
    fn form(&self) -> Result<Option<Wanted>, ApiError> {
        const FIELD: &str = "text.format";
        let format =
            self.text.as_ref().and_then(|text| text.format.as_ref()).filter(|format| !format.is_null());
        let Some(format) = format else { return Ok(None) };
        match format.get("type").and_then(Value::as_str) {
            Some("text") => Ok(None),
            Some("json_object") => {
                Ok(Some(Wanted { source: GrammarSource::JsonObject, field: FIELD.to_owned() }))
            }
            Some("json_schema") => match format.get("schema").filter(|schema| !schema.is_null()) {
                Some(schema) => form::required("text.format.schema", schema).map(Some),
                None => Err(ApiError::field("text.format.schema", "text.format.schema is missing")),
            },
            _ => {
                let message = "text.format.type must be text, json_object or json_schema";
                Err(ApiError::field("text.format.type", message))
            }
        }
    }

    /// The tools that the model may call. Those of other servers can't be called from here.
    fn functions(&self) -> Vec<Value> {
        let is_function = |tool: &&Value| tool.get("type").and_then(Value::as_str) == Some("function");
        self.tools.iter().flatten().filter(is_function).cloned().collect()
    }

    fn logprobs(&self) -> Result<Option<usize>, ApiError> {
        let include = self.include.as_deref().unwrap_or_default();
        if let Some(index) = include.iter().position(|name| !INCLUDABLE.contains(&name.as_str())) {
            let param = format!("include[{index}]");
            let message = format!("{param} must be one of {}", INCLUDABLE.join(", "));
            return Err(ApiError::field(param, message));
        }
        let top = whole("top_logprobs", self.top_logprobs, 0, TOP_LOGPROBS_MAX)?.unwrap_or(0) as usize;
        let included = include.iter().any(|name| name == LOGPROBS);
        Ok((included || top > 0).then_some(top))
    }

    fn parameters(&self) -> Parameters {
        Parameters {
            max_tokens: self.max_output_tokens.map(|value| (value, "max_output_tokens")),
            thought: Thought { effort: self.effort().map(str::to_owned), ..Thought::default() }
                .with("thinking_token_budget", self.thinking_token_budget)
                .with("thinking_budget_tokens", self.thinking_budget_tokens),
            debug_cache: self.debug.as_ref().and_then(|debug| debug.cache).unwrap_or(false),
            ..self.said()
        }
    }

    fn effort(&self) -> Option<&str> {
        self.reasoning.as_ref().and_then(|reasoning| reasoning.effort.as_deref())
    }

    fn text_format(&self) -> Value {
        let format = self.text.as_ref().and_then(|text| text.format.clone());
        format.filter(|format| !format.is_null()).unwrap_or_else(|| json!({"type": "text"}))
    }

    /// What is said again in the response. The temperature and its like are the job's.
    fn echo(&self, logprobs: Option<usize>) -> Echo {
        let reasoning = self.reasoning.as_ref();
        Echo {
            instructions: self.instructions.clone(),
            metadata: self.metadata.clone().unwrap_or_default(),
            temperature: 0.0,
            top_p: 1.0,
            top_logprobs: logprobs.unwrap_or(0),
            max_output_tokens: self.max_output_tokens,
            max_tool_calls: self.max_tool_calls,
            parallel_tool_calls: self.parallel_tool_calls.unwrap_or(true),
            tool_choice: self.tool_choice.clone().filter(|v| !v.is_null()).unwrap_or_else(|| "auto".into()),
            tools: self.functions(),
            reasoning: ReasoningEcho {
                effort: reasoning.and_then(|reasoning| reasoning.effort.clone()),
                summary: reasoning.and_then(|reasoning| reasoning.summary.clone()),
            },
            text: TextEcho { format: self.text_format(), verbosity: "medium" },
            truncation: "disabled",
            background: false,
            store: false,
            previous_response_id: None,
            service_tier: "default",
            prompt_cache_key: self.prompt_cache_key.clone(),
            safety_identifier: self.safety_identifier.clone(),
            user: self.user.clone(),
        }
    }
}
