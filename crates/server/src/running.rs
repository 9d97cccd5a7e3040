//! A job under way: the engine's tokens become text, choice by choice.
//!
//! [`Running`] is polled by whoever answers the client; dropping it cancels what is left in the engine. Text is given
//! out as soon as it is certain: the beginning of a character and what may become a stop string are held back, and the
//! tokens beside it wait with their text, so that neither says what the other doesn't.
//!
//! The engine may take back tokens of an answer that repeats itself. What that means for text which was given out is said
//! in the next piece: an answer that is told at once leaves it out, a stream has sent it already and goes on behind it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use engine::engine::Generation;
use engine::request::{CacheReport, Chunk, FinishReason, Finished, Repetition, TokenId, TokenLogprobs};
use text::decoder::StreamDecoder;
use text::stop::StopStrings;

use crate::error::ApiError;
use crate::job::Job;
use crate::metrics::meter::{Meter, Pace};
use crate::model::ServedModel;
use crate::speech::{CallPiece, Speaker};

/// What happens to a job. Choices are numbered prompt by prompt.
#[derive(Debug)]
pub(crate) enum Event {
    /// An answer goes on.
    Piece { choice: usize, piece: Piece },
    /// An answer has ended. Each does exactly once, unless the job fails.
    End { choice: usize, ending: Ending },
    /// The engine could not go on with an answer; nothing follows.
    Failed(ApiError),
}

/// More of an answer.
#[derive(Debug, Default, Clone)]
pub(crate) struct Piece {
    /// What is taken back of what was given out before.
    pub(crate) taken_back: TakenBack,
    /// Whether all of it is taken back, and this is what remains.
    pub(crate) again: bool,
    /// What is said to the user.
    pub(crate) text: String,
    /// What the model thinks aloud.
    pub(crate) reasoning: String,
    /// What it wants to call. A piece of a running answer has either these or one of the texts.
    pub(crate) calls: Vec<CallPiece>,
    /// The tokens whose text has come out, with what was asked for beside them.
    pub(crate) tokens: Vec<Token>,
    /// For each prompt token but the first, if asked for; in the first piece only.
    pub(crate) prompt_logprobs: Vec<TokenLogprobs>,
}

/// The end of what was given out of an answer, which is taken back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TakenBack {
    pub(crate) text_bytes: usize,
    pub(crate) tokens: usize,
}

/// A token of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) id: TokenId,
    pub(crate) logprobs: Option<TokenLogprobs>,
}

/// How an answer ended.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) reason: Finish,
    /// The stop string or stop token that was found, if it was one that the request named.
    pub(crate) stopped_by: Option<StoppedBy>,
    pub(crate) usage: Usage,
    pub(crate) timings: Timings,
    pub(crate) cache: CacheReport,
    /// That it repeated itself, and what became of it.
    pub(crate) repetition: Option<Repetition>,
}

/// Why an answer ended, as clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    /// It repeated itself.
    Repetition,
    /// By itself, with a call for the client to run.
    ToolCalls,
}

/// What a request named and the answer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoppedBy {
    Text(String),
    Token(TokenId),
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: usize,
    pub(crate) cached_tokens: usize,
    pub(crate) completion_tokens: usize,
    /// Those of them that were thought.
    pub(crate) reasoning_tokens: usize,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Timings {
    pub(crate) queue: Duration,
    pub(crate) prompt: Duration,
    pub(crate) generation: Duration,
}

/// A job whose requests the engine has.
pub(crate) struct Running {
    pub(crate) model: Arc<ServedModel>,
    choices: Vec<Choice>,
    /// Which choice is asked first, so that none is always last.
    next: usize,
    ready: VecDeque<Event>,
    meter: Meter,
}

