//! One request and its answer, as the log and the metrics tell of it. What was asked and answered is not told.
//!
//! The line is written when the last byte of the answer has been handed on, or when the client has gone before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use axum::middleware::Next;
use hyper::body::{Frame, SizeHint};

use crate::anthropic;
use crate::connection::Link;
use crate::error::{ApiError, Dialect};
use crate::front::ActiveGuard;
use crate::keys::{Holder, Permit};
use crate::metrics::Metrics;
use crate::openai::new_id;
use crate::running::{Timings, Usage};
use crate::state::App;
use crate::stream::{self, Framing};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of an id that a client may give its request.
const ID_CHARS_MAX: usize = 128;

/// A request under way, and what is known of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    id: String,
    method: Method,
    /// The path of the route, not that of the request: it has no names in it.
    route: String,
    pub(crate) started: Instant,
    pub(crate) metrics: Arc<Metrics>,
    holder: OnceLock<Arc<Holder>>,
    permit: OnceLock<Permit>,
    progress: Mutex<Progress>,
}

/// How far it has come.
#[derive(Debug, Default)]
struct Progress {
    status: Option<StatusCode>,
    model: Option<String>,
    usage: Usage,
    timings: Timings,
    /// Of the last of its answers to end.
    finish: Option<&'static str>,
    /// What became of the last one that repeated itself.
    repetition: Option<&'static str>,
    cancelled: bool,
}

