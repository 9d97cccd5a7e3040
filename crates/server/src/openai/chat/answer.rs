//! The answer of a chat: one object, or chunks.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::request::TokenId;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::{
    DebugReport, Repetition, StopReason, Timings, Usage, finish_reason, logprobs::ChoiceLogprobs, new_id,
};
use super::calls::{self, Call, CallDelta};
use super::request::Lowered;
use crate::answers::{Answer, Totals};
use crate::cache_doctor::{self, Origin};
use crate::error::ApiError;
use crate::model::ServedModel;
use crate::running::{Ending, Event, Piece};
use crate::state::unix_seconds;
use crate::stream::{Frames, Render, openai_failed};

/// An answered chat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatCompletion {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    choices: Vec<Choice>,
    usage: Usage,
    service_tier: &'static str,
    system_fingerprint: String,
    timings: Timings,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<DebugReport>,
}

/// One answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatChoice)]
struct Choice {
    index: usize,
    message: AnswerMessage,
    logprobs: Option<ChoiceLogprobs>,
    finish_reason: &'static str,
    stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition: Option<Repetition>,
}

/// What the model says.
#[derive(Debug, Serialize, ToSchema)]
struct AnswerMessage {
    role: &'static str,
    /// None beside calls without a text.
    content: Option<String>,
    refusal: Option<String>,
    /// What the model thought before.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    /// The same under its other name.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<Call>>,
}

/// A piece of an answer in a stream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatChunk)]
pub(crate) struct Chunk {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    system_fingerprint: String,
    choices: Vec<ChunkChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Timings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<DebugReport>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatChunkChoice)]
struct ChunkChoice {
    index: usize,
    delta: Delta,
    logprobs: Option<ChoiceLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition: Option<Repetition>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    /// The same under its other name.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta; 1]>,
}

/// Writes the answers of one request.
pub(crate) struct Renderer {
    id: String,
    created: u64,
    name: String,
    fingerprint: String,
    model: Arc<ServedModel>,
    choices: usize,
    wants_logprobs: bool,
    include_usage: bool,
    metadata: Option<BTreeMap<String, String>>,
    /// The prompt and where it came from, if the cache doctor was asked for.
    doctor: Option<(Vec<TokenId>, Origin)>,
    debug: Option<DebugReport>,
    totals: Totals,
}

impl Renderer {
    pub(crate) fn new(lowered: &Lowered) -> Result<Self, ApiError> {
        let job = &lowered.job;
        Ok(Renderer {
            id: new_id("chatcmpl-")?,
            created: unix_seconds(),
            name: job.model.name.clone(),
            fingerprint: job.model.fingerprint(),
            model: Arc::clone(&job.model),
            choices: job.choices,
            wants_logprobs: job.logprobs.is_some(),
            include_usage: lowered.include_usage,
            metadata: lowered.metadata.clone(),
            doctor: job.debug_cache.then(|| (job.prompts[0].clone(), lowered.origin.clone())),
            debug: None,
            totals: Totals::default(),
        })
    }

    /// The whole answer.
    pub(crate) fn completion(mut self, answers: Vec<Answer>) -> ChatCompletion {
        let mut choices = Vec::with_capacity(answers.len());
        for (index, Answer { piece, ending }) in answers.into_iter().enumerate() {
            self.ended(index, &ending);
            let logprobs = self.logprobs(&piece);
            choices.push(Choice {
                index,
                message: AnswerMessage::of(piece),
                logprobs,
                finish_reason: finish_reason(ending.reason),
                stop_reason: StopReason::of(&ending),
                repetition: Repetition::of(&ending),
            });
        }
        ChatCompletion {
            id: self.id,
            object: "chat.completion",
            created: self.created,
            model: self.name,
            choices,
            usage: Usage::of(&self.totals),
            service_tier: "default",
            system_fingerprint: self.fingerprint,
            timings: Timings::of(&self.totals),
            metadata: self.metadata,
            debug: self.debug,
        }
    }

    fn logprobs(&self, piece: &Piece) -> Option<ChoiceLogprobs> {
        self.wants_logprobs.then(|| ChoiceLogprobs::of(&piece.tokens, &self.model))
    }

