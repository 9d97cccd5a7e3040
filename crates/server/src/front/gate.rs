//! The gate: everything that a request must be before it comes to a route.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, HOST, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::IntoResponse;

use super::{RefusedHead, origin};
use crate::config::Config;
use crate::deadline;
use crate::error::ApiError;
use crate::exchange::Exchange;
use crate::job::Caller;
use crate::state::App;

/// What is answered to the end: those who ask want to see it coming.
const WHILE_DRAINING: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Lets a request pass or says why not.
pub(super) async fn pass(
    State(app): State<Arc<App>>,
    Extension(exchange): Extension<Arc<Exchange>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let caller = match check(&app, &exchange, &request) {
        Ok(caller) => caller,
        Err(error) => return refuse(error),
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn check(app: &App, exchange: &Arc<Exchange>, request: &Request) -> Result<Caller, ApiError> {
    if let Some(RefusedHead(error)) = request.extensions().get() {
        return Err(error.clone());
    }
    check_host(&app.config, request.uri(), request.headers())?;
    origin::check(&app.config, request)?;
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let keys = app.front.keys();
    let mut owner = 0;
    let is_open = keys.is_empty() || (reads && app.front.open.contains(&path));
    if !is_open {
        let holder = keys.authenticate(request.headers())?;
        owner = holder.number();
        exchange.is_of(Arc::clone(&holder));
        if !reads {
            exchange.keep(holder.admit(Instant::now())?);
        }
    }
    if app.front.is_draining() && !WHILE_DRAINING.contains(&path) {
        let wait = Duration::from_secs(5);
        return Err(ApiError::unavailable("shutting_down", "the server is shutting down", wait));
    }
    let deadline = deadline::of(request.headers(), app.config.request_timeout)?;
    Ok(Caller { owner, deadline, exchange: Some(Arc::clone(exchange)), priority: None })
}

/// Against pages whose name is made to mean this machine (DNS rebinding): on an address that only this machine reaches,
/// requests come by this machine's names, or by one that is allowed.
fn check_host(config: &Config, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    if !config.address.ip().is_loopback() && config.allowed_hosts.is_empty() {
        return Ok(());
    }
    let header = || headers.get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
    // A target with a host of its own counts more than the header.
    let Some(authority) = uri.authority().cloned().or_else(header) else {
        // HTTP/1.0 knows no Host, and no browser speaks it.
        return Ok(());
    };
    let host = authority.host();
    let allowed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(host);
    if is_this_machine(host) || config.allowed_hosts.iter().any(allowed) {
        return Ok(());
    }
    let shown: String = host.chars().take(100).collect();
    let message =
        format!("this server does not answer to the host {shown:?}; start it with --allowed-host {shown}");
    Err(ApiError::new(StatusCode::FORBIDDEN, "permission_error", message).with_code("host_not_allowed"))
}

fn is_this_machine(host: &str) -> bool {
    let six = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || six.is_some_and(|six| six.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()))
}

fn refuse(error: ApiError) -> Response<Body> {
    let status = error.status;
    let code = error.code;
    let mut response = error.into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if code == Some("shutting_down") {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_answers_to_this_machines_names() {
        let config = |address: &str, allowed: &[&str]| Config {
            address: address.parse().expect("an address"),
            allowed_hosts: allowed.iter().map(|&host| host.to_owned()).collect(),
            ..Config::default()
        };
        let answers = |config: &Config, host: &str| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().expect("a header"))]);
            check_host(config, &Uri::from_static("/"), &headers).is_ok()
        };
        for (address, allowed, host, expected) in [
            ("127.0.0.1:80", &[][..], "localhost:80", true),
            ("127.0.0.1:80", &[], "LocalHost", true),
            ("127.0.0.1:80", &[], "127.1.2.3:80", true),
            ("[::1]:80", &[], "[::1]:80", true),
            ("127.0.0.1:80", &[], "evil.example", false),
            ("127.0.0.1:80", &[], "127.0.0.1.evil.example", false),
            ("127.0.0.1:80", &[], "localhost.evil.example", false),
            ("127.0.0.1:80", &[], "192.168.1.1", false),
            ("127.0.0.1:80", &["kun.example"], "kun.example:80", true),
            ("127.0.0.1:80", &["kun.example"], "evil.example", false),
            ("127.0.0.1:80", &["*"], "evil.example", true),
            ("0.0.0.0:80", &[], "kun.example", true),
            ("0.0.0.0:80", &["kun.example"], "evil.example", false),
        ] {
            assert_eq!(answers(&config(address, allowed), host), expected, "{address} {allowed:?} {host}");
        }
        let other = Uri::from_static("http://evil.example/");
        assert!(check_host(&config("127.0.0.1:80", &[]), &other, &HeaderMap::new()).is_err());
    }
}
