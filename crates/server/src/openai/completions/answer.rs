//! The answer of a completion: one object, or the same shape piece by piece.

use std::sync::Arc;

use engine::request::{TokenId, TokenLogprobs};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::logprobs::CompletionLogprobs;
use super::super::{DebugReport, Repetition, StopReason, Timings, Usage, finish_reason, new_id};
use super::request::Lowered;
use crate::answers::{Answer, Totals};
use crate::cache_doctor::{self, Origin};
use crate::error::ApiError;
use crate::model::ServedModel;
use crate::running::{Ending, Event, Piece};
use crate::state::unix_seconds;
use crate::stream::{Frames, Render, openai_failed};

/// Continued prompts, or a piece of them in a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Completion {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    system_fingerprint: String,
    choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Timings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<DebugReport>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CompletionChoice)]
struct Choice {
    index: usize,
    text: String,
    /// The answer's tokens, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<Vec<TokenId>>,
    logprobs: Option<CompletionLogprobs>,
    finish_reason: Option<&'static str>,
    stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition: Option<Repetition>,
    /// For each token of the prompt, from token ids to log-probabilities; the first has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Option<Object>>>)]
    prompt_logprobs: Option<Vec<Option<Map<String, Value>>>>,
}

/// Writes the answers of one request.
pub(crate) struct Renderer {
    id: String,
    created: u64,
    name: String,
    fingerprint: String,
    model: Arc<ServedModel>,
    prompts: Vec<Vec<TokenId>>,
    choices: usize,
    echo: bool,
    echo_logprobs: bool,
    wants_logprobs: bool,
    wants_token_ids: bool,
    /// Whether the prompt's log-probabilities are a field of their own.
    wants_prompt_logprobs: bool,
    include_usage: bool,
    /// Set if the cache doctor was asked for.
    doctor: Option<Origin>,
    debug: Option<DebugReport>,
    totals: Totals,
    /// Of each choice, the characters that were told and whether the prompt was.
    told: Vec<(usize, bool)>,
}

impl Renderer {
    pub(crate) fn new(lowered: &Lowered) -> Result<Self, ApiError> {
        let job = &lowered.job;
        Ok(Renderer {
            id: new_id("cmpl-")?,
            created: unix_seconds(),
            name: job.model.name.clone(),
            fingerprint: job.model.fingerprint(),
            model: Arc::clone(&job.model),
            prompts: job.prompts.clone(),
            choices: job.choices,
            echo: lowered.echo,
            echo_logprobs: lowered.echo_logprobs,
            wants_logprobs: job.logprobs.is_some(),
            wants_token_ids: lowered.wants_token_ids,
            wants_prompt_logprobs: job.prompt_logprobs.is_some(),
            include_usage: lowered.include_usage,
            doctor: job.debug_cache.then(|| lowered.origin.clone()),
            debug: None,
            totals: Totals::default(),
            told: vec![(0, false); job.prompts.len() * job.choices],
        })
    }

    /// The whole answer.
    pub(crate) fn completion(mut self, answers: Vec<Answer>) -> Completion {
        let mut choices = Vec::with_capacity(answers.len());
        for (index, Answer { piece, ending }) in answers.into_iter().enumerate() {
            self.ended(index, &ending);
            let mut choice = self.choice(index, piece);
            choice.finish_reason = Some(finish_reason(ending.reason));
            choice.stop_reason = StopReason::of(&ending);
            choice.repetition = Repetition::of(&ending);
            choices.push(choice);
        }
        Completion {
            usage: Some(Usage::of(&self.totals)),
            timings: Some(Timings::of(&self.totals)),
            debug: self.debug.take(),
            ..self.chunk(choices)
        }
    }

