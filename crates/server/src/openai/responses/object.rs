//! What a response looks like on the wire, whole or under way.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::logprobs::TokenLogprob;
use super::super::{DebugReport, NameOrObject, Repetition, StopReason, Timings};
use crate::answers::Totals;

/// A response. What the request said stands in it again.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Response)]
pub(crate) struct Response {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created_at: u64,
    pub(crate) completed_at: Option<u64>,
    /// `in_progress`, `completed`, `incomplete` or `failed`.
    pub(crate) status: &'static str,
    pub(crate) error: Option<ResponseError>,
    pub(crate) incomplete_details: Option<IncompleteDetails>,
    pub(crate) model: String,
    pub(crate) output: Vec<OutputItem>,
    pub(crate) usage: Option<ResponseUsage>,
    #[serde(flatten)]
    pub(crate) echo: Echo,
    /// From here on additions to the original API: the stop string, if one was found, or
    /// `repetition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repetition: Option<Repetition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timings: Option<Timings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) debug: Option<DebugReport>,
}

/// What the request said, or what holds because it said nothing.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Echo {
    pub(crate) instructions: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) temperature: f32,
    pub(crate) top_p: f32,
    pub(crate) top_logprobs: usize,
    pub(crate) max_output_tokens: Option<i64>,
    pub(crate) max_tool_calls: Option<i64>,
    pub(crate) parallel_tool_calls: bool,
    /// As the request has it.
    #[schema(value_type = NameOrObject)]
    pub(crate) tool_choice: Value,
    /// Those that the model may call, as the request has them.
    #[schema(value_type = Vec<Object>)]
    pub(crate) tools: Vec<Value>,
    pub(crate) reasoning: ReasoningEcho,
    pub(crate) text: TextEcho,
    pub(crate) truncation: &'static str,
    pub(crate) background: bool,
    pub(crate) store: bool,
    pub(crate) previous_response_id: Option<String>,
    pub(crate) service_tier: &'static str,
    pub(crate) prompt_cache_key: Option<String>,
    pub(crate) safety_identifier: Option<String>,
    pub(crate) user: Option<String>,
}

/// How hard the model was asked to think.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ReasoningEcho {
    pub(crate) effort: Option<String>,
    pub(crate) summary: Option<String>,
}

/// The form of the text.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct TextEcho {
    /// As the request has it.
    #[schema(value_type = Object)]
    pub(crate) format: Value,
    pub(crate) verbosity: &'static str,
}

/// Why there is no answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ResponseError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Why an answer is not whole.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct IncompleteDetails {
    pub(crate) reason: &'static str,
}

/// A part of a response.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum OutputItem {
    Reasoning(Reasoning),
    Message(OutputMessage),
    Call(FunctionCall),
}

impl OutputItem {
    pub(crate) fn id(&self) -> &str {
        match self {
            OutputItem::Reasoning(item) => &item.id,
            OutputItem::Message(item) => &item.id,
            OutputItem::Call(item) => &item.id,
        }
    }
}

/// What the model thinks.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OutputReasoning)]
pub(crate) struct Reasoning {
    pub(crate) id: String,
    pub(crate) r#type: &'static str,
    pub(crate) status: &'static str,
    /// Always empty: the whole of it is there.
    #[schema(value_type = Vec<Object>)]
    pub(crate) summary: [(); 0],
    pub(crate) content: Vec<ReasoningText>,
}

/// A text that the model thinks.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ReasoningText {
    pub(crate) r#type: &'static str,
    pub(crate) text: String,
}

/// A call that the client is asked to run.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OutputFunctionCall)]
pub(crate) struct FunctionCall {
    pub(crate) id: String,
    pub(crate) r#type: &'static str,
    pub(crate) status: &'static str,
    pub(crate) call_id: String,
    pub(crate) name: String,
    /// JSON.
    pub(crate) arguments: String,
}

/// What the model says.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OutputMessage {
    pub(crate) id: String,
    pub(crate) r#type: &'static str,
    pub(crate) status: &'static str,
    pub(crate) role: &'static str,
    pub(crate) content: Vec<OutputText>,
}

/// A text that the model says.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OutputText {
    pub(crate) r#type: &'static str,
    pub(crate) text: String,
    #[schema(value_type = Vec<Object>)]
    pub(crate) annotations: [(); 0],
    pub(crate) logprobs: Vec<TokenLogprob>,
}

/// Tokens that a response took.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct ResponseUsage {
    input_tokens: usize,
    input_tokens_details: InputTokensDetails,
    output_tokens: usize,
    output_tokens_details: OutputTokensDetails,
    total_tokens: usize,
}

/// Of the input's tokens.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct InputTokensDetails {
    /// Not computed again.
    cached_tokens: usize,
    /// Tokens that are paid for to be kept: none, as the cache is automatic.
    cache_write_tokens: usize,
}

/// Of the output's tokens.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct OutputTokensDetails {
    reasoning_tokens: usize,
}

impl ResponseUsage {
    pub(crate) fn of(totals: &Totals) -> Self {
        let usage = totals.usage;
        ResponseUsage {
            input_tokens: usage.prompt_tokens,
            input_tokens_details: InputTokensDetails {
                cached_tokens: usage.cached_tokens,
                cache_write_tokens: 0,
            },
            output_tokens: usage.completion_tokens,
            output_tokens_details: OutputTokensDetails { reasoning_tokens: usage.reasoning_tokens },
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
        }
    }
}
