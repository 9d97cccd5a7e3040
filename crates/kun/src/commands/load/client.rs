//! The connection to the server: straight to it, whatever proxy is set, and with no redirects.
//!
//! Each stream has an agent of its own and with it one connection, which is kept while it can be. Servers may close a kept
//! connection at any time, llama-server does after each stream without having said so. A request that finds its
//! connection closed is sent again on a new one, as browsers do.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use ureq::http::{Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::arguments::Header;
use super::fault::{Fault, Kind};
use super::wire;
use crate::failure::{Failure, Outcome};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that was idle for longer is not used again: common servers close theirs after five seconds.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// Of a connection: enough for the pieces that a stream comes in.
const BUFFER_BYTES: usize = 16 << 10;
/// No answer is longer, and no message of an error.
pub(super) const ANSWER_BYTES_MAX: u64 = 256 << 20;
const ERROR_BYTES_MAX: u64 = 64 << 10;
const CA_FILE_BYTES_MAX: u64 = 16 << 20;

/// A server, and how it is spoken to.
pub(super) struct Server {
    /// Its address without /v1 and without a slash at its end.
    root: String,
    headers: Vec<Header>,
    timeout: Duration,
    certificates: Option<RootCerts>,
}

/// How to speak to a server.
pub(super) struct Access<'a> {
    pub(super) key: Option<&'a str>,
    pub(super) headers: &'a [Header],
    pub(super) timeout: Duration,
    /// A file of PEM certificates to trust instead of the built-in ones.
    pub(super) ca_file: Option<&'a Path>,
}

impl Server {
    /// The server at an address; nothing is sent yet.
    pub(super) fn new(url: &str, access: &Access<'_>) -> Outcome<Self> {
        let root = root_of(url)?;
        let mut headers = access.headers.to_vec();
        let has = |name: &str| access.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
        if let Some(key) = access.key.filter(|_| !has("authorization")) {
            // A line break would make two headers of it; anything else odd is a slip of copying.
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Failure::usage(
                    "the key holds characters that no key has: correct --key or OPENAI_API_KEY",
                ));
            }
            headers.push(Header { name: "authorization".to_owned(), value: format!("Bearer {key}") });
        }
        let certificates = access.ca_file.filter(|_| root.starts_with("https:")).map(certificates_of);
        Ok(Server { root, headers, timeout: access.timeout, certificates: certificates.transpose()? })
    }

    /// Its address, for people.
    pub(super) fn address(&self) -> &str {
        &self.root
    }

    /// A client with a connection of its own.
    pub(super) fn client(&self) -> Client<'_> {
        let mut tls = TlsConfig::builder();
        if let Some(certificates) = &self.certificates {
            tls = tls.root_certs(certificates.clone());
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("kun/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(IDLE_MAX)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .timeout_connect(Some(CONNECT_TIMEOUT.min(self.timeout)))
            .timeout_global(Some(self.timeout))
            .build();
        Client { server: self, agent: Agent::new_with_config(config), may_be_kept: Cell::new(false) }
    }
}

/// A connection to a server.
pub(super) struct Client<'a> {
    server: &'a Server,
    agent: Agent,
    /// The agent may have a connection left of the last request.
    may_be_kept: Cell<bool>,
}

impl Client<'_> {
    /// Sends JSON to a path and waits for the beginning of the answer.
    pub(super) fn post(&self, path: &str, body: &str) -> Result<Response<Body>, Fault> {
        self.send(|| {
            let mut request = self.agent.post(format!("{}{path}", self.server.root));
            request = request.header("content-type", "application/json");
            for Header { name, value } in &self.server.headers {
                request = request.header(name, value);
            }
            request.send(body)
        })
    }

    /// Asks for a path.
    pub(super) fn get(&self, path: &str) -> Result<Response<Body>, Fault> {
        self.send(|| {
            let mut request = self.agent.get(format!("{}{path}", self.server.root));
            for Header { name, value } in &self.server.headers {
                request = request.header(name, value);
            }
            request.call()
        })
    }

    /// Sends a request; twice if the connection was an old one that broke off before any answer.
    fn send(&self, send: impl Fn() -> Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Fault> {
        let may_be_kept = self.may_be_kept.replace(true);
        match send().map_err(|e| Fault::of_call(&e)) {
            // A connection that breaks off is not kept, so this is a new one.
            Err(fault) if fault.kind == Kind::Broken && may_be_kept => send().map_err(|e| Fault::of_call(&e)),
            result => result,
        }
    }
}

