//! Answers of the Ollama style: lines of JSON, the last of which has the numbers; or all of it as one object.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::Clock;
use crate::answers::Answer;
use crate::date;
use crate::error::{ApiError, Dialect};
use crate::job::Job;
use crate::model::ServedModel;
use crate::openai::logprobs::{ChoiceLogprobs, TokenLogprob};
use crate::running::{Ending, Event, Finish, Piece};
use crate::stream::{Frames, Render};

/// A piece of an answer, or all of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaLine)]
pub(crate) struct Line {
    model: String,
    created_at: String,
    /// Of a chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Said>,
    /// Of `/api/generate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<String>,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    done_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<TokenLogprob>>,
    #[serde(flatten)]
    #[schema(value_type = Metrics)]
    metrics: Option<Metrics>,
}

/// What the model says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaSaid)]
struct Said {
    role: &'static str,
    content: String,
}

/// What the answer took; times in nanoseconds. It stands in the last line only.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaMetrics)]
struct Metrics {
    #[schema(required = false)]
    total_duration: u64,
    #[schema(required = false)]
    load_duration: u64,
    /// Tokens of the prompt, those from the cache included.
    #[schema(required = false)]
    prompt_eval_count: usize,
    #[schema(required = false)]
    prompt_eval_duration: u64,
    #[schema(required = false)]
    eval_count: usize,
    #[schema(required = false)]
    eval_duration: u64,
}

/// What an answer is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `message`.
    Chat,
    /// `response`.
    Generate,
}

/// Writes the answer of one request.
pub(crate) struct Renderer {
    kind: Kind,
    model: Arc<ServedModel>,
    wants_logprobs: bool,
    clock: Clock,
}

impl Renderer {
    pub(crate) fn new(kind: Kind, job: &Job, clock: Clock) -> Self {
        Renderer { kind, model: Arc::clone(&job.model), wants_logprobs: job.logprobs.is_some(), clock }
    }

    /// The whole answer.
    pub(crate) fn answer(&self, Answer { piece, ending }: Answer) -> Line {
        self.ended(piece, &ending)
    }

    fn ended(&self, piece: Piece, ending: &Ending) -> Line {
        let done_reason = match ending.reason {
            Finish::Stop | Finish::Repetition | Finish::ToolCalls => "stop",
            Finish::Length => "length",
        };
        Line {
            done: true,
            done_reason: Some(done_reason),
            metrics: Some(Metrics::of(ending, self.clock)),
            ..self.line(piece)
        }
    }

    fn line(&self, piece: Piece) -> Line {
        let logprobs = (self.wants_logprobs && !piece.tokens.is_empty())
            .then(|| ChoiceLogprobs::of(&piece.tokens, &self.model).content);
        Line { logprobs, ..line(self.kind, &self.model.name, piece.text) }
    }
}

/// The answer to a request without a prompt: the model is there.
pub(crate) fn loaded(kind: Kind, model: &ServedModel) -> Line {
    Line { done: true, done_reason: Some("load"), ..line(kind, &model.name, String::new()) }
}

fn line(kind: Kind, model: &str, text: String) -> Line {
    let (message, response) = match kind {
        Kind::Chat => (Some(Said { role: "assistant", content: text }), None),
        Kind::Generate => (None, Some(text)),
    };
    Line {
        model: model.to_owned(),
        created_at: date::now(),
        message,
        response,
        done: false,
        done_reason: None,
        logprobs: None,
        metrics: None,
    }
}

impl Metrics {
    fn of(ending: &Ending, clock: Clock) -> Self {
        Metrics {
            total_duration: nanoseconds(clock.started.elapsed()),
            load_duration: nanoseconds(clock.load),
            prompt_eval_count: ending.usage.prompt_tokens,
            prompt_eval_duration: nanoseconds(ending.timings.prompt),
            eval_count: ending.usage.completion_tokens,
            eval_duration: nanoseconds(ending.timings.generation),
        }
    }
}

/// A time as the style has it.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Render for Renderer {
    fn begin(&mut self, out: &mut Frames) {
        // Something has to take the headers along.
        out.comment();
    }

    fn event(&mut self, event: Event, out: &mut Frames) {
        match event {
            Event::Piece { piece, .. } => {
                // A token may bring no text yet. With log-probabilities it is told all the same.
                if !piece.text.is_empty() || (self.wants_logprobs && !piece.tokens.is_empty()) {
                    out.json(&self.line(piece));
                }
            }
            Event::End { ending, .. } => out.json(&self.ended(Piece::default(), &ending)),
            Event::Failed(_) => {}
        }
    }

    fn end(&mut self, _: &mut Frames) {}

    fn failed(&mut self, error: &ApiError, out: &mut Frames) {
        out.json(&error.body(Dialect::Ollama));
    }
}
