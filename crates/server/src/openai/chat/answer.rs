//! The answer of a chat: one object, or chunks.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::request::TokenId;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::{
    DebugReport, Repetition, StopReason, Timings, Usage, finish_reason, logprobs::ChoiceLogprobs, new_id,
};
use super::request::Lowered;
use crate::answers::{Answer, Totals};
use crate::cache_doctor::{self, Origin};
use crate::error::ApiError;
use crate::model::ServedModel;
use crate::running::{Ending, Event};
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
    content: String,
    refusal: Option<String>,
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
            let logprobs = self.wants_logprobs.then(|| ChoiceLogprobs::of(&piece.tokens, &self.model));
            choices.push(Choice {
                index,
                message: AnswerMessage { role: "assistant", content: piece.text, refusal: None },
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

impl Render for Renderer {
    fn begin(&mut self, out: &mut Frames) {
        for index in 0..self.choices {
            let delta = Delta { role: Some("assistant"), content: Some(String::new()) };
            out.json(&self.chunk(vec![Self::choice(index, delta)]));
        }
    }

    fn event(&mut self, event: Event, out: &mut Frames) {
        let mut timings = None;
        let choice = match event {
            Event::Piece { choice, piece } => {
                let logprobs = self.wants_logprobs.then(|| ChoiceLogprobs::of(&piece.tokens, &self.model));
                // A token may bring no text yet. With log-probabilities it is told all the same.
                if piece.text.is_empty() && logprobs.is_none() {
                    return;
                }
                let delta = Delta { role: None, content: Some(piece.text) };
                ChunkChoice { logprobs, ..Self::choice(choice, delta) }
            }
            Event::End { choice, ending } => {
                self.ended(choice, &ending);
                timings = Some(Timings::of(&Totals::of(&ending)));
                ChunkChoice {
                    finish_reason: Some(finish_reason(ending.reason)),
                    stop_reason: StopReason::of(&ending),
                    repetition: Repetition::of(&ending),
                    ..Self::choice(choice, Delta::default())
                }
            }
            Event::Failed(_) => return,
        };
        out.json(&Chunk { timings, ..self.chunk(vec![choice]) });
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