impl Exchange {
    fn new(request: &Request, metrics: Arc<Metrics>) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
        Exchange::begun(id_of(request), request.method().clone(), route, metrics)
    }

    /// A line of a batch, which came over no connection.
    pub(crate) fn of_a_batch(route: &str, metrics: Arc<Metrics>) -> Self {
        Exchange::begun(String::new(), Method::POST, route, metrics)
    }

    fn begun(id: String, method: Method, route: &str, metrics: Arc<Metrics>) -> Self {
        Exchange {
            id,
            method,
            route: route.to_owned(),
            started: Instant::now(),
            metrics,
            holder: OnceLock::new(),
            permit: OnceLock::new(),
            progress: Mutex::default(),
        }
    }

    /// Says whose it is.
    pub(crate) fn is_of(&self, holder: Arc<Holder>) {
        let _ = self.holder.set(holder);
    }

    /// Keeps a holder's leave until the end.
    pub(crate) fn keep(&self, permit: Permit) {
        let _ = self.permit.set(permit);
    }

    /// The engine has it: so many tokens of prompts.
    pub(crate) fn submitted(&self, model: &str, prompt_tokens: usize) {
        let mut progress = self.progress();
        progress.model = Some(model.to_owned());
        progress.usage.prompt_tokens += prompt_tokens;
        drop(progress);
        self.charge(prompt_tokens);
    }

    /// Tokens of an answer have come.
    pub(crate) fn generated(&self, tokens: usize) {
        self.progress().usage.completion_tokens += tokens;
        self.charge(tokens);
    }

    /// An answer has ended.
    pub(crate) fn finished(&self, reason: &'static str, cached_tokens: usize, timings: Timings) {
        let mut progress = self.progress();
        progress.finish = Some(reason);
        progress.usage.cached_tokens += cached_tokens;
        let longest = &mut progress.timings;
        longest.queue = longest.queue.max(timings.queue);
        longest.prompt = longest.prompt.max(timings.prompt);
        longest.generation = longest.generation.max(timings.generation);
    }

    /// An answer has repeated itself.
    pub(crate) fn repeated(&self, outcome: &'static str) {
        self.progress().repetition = Some(outcome);
    }

    /// Nobody waits for its answers any more.
    pub(crate) fn cancelled(&self) {
        self.progress().cancelled = true;
    }

    fn charge(&self, tokens: usize) {
        if let Some(holder) = self.holder.get() {
            holder.charge(tokens as u64, Instant::now());
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line in the log, and the counts.
    fn note(&self) {
        let progress = self.progress();
        let status = progress.status.map_or(0, |status| status.as_u16());
        self.metrics.answered(&self.method, &self.route, status);
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        tracing::info!(
            target: "kun::request",
            id = self.id,
            method = %self.method,
            route = self.route,
            status,
            key = self.holder.get().map(|holder| holder.key.name.as_str()),
            model = progress.model,
            prompt_tokens = progress.usage.prompt_tokens,
            cached_tokens = progress.usage.cached_tokens,
            completion_tokens = progress.usage.completion_tokens,
            queue_ms = milliseconds(progress.timings.queue),
            prompt_ms = milliseconds(progress.timings.prompt),
            generation_ms = milliseconds(progress.timings.generation),
            total_ms = milliseconds(self.started.elapsed()),
            finish_reason = progress.finish,
            repetition = progress.repetition,
            // Without a status the client has gone before there was one.
            cancelled = progress.cancelled || progress.status.is_none(),
            "request"
        );
    }
}

/// The id that a client gave its request, if it can stand in a header and a log; else a new one.
fn id_of(request: &Request) -> String {
    let own = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let own =
        own.filter(|id| (1..=ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()));
    own.map(str::to_owned).or_else(|| new_id("req_").ok()).unwrap_or_else(|| "req_".to_owned())
}

/// The layer around everything.
pub(crate) async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response<Body> {
    // First counted, then asked: so a drain that begins meanwhile waits for it, or it is turned away.
    let guard = Some(app.front.active()).filter(|_| !app.front.is_draining());
    let link = request.extensions().get::<Link>().cloned();
    let dialect = Dialect::of(request.uri().path(), anthropic::is_asked(request.headers()));
    let exchange = Arc::new(Exchange::new(&request, Arc::clone(&app.front.metrics)));
    // Dropped with this future if the client goes away before there is an answer.
    let visit = Visit { exchange: Arc::clone(&exchange), link, guard };
    request.extensions_mut().insert(Arc::clone(&exchange));
    let mut response = next.run(request).await;
    exchange.progress().status = Some(response.status());
    if let Ok(id) = HeaderValue::from_str(&exchange.id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if app.front.is_draining() || leaves_a_body_unread(response.status()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let stream = framing_of(&response).map(|framing| (framing, dialect));
    if let Some(link) = &visit.link {
        link.respond(stream.is_some());
    }
    response.map(|body| Body::new(Told { body: Some(body), stream, visit }))
}

/// Whether what follows on the connection may still belong to the request.
fn leaves_a_body_unread(status: StatusCode) -> bool {
    matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
}

/// How an answer is framed that comes as it is made.
fn framing_of(response: &Response<Body>) -> Option<Framing> {
    match response.headers().get(CONTENT_TYPE)?.to_str().ok()? {
        "text/event-stream" => Some(Framing::ServerSentEvents),
        "application/x-ndjson" => Some(Framing::Lines),
        _ => None,
    }
}

/// What ends with a request.
#[derive(Debug)]
struct Visit {
    exchange: Arc<Exchange>,
    link: Option<Link>,
    guard: Option<ActiveGuard>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.exchange.note();
        if let Some(link) = &self.link {
            link.finish(self.guard.take());
        }
    }
}

/// The body of an answer. Its end, whichever way it comes, is the end of the exchange.
struct Told {
    /// Dropped before the visit ends, so that what it cancels is told.
    body: Option<Body>,
    /// How it is framed, if it is a stream, and whose words its errors have.
    stream: Option<(Framing, Dialect)>,
    visit: Visit,
}

impl Told {
    /// The last piece of an answer that a bug of ours has broken off.
    fn broken(&mut self) -> Result<Frame<Bytes>, axum::Error> {
        tracing::error!(id = self.visit.exchange.id, "an answer was broken off by a bug of this server");
        self.body = None;
        let error = ApiError::internal("the server failed to go on with this answer; it is a bug");
        match self.stream {
            Some((framing, dialect)) => Ok(Frame::data(stream::error_frame(&error, framing, dialect))),
            // A body of a known length can't say it, so the connection does.
            None => Err(axum::Error::new(std::io::Error::other(error.message))),
        }
    }
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        // What panicked is not looked at again.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx))) {
            Err(_) => Poll::Ready(Some(self.broken())),
            Ok(Poll::Pending) => match (self.stream, &self.visit.link) {
                (Some((framing, _)), Some(link)) if link.take_comment() => {
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(framing.comment())))))
                }
                _ => Poll::Pending,
            },
            Ok(ready) => ready,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_stream_ends_it_with_an_error() {
        let request = Request::builder().uri("/").body(Body::empty()).expect("a request");
        let pieces = stream::iter([1, 0]).map(|piece| match piece {
            0 => panic!("on purpose"),
            _ => Ok::<_, Infallible>(Bytes::from_static(b"data: 1\n\n")),
        });
        let told = Told {
            body: Some(Body::from_stream(pieces)),
            stream: Some((Framing::ServerSentEvents, Dialect::OpenAi)),
            visit: Visit {
                exchange: Arc::new(Exchange::new(&request, Arc::default())),
                link: None,
                guard: None,
            },
        };
        let text = told.collect().await.expect("no error of the body's own").to_bytes();
        let text = String::from_utf8_lossy(&text);
        assert!(text.starts_with("data: 1\n\ndata: {\"error\":{"), "{text}");
        assert!(text.ends_with("\"code\":\"internal_error\"}}\n\n"), "{text}");
    }
}
