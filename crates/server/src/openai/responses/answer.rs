//! A response as one object, or as events that build it up.
//!
//! The events of a stream come in one order: created, in progress, and for each thing that is said (thoughts, messages,
//! calls) that it begins, the deltas, and then each of these once more with what it has become. They are numbered from 0.

use std::sync::Arc;

use engine::request::TokenId;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::logprobs::TokenLogprob;
use super::super::{DebugReport, Repetition, StopReason, Timings, new_id};
use super::items::{Change, Items};
use super::object::{
    Echo, IncompleteDetails, OutputItem, OutputText, Response, ResponseError, ResponseUsage,
};
use super::request::Lowered;
use crate::answers::{Answer, Totals};
use crate::cache_doctor::{self, Origin};
use crate::error::ApiError;
use crate::model::ServedModel;
use crate::running::{Ending, Event, Finish};
use crate::state::unix_seconds;
use crate::stream::{Frames, Render};

/// An event of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamEvent {
    r#type: &'static str,
    sequence_number: usize,
    #[serde(flatten)]
    body: EventBody,
}

/// What an event tells.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum EventBody {
    /// Of the whole response.
    Response { response: Box<Response> },
    /// Of an item.
    Item { output_index: usize, item: OutputItem },
    /// Of a text in a message.
    Part { item_id: String, output_index: usize, content_index: usize, part: OutputText },
    /// More of a text, of a thought, or of a call's arguments.
    Delta {
        item_id: String,
        output_index: usize,
        /// Not of arguments.
        #[serde(skip_serializing_if = "Option::is_none")]
        content_index: Option<usize>,
        delta: String,
        /// Of a text.
        #[serde(skip_serializing_if = "Option::is_none")]
        logprobs: Option<Vec<TokenLogprob>>,
    },
    /// A whole text, or a whole thought.
    Text {
        item_id: String,
        output_index: usize,
        content_index: usize,
        text: String,
        /// Of a text.
        #[serde(skip_serializing_if = "Option::is_none")]
        logprobs: Option<Vec<TokenLogprob>>,
    },
    /// All arguments of a call.
    Arguments { item_id: String, output_index: usize, name: String, arguments: String },
}

/// Writes one response.
pub(crate) struct Renderer {
    id: String,
    created: u64,
    name: String,
    model: Arc<ServedModel>,
    echo: Echo,
    /// The prompt and where it came from, if the cache doctor was asked for.
    doctor: Option<(Vec<TokenId>, Origin)>,
    /// How many events there were.
    events: usize,
    /// What was said so far.
    items: Items,
}

impl Renderer {
    pub(crate) fn new(lowered: Lowered) -> Result<Self, ApiError> {
        let Lowered { mut job, echo, origin, .. } = lowered;
        let prompt = job.prompts.swap_remove(0);
        Ok(Renderer {
            id: new_id("resp_")?,
            created: unix_seconds(),
            name: job.model.name.clone(),
            model: job.model,
            echo,
            doctor: job.debug_cache.then_some((prompt, origin)),
            events: 0,
            items: Items::new(job.logprobs.is_some())?,
        })
    }

    /// The whole response.
    pub(crate) fn response(mut self, answers: Vec<Answer>) -> Response {
        let Answer { piece, ending } = answers.into_iter().next().expect("a response has one answer");
        self.items.take(piece, &self.model, &mut |_, _| {});
        self.items.end(&mut |_, _| {});
        self.ended(&ending)
    }

    /// The response without an answer.
    fn bare(&self, status: &'static str) -> Response {
        Response {
            id: self.id.clone(),
            object: "response",
            created_at: self.created,
            completed_at: None,
            status,
            error: None,
            incomplete_details: None,
            model: self.name.clone(),
            output: Vec::new(),
            usage: None,
            echo: self.echo.clone(),
            stop_reason: None,
            repetition: None,
            timings: None,
            debug: None,
        }
    }

    /// The response with all that was said.
    fn ended(&self, ending: &Ending) -> Response {
        let (status, incomplete_details) = match ending.reason {
            Finish::Stop | Finish::Repetition | Finish::ToolCalls => ("completed", None),
            Finish::Length => ("incomplete", Some(IncompleteDetails { reason: "max_output_tokens" })),
        };
        let debug = self.doctor.as_ref().map(|(prompt, origin)| DebugReport {
            cache: cache_doctor::report(&self.model, prompt, ending.cache, origin),
        });
        let totals = Totals::of(ending);
        Response {
            completed_at: incomplete_details.is_none().then(unix_seconds),
            incomplete_details,
            output: self.items.output(status),
            usage: Some(ResponseUsage::of(&totals)),
            stop_reason: StopReason::of(ending),
            repetition: Repetition::of(ending),
            timings: Some(Timings::of(&totals)),
            debug,
            ..self.bare(status)
        }
    }

    fn send_response(&mut self, kind: &'static str, response: Response, out: &mut Frames) {
        send(&mut self.events, kind, EventBody::Response { response: Box::new(response) }, out);
    }
}

