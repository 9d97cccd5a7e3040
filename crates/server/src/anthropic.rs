//! The Anthropic-style routes: `/v1/messages`, and the shape in which its clients expect the list of models.
//!
//! Marks of `cache_control` are taken and have no effect: every prompt is cached by itself, up to the last whole page.

mod answer;
mod blocks;
mod content;
pub(crate) mod messages;
pub(crate) mod models;
mod request;

use axum::http::HeaderMap;

/// Whether a client of the Anthropic style asks, on a route that two styles share.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}
