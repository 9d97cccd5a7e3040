//! All routes, each once: a method, a path, who may call it, and its handler.
//!
//! The router, the test that knocks at every route without a key and the one that looks for each in the OpenAPI document
//! are all made of [`routes`].

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{Method, Response, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::deadline;
use crate::error::{ApiError, Dialect};
use crate::job::Caller;
use crate::openai::{chat, completions, embeddings, models, responses};
use crate::openapi;
use crate::state::App;
use crate::tokens;

/// A way into the service.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// As axum writes paths.
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    handler: MethodRouter<Arc<App>>,
}

/// Who may call a route when there are keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Who has a key.
    Key,
    /// Anyone.
    #[allow(dead_code, reason = "no route is open yet")]
    Open,
}

/// Every route.
pub(crate) fn routes() -> Vec<Route> {
    use Access::Key;
    vec![
        post("/v1/chat/completions", Key, chat::complete),
        post("/v1/completions", Key, completions::complete),
        get("/v1/models", Key, models::list),
        get("/v1/models/{*id}", Key, models::show),
        post("/v1/embeddings", Key, embeddings::embed),
        post("/v1/responses", Key, responses::respond),
        post("/tokenize", Key, tokens::tokenize),
        post("/detokenize", Key, tokens::detokenize),
        get("/tokenizer_info", Key, tokens::info),
        post("/apply-template", Key, tokens::apply_template),
        get("/openapi.json", Key, openapi::show),
    ]
}

fn get<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: Method::GET, path, access, handler: on(MethodFilter::GET, handler) }
}

fn post<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: Method::POST, path, access, handler: on(MethodFilter::POST, handler) }
}

/// The service.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        router = router.route(route.path, route.handler);
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), identify))
        .layer(middleware::from_fn(write_errors))
        .with_state(app)
}

async fn not_found(request: Request) -> ApiError {
    let shown: String = request.uri().path().chars().take(100).collect();
    let message = format!("there is no route {} {shown}", request.method());
    ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message).with_code("unknown_url")
}

async fn method_not_allowed(request: Request) -> ApiError {
    let shown: String = request.uri().path().chars().take(100).collect();
    let message = format!("{} is not allowed on {shown}", request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message)
        .with_code("method_not_allowed")
}

/// Says who asks.
async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response<Body> {
    match deadline::of(request.headers(), app.config.request_timeout) {
        Ok(deadline) => request.extensions_mut().insert(Caller { deadline, ..Caller::default() }),
        Err(error) => return error.into_response(),
    };
    next.run(request).await
}

/// Writes the bodies of errors in the shape of the API that the path belongs to.
async fn write_errors(request: Request, next: Next) -> Response<Body> {
    let dialect = Dialect::of(request.uri().path());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<ApiError>() {
        Some(error) => {
            let mut written = error.response(dialect);
            // Such as which methods are allowed.
            for (name, value) in response.headers() {
                if !written.headers().contains_key(name) && name != "content-length" {
                    written.headers_mut().insert(name, value.clone());
                }
            }
            written
        }
        None => response,
    }
}
