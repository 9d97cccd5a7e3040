//! A request's body: read within limits, parsed once into the type that a route asks for.
//!
//! Whatever is wrong with it is said with the field that it is wrong in, or with the byte where JSON ends to be JSON.

mod objects;

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, ORIGIN};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};
use std::io;
use std::sync::Arc;

use crate::body_memory::{Crowded, Held};
use crate::connection::too_slow;
use crate::error::ApiError;
use crate::state::App;
use objects::Objects;

/// How deep lists and objects may stand in each other.
const DEPTH_MAX: usize = 100;

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
        Err(error) => Err(broken_off(&*error)),
    }
}

/// Why a body did not come to its end: what the connection says, if it says something.
fn broken_off(error: &(dyn std::error::Error + 'static)) -> ApiError {
    let sources = std::iter::successors(Some(error), |error| error.source());
    match sources.filter_map(|error| error.downcast_ref::<io::Error>()).next() {
        Some(error) if error.kind() == io::ErrorKind::TimedOut => too_slow(),
        Some(error) if error.kind() == io::ErrorKind::InvalidData => {
            ApiError::invalid(error.to_string()).with_code("malformed_request")
        }
        _ => ApiError::invalid("the body ended before its end"),
    }
}

/// Parses a body.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    check_depth(bytes)?;
    check_object(bytes)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Objects(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        described(error.inner(), &path, bytes)
    })?;
    json.end().map_err(|error| described(&error, ".", bytes))?;
    Ok(value)
}

/// Refuses what is nested deeper than anyone means, in fields that nobody reads as well. Brackets in texts don't count.
fn check_depth(bytes: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            let message = format!("the body is nested deeper than {DEPTH_MAX} levels at byte {at}");
            return Err(ApiError::invalid(message).with_code("invalid_json"));
        }
    }
    Ok(())
}

/// A list would do for an object whose fields it has in order, which nobody means.
fn check_object(bytes: &[u8]) -> Result<(), ApiError> {
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(bytes.len());
    if bytes.get(start) == Some(&b'{') {
        return Ok(());
    }
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Ok(_) => Err(ApiError::invalid(format!("the body must be an object: it is none at byte {start}"))),
        Err(error) => Err(described(&error, ".", bytes)),
    }
}

/// Says where and what. The parser's own sentence ends with line and column, which people count otherwise.
fn described(error: &serde_json::Error, path: &str, bytes: &[u8]) -> ApiError {
    let text = error.to_string();
    let text = shortened(in_words(text.split(" at line ").next().unwrap_or(&text)));
    let offset = match error.is_eof() {
        true => bytes.len(),
        false => byte_offset(bytes, error.line(), error.column()),
    };
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

/// The parser's words without the names of our types.
fn in_words(text: &str) -> String {
    let Some((before, expected)) = text.rsplit_once(", expected ") else { return text.to_owned() };
    let expected = match expected {
        "i64" | "u64" | "u32" | "usize" => "a whole number",
        "f32" | "f64" => "a number",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    };
    format!("{before}, expected {expected}")
}

/// The parser repeats a value that is of the wrong kind, which may be as long as the body.
fn shortened(text: String) -> String {
    const CHARACTERS_MAX: usize = 300;
    let count = text.chars().count();
    if count <= CHARACTERS_MAX {
        return text;
    }
    let begin: String = text.chars().take(CHARACTERS_MAX / 2).collect();
    let end: String = text.chars().skip(count - CHARACTERS_MAX / 2).collect();
    format!("{begin}…{end}")
}

/// The byte of a place that is given as line and column, both counted from 1.
fn byte_offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let start = std::iter::once(0).chain(starts).nth(line.saturating_sub(1)).unwrap_or(0);
    (start + column.saturating_sub(1)).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "what is read is not looked at")]
    struct Body {
        model: String,
        #[serde(default)]
        count: Option<i64>,
        #[serde(default)]
        heat: Option<f32>,
        #[serde(default)]
        stream: Option<bool>,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "what is read is not looked at")]
    struct Item {
        role: String,
        #[serde(default)]
        inner: Option<Box<Item>>,
    }

    fn nested(depth: usize, field: &str) -> String {
        format!("{{\"model\": \"m\", \"{field}\": {}{}}}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let deep = nested(100_000, "items");
        let unread = nested(100_000, "unread");
        for (body, param, message) in [
            ("", None, "the body is not JSON: EOF while parsing a value at byte 0"),
            ("nonsense", None, "the body is not JSON: expected ident at byte 1"),
            ("{\"model\": \"m\"", None, "the body is not JSON: EOF while parsing an object at byte 13"),
            ("{\n\"model\":\n x}", None, "the body is not JSON: expected value at byte 12"),
            ("{\"model\": \"m\"} x", None, "the body is not JSON: trailing characters at byte 15"),
            ("[]", None, "the body must be an object: it is none at byte 0"),
            (" null", None, "the body must be an object: it is none at byte 1"),
            ("\"text\"", None, "the body must be an object: it is none at byte 0"),
            ("[", None, "the body is not JSON: EOF while parsing a list at byte 1"),
            ("{}", Some("model"), "model: missing field `model`"),
            ("{\"model\": null}", Some("model"), "model: invalid type: null, expected a string"),
            (
                "{\"model\": \"m\", \"count\": 1.5}",
                Some("count"),
                "count: invalid type: floating point `1.5`, expected a whole number",
            ),
            (
                "{\"model\": \"m\", \"count\": 9223372036854775808}",
                Some("count"),
                "count: invalid value: integer `9223372036854775808`, expected a whole number",
            ),
            ("{\"model\": \"m\", \"heat\": 1e400}", Some("heat"), "heat: number out of range"),
            (
                "{\"model\": \"m\", \"stream\": \"yes\"}",
                Some("stream"),
                "stream: invalid type: string \"yes\", expected a boolean",
            ),
            (
                "{\"model\": \"m\", \"items\": [{}]}",
                Some("items[0].role"),
                "items[0].role: missing field `role`",
            ),
            (
                "{\"model\": \"m\", \"items\": [{\"role\": \"r\", \"inner\": 5}]}",
                Some("items[0].inner"),
                "items[0].inner: invalid type: integer `5`, expected an object",
            ),
            ("{\"model\": \"m\", \"heat\": NaN}", None, "the body is not JSON: expected value at byte 23"),
            (&deep, None, "the body is nested deeper than 100 levels at byte 123"),
            (&unread, None, "the body is nested deeper than 100 levels at byte 124"),
        ] {
            let error = parse::<Body>(body.as_bytes()).expect_err(body);
            let shown = &body[..body.len().min(60)];
            assert_eq!((error.param.as_deref(), error.message.as_str()), (param, message), "{shown}");
            assert_eq!(error.status, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn what_is_no_utf_8_is_no_json() {
        let error = parse::<Body>(b"{\"model\": \"\xff\"}").expect_err("a byte that is none of UTF-8's");
        assert!(error.message.starts_with("the body is not JSON: "), "{}", error.message);
    }

    #[test]
    fn what_is_right_is_taken() {
        let brackets = format!("{{\"model\": \"\\\"{}\\\\\"}}", "[{".repeat(200));
        let nested = nested(DEPTH_MAX - 1, "unread");
        for body in
            ["{\"model\": \"m\"}", " {\"model\": \"m\", \"count\": null, \"more\": {}}\n", &brackets, &nested]
        {
            assert!(parse::<Body>(body.as_bytes()).is_ok(), "{body}");
        }
    }
}