    /// What a piece adds to a choice. The first one brings the prompt, if it is echoed.
    fn choice(&mut self, index: usize, piece: Piece) -> Choice {
        let prompt = &self.prompts[index / self.choices];
        let mut text = String::new();
        let mut logprobs = CompletionLogprobs::default();
        let mut prompt_logprobs = None;
        let (mut offset, told_prompt) = self.told[index];
        if !told_prompt {
            if self.echo {
                text = String::from_utf8_lossy(&self.model.tokenizer.decode(prompt, false)).into_owned();
            }
            if self.echo_logprobs {
                let beside = std::iter::once(None).chain(piece.prompt_logprobs.iter().map(Some));
                for (&id, beside) in prompt.iter().zip(beside) {
                    logprobs.push(id, beside, offset, &self.model);
                    offset += characters(&self.model, id);
                }
            }
            if self.wants_prompt_logprobs {
                prompt_logprobs = Some(by_token(prompt, &piece.prompt_logprobs));
            }
            offset = text.chars().count();
        }
        for token in piece.tokens.iter().filter(|_| self.wants_logprobs) {
            logprobs.push(token.id, token.logprobs.as_ref(), offset, &self.model);
            offset += characters(&self.model, token.id);
        }
        text.push_str(&piece.text);
        self.told[index] = (offset, true);
        Choice {
            index,
            text,
            token_ids: self.wants_token_ids.then(|| piece.tokens.iter().map(|token| token.id).collect()),
            logprobs: self.wants_logprobs.then_some(logprobs),
            finish_reason: None,
            stop_reason: None,
            repetition: None,
            prompt_logprobs,
        }
    }

    fn ended(&mut self, choice: usize, ending: &Ending) {
        self.totals.add(choice, self.choices, ending);
        if let (0, Some(origin)) = (choice, &self.doctor) {
            let cache = cache_doctor::report(&self.model, &self.prompts[0], ending.cache, origin);
            self.debug = Some(DebugReport { cache });
        }
    }

    fn chunk(&self, choices: Vec<Choice>) -> Completion {
        Completion {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.name.clone(),
            system_fingerprint: self.fingerprint.clone(),
            choices,
            usage: None,
            timings: None,
            debug: None,
        }
    }
}

impl Render for Renderer {
    fn begin(&mut self, out: &mut Frames) {
        // Nothing is certain yet but the prompt, which comes with its first piece. The headers are out all the same.
        out.comment();
    }

    fn event(&mut self, event: Event, out: &mut Frames) {
        let mut timings = None;
        let choice = match event {
            Event::Piece { choice, piece } => {
                let choice = self.choice(choice, piece);
                let no_logprobs = choice.logprobs.as_ref().is_none_or(CompletionLogprobs::is_empty);
                let no_token_ids = choice.token_ids.as_ref().is_none_or(Vec::is_empty);
                if choice.text.is_empty() && no_logprobs && no_token_ids {
                    return;
                }
                choice
            }
            Event::End { choice, ending } => {
                self.ended(choice, &ending);
                timings = Some(Timings::of(&Totals::of(&ending)));
                let mut last = self.choice(choice, Piece::default());
                (last.logprobs, last.token_ids) = (None, None);
                last.finish_reason = Some(finish_reason(ending.reason));
                last.stop_reason = StopReason::of(&ending);
                last.repetition = Repetition::of(&ending);
                last
            }
            Event::Failed(_) => return,
        };
        out.json(&Completion { timings, ..self.chunk(vec![choice]) });
    }

    fn end(&mut self, out: &mut Frames) {
        if self.include_usage {
            out.json(&Completion {
                usage: Some(Usage::of(&self.totals)),
                timings: Some(Timings::of(&self.totals)),
                debug: self.debug.take(),
                ..self.chunk(Vec::new())
            });
        }
        out.text("[DONE]");
    }

    fn failed(&mut self, error: &ApiError, out: &mut Frames) {
        openai_failed(error, out);
    }
}

/// Characters that a token adds to the text, as far as one token can tell.
fn characters(model: &ServedModel, id: TokenId) -> usize {
    if model.tokenizer.is_special(id) {
        return 0;
    }
    String::from_utf8_lossy(model.tokenizer.piece(id).unwrap_or_default()).chars().count()
}

/// For each token of a prompt, from token ids to log-probabilities: its own and the alternatives'.
fn by_token(prompt: &[TokenId], logprobs: &[TokenLogprobs]) -> Vec<Option<Map<String, Value>>> {
    let beside = |(&id, logprobs): (&TokenId, &TokenLogprobs)| {
        let mut map = Map::new();
        map.insert(id.to_string(), logprobs.logprob.into());
        for (id, logprob) in &logprobs.top {
            map.insert(id.to_string(), (*logprob).into());
        }
        Some(map)
    };
    std::iter::once(None).chain(prompt.iter().skip(1).zip(logprobs).map(beside)).collect()
}
