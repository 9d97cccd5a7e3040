//! The service without a socket: requests of the process itself, through the same routes and with the same answers.
//!
//! There are no connections, so what is said about those does not hold: nobody is slow to read or write, and the front
//! asks for no key. Dropping an answer's body cancels what is still computed for it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::config::Config;
use crate::registry::Registry;
use crate::router::router;
use crate::state::App;

/// The service for its own process. Clones are the same service.
#[derive(Clone)]
pub struct InProcess {
    routes: TowerToHyperService<Router>,
    app: Arc<App>,
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body, which may still be in the making.
    pub body: AnswerBody,
}

/// The body of an answer. Dropping it cancels what is still computed for it.
#[derive(Debug)]
pub struct AnswerBody(Body);

impl InProcess {
    /// A service with these models. Keys are for those who come from outside.
    pub fn new(config: Config, models: Arc<Registry>) -> Self {
        let app = Arc::new(App::new(Config { keys: Vec::new(), ..config }, models));
        InProcess { routes: TowerToHyperService::new(router(Arc::clone(&app))), app }
    }

    /// Answers a request; `body` is JSON, or empty where a route takes none. It needs a runtime of tokio with a clock.
    pub async fn call(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let body = Body::from(body.into());
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        let request = match request.body(body) {
            Ok(request) => request,
            Err(error) => {
                let body = AnswerBody(Body::from(error.to_string()));
                return Answer { status: StatusCode::BAD_REQUEST, body };
            }
        };
        let Ok(response) = self.routes.call(request).await;
        Answer { status: response.status(), body: AnswerBody(response.into_body()) }
    }

    /// Takes no more requests, and ends those that run: their answers say so.
    pub fn shut_down(&self) {
        self.app.front.drain();
        self.app.models().iter().for_each(|model| model.handle.shutdown());
    }
}

impl AnswerBody {
    /// The next bytes; none after the last.
    ///
    /// # Errors
    /// If the answer was broken off by a bug of the service.
    pub async fn next(&mut self) -> Option<Result<Bytes, String>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// All of the bytes that are still to come.
    ///
    /// # Errors
    /// If the answer was broken off by a bug of the service.
    pub async fn all(self) -> Result<Bytes, String> {
        self.0.collect().await.map(|whole| whole.to_bytes()).map_err(|error| error.to_string())
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        loop {
            match Pin::new(&mut self.0).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.to_string()))),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
            }
        }
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}
