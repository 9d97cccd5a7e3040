//! Answers as streams: server-sent events, and lines of JSON for Ollama's clients.
//!
//! A [`Render`] turns events into frames of its API; here they are sent as they come. The first frames go out before the
//! prompt is computed, and a quiet stream says that it is alive from a clock of its own.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::error::{ApiError, Dialect};
use crate::running::{Event, Running};

/// An API's way of telling an answer piece by piece.
pub(crate) trait Render: Send + 'static {
    /// What comes before the first token.
    fn begin(&mut self, out: &mut Frames);

    /// What an event brings. `Event::Failed` never comes here.
    fn event(&mut self, event: Event, out: &mut Frames);

    /// What comes after the last answer has ended.
    fn end(&mut self, out: &mut Frames);

    /// The error that ends a stream, which has begun with status 200.
    fn failed(&mut self, error: &ApiError, out: &mut Frames);
}

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `data: …` and an empty line, with comments to keep the stream alive.
    ServerSentEvents,
    /// A line each. A blank before one, which keeps the stream alive, is nothing to a reader of JSON; an empty line would
    /// be an error to those who read line by line.
    Lines,
}

impl Framing {
    /// What can stand between two frames and says nothing.
    pub(crate) fn comment(self) -> &'static [u8] {
        match self {
            Framing::ServerSentEvents => b": ping\n\n",
            // Not a line of its own: readers take each line for an object.
            Framing::Lines => b" ",
        }
    }
}

/// Frames that wait to be sent, as bytes.
#[derive(Debug)]
pub(crate) struct Frames {
    framing: Framing,
    bytes: Vec<u8>,
}

impl Frames {
    pub(crate) fn new(framing: Framing) -> Self {
        Frames { framing, bytes: Vec::new() }
    }

    /// Adds a frame of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        if self.framing == Framing::ServerSentEvents {
            self.bytes.extend_from_slice(b"data: ");
        }
        serde_json::to_writer(&mut self.bytes, value)
            .expect("wire types have string keys and write to memory");
        self.end_frame();
    }

    /// Adds a frame of JSON with the event's name before it.
    pub(crate) fn named(&mut self, event: &str, value: &impl Serialize) {
        self.bytes.extend_from_slice(b"event: ");
        self.bytes.extend_from_slice(event.as_bytes());
        self.bytes.push(b'\n');
        self.json(value);
    }

    /// Adds a frame that is no JSON.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(b"data: ");
        self.bytes.extend_from_slice(text.as_bytes());
        self.end_frame();
    }

    /// Adds what clients skip, so that there is something to send.
    pub(crate) fn comment(&mut self) {
        self.keep_alive();
    }

    fn end_frame(&mut self) {
        self.bytes.extend_from_slice(if self.framing == Framing::ServerSentEvents { b"\n\n" } else { b"\n" });
    }

    fn keep_alive(&mut self) {
        self.bytes.extend_from_slice(self.framing.comment());
    }

    fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.bytes))
    }
}

/// The error frame of the OpenAI style: an object with `error`, and no `[DONE]` after it.
pub(crate) fn openai_failed(error: &ApiError, out: &mut Frames) {
    out.json(&error.body(Dialect::OpenAi));
}

/// An error as the last frame of a stream, for those who know no more of the stream than this.
pub(crate) fn error_frame(error: &ApiError, framing: Framing, dialect: Dialect) -> Bytes {
    let mut frames = Frames::new(framing);
    match dialect {
        Dialect::Anthropic => frames.named("error", &error.body(dialect)),
        Dialect::OpenAi | Dialect::Ollama => frames.json(&error.body(dialect)),
    }
    frames.take()
}

/// The response that tells a running job as it goes on. Dropping its body cancels the job.
pub(crate) fn response(
    running: Running,
    render: impl Render,
    framing: Framing,
    keep_alive: Duration,
) -> Response<Body> {
    let state = State { running, render, frames: Frames::new(framing), keep_alive, stage: Stage::Begin };
    let frames = futures_util::stream::unfold(state, |mut state| async move {
        let bytes = state.next_bytes().await?;
        Some((Ok::<_, Infallible>(bytes), state))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let kind = match framing {
        Framing::ServerSentEvents => "text/event-stream",
        Framing::Lines => "application/x-ndjson",
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that buffer would hold tokens back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

struct State<R> {
    running: Running,
    render: R,
    frames: Frames,
    keep_alive: Duration,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Begin,
    Running,
    Ended,
}

impl<R: Render> State<R> {
    /// The next bytes to send; none after the last.
    async fn next_bytes(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Begin => {
                self.stage = Stage::Running;
                self.render.begin(&mut self.frames);
                if !self.frames.bytes.is_empty() {
                    return Some(self.frames.take());
                }
            }
            Stage::Running => {}
            Stage::Ended => return None,
        }
        let mut alive_at = Instant::now() + self.keep_alive;
        loop {
            tokio::select! {
                biased;
                event = self.running.next() => self.take(event),
                () = sleep_until(alive_at) => {
                    self.frames.keep_alive();
                    alive_at += self.keep_alive;
                }
            }
            if !self.frames.bytes.is_empty() {
                return Some(self.frames.take());
            }
            if self.stage == Stage::Ended {
                return None;
            }
        }
    }

    fn take(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Failed(error)) => {
                self.render.failed(&error, &mut self.frames);
                self.stage = Stage::Ended;
            }
            // What was sent can't be taken back: the stream goes on behind it.
            Some(Event::Piece { piece, .. }) if piece.again => {}
            Some(event) => self.render.event(event, &mut self.frames),
            None => {
                self.render.end(&mut self.frames);
                self.stage = Stage::Ended;
            }
        }
    }
}
