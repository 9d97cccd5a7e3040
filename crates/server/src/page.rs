//! The chat page: four files, inside of the binary. It asks this server alone, and the browser is told to hold it to that.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest, Sha256};

/// What the page may do: run its own script and ask its own server, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The chat page.
#[utoipa::path(
    get,
    path = "/",
    tag = "page",
    responses((status = 200, content_type = "text/html", body = String), (status = 304, description = "Not changed"))
)]
pub(crate) async fn index(headers: HeaderMap) -> Response<Body> {
    file(include_bytes!("../page/dist/index.html"), "text/html; charset=utf-8", &headers)
}

/// The chat page's script.
#[utoipa::path(
    get,
    path = "/page.js",
    tag = "page",
    responses((status = 200, content_type = "text/javascript", body = String), (status = 304, description = "Not changed"))
)]
pub(crate) async fn script(headers: HeaderMap) -> Response<Body> {
    file(include_bytes!("../page/dist/page.js"), "text/javascript; charset=utf-8", &headers)
}

/// The chat page's looks.
#[utoipa::path(
    get,
    path = "/page.css",
    tag = "page",
    responses((status = 200, content_type = "text/css", body = String), (status = 304, description = "Not changed"))
)]
pub(crate) async fn style(headers: HeaderMap) -> Response<Body> {
    file(include_bytes!("../page/dist/page.css"), "text/css; charset=utf-8", &headers)
}

/// The chat page's icon.
#[utoipa::path(
    get,
    path = "/icon.svg",
    tag = "page",
    responses((status = 200, content_type = "image/svg+xml", body = String), (status = 304, description = "Not changed"))
)]
pub(crate) async fn icon(headers: HeaderMap) -> Response<Body> {
    file(include_bytes!("../page/dist/icon.svg"), "image/svg+xml", &headers)
}

/// A file, or that the client has it already.
fn file(bytes: &'static [u8], kind: &'static str, asked: &HeaderMap) -> Response<Body> {
    let hash = Sha256::digest(bytes);
    let tag = hash[..12].iter().fold("\"".to_owned(), |tag, byte| format!("{tag}{byte:02x}")) + "\"";
    let mut known = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let has_it = known.any(|value| value.trim() == "*" || value.contains(&tag));
    let mut response = Response::new(if has_it { Body::empty() } else { Body::from(bytes) });
    if has_it {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // A newer server has newer files under the same names.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
