//! Pages of other origins: they are kept out unless they are named.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use axum::middleware::Next;

use crate::config::Config;
use crate::error::ApiError;
use crate::state::App;

/// Headers that a page may read beside those that it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id, retry-after");

/// Answers preflights, and marks answers as readable for the pages that may read them.
pub(super) async fn mark(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    if app.config.cors.is_empty() {
        return next.run(request).await;
    }
    let allowed = request.headers().get(ORIGIN).and_then(|origin| allowed(&app.config, origin));
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (&allowed, preflight) {
        (Some(_), true) => answer_preflight(&request),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

fn answer_preflight(request: &Request) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    // Clients send headers of their own (their version, their language), none of which does anything here.
    if let Some(asked) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    response
}

/// What the answer says of an origin that is named.
fn allowed(config: &Config, origin: &HeaderValue) -> Option<HeaderValue> {
    if config.cors.iter().any(|named| named == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    let text = origin.to_str().ok()?;
    config
        .cors
        .iter()
        .any(|named| named.trim_end_matches('/').eq_ignore_ascii_case(text))
        .then(|| origin.clone())
}

/// Refuses what a page of another origin asks to be done. That it could not read the answer is not enough: the work would
/// be done.
pub(super) fn check(config: &Config, request: &Request) -> Result<(), ApiError> {
    let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
    if matches!(*request.method(), Method::GET | Method::HEAD) || allowed(config, origin).is_some() {
        return Ok(());
    }
    // The browser says it, and no page can make it say otherwise.
    let same_by_browser = request.headers().get("sec-fetch-site").is_some_and(|site| site == "same-origin");
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let of_origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let same_by_name =
        matches!((host, of_origin), (Some(host), Some((_, origin))) if host.eq_ignore_ascii_case(origin));
    if same_by_browser || same_by_name {
        return Ok(());
    }
    let shown: String = origin.to_str().unwrap_or("?").chars().take(100).collect();
    let message = format!("pages of {shown} may not use this server; start it with --cors {shown}");
    Err(ApiError::new(StatusCode::FORBIDDEN, "permission_error", message).with_code("origin_not_allowed"))
}
