//! A response as one object, or as events that build it up.
//!
//! The events of a stream come in one order: created, in progress, the message, its text, the deltas, and then each of
//! these once more with what it has become. They are numbered from 0.

use std::sync::Arc;

use engine::request::TokenId;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::logprobs::TokenLogprob;
use super::super::{DebugReport, Repetition, StopReason, Timings, new_id};
use super::object::{
    Echo, IncompleteDetails, OutputMessage, OutputText, Response, ResponseError, ResponseUsage,
};
use super::request::Lowered;
use crate::answers::{Answer, Totals};
use crate::cache_doctor::{self, Origin};
use crate::error::ApiError;
use crate::model::ServedModel;
use crate::running::{Ending, Event, Finish, Piece};
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
    /// Of a message.
    Item { output_index: usize, item: OutputMessage },
    /// Of a text in a message.
    Part { item_id: String, output_index: usize, content_index: usize, part: OutputText },
    /// More of a text.
    Delta {
        item_id: String,
        output_index: usize,
        content_index: usize,
        delta: String,
        logprobs: Vec<TokenLogprob>,
    },
    /// A whole text.
    Text {
        item_id: String,
        output_index: usize,
        content_index: usize,
        text: String,
        logprobs: Vec<TokenLogprob>,
    },
}

/// Writes one response.
pub(crate) struct Renderer {
    id: String,
    item_id: String,
    created: u64,
    name: String,
    model: Arc<ServedModel>,
    echo: Echo,
    wants_logprobs: bool,
    /// The prompt and where it came from, if the cache doctor was asked for.
    doctor: Option<(Vec<TokenId>, Origin)>,
    /// How many events there were.
    events: usize,
    /// What was said so far.
    text: String,
    logprobs: Vec<TokenLogprob>,
}

impl Renderer {
    pub(crate) fn new(lowered: Lowered) -> Result<Self, ApiError> {
        let Lowered { mut job, echo, origin, .. } = lowered;
        let prompt = job.prompts.swap_remove(0);
        Ok(Renderer {
            id: new_id("resp_")?,
            item_id: new_id("msg_")?,
            created: unix_seconds(),
            name: job.model.name.clone(),
            model: job.model,
            echo,
            wants_logprobs: job.logprobs.is_some(),
            doctor: job.debug_cache.then_some((prompt, origin)),
            events: 0,
            text: String::new(),
            logprobs: Vec::new(),
        })
    }

    /// The whole response.
    pub(crate) fn response(mut self, answers: Vec<Answer>) -> Response {
        let Answer { piece, ending } = answers.into_iter().next().expect("a response has one answer");
        self.take(piece);
        self.ended(&ending)
    }

    /// Adds to what was said: the text and what stands beside it.
    fn take(&mut self, piece: Piece) -> (String, Vec<TokenLogprob>) {
        let logprobs =
            if self.wants_logprobs { TokenLogprob::of(&piece.tokens, &self.model) } else { Vec::new() };
        self.text.push_str(&piece.text);
        self.logprobs.extend_from_slice(&logprobs);
        (piece.text, logprobs)
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

    fn part(&self) -> OutputText {
        OutputText {
            r#type: "output_text",
            text: self.text.clone(),
            annotations: [],
            logprobs: self.logprobs.clone(),
        }
    }

    fn item(&self, status: &'static str, content: Vec<OutputText>) -> OutputMessage {
        OutputMessage { id: self.item_id.clone(), r#type: "message", status, role: "assistant", content }
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
            output: vec![self.item(status, vec![self.part()])],
            usage: Some(ResponseUsage::of(&totals)),
            stop_reason: StopReason::of(ending),
            repetition: Repetition::of(ending),
            timings: Some(Timings::of(&totals)),
            debug,
            ..self.bare(status)
        }
    }

    fn send(&mut self, kind: &'static str, body: EventBody, out: &mut Frames) {
        out.named(kind, &StreamEvent { r#type: kind, sequence_number: self.events, body });
        self.events += 1;
    }

    fn send_response(&mut self, kind: &'static str, response: Response, out: &mut Frames) {
        self.send(kind, EventBody::Response { response: Box::new(response) }, out);
    }

    fn send_item(&mut self, kind: &'static str, item: OutputMessage, out: &mut Frames) {
        self.send(kind, EventBody::Item { output_index: 0, item }, out);
    }

    fn send_part(&mut self, kind: &'static str, out: &mut Frames) {
        let (item_id, part) = (self.item_id.clone(), self.part());
        self.send(kind, EventBody::Part { item_id, output_index: 0, content_index: 0, part }, out);
    }
}

impl Render for Renderer {
    fn begin(&mut self, out: &mut Frames) {
        self.send_response("response.created", self.bare("in_progress"), out);
        self.send_response("response.in_progress", self.bare("in_progress"), out);
        self.send_item("response.output_item.added", self.item("in_progress", Vec::new()), out);
        self.send_part("response.content_part.added", out);
    }

    fn event(&mut self, event: Event, out: &mut Frames) {
        let item_id = self.item_id.clone();
        let (output_index, content_index) = (0, 0);
        match event {
            Event::Piece { piece, .. } => {
                let (delta, logprobs) = self.take(piece);
                // A token may bring no text yet. With log-probabilities it is told all the same.
                if !delta.is_empty() || !logprobs.is_empty() {
                    let body = EventBody::Delta { item_id, output_index, content_index, delta, logprobs };
                    self.send("response.output_text.delta", body, out);
                }
            }
            Event::End { ending, .. } => {
                let response = self.ended(&ending);
                let (text, logprobs) = (self.text.clone(), self.logprobs.clone());
                let body = EventBody::Text { item_id, output_index, content_index, text, logprobs };
                self.send("response.output_text.done", body, out);
                self.send_part("response.content_part.done", out);
                self.send_item("response.output_item.done", response.output[0].clone(), out);
                let kind = match ending.reason {
                    Finish::Stop | Finish::Repetition | Finish::ToolCalls => "response.completed",
                    Finish::Length => "response.incomplete",
                };
                self.send_response(kind, response, out);
            }
            Event::Failed(_) => {}
        }
    }

    fn end(&mut self, _: &mut Frames) {}

    fn failed(&mut self, error: &ApiError, out: &mut Frames) {
        let error = ResponseError { code: "server_error", message: error.message.clone() };
        let output = vec![self.item("incomplete", vec![self.part()])];
        let response = Response { error: Some(error), output, ..self.bare("failed") };
        self.send_response("response.failed", response, out);
    }
}
