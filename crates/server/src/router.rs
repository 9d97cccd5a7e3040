//! All routes, each once: a method, a path, who may call it, and its handler.
//!
//! The router, the test that knocks at every route without a key and the one that looks for each in the OpenAPI document
//! are all made of [`routes`].

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::anthropic::messages;
use crate::error::ApiError;
use crate::ollama;
use crate::openai::{batches, chat, completions, embeddings, files, models, responses};
use crate::state::App;
use crate::{front, health, metrics, openapi, page, tokens};

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
    Open,
}

/// Every route.
pub(crate) fn routes() -> Vec<Route> {
    use Access::{Key, Open};
    vec![
        post("/v1/chat/completions", Key, chat::complete),
        post("/v1/completions", Key, completions::complete),
        get("/v1/models", Key, models::list),
        get("/v1/models/{*id}", Key, models::show),
        post("/v1/embeddings", Key, embeddings::embed),
        post("/v1/responses", Key, responses::respond),
        post("/v1/files", Key, files::upload),
        get("/v1/files", Key, files::list),
        get("/v1/files/{id}", Key, files::show),
        delete("/v1/files/{id}", Key, files::remove),
        get("/v1/files/{id}/content", Key, files::content),
        post("/v1/batches", Key, batches::create),
        get("/v1/batches", Key, batches::list),
        get("/v1/batches/{id}", Key, batches::show),
        post("/v1/batches/{id}/cancel", Key, batches::cancel),
        post("/tokenize", Key, tokens::tokenize),
        post("/detokenize", Key, tokens::detokenize),
        get("/tokenizer_info", Key, tokens::info),
        post("/apply-template", Key, tokens::apply_template),
        post("/v1/messages", Key, messages::create),
        post("/v1/messages/count_tokens", Key, messages::count_tokens),
        post("/api/chat", Key, ollama::chat::complete),
        post("/api/generate", Key, ollama::generate::complete),
        post("/api/embed", Key, ollama::embed::create),
        post("/api/embeddings", Key, ollama::embed::create_one),
        get("/api/tags", Key, ollama::models::tags),
        get("/api/ps", Key, ollama::models::ps),
        post("/api/show", Key, ollama::models::show),
        get("/api/version", Key, ollama::models::version),
        post("/api/pull", Key, ollama::not_done::pull),
        post("/api/push", Key, ollama::not_done::push),
        post("/api/create", Key, ollama::not_done::create),
        post("/api/copy", Key, ollama::not_done::copy),
        delete("/api/delete", Key, ollama::not_done::remove),
        get("/openapi.json", Key, openapi::show),
        get("/health", Open, health::live),
        get("/ready", Key, health::ready),
        get("/metrics", Key, metrics::show),
        get("/", Open, page::index),
        get("/page.js", Open, page::script),
        get("/page.css", Open, page::style),
        get("/icon.svg", Open, page::icon),
    ]
}

fn get<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: Method::GET, path, access, handler: on(MethodFilter::GET, handler) }
}

fn post<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: Method::POST, path, access, handler: on(MethodFilter::POST, handler) }
}

fn delete<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: Method::DELETE, path, access, handler: on(MethodFilter::DELETE, handler) }
}

/// The routes with these paths, without what stands before them.
pub(crate) fn routes_of(paths: &[&str]) -> Router<Arc<App>> {
    let routes = routes().into_iter().filter(|route| paths.contains(&route.path));
    routes.fold(Router::new(), |router, route| router.route(route.path, route.handler))
}

/// The service.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        router = router.route(route.path, route.handler);
    }
    let router = router.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    front::before(router, &app).with_state(app)
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