    /// Tells more of an answer, each call by itself. Log-probabilities stand beside the first of what a piece brings.
    fn piece(&self, choice: usize, piece: Piece, out: &mut Frames) {
        let mut logprobs = self.logprobs(&piece);
        let mut send = |delta: Delta| {
            let choice = ChunkChoice { logprobs: logprobs.take(), ..Self::choice(choice, delta) };
            out.json(&self.chunk(vec![choice]));
        };
        if !piece.reasoning.is_empty() {
            send(Delta::thought(piece.reasoning));
        }
        if !piece.text.is_empty() {
            send(Delta::said(piece.text));
        }
        for call in piece.calls.into_iter().flat_map(calls::deltas) {
            send(Delta { tool_calls: Some([call]), ..Delta::default() });
        }
        // A token may bring nothing yet. With log-probabilities it is told all the same.
        if logprobs.is_some() {
            let choice = ChunkChoice { logprobs, ..Self::choice(choice, Delta::said(String::new())) };
            out.json(&self.chunk(vec![choice]));
        }
    }

    fn ended(&mut self, choice: usize, ending: &Ending) {
        self.totals.add(choice, self.choices, ending);
        if let (0, Some((prompt, origin))) = (choice, &self.doctor) {
            let cache = cache_doctor::report(&self.model, prompt, ending.cache, origin);
            self.debug = Some(DebugReport { cache });
        }
    }

    fn chunk(&self, choices: Vec<ChunkChoice>) -> Chunk {
        Chunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.name.clone(),
            system_fingerprint: self.fingerprint.clone(),
            choices,
            usage: None,
            timings: None,
            debug: None,
        }
    }

    fn choice(index: usize, delta: Delta) -> ChunkChoice {
        ChunkChoice { index, delta, logprobs: None, finish_reason: None, stop_reason: None, repetition: None }
    }
}

impl AnswerMessage {
    fn of(piece: Piece) -> Self {
        let tool_calls = calls::whole(piece.calls);
        let reasoning = Some(piece.reasoning).filter(|text| !text.is_empty());
        AnswerMessage {
            role: "assistant",
            content: Some(piece.text).filter(|text| tool_calls.is_none() || !text.is_empty()),
            refusal: None,
            reasoning_content: reasoning.clone(),
            reasoning,
            tool_calls,
        }
    }
}

impl Delta {
    fn said(text: String) -> Self {
        Delta { content: Some(text), ..Delta::default() }
    }

    fn thought(text: String) -> Self {
        Delta { reasoning_content: Some(text.clone()), reasoning: Some(text), ..Delta::default() }
    }
}

impl Render for Renderer {
    fn begin(&mut self, out: &mut Frames) {
        for index in 0..self.choices {
            let delta = Delta { role: Some("assistant"), ..Delta::said(String::new()) };
            out.json(&self.chunk(vec![Self::choice(index, delta)]));
        }
    }

    fn event(&mut self, event: Event, out: &mut Frames) {
        match event {
            Event::Piece { choice, piece } => self.piece(choice, piece, out),
            Event::End { choice, ending } => {
                self.ended(choice, &ending);
                let timings = Some(Timings::of(&Totals::of(&ending)));
                let choice = ChunkChoice {
                    finish_reason: Some(finish_reason(ending.reason)),
                    stop_reason: StopReason::of(&ending),
                    repetition: Repetition::of(&ending),
                    ..Self::choice(choice, Delta::default())
                };
                out.json(&Chunk { timings, ..self.chunk(vec![choice]) });
            }
            Event::Failed(_) => {}
        }
    }

    fn end(&mut self, out: &mut Frames) {
        if self.include_usage {
            let mut last = self.chunk(Vec::new());
            last.usage = Some(Usage::of(&self.totals));
            last.timings = Some(Timings::of(&self.totals));
            last.debug = self.debug.take();
            out.json(&last);
        }
        out.text("[DONE]");
    }

    fn failed(&mut self, error: &ApiError, out: &mut Frames) {
        openai_failed(error, out);
    }
}
