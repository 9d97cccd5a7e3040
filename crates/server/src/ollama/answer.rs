//! Answers of the Ollama style: lines of JSON, the last of which has the numbers; or all of it as one object.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Clock;
use crate::answers::Answer;
use crate::date;
use crate::error::{ApiError, Dialect};
use crate::job::Job;
use crate::model::ServedModel;
use crate::openai::logprobs::{ChoiceLogprobs, TokenLogprob};
use crate::running::{Ending, Event, Finish, Piece};
use crate::speech::{CallBegun, CallPiece};
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
    /// What the model thought before.
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    tool_calls: Vec<Call>,
}

/// A call that the client is asked to run. It is told at once, when it is whole.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaCall)]
struct Call {
    id: String,
    function: CalledFunction,
}

/// What is called.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaCalledFunction)]
struct CalledFunction {
    index: usize,
    name: String,
    #[schema(value_type = Object)]
    arguments: Map<String, Value>,
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
    /// The calls of a stream that have not ended.
    open: Piece,
}

impl Renderer {
    pub(crate) fn new(kind: Kind, job: &Job, clock: Clock) -> Self {
        let (model, wants_logprobs) = (Arc::clone(&job.model), job.logprobs.is_some());
        Renderer { kind, model, wants_logprobs, clock, open: Piece::default() }
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
        Line { logprobs, ..line(self.kind, &self.model.name, piece) }
    }
}

/// The answer to a request without a prompt: the model is there.
pub(crate) fn loaded(kind: Kind, model: &ServedModel) -> Line {
    Line { done: true, done_reason: Some("load"), ..line(kind, &model.name, Piece::default()) }
}

fn line(kind: Kind, model: &str, piece: Piece) -> Line {
    let (message, response) = match kind {
        Kind::Chat => (Some(Said::of(piece)), None),
        Kind::Generate => (None, Some(piece.text)),
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

impl Said {
    fn of(piece: Piece) -> Self {
        Said {
            role: "assistant",
            content: piece.text,
            thinking: Some(piece.reasoning).filter(|text| !text.is_empty()),
            tool_calls: piece.calls.into_iter().filter_map(Call::of).collect(),
        }
    }
}

/// Keeps calls back that have not ended.
fn hold_back(open: &mut Piece, mut piece: Piece) -> Piece {
    let calls = std::mem::take(&mut piece.calls);
    open.add(Piece { calls, ..Piece::default() });
    let calls = std::mem::take(&mut open.calls).into_iter();
    (piece.calls, open.calls) = calls.partition(|call| call.ended.is_some());
    piece
}

impl Call {
    /// None of one whose arguments did not come to their end: there is no object to give.
    fn of(call: CallPiece) -> Option<Self> {
        let CallBegun { id, name } = call.begun?;
        let arguments = serde_json::from_str(&call.arguments).ok()?;
        Some(Call { id, function: CalledFunction { index: call.index, name, arguments } })
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
            // Calls wait for their end.
            Event::Piece { piece, .. } => {
                let piece = hold_back(&mut self.open, piece);
                let is_empty = piece.text.is_empty() && piece.reasoning.is_empty() && piece.calls.is_empty();
                // A token may bring no text yet. With log-probabilities it is told all the same.
                if !is_empty || (self.wants_logprobs && !piece.tokens.is_empty()) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn more(index: usize, begun: Option<&str>, arguments: &str, ended: Option<bool>) -> CallPiece {
        let begun = begun.map(|name| CallBegun { id: format!("id{index}"), name: name.to_owned() });
        CallPiece { index, begun, arguments: arguments.to_owned(), ended }
    }

    #[test]
    fn calls_are_told_when_they_are_whole() {
        let mut open = Piece::default();
        let mut check = |text: &str, calls: Vec<CallPiece>, expect: Value| {
            let piece = Piece { text: text.to_owned(), calls, ..Piece::default() };
            let said = Said::of(hold_back(&mut open, piece));
            assert_eq!(said.content, text);
            assert_eq!(json!(said.tool_calls), expect);
        };
        let call = |index: usize, arguments: Value| {
            let function = json!({"index": index, "name": "f", "arguments": arguments});
            json!({"id": format!("id{index}"), "function": function})
        };
        check("hm", vec![], json!([]));
        check("", vec![more(0, Some("f"), "{\"a\"", None)], json!([]));
        check("", vec![more(0, None, ": 1", None)], json!([]));
        check(
            "",
            vec![more(0, None, "}", Some(true)), more(1, Some("f"), "{", None)],
            json!([call(0, json!({"a": 1}))]),
        );
        check("", vec![more(1, None, "}", Some(true))], json!([call(1, json!({}))]));
        // One that did not come to its end has no object to give.
        check("", vec![more(2, Some("f"), "{\"a", Some(false))], json!([]));
    }
}
