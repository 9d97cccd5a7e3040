//! The answer of `/v1/messages`: one object, or events that build it.

use serde::Serialize;
use utoipa::ToSchema;

use super::blocks::{self, BlockDelta, Blocks, ContentBlock};
use crate::answers::{Answer, Totals};
use crate::error::{ApiError, Dialect};
use crate::job::Job;
use crate::openai::{Repetition, Timings, new_id};
use crate::running::{Ending, Event, Finish, StoppedBy};
use crate::stream::{Frames, Render};

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnthropicAnswer)]
pub(crate) struct MessageAnswer {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: String,
    content: Vec<ContentBlock>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<String>,
    usage: Usage,
    /// An addition to the original API.
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Timings>,
    /// That the answer repeated itself. An addition to the original API.
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition: Option<Repetition>,
}

/// Tokens that a request took.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = AnthropicUsage)]
pub(crate) struct Usage {
    /// Of the prompt, without those that came from the cache.
    input_tokens: usize,
    /// Always 0: what the cache keeps costs nothing.
    cache_creation_input_tokens: usize,
    cache_read_input_tokens: usize,
    output_tokens: usize,
}

/// What happens in a stream.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AnthropicEvent)]
pub(crate) enum StreamEvent {
    MessageStart {
        message: MessageAnswer,
    },
    ContentBlockStart {
        index: usize,
        content_block: ContentBlock,
    },
    Ping,
    ContentBlockDelta {
        index: usize,
        delta: BlockDelta,
    },
    ContentBlockStop {
        index: usize,
    },
    MessageDelta {
        delta: MessageDelta,
        usage: Usage,
        /// An addition to the original API.
        timings: Timings,
        /// That the answer repeated itself. An addition to the original API.
        #[serde(skip_serializing_if = "Option::is_none")]
        repetition: Option<Repetition>,
    },
    MessageStop,
}

/// How the answer ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnthropicMessageDelta)]
pub(crate) struct MessageDelta {
    stop_reason: &'static str,
    stop_sequence: Option<String>,
}

impl StreamEvent {
    /// The event's name, which is its type again.
    fn name(&self) -> &'static str {
        match self {
            StreamEvent::MessageStart { .. } => "message_start",
            StreamEvent::ContentBlockStart { .. } => "content_block_start",
            StreamEvent::Ping => "ping",
            StreamEvent::ContentBlockDelta { .. } => "content_block_delta",
            StreamEvent::ContentBlockStop { .. } => "content_block_stop",
            StreamEvent::MessageDelta { .. } => "message_delta",
            StreamEvent::MessageStop => "message_stop",
        }
    }
}

/// Writes the answer of one request.
pub(crate) struct Renderer {
    id: String,
    model: String,
    prompt_tokens: usize,
    blocks: Blocks,
}

impl Renderer {
    pub(crate) fn new(job: &Job) -> Result<Self, ApiError> {
        let prompt_tokens = job.prompts.iter().map(Vec::len).sum();
        let (id, model) = (new_id("msg_")?, job.model.name.clone());
        Ok(Renderer { id, model, prompt_tokens, blocks: Blocks::default() })
    }

    /// The whole answer.
    pub(crate) fn answer(self, Answer { piece, ending }: Answer) -> MessageAnswer {
        let MessageDelta { stop_reason, stop_sequence } = MessageDelta::of(&ending);
        MessageAnswer {
            content: blocks::whole(piece),
            stop_reason: Some(stop_reason),
            stop_sequence,
            usage: Usage::of(&ending),
            timings: Some(Timings::of(&Totals::of(&ending))),
            repetition: Repetition::of(&ending),
            ..self.begun()
        }
    }

    /// The answer before there is anything of it. How much of the prompt the cache has isn't known yet; the end tells.
    fn begun(&self) -> MessageAnswer {
        MessageAnswer {
            id: self.id.clone(),
            kind: "message",
            role: "assistant",
            model: self.model.clone(),
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: Usage {
                input_tokens: self.prompt_tokens,
                cache_creation_input_tokens: 0,
                cache_read_input_tokens: 0,
                output_tokens: 0,
            },
            timings: None,
            repetition: None,
        }
    }
}

impl Usage {
    fn of(ending: &Ending) -> Self {
        let usage = ending.usage;
        Usage {
            input_tokens: usage.prompt_tokens.saturating_sub(usage.cached_tokens),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cached_tokens,
            output_tokens: usage.completion_tokens,
        }
    }
}

impl MessageDelta {
    fn of(ending: &Ending) -> Self {
        let stop_sequence = match &ending.stopped_by {
            Some(StoppedBy::Text(text)) => Some(text.clone()),
            Some(StoppedBy::Token(_)) | None => None,
        };
        let stop_reason = match ending.reason {
            Finish::Stop if stop_sequence.is_some() => "stop_sequence",
            Finish::Stop | Finish::Repetition => "end_turn",
            Finish::ToolCalls => "tool_use",
            Finish::Length => "max_tokens",
        };
        MessageDelta { stop_reason, stop_sequence }
    }
}

impl Render for Renderer {
    fn begin(&mut self, out: &mut Frames) {
        send(out, &StreamEvent::MessageStart { message: self.begun() });
        send(out, &StreamEvent::Ping);
    }

    fn event(&mut self, event: Event, out: &mut Frames) {
        match event {
            Event::Piece { piece, .. } => self.blocks.piece(piece, out),
            Event::End { ending, .. } => {
                self.blocks.end(out);
                send(
                    out,
                    &StreamEvent::MessageDelta {
                        delta: MessageDelta::of(&ending),
                        usage: Usage::of(&ending),
                        timings: Timings::of(&Totals::of(&ending)),
                        repetition: Repetition::of(&ending),
                    },
                );
            }
            Event::Failed(_) => {}
        }
    }

    fn end(&mut self, out: &mut Frames) {
        send(out, &StreamEvent::MessageStop);
    }

    fn failed(&mut self, error: &ApiError, out: &mut Frames) {
        out.named("error", &error.body(Dialect::Anthropic));
    }
}

pub(super) fn send(out: &mut Frames, event: &StreamEvent) {
    out.named(event.name(), event);
}
