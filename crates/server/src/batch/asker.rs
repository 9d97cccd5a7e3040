//! Asks a route as HTTP would, without HTTP: the same handler, the same body, the same answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::journal::Answer;
use super::lines::{Ask, ENDPOINTS};
use super::{BatchError, Progress, Task};
use crate::error::{ApiError, Dialect};
use crate::exchange::Exchange;
use crate::front;
use crate::job::{Caller, PRIORITY_IDLE};
use crate::model::ServedModel;
use crate::openai::new_id;
use crate::router::routes_of;
use crate::state::App;

/// No wait before another try is longer: meanwhile things may have changed.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The wait while others fill the queue.
const CROWDED_WAIT: Duration = Duration::from_millis(100);

/// The routes that lines may ask.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) app: Arc<App>,
    router: Router,
}

/// Tokens of an answer, under the names of both APIs.
#[derive(Debug, Default, Deserialize)]
struct Usage {
    #[serde(default, alias = "input_tokens")]
    prompt_tokens: u64,
    #[serde(default, alias = "output_tokens")]
    completion_tokens: u64,
}

impl Asker {
    pub(super) fn new(app: Arc<App>) -> Asker {
        let router = front::without_panics(routes_of(&ENDPOINTS)).with_state(Arc::clone(&app));
        Asker { app, router }
    }

    /// The answer to a line; whatever may pass is waited for.
    pub(super) async fn ask(&self, ask: Ask, task: &Task, progress: &Progress) -> Result<Answer, BatchError> {
        let Ask { custom_id, url, body } = ask;
        let body = Bytes::from(body);
        loop {
            let request_id = new_id("req_").unwrap_or_else(|_| "req_".to_owned());
            let error = match self.once(url, body.clone(), task).await {
                Ok(body) => {
                    progress.answered(&body);
                    self.app.front.metrics.batch_line(true);
                    return Ok(Answer { custom_id, request_id, status: 200, body, error: None });
                }
                Err(error) => error,
            };
            if error.code == Some("shutting_down") {
                return Err(BatchError::Stopped);
            }
            if may_pass(&error) {
                let wait = error.retry_after.unwrap_or(WAIT_MAX).min(WAIT_MAX);
                tokio::time::sleep(wait).await;
                continue;
            }
            self.app.front.metrics.batch_line(false);
            let body = error.body(Dialect::OpenAi).to_string();
            let body = RawValue::from_string(body).expect("it was written as JSON");
            let code = error.code.unwrap_or(error.kind).to_owned();
            let status = error.status.as_u16();
            return Ok(Answer { custom_id, request_id, status, body, error: Some((code, error.message)) });
        }
    }

    async fn once(&self, url: &'static str, body: Bytes, task: &Task) -> Result<Box<RawValue>, ApiError> {
        let exchange = Arc::new(Exchange::of_a_batch(url, Arc::clone(&self.app.front.metrics)));
        if let Some(holder) = self.app.front.keys().holder_with(task.owner) {
            holder.check_quotas(Instant::now())?;
            exchange.is_of(holder);
        }
        if task.idle && self.crowded() {
            return Err(ApiError::overloaded("others wait", CROWDED_WAIT));
        }
        let priority = task.idle.then_some(PRIORITY_IDLE);
        let caller = Caller { owner: task.owner, deadline: None, exchange: Some(exchange), priority };
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = axum::http::Uri::from_static(url);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.extensions_mut().insert(caller);
        let answered = TowerToHyperService::new(self.router.clone()).call(request).await;
        let mut response: Response<Body> = match answered {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if let Some(error) = response.extensions_mut().remove::<ApiError>() {
            return Err(error);
        }
        let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        if response.status() != StatusCode::OK || !is_json {
            // Dropping the response ends what it was to tell.
            let message = "stream must be false in a batch: an answer is written as a whole";
            return Err(ApiError::unsupported("stream", message));
        }
        let body = response.into_body().collect().await;
        let body = body.map_err(|_| ApiError::internal("the answer broke off"))?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| ApiError::internal("the answer is no JSON"))
    }
}

impl Asker {
    /// Whether the queue of a model is half full: the rest of it is for those who wait for an answer.
    fn crowded(&self) -> bool {
        let half_full = |model: &Arc<ServedModel>| {
            2 * model.handle.stats().queued >= model.handle.limits().queue_max.max(2)
        };
        self.app.models().iter().any(half_full)
    }
}

/// Whether another try may have another outcome. A model that can't be loaded won't be.
fn may_pass(error: &ApiError) -> bool {
    let status_passes =
        matches!(error.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    // A deadline of the line's own is told as it is.
    status_passes && !matches!(error.code, Some("model_load_failed" | "deadline_unreachable"))
}

impl Progress {
    /// Counts the tokens of an answer.
    fn answered(&self, body: &RawValue) {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            usage: Usage,
        }
        use std::sync::atomic::Ordering::Relaxed;
        let Ok(Body { usage }) = serde_json::from_str(body.get()) else { return };
        self.prompt_tokens.fetch_add(usage.prompt_tokens, Relaxed);
        self.completion_tokens.fetch_add(usage.completion_tokens, Relaxed);
    }
}
