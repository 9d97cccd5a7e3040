//! The request of `/v1/messages`, field by field: honoured, or refused by name.

use std::sync::Arc;

use engine::request::TokenId;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::content::{self, Content, Message};
use crate::conversation;
use crate::error::ApiError;
use crate::forms::Wanted;
use crate::job::{Caller, Job, Parameters, Seed, Thought, whole, within};
use crate::model::ServedModel;
use crate::openai::{LoopGuard, form, note_user};
use crate::state::App;
use crate::templated;
use crate::tools::Tools;
use crate::tools::wire::{self, AnthropicTool};

/// A request to `/v1/messages`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicRequest)]
pub(crate) struct MessagesRequest {
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
    messages: Vec<Message>,
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    max_tokens: i64,
    /// A string or a list of blocks of text. A billing header at its beginning is left out: it changes with every
    /// request, and nothing behind it would be found in the cache.
    #[serde(default)]
    #[schema(value_type = Option<Content>)]
    system: Option<Value>,
    /// 0 to 1; 0 takes the most probable token.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    temperature: Option<f32>,
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 1)]
    top_p: Option<f32>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    top_k: Option<i64>,
    #[serde(default)]
    stop_sequences: Option<Vec<String>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    service_tier: Option<String>,
    #[serde(default)]
    thinking: Option<Thinking>,
    #[serde(default)]
    output_config: Option<OutputConfig>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<AnthropicTool>>)]
    tools: Option<Value>,
    /// `{"type": …}` of auto, any, none, or tool with a name; `disable_parallel_tool_use` for one call at most.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    tool_choice: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    container: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    diagnostics: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    mcp_servers: Option<Value>,
    #[serde(default)]
    speed: Option<String>,
    #[serde(default)]
    inference_geo: Option<String>,

    /// From here on additions to the original API. The same seed gives the same answer.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    seed: Option<Seed>,
    /// Lower comes first.
    #[serde(default)]
    priority: Option<i64>,
    /// The request is of no use after so many milliseconds.
    #[serde(default)]
    deadline_ms: Option<i64>,
    /// What is done when the answer repeats itself; without it what the server was started with.
    #[serde(default)]
    loop_guard: Option<LoopGuard>,
}

/// A request to `/v1/messages/count_tokens`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicCountRequest)]
pub(crate) struct CountRequest {
    #[serde(default)]
    model: Option<String>,
    messages: Vec<Message>,
    #[serde(default)]
    #[schema(value_type = Option<Content>)]
    system: Option<Value>,
    #[serde(default)]
    thinking: Option<Thinking>,
    #[serde(default)]
    output_config: Option<OutputConfig>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<AnthropicTool>>)]
    tools: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    tool_choice: Option<Value>,
}

/// Who asks, for whoever runs the server.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicMetadata)]
pub(crate) struct Metadata {
    #[serde(default)]
    user_id: Option<String>,
}

/// Whether the model may think before it answers.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicThinking)]
pub(crate) struct Thinking {
    /// adaptive (as much as the model does by itself), enabled, or disabled.
    #[serde(rename = "type")]
    kind: String,
    /// Tokens of thinking after which it is ended, with enabled.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    budget_tokens: Option<i64>,
    /// Taken and without effect: thoughts are always shown.
    #[serde(default)]
    #[allow(dead_code, reason = "it is checked to be a text")]
    display: Option<String>,
}

/// How the answer is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicOutputConfig)]
pub(crate) struct OutputConfig {
    /// Given to the template, which may know what to do with it.
    #[serde(default)]
    effort: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    format: Option<Value>,
}

/// A request, ready to run.
pub(crate) struct Lowered {
    pub(crate) job: Job,
    pub(crate) stream: bool,
}

/// What the prompt is made of.
struct Prompt {
    system: Option<Value>,
    messages: Vec<Message>,
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig>,
    tools: Option<Value>,
    tool_choice: Option<Value>,
}

impl MessagesRequest {
    pub(crate) async fn lower(self, app: &App, caller: Caller) -> Result<Lowered, ApiError> {
        self.refuse()?;
        note_user([&self.metadata.as_ref().and_then(|metadata| metadata.user_id.clone())]);
        let temperature = within("temperature", self.temperature, 0.0, 1.0)?;
        let parameters = Parameters {
            temperature,
            top_p: self.top_p,
            top_k: whole("top_k", self.top_k, 0, i64::from(i32::MAX))?,
            max_tokens: Some((self.max_tokens, "max_tokens")),
            stop_field: "stop_sequences",
            stop: self.stop_sequences.unwrap_or_default(),
            seed: self.seed,
            priority: self.priority,
            deadline_ms: self.deadline_ms,
            loop_guard: self.loop_guard.map(Into::into),
            thought: thought(self.thinking.as_ref(), self.output_config.as_ref())?,
            ..Parameters::default()
        };
        let prompt = Prompt {
            system: self.system,
            messages: self.messages,
            thinking: self.thinking,
            output_config: self.output_config,
            tools: self.tools,
            tool_choice: self.tool_choice,
        };
        let form = prompt.form()?;
        let (model, _place) = app.admit(self.model.as_deref()).await?;
        let tools = prompt.tools()?;
        let prompt = prompt.rendered(&model, &tools).await?;
        let tokens = prompt.tokens.clone();
        let mut job = parameters.lower(model, vec![tokens], "messages", &app.config, caller)?;
        job.speak(tools, prompt.before(), form, "stop_sequences").await?;
        Ok(Lowered { job, stream: self.stream.unwrap_or(false) })
    }

