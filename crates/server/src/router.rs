//! All routes, each once: a path, who may call it, and its handler.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use axum::middleware::{self, Next};
use axum::routing::{get, post};

use crate::error::{ApiError, Dialect};
use crate::job::Caller;
use crate::openai::{chat, completions, models};
use crate::state::App;

/// The service.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/completions", post(completions::complete))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::show))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(identify))
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
async fn identify(mut request: Request, next: Next) -> Response<Body> {
    request.extensions_mut().insert(Caller::default());
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