/// One answer.
struct Choice {
    /// None once it has ended.
    generation: Option<Generation>,
    decoder: StreamDecoder,
    stops: StopStrings,
    show_specials: bool,
    /// What takes the text apart; none if it stays as it is.
    speaker: Option<Speaker>,
    /// Stop tokens that the request named.
    named_stops: Arc<[TokenId]>,
    /// The field that the answer's form came from.
    form_field: Option<Arc<str>>,
    /// The stop strings before the answer began, to go through it again.
    stops_at_first: StopStrings,
    /// The answer so far.
    taken: Vec<Token>,
    /// Bytes of text that came from tokens, and bytes that were given out.
    decoded: usize,
    shown: usize,
    /// Tokens whose text waits, each with the place where it begins.
    waiting: VecDeque<(usize, Token)>,
    /// The stop string that was found: the engine has been told to stop, and its last word is waited for.
    stop: Option<String>,
    pace: Pace,
}

impl Piece {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
            && self.tokens.is_empty()
            && self.prompt_logprobs.is_empty()
            && self.taken_back == TakenBack::default()
    }
}

impl Running {
    /// Hands a job to the engine.
    pub(crate) fn start(job: &Job) -> Result<Running, ApiError> {
        let generations = job.model.submit(job.requests()?, job.prompt_field)?;
        let prompt_tokens = job.prompts.iter().map(Vec::len).sum();
        let meter = Meter::new(job.exchange.as_ref(), &job.model.name, generations.len(), prompt_tokens);
        let named_stops: Arc<[TokenId]> = job.stop_tokens[job.model_stops..].into();
        let stops =
            StopStrings::new(&job.stop_strings).expect("they were checked when the request was lowered");
        let choices = generations.into_iter().enumerate().map(|(index, generation)| Choice {
            generation: Some(generation),
            named_stops: Arc::clone(&named_stops),
            form_field: job.form_field.clone(),
            decoder: StreamDecoder::new(),
            stops: stops.clone(),
            stops_at_first: stops.clone(),
            show_specials: job.show_specials,
            taken: Vec::new(),
            speaker: job.speech.as_ref().map(|speech| Speaker::new(speech, index)),
            decoded: 0,
            shown: 0,
            waiting: VecDeque::new(),
            stop: None,
            pace: Pace::new(job.prompts[index / job.choices].len(), index % job.choices == 0),
        });
        Ok(Running {
            choices: choices.collect(),
            model: Arc::clone(&job.model),
            next: 0,
            ready: VecDeque::new(),
            meter,
        })
    }

    /// How many answers there are.
    pub(crate) fn choices(&self) -> usize {
        self.choices.len()
    }

    /// What happens next; none when every answer has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same for a task that waits for other things too.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if matches!(event, Event::Failed(_)) {
                    // The others' memory is free before the client reads of it.
                    self.choices.clear();
                    self.ready.clear();
                }
                return Poll::Ready(Some(event));
            }
            if self.choices.iter().all(|choice| choice.generation.is_none()) {
                return Poll::Ready(None);
            }
            if !self.take_chunk(context) {
                return Poll::Pending;
            }
        }
    }

    /// Takes the next chunk of any choice; false if none has one.
    fn take_chunk(&mut self, context: &mut Context<'_>) -> bool {
        let count = self.choices.len();
        for offset in 0..count {
            let index = (self.next + offset) % count;
            let choice = &mut self.choices[index];
            let Some(generation) = &mut choice.generation else { continue };
            let Poll::Ready(chunk) = generation.poll_next(context) else { continue };
            self.next = (index + 1) % count;
            let chunk = chunk.expect("a choice is polled up to its last chunk");
            self.meter.chunk(&mut choice.pace, &chunk, choice.stop.is_some());
            choice.take(index, chunk, &self.model, &mut self.ready);
            return true;
        }
        false
    }
}

