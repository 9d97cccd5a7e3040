//! A request's body: read within limits, parsed once into the type that a route asks for.
//!
//! Whatever is wrong with it is said with the field that it is wrong in, or with the byte where JSON ends to be JSON.

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, ORIGIN};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::sync::Arc;

use crate::body_memory::{Crowded, Held};
use crate::error::ApiError;
use crate::state::App;

/// A body of JSON as a `T`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        check_headers(&request)?;
        // Kept until the body is understood.
        let held = app.body_memory.hold();
        let bytes = read(request, app.config.body_bytes_max, &held).await?;
        Ok(Json(parse(&bytes)?))
    }
}

/// Refuses what is no plain JSON. Without a type it is taken for JSON, and so is the type that curl sends when it is told
/// nothing; but not from a browser, whose pages may send that one anywhere without being allowed to.
fn check_headers(request: &Request) -> Result<(), ApiError> {
    let unsupported = |message: &str| {
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", message)
            .with_code("unsupported_media_type")
    };
    let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(encoding) = header(CONTENT_ENCODING)
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(unsupported("the body must not be compressed: send it without Content-Encoding"));
    }
    let Some(kind) = header(CONTENT_TYPE) else { return Ok(()) };
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    let charset =
        parts.find_map(|part| part.to_ascii_lowercase().strip_prefix("charset=").map(str::to_owned));
    let is_utf8 = charset.is_none_or(|name| ["utf-8", "utf8", "us-ascii"].contains(&name.trim_matches('"')));
    let is_curl = essence == "application/x-www-form-urlencoded"
        && header(ORIGIN).is_none()
        && !request.headers().contains_key("sec-fetch-site");
    if !is_json && !is_curl {
        return Err(unsupported("the body must be JSON: send Content-Type: application/json"));
    }
    if !is_utf8 {
        return Err(unsupported("the body must be UTF-8"));
    }
    Ok(())
}

async fn read(request: Request, bytes_max: usize, held: &Held) -> Result<Vec<u8>, ApiError> {
    let too_large = || {
        let message = format!("the body is larger than the limit of {bytes_max} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
            .with_code("request_too_large")
    };
    let announced =
        request.headers().get("content-length").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(too_large());
    }
    match Limited::new(held.count(request.into_body()), bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) if error.is::<Crowded>() => Err(Crowded::refusal()),
        Err(_) => Err(ApiError::invalid("the body ended before its end")),
    }
}

/// Parses a body.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        described(error.inner(), &path, bytes)
    })?;
    json.end().map_err(|error| described(&error, ".", bytes))?;
    Ok(value)
}

/// Says where and what. The parser's own sentence ends with line and column, which people count otherwise.
fn described(error: &serde_json::Error, path: &str, bytes: &[u8]) -> ApiError {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    let offset = byte_offset(bytes, error.line(), error.column());
    if !error.is_data() && (error.is_eof() || path == "." || !text.contains("number out of range")) {
        return ApiError::invalid(format!("the body is not JSON: {text} at byte {offset}"))
            .with_code("invalid_json");
    }
    let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let path = path.strip_suffix(".?").unwrap_or(path);
    let param = match (path, missing) {
        ("." | "?", Some(field)) => field.to_owned(),
        (path, Some(field)) => format!("{path}.{field}"),
        ("." | "?", None) => {
            return ApiError::invalid(format!("the body is not of the right form: {text} at byte {offset}"));
        }
        (path, None) => path.to_owned(),
    };
    ApiError::field(param.clone(), format!("{param}: {text}"))
}

/// The byte of a place that is given as line and column, both counted from 1.
fn byte_offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let start = std::iter::once(0).chain(starts).nth(line.saturating_sub(1)).unwrap_or(0);
    (start + column.saturating_sub(1)).min(bytes.len())
}
