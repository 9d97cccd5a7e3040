//! One request and what is measured of it. Times are taken when bytes arrive, before anything is made of them.

use std::io::Read;
use std::time::Instant;

use ureq::Body;
use ureq::http::{HeaderMap, Response, header};

use super::client::{self, ANSWER_BYTES_MAX, Client};
use super::fault::{Fault, Kind};
use super::requests::Request;
use super::sse::{Event, Parser};
use super::wire::{self, Chunk, Part, Usage};

const READ_BYTES: usize = 16 << 10;

/// Seconds since a run began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    /// Begins now.
    pub(super) fn start() -> Self {
        Clock(Instant::now())
    }

    /// The seconds.
    pub(super) fn now(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// What became of a request. Times are seconds since the run began, and durations count from when it was due.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) due: f64,
    pub(super) sent: f64,
    pub(super) end: f64,
    pub(super) outcome: Result<(), Fault>,
    /// Until the headers of the answer.
    pub(super) first_byte: Option<f32>,
    /// Until the first token; none for an answer that is no stream.
    pub(super) first_token: Option<f32>,
    /// Between one chunk with tokens and the next.
    pub(super) gaps: Box<[f32]>,
    pub(super) prompt_tokens: Option<u32>,
    pub(super) cached_tokens: Option<u32>,
    /// As the server counts them, else chunks.
    pub(super) output_tokens: u32,
    /// The server counts fewer than were asked for.
    pub(super) is_short: bool,
    /// Seconds that the server asks to wait for.
    pub(super) retry_after: Option<f32>,
    pub(super) finish_reason: Option<String>,
    /// The answer, if it is to be kept.
    pub(super) text: Option<String>,
    pub(super) token_ids: Option<Vec<u32>>,
}

/// Sends a request, reads its answer to the end and says what became of it.
pub(super) fn ask(client: &Client<'_>, request: &Request, due: Option<f64>, clock: Clock) -> Record {
    let sent = clock.now();
    let mut answer = Answer::default();
    let outcome = match client.post(request.path, &request.body) {
        Ok(response) => {
            answer.first_byte = Some(clock.now());
            answer.retry_after = retry_after(response.headers());
            if request.is_stream { answer.stream(response, clock) } else { answer.whole(response) }
        }
        Err(fault) => Err(fault),
    };
    let end = answer.done.unwrap_or_else(|| clock.now());
    let due = due.unwrap_or(sent);
    let since_due = |time: f64| (time - due) as f32;
    let counted = answer.usage.and_then(|usage| usage.completion_tokens);
    Record {
        number: request.number,
        due,
        sent,
        end,
        outcome,
        first_byte: answer.first_byte.map(since_due),
        first_token: answer.first_token.map(since_due),
        gaps: answer.gaps.into_boxed_slice(),
        prompt_tokens: answer.usage.and_then(|usage| usage.prompt_tokens),
        cached_tokens: answer.cached_tokens,
        output_tokens: counted.unwrap_or(answer.chunks),
        is_short: counted.is_some_and(|tokens| tokens < request.max_tokens),
        retry_after: answer.retry_after,
        finish_reason: answer.finish_reason,
        text: request.is_kept.then_some(answer.text),
        token_ids: (request.is_kept && !answer.token_ids.is_empty()).then_some(answer.token_ids),
    }
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
struct Answer {
    first_byte: Option<f64>,
    retry_after: Option<f32>,
    first_token: Option<f64>,
    last_token: f64,
    gaps: Vec<f32>,
    chunks: u32,
    usage: Option<Usage>,
    cached_tokens: Option<u32>,
    finish_reason: Option<String>,
    text: String,
    token_ids: Vec<u32>,
    /// When the stream said that it is complete.
    done: Option<f64>,
    told: Option<Fault>,
}

impl Answer {
    fn stream(&mut self, response: Response<Body>, clock: Clock) -> Result<(), Fault> {
        if response.status() != 200 {
            return Err(client::refusal(response));
        }
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")) {
            let kind = kind.unwrap_or("of no type");
            return Err(Fault::new(Kind::Unreadable, format!("the answer is {kind}, not text/event-stream")));
        }
        let mut reader = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).reader();
        let mut parser = Parser::default();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                // What comes behind the end of the stream is the connection's business.
                Err(_) if self.done.is_some() => break,
                Err(error) => return Err(Fault::of_reading(&error)),
            };
            let now = clock.now();
            let parsed = parser.push(&buffer[..read], |event| self.event(&event, now));
            parsed.map_err(|_| Fault::new(Kind::Unreadable, "an event of the stream has no end"))?;
        }
        match self.told.take() {
            Some(fault) => Err(fault),
            None if self.done.is_none() && self.finish_reason.is_none() => {
                Err(Fault::new(Kind::Broken, "the stream ends without a finish_reason"))
            }
            None => Ok(()),
        }
    }

    fn whole(&mut self, response: Response<Body>) -> Result<(), Fault> {
        let body = client::whole(response)?;
        let chunk: Chunk = serde_json::from_slice(&body)
            .map_err(|e| Fault::new(Kind::Unreadable, format!("the answer is no JSON: {e}")))?;
        if let Some(error) = &chunk.error {
            return Err(Fault::new(Kind::Told, wire::error_message(error)));
        }
        self.add(chunk.part());
        match self.finish_reason {
            Some(_) => Ok(()),
            None => Err(Fault::new(Kind::Unreadable, "the answer has no choice with a finish_reason")),
        }
    }

    /// Takes an event that arrived at this time.
    fn event(&mut self, event: &Event, now: f64) {
        if event.data == b"[DONE]" {
            self.done.get_or_insert(now);
            return;
        }
        if event.name == "error" {
            self.tell(Fault::new(Kind::Told, wire::error_text(&event.data)));
            return;
        }
        let chunk: Chunk = match serde_json::from_slice(&event.data) {
            Ok(chunk) => chunk,
            Err(error) => {
                let data = String::from_utf8_lossy(&event.data);
                self.tell(Fault::new(
                    Kind::Unreadable,
                    format!("an event is not as expected: {error}: {data}"),
                ));
                return;
            }
        };
        if let Some(error) = &chunk.error {
            self.tell(Fault::new(Kind::Told, wire::error_message(error)));
            return;
        }
        let part = chunk.part();
        if !part.text.is_empty() || !part.token_ids.is_empty() {
            match self.first_token {
                None => self.first_token = Some(now),
                Some(_) => self.gaps.push((now - self.last_token) as f32),
            }
            self.last_token = now;
        }
        self.add(part);
    }

    fn add(&mut self, part: Part) {
        self.chunks += u32::from(!part.text.is_empty() || !part.token_ids.is_empty());
        self.text.push_str(&part.text);
        self.token_ids.extend(part.token_ids);
        self.finish_reason = part.finish_reason.or(self.finish_reason.take());
        self.usage = part.usage.or(self.usage);
        self.cached_tokens = part.cached_tokens.or(self.cached_tokens);
    }

    /// The first fault is the one that counts.
    fn tell(&mut self, fault: Fault) {
        self.told.get_or_insert(fault);
    }
}

