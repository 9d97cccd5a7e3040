//! All routes, each once: a path, who may call it, and its handler.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{get, post};

use crate::error::ApiError;
use crate::openai::{chat, completions, models};
use crate::state::App;
use crate::{front, health, metrics, page};

/// The service.
pub(crate) fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/completions", post(completions::complete))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::show))
        .route("/health", get(health::live))
        .route("/ready", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/", get(page::index))
        .route("/page.js", get(page::script))
        .route("/page.css", get(page::style))
        .route("/icon.svg", get(page::icon))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    front::before(routes, &app).with_state(app)
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