    /// Fields that this server knows and can't honour.
    fn refuse(&self) -> Result<(), ApiError> {
        for (param, value) in [("container", &self.container), ("diagnostics", &self.diagnostics)] {
            if value.as_ref().is_some_and(|value| !value.is_null()) {
                return Err(ApiError::unsupported(param, format!("{param} is not supported: leave it out")));
            }
        }
        if !is_empty(self.mcp_servers.as_ref()) {
            let message = "mcp_servers is not supported: this server calls no other";
            return Err(ApiError::unsupported("mcp_servers", message));
        }
        for (param, value, possible) in [
            ("service_tier", &self.service_tier, &["auto", "standard_only"][..]),
            ("speed", &self.speed, &["standard"]),
            ("inference_geo", &self.inference_geo, &["global"]),
        ] {
            if value.as_deref().is_some_and(|value| !possible.contains(&value)) {
                let message = format!("{param} must be {}, or left out", possible.join(" or "));
                return Err(ApiError::unsupported(param, message));
            }
        }
        Ok(())
    }
}

impl CountRequest {
    /// The tokens that the prompt has.
    pub(crate) async fn prompt(self, app: &App) -> Result<Vec<TokenId>, ApiError> {
        let prompt = Prompt {
            system: self.system,
            messages: self.messages,
            thinking: self.thinking,
            output_config: self.output_config,
            tools: self.tools,
            tool_choice: self.tool_choice,
        };
        let model = app.model(self.model.as_deref()).await?;
        let tools = prompt.tools()?;
        Ok(prompt.rendered(&model, &tools).await?.tokens)
    }
}

impl Prompt {
    async fn rendered(
        self,
        model: &Arc<ServedModel>,
        tools: &Tools,
    ) -> Result<conversation::Prompt, ApiError> {
        let mut extra = self.template_variables()?;
        tools.tell(&mut extra);
        let messages = content::lower(self.system, self.messages)?;
        conversation::prompt(model, messages, extra).await
    }

    /// The form of the answer, if it must have one.
    fn form(&self) -> Result<Option<Wanted>, ApiError> {
        let format = self.output_config.as_ref().and_then(|config| config.format.as_ref());
        let Some(format) = format.filter(|format| !format.is_null()) else { return Ok(None) };
        if format.get("type").and_then(Value::as_str) != Some("json_schema") {
            let message = "output_config.format.type must be json_schema";
            return Err(ApiError::field("output_config.format.type", message));
        }
        const SCHEMA: &str = "output_config.format.schema";
        let schema =
            format.get("schema").ok_or_else(|| ApiError::field(SCHEMA, format!("{SCHEMA} is missing")))?;
        form::required(SCHEMA, schema).map(Some)
    }

    fn tools(&self) -> Result<Tools, ApiError> {
        wire::of_messages(self.tools.as_ref(), self.tool_choice.as_ref())
    }

    /// What the template is given beside the messages.
    fn template_variables(&self) -> Result<Map<String, Value>, ApiError> {
        let mut variables = Map::new();
        match self.thinking.as_ref().map(|thinking| thinking.kind.as_str()) {
            // As much as the model does by itself.
            None | Some("adaptive" | "enabled") => {}
            // The name by which templates know it.
            Some("disabled") => drop(variables.insert("enable_thinking".to_owned(), false.into())),
            Some(other) => {
                let shown: String = other.chars().take(40).collect();
                let message = format!("thinking.type is {shown:?}; it must be adaptive, enabled or disabled");
                return Err(ApiError::field("thinking.type", message));
            }
        }
        let Some(config) = &self.output_config else {
            return Ok(variables);
        };
        let effort = config.effort.as_deref().map(|effort| ("output_config.effort", effort));
        templated::variables(Some(variables), effort)
    }
}

/// How much the model may think.
fn thought(thinking: Option<&Thinking>, config: Option<&OutputConfig>) -> Result<Thought, ApiError> {
    const BUDGET: &str = "thinking.budget_tokens";
    let effort = config.and_then(|config| config.effort.clone());
    let Some(thinking) = thinking else { return Ok(Thought { effort, ..Thought::default() }) };
    let budget = whole(BUDGET, thinking.budget_tokens, 0, i64::from(i32::MAX))?;
    if budget.is_some() != (thinking.kind == "enabled") {
        let message = format!("{BUDGET} goes with thinking.type enabled, which needs it");
        return Err(ApiError::field(BUDGET, message));
    }
    Ok(Thought { effort, is_off: thinking.kind == "disabled", ..Thought::default() }.with(BUDGET, budget))
}

/// Nothing, or a list with nothing in it.
fn is_empty(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_null() || value.as_array().is_some_and(Vec::is_empty))
}