/// The JSON of an answer; a status other than 200 is a fault with what the body says.
pub(super) fn json(response: Response<Body>) -> Result<Json, Fault> {
    let bytes = whole(response)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Fault::new(Kind::Unreadable, format!("the answer is no JSON: {e}")))
}

/// The body of an answer, likewise.
pub(super) fn whole(response: Response<Body>) -> Result<Vec<u8>, Fault> {
    if response.status() != 200 {
        return Err(refusal(response));
    }
    let mut bytes = Vec::new();
    let mut reader = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).reader();
    reader.read_to_end(&mut bytes).map_err(|e| Fault::of_reading(&e))?;
    Ok(bytes)
}

/// An answer that is none.
pub(super) fn refusal(response: Response<Body>) -> Fault {
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    let mut reader = response.into_body().into_with_config().limit(ERROR_BYTES_MAX).reader();
    // The status tells the kind of fault, even if its text breaks off.
    let _ = reader.read_to_end(&mut bytes);
    Fault::of_status(status, &wire::error_text(&bytes))
}

/// An address without /v1 and without a slash at its end; http unless it says something else.
fn root_of(url: &str) -> Outcome<String> {
    let wrong = |why: &str| {
        Failure::usage(format!(
            "`{}` {why}\nan address like http://127.0.0.1:8080 is needed",
            url.escape_debug()
        ))
    };
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = with_scheme.parse().map_err(|_| wrong("is no address"))?;
    let host = uri.host().filter(|host| !host.is_empty());
    if !matches!(uri.scheme_str(), Some("http" | "https")) || host.is_none() {
        return Err(wrong("is no http or https address"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("has a user name: send it with --header 'Authorization: …'"));
    }
    if uri.query().is_some() || with_scheme.contains('#') {
        return Err(wrong("has a query"));
    }
    let root = with_scheme.trim_end_matches('/');
    Ok(root.strip_suffix("/v1").unwrap_or(root).trim_end_matches('/').to_owned())
}

fn certificates_of(path: &Path) -> Outcome<RootCerts> {
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(CA_FILE_BYTES_MAX).read_to_end(&mut pem));
    read.map_err(|e| Failure::file("read", path, &e))?;
    let bad = |why: &str| Failure::usage(format!("SSL_CERT_FILE: {} {why}", path.display()));
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(bad(&format!("is broken: {error}"))),
        }
    }
    if certificates.is_empty() {
        return Err(bad("holds no certificate"));
    }
    Ok(RootCerts::from(certificates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_given_in_several_ways() {
        for (url, expect) in [
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://127.0.0.1:8080/", Some("http://127.0.0.1:8080")),
            ("http://127.0.0.1:8080/v1", Some("http://127.0.0.1:8080")),
            ("https://host/path/v1/", Some("https://host/path")),
            ("localhost:8080/v1", Some("http://localhost:8080")),
            ("[::1]:8080", Some("http://[::1]:8080")),
            ("ftp://host", None),
            ("http://user:secret@host", None),
            ("http://host?key=1", None),
            ("http://", None),
            ("", None),
            ("a b", None),
        ] {
            assert_eq!(root_of(url).ok().as_deref(), expect, "{url}");
        }
    }

    fn headers_of(key: Option<&str>, headers: &[Header]) -> Outcome<Vec<(String, String)>> {
        let access = Access { key, headers, timeout: CONNECT_TIMEOUT, ca_file: None };
        let server = Server::new("host", &access)?;
        Ok(server.headers.into_iter().map(|header| (header.name, header.value)).collect())
    }

    #[test]
    fn the_key_is_sent_unless_a_header_says_otherwise() {
        let own = [Header { name: "Authorization".to_owned(), value: "Basic x".to_owned() }];
        let bearer = vec![("authorization".to_owned(), "Bearer k".to_owned())];
        assert_eq!(headers_of(Some("k"), &[]).expect("fine"), bearer);
        assert_eq!(headers_of(Some("k"), &own).expect("fine").len(), 1);
        assert_eq!(headers_of(None, &[]).expect("fine"), []);
        for bad in ["", "a b", "a\r\nx: y"] {
            assert_eq!(headers_of(Some(bad), &[]).expect_err(bad).exit_code(), 2);
        }
    }
}