fn send(events: &mut usize, kind: &'static str, body: EventBody, out: &mut Frames) {
    out.named(kind, &StreamEvent { r#type: kind, sequence_number: *events, body });
    *events += 1;
}

/// Tells what happened to the last item. `status` is that of an item that ends.
fn tell(items: &Items, change: Change, status: &'static str, send: &mut dyn FnMut(&'static str, EventBody)) {
    let (output_index, content_index) = (items.last_index(), 0);
    let item = match &change {
        Change::Begins => items.last("in_progress"),
        _ => items.last(status),
    };
    let item_id = item.id().to_owned();
    match change {
        Change::Begins => {
            let part = match item {
                OutputItem::Message(mut message) => {
                    let part = message.content.pop();
                    send(
                        "response.output_item.added",
                        EventBody::item(output_index, OutputItem::Message(message)),
                    );
                    part
                }
                OutputItem::Reasoning(mut reasoning) => {
                    reasoning.content.clear();
                    send(
                        "response.output_item.added",
                        EventBody::item(output_index, OutputItem::Reasoning(reasoning)),
                    );
                    None
                }
                call => {
                    send("response.output_item.added", EventBody::item(output_index, call));
                    None
                }
            };
            if let Some(part) = part {
                send(
                    "response.content_part.added",
                    EventBody::Part { item_id, output_index, content_index, part },
                );
            }
        }
        Change::Text { delta, logprobs } => {
            let body = EventBody::Delta {
                item_id,
                output_index,
                content_index: Some(content_index),
                delta,
                logprobs: Some(logprobs),
            };
            send("response.output_text.delta", body);
        }
        Change::Thought { delta } => {
            let body = EventBody::Delta {
                item_id,
                output_index,
                content_index: Some(content_index),
                delta,
                logprobs: None,
            };
            send("response.reasoning_text.delta", body);
        }
        Change::Arguments { delta } => {
            let body = EventBody::Delta { item_id, output_index, content_index: None, delta, logprobs: None };
            send("response.function_call_arguments.delta", body);
        }
        Change::Ends => {
            done(&item, output_index, send);
            send("response.output_item.done", EventBody::item(output_index, item));
        }
    }
}

/// Tells what has become of an item, before it is told as a whole.
fn done(item: &OutputItem, output_index: usize, send: &mut dyn FnMut(&'static str, EventBody)) {
    let (item_id, content_index) = (item.id().to_owned(), 0);
    match item {
        OutputItem::Message(message) => {
            for part in message.content.clone() {
                let (text, logprobs) = (part.text.clone(), Some(part.logprobs.clone()));
                let item_id = item_id.clone();
                let body =
                    EventBody::Text { item_id: item_id.clone(), output_index, content_index, text, logprobs };
                send("response.output_text.done", body);
                let body = EventBody::Part { item_id, output_index, content_index, part };
                send("response.content_part.done", body);
            }
        }
        OutputItem::Reasoning(reasoning) => {
            let text = reasoning.content.iter().map(|part| part.text.as_str()).collect();
            let body = EventBody::Text { item_id, output_index, content_index, text, logprobs: None };
            send("response.reasoning_text.done", body);
        }
        OutputItem::Call(call) => {
            let (name, arguments) = (call.name.clone(), call.arguments.clone());
            let body = EventBody::Arguments { item_id, output_index, name, arguments };
            send("response.function_call_arguments.done", body);
        }
    }
}

impl EventBody {
    fn item(output_index: usize, item: OutputItem) -> Self {
        EventBody::Item { output_index, item }
    }
}

impl Render for Renderer {
    fn begin(&mut self, out: &mut Frames) {
        self.send_response("response.created", self.bare("in_progress"), out);
        self.send_response("response.in_progress", self.bare("in_progress"), out);
    }

    fn event(&mut self, event: Event, out: &mut Frames) {
        let events = &mut self.events;
        let mut send = |kind, body| send(events, kind, body, out);
        match event {
            Event::Piece { piece, .. } => {
                let mut tell = |items: &Items, change| tell(items, change, "completed", &mut send);
                self.items.take(piece, &self.model, &mut tell);
            }
            Event::End { ending, .. } => {
                let (kind, status) = match ending.reason {
                    Finish::Stop | Finish::Repetition | Finish::ToolCalls => {
                        ("response.completed", "completed")
                    }
                    Finish::Length => ("response.incomplete", "incomplete"),
                };
                self.items.end(&mut |items, change| tell(items, change, status, &mut send));
                let response = self.ended(&ending);
                self.send_response(kind, response, out);
            }
            Event::Failed(_) => {}
        }
    }

    fn end(&mut self, _: &mut Frames) {}

    fn failed(&mut self, error: &ApiError, out: &mut Frames) {
        let error = ResponseError { code: "server_error", message: error.message.clone() };
        let output = self.items.output("incomplete");
        let response = Response { error: Some(error), output, ..self.bare("failed") };
        self.send_response("response.failed", response, out);
    }
}