impl Choice {
    fn take(&mut self, choice: usize, mut chunk: Chunk, model: &ServedModel, ready: &mut VecDeque<Event>) {
        let mut piece =
            Piece { prompt_logprobs: std::mem::take(&mut chunk.prompt_logprobs), ..Piece::default() };
        if chunk.rewind > 0 && self.stop.is_none() {
            match self.speaker.is_some() {
                true => {
                    let piece = self.read_again(chunk.rewind, model);
                    ready.push_back(Event::Piece { choice, piece });
                }
                false => piece.taken_back = self.take_back(chunk.rewind, model),
            }
        }
        let mut read = Vec::new();
        let mut logprobs = std::mem::take(&mut chunk.logprobs).into_iter();
        for &id in &chunk.tokens {
            if self.stop.is_none() {
                let token = Token { id, logprobs: logprobs.next() };
                self.taken.push(token.clone());
                self.take_token(token, model, &mut piece);
                // Token by token, so that it is known which of them were thought.
                self.read(&mut piece, &mut read);
            }
        }
        let ended = chunk.finished.as_ref().map(|finished| &finished.reason);
        let ends =
            matches!(ended, Some(FinishReason::Stop | FinishReason::Length | FinishReason::Repetition));
        if ends && self.stop.is_none() {
            let rest = std::mem::take(&mut self.decoder).finish();
            self.show(&rest, &mut piece);
            if self.stop.is_none() {
                self.flush(&mut piece);
            }
        }
        self.read(&mut piece, &mut read);
        if let Some(speaker) = self.speaker.as_mut().filter(|_| ends || self.stop.is_some()) {
            speaker.finish(&mut read);
        }
        if !piece.is_empty() {
            ready.push_back(Event::Piece { choice, piece });
        }
        ready.extend(read.into_iter().map(|piece| Event::Piece { choice, piece }));
        if let Some(finished) = chunk.finished {
            self.generation = None;
            ready.push_back(self.ended(choice, finished));
        } else if self.stop.is_some()
            && let Some(generation) = &self.generation
        {
            generation.cancel();
        }
    }

    /// Takes tokens of the answer back, by going through those that are kept again.
    fn take_back(&mut self, tokens: usize, model: &ServedModel) -> TakenBack {
        let (shown, given) = (self.shown, self.taken.len() - self.waiting.len());
        let mut again = Piece::default();
        for token in self.begin_again(tokens) {
            self.take_token(token, model, &mut again);
        }
        // As much is out as there was, or less: what was certain once is so again.
        TakenBack {
            text_bytes: shown.saturating_sub(self.shown),
            tokens: given.saturating_sub(again.tokens.len()),
        }
    }

    /// The same for an answer that is taken apart: what remains of it, all of it.
    fn read_again(&mut self, tokens: usize, model: &ServedModel) -> Piece {
        let kept = self.begin_again(tokens);
        if let Some(speaker) = &mut self.speaker {
            speaker.begin_again();
        }
        let (mut piece, mut read) = (Piece::default(), Vec::new());
        for token in kept {
            self.take_token(token, model, &mut piece);
            self.read(&mut piece, &mut read);
        }
        if let Some(speaker) = &mut self.speaker {
            speaker.goes_on();
        }
        let mut whole = Piece { again: true, ..Piece::default() };
        read.into_iter().for_each(|piece| whole.add(piece));
        whole
    }

    /// Goes back to before the first token. Those that are kept are to be taken again.
    fn begin_again(&mut self, tokens: usize) -> Vec<Token> {
        self.decoder = StreamDecoder::new();
        self.stops = self.stops_at_first.clone();
        (self.decoded, self.shown) = (0, 0);
        self.waiting.clear();
        let mut kept = std::mem::take(&mut self.taken);
        kept.truncate(kept.len().saturating_sub(tokens));
        self.taken.clone_from(&kept);
        kept
    }

    /// Takes apart what has come out, if that is wanted.
    fn read(&mut self, piece: &mut Piece, read: &mut Vec<Piece>) {
        if let Some(speaker) = &mut self.speaker {
            speaker.read(piece, read);
        }
    }

    fn take_token(&mut self, token: Token, model: &ServedModel, piece: &mut Piece) {
        let tokenizer = &model.tokenizer;
        // A special token stands for no text of its own; where it is shown, its name is.
        let name = tokenizer.is_special(token.id).then(|| tokenizer.token_text(token.id)).flatten();
        let bytes = match (self.speaker.as_ref().and_then(|speaker| speaker.marker(token.id)), &name) {
            (Some(marker), _) => marker.as_bytes(),
            (None, Some(name)) if self.show_specials => name.as_bytes(),
            (None, Some(_)) => &[],
            (None, None) => tokenizer.piece(token.id).unwrap_or_default(),
        };
        self.waiting.push_back((self.decoded, token));
        let text = self.decoder.push(bytes);
        self.show(&text, piece);
    }