/// The seconds of Retry-After; a date is not read, since no server of models sends one.
fn retry_after(headers: &HeaderMap) -> Option<f32> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().filter(|seconds: &f32| seconds.is_finite() && *seconds >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(events: &[(&str, f64)]) -> Answer {
        let mut answer = Answer::default();
        for (data, now) in events {
            answer.event(&Event { name: String::new(), data: data.as_bytes().to_vec() }, *now);
        }
        answer
    }

    #[test]
    fn only_chunks_with_tokens_have_times() {
        let answer = answer(&[
            (r#"{"choices": [{"delta": {"role": "assistant", "content": ""}}]}"#, 1.0),
            (r#"{"choices": [{"delta": {"content": "a"}}]}"#, 2.0),
            (r#"{"choices": [{"delta": {"content": "b"}}]}"#, 2.5),
            (r#"{"choices": [{"delta": {"content": "c"}}]}"#, 3.5),
            (r#"{"choices": [{"delta": {}, "finish_reason": "length"}]}"#, 4.0),
            (r#"{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 4}}"#, 4.5),
            ("[DONE]", 5.0),
        ]);
        assert_eq!((answer.first_token, &answer.gaps[..]), (Some(2.0), &[0.5, 1.0][..]));
        assert_eq!((answer.done, answer.text.as_str(), answer.chunks), (Some(5.0), "abc", 3));
        assert_eq!(answer.finish_reason.as_deref(), Some("length"));
        assert_eq!(answer.usage.and_then(|usage| usage.completion_tokens), Some(4));
    }

    #[test]
    fn the_first_fault_in_a_stream_is_kept() {
        let answer =
            answer(&[("nonsense", 1.0), (r#"{"error": {"message": "late"}}"#, 2.0), ("[DONE]", 3.0)]);
        assert_eq!(answer.told.map(|fault| fault.kind), Some(Kind::Unreadable));
    }

    #[test]
    fn retry_after_is_a_number_of_seconds() {
        for (value, expect) in
            [("3", Some(3.0)), (" 0.5", Some(0.5)), ("-1", None), ("soon", None), ("inf", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().expect("a value"));
            assert_eq!(retry_after(&headers), expect, "{value}");
        }
    }
}