    /// Adds text, and the tokens that it lets out, to a piece, up to a stop string.
    fn show(&mut self, text: &str, piece: &mut Piece) {
        self.decoded += text.len();
        let (text, stop) = self.stops.push(text);
        self.stop = stop.map(str::to_owned);
        self.shown += text.len();
        piece.text.push_str(&text);
        while let Some((begin, _)) = self.waiting.front() {
            // A token without text of its own belongs to what came before it.
            let nothing_waits = self.shown == self.decoded && self.stop.is_none();
            if *begin >= self.shown && !nothing_waits {
                break;
            }
            piece.tokens.extend(self.waiting.pop_front().map(|(_, token)| token));
        }
    }

    /// The end of an answer without a stop string: nothing is held back any more.
    fn flush(&mut self, piece: &mut Piece) {
        let stops = std::mem::replace(&mut self.stops, StopStrings::new(&[]).expect("none are few"));
        piece.text.push_str(&stops.finish());
        piece.tokens.extend(self.waiting.drain(..).map(|(_, token)| token));
    }

    /// The engine's last word on the answer.
    fn ended(&mut self, choice: usize, finished: Finished) -> Event {
        let stop = self.stop.take();
        let reason = match finished.reason {
            _ if stop.is_some() => Finish::Stop,
            FinishReason::Stop if self.speaker.as_ref().is_some_and(|speaker| speaker.calls > 0) => {
                Finish::ToolCalls
            }
            FinishReason::Stop => Finish::Stop,
            FinishReason::Length => Finish::Length,
            // It is the beginning of what has its form, as at a limit.
            FinishReason::Repetition if self.form_field.is_some() => Finish::Length,
            FinishReason::Repetition => Finish::Repetition,
            FinishReason::Cancelled => return Event::Failed(shutting_down()),
            FinishReason::TimedOut => return Event::Failed(timed_out()),
            FinishReason::Impossible(why) => {
                return Event::Failed(impossible(why, self.form_field.as_deref()));
            }
            FinishReason::Error(why) => return Event::Failed(ApiError::internal(why)),
        };
        // After a stop string the engine may have been a token ahead.
        let completion_tokens = if stop.is_some() { self.taken.len() } else { finished.completion_tokens };
        let usage = Usage {
            prompt_tokens: finished.prompt_tokens,
            cached_tokens: finished.cache.cached_tokens,
            completion_tokens,
            reasoning_tokens: self.speaker.as_ref().map_or(0, |speaker| speaker.reasoning_tokens),
        };
        let timings =
            Timings { queue: finished.queued, prompt: finished.prompt, generation: finished.generation };
        let named = finished.stop_token.filter(|token| self.named_stops.contains(token));
        let stopped_by = stop.map(StoppedBy::Text).or(named.map(StoppedBy::Token));
        let (cache, repetition) = (finished.cache, finished.repetition);
        Event::End { choice, ending: Ending { reason, stopped_by, usage, timings, cache, repetition } }
    }
}

/// The request left nothing that could come next. What came before it may have been sent already.
fn impossible(why: String, form_field: Option<&str>) -> ApiError {
    match form_field {
        _ if why.starts_with("banned_strings") => ApiError::field("banned_strings", why),
        Some(field) => ApiError::field(field, format!("{field}: {why}")).with_code("grammar_too_complex"),
        None => ApiError::field("logit_bias", why),
    }
}

/// The engine ended what it ran.
pub(crate) fn shutting_down() -> ApiError {
    ApiError::unavailable("shutting_down", "the server is shutting down", Duration::from_secs(5))
}

/// The answer did not come in the time that it had.
pub(crate) fn timed_out() -> ApiError {
    ApiError::new(
        axum::http::StatusCode::REQUEST_TIMEOUT,
        "timeout_error",
        "the answer did not come in the time that this request has; ask for fewer tokens or allow more time",
    )
    .with_code("deadline_exceeded")
}
