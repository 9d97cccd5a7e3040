//! The HTTP client: `GET` with its own redirects, so that the token goes to the endpoint and nowhere else.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode, Uri, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy, ProxyProtocol, Timeout};

use super::part::Part;
use super::retry::{Fault, Retry};
use super::{HubConfig, Meter};
use crate::store::{StoreError, shown};

const REDIRECTS_MAX: usize = 10;
const READ_BYTES: usize = 128 << 10;
const CA_FILE_BYTES_MAX: u64 = 16 << 20;

/// A connection to one endpoint, with its token.
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    site: Site,
    token: Option<String>,
    backoff: Duration,
}

/// What has to be equal for two addresses to be the same party.
#[derive(Debug, Clone, PartialEq)]
struct Site {
    scheme: String,
    host: String,
    port: u16,
}

impl Client {
    /// A client for the endpoint of the settings; nothing is sent yet.
    pub(crate) fn new(hub: &HubConfig) -> Result<Client, StoreError> {
        let endpoint = hub.endpoint.trim_end_matches('/').to_owned();
        let bad = |why: &str| StoreError::BadSetting {
            setting: "HF_ENDPOINT",
            why: format!("`{}` {why}; an address like https://huggingface.co is needed", shown(&endpoint)),
        };
        let uri: Uri = endpoint.parse().map_err(|_| bad("is not an address"))?;
        let site = Site::of(&uri).ok_or_else(|| bad("is not an http or https address"))?;
        if uri.query().is_some() {
            return Err(bad("has a query"));
        }
        let token = hub.token.clone();
        // A header with a line break would be two headers; anything else odd is a slip of copying.
        if token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
            let why = "it holds characters that no token has".to_owned();
            return Err(StoreError::BadSetting { setting: "HF_TOKEN", why });
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = &hub.ca_file {
            tls = tls.root_certs(roots_of(path)?);
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .proxy(proxy_of(hub)?)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("kun/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(hub.connect_timeout))
            .timeout_connect(Some(hub.connect_timeout))
            // Some networks swallow packets after the connection is made; that must not take longer to notice.
            .timeout_send_request(Some(hub.connect_timeout))
            .timeout_recv_response(Some(hub.connect_timeout.saturating_mul(2)))
            .timeout_per_read(Some(hub.read_timeout))
            .build();
        let agent = Agent::new_with_config(config);
        Ok(Client { agent, endpoint, site, token, backoff: hub.backoff })
    }

    /// The address of a file of a repository.
    pub(crate) fn file_url(&self, repo: &str, revision: &str, path: &str) -> String {
        format!("{}/{repo}/resolve/{}/{}", self.endpoint, escape(revision), escape(path))
    }

    /// The address of the list of all files of a repository.
    pub(crate) fn list_url(&self, repo: &str) -> String {
        format!("{}/api/models/{repo}/tree/main?recursive=1", self.endpoint)
    }

    /// The endpoint's host, for messages.
    pub(crate) fn host(&self) -> &str {
        &self.site.host
    }

    /// A short text, with its headers; retried like a file.
    pub(crate) fn get_text(
        &self,
        url: &str,
        limit: u64,
        meter: &mut Meter,
    ) -> Result<(HeaderMap, String), StoreError> {
        let mut retry = Retry::new(self.host(), self.backoff);
        loop {
            match self.try_text(url, limit) {
                Ok(answer) => return Ok(answer),
                Err(fault) => retry.pause(fault, false, meter)?,
            }
        }
    }

    fn try_text(&self, url: &str, limit: u64) -> Result<(HeaderMap, String), Fault> {
        let (site, response) = self.get(url, &[])?;
        check_status(&site, &response, &[StatusCode::OK])?;
        let (parts, body) = response.into_parts();
        let mut bytes = Vec::new();
        let read = body.into_reader().take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|error| passing(format!("breaks off: {error}")))?;
        let refused = |why: String| StoreError::Refused { host: site.host.clone(), why };
        if bytes.len() as u64 > limit {
            return Err(refused(format!("sends a list of more than {limit} bytes")).into());
        }
        let text =
            String::from_utf8(bytes).map_err(|_| refused("sends a list that is not UTF-8".to_owned()))?;
        Ok((parts.headers, text))
    }

    /// Follows redirects to the answer and says who gave it.
    fn get(&self, url: &str, headers: &[(&str, String)]) -> Result<(Site, Response<Body>), Fault> {
        let mut url = url.to_owned();
        let mut from: Option<Site> = None;
        for _ in 0..=REDIRECTS_MAX {
            let host = from.as_ref().unwrap_or(&self.site).host.clone();
            let refused = |why: &str| StoreError::Refused { host: host.clone(), why: why.to_owned() };
            let uri: Uri = url.parse().map_err(|_| refused("redirects to something that is no address"))?;
            let site = Site::of(&uri).ok_or_else(|| refused("redirects to something that is not http"))?;
            if from.is_some() && uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
                return Err(refused("redirects to an address with a user name").into());
            }
            if from.as_ref().is_some_and(|from| from.scheme == "https") && site.scheme == "http" {
                return Err(refused("redirects from https to http").into());
            }
            let mut request = self.agent.get(&url);
            for (name, value) in headers {
                request = request.header(*name, value);
            }
            if let Some(token) = self.token.as_ref().filter(|_| site == self.site) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| fault_of(error, &site))?;
            let target = match response.status().is_redirection() {
                true => response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()),
                false => return Ok((site, response)),
            };
            let target = target.ok_or_else(|| refused("redirects without saying where to"))?;
            url = join(&uri, target).ok_or_else(|| refused("redirects to something that is no address"))?;
            from = Some(site);
        }
        let why = format!("redirects more than {REDIRECTS_MAX} times");
        Err(StoreError::Refused { host: self.host().to_owned(), why }.into())
    }
}

/// Brings the rest of a file. On success the part has its full size; its hash is not looked at here.
pub(crate) fn fetch_file(
    client: &Client,
    url: &str,
    part: &mut Part,
    meter: &mut Meter,
) -> Result<(), StoreError> {
    let mut retry = Retry::new(client.host(), client.backoff);
    loop {
        let before = part.len();
        match try_file(client, url, part, meter) {
            Ok(()) => return Ok(()),
            Err(fault) => retry.pause(fault, part.len() > before, meter)?,
        }
    }
}

fn try_file(client: &Client, url: &str, part: &mut Part, meter: &mut Meter) -> Result<(), Fault> {
    meter.bytes(part.len());
    if part.len() == part.bytes() {
        return Ok(());
    }
    let mut headers = Vec::new();
    if part.len() > 0 {
        headers.push(("range", format!("bytes={}-", part.len())));
        headers.extend(part.entity_tag().map(|tag| ("if-range", tag.to_owned())));
    }
    let (site, response) = client.get(url, &headers)?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && part.len() > 0 {
        part.truncate(0)?;
        return Err(passing("does not have the rest of what has arrived (HTTP 416)".to_owned()));
    }
    check_status(&site, &response, &[StatusCode::OK, StatusCode::PARTIAL_CONTENT])?;
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if text(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        let why = "sends the file compressed, which was not asked for".to_owned();
        return Err(StoreError::Refused { host: site.host, why }.into());
    }
    if response.status() == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{}", part.len(), part.bytes() - 1, part.bytes());
        if text(header::CONTENT_RANGE) != Some(&range) {
            let found = shown(text(header::CONTENT_RANGE).unwrap_or("none"));
            let why = format!("the range `{found}` was sent, not `{range}`");
            return Err(StoreError::WrongContent { file: part.name(), why }.into());
        }
    } else {
        // The whole file comes, asked for or not: a server may not know ranges, or its file has changed.
        part.truncate(0)?;
        part.set_entity_tag(text(header::ETAG))?;
    }
    let expected = part.bytes() - part.len();
    if let Some(length) = response.body().content_length().filter(|&length| length != expected) {
        let why = format!("{length} bytes were announced where {expected} were expected");
        return Err(StoreError::WrongContent { file: part.name(), why }.into());
    }
    read_body(response.into_body(), part, meter)
}

fn read_body(body: Body, part: &mut Part, meter: &mut Meter) -> Result<(), Fault> {
    let mut reader = body.into_reader();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) if part.len() == part.bytes() => return Ok(()),
            Ok(0) => {
                return Err(passing(format!("breaks off at byte {} of {}", part.len(), part.bytes())));
            }
            Ok(n) => {
                part.append(&buffer[..n])?;
                meter.bytes(part.len());
            }
            Err(error) => {
                return Err(passing(format!(
                    "breaks off at byte {} of {}: {error}",
                    part.len(),
                    part.bytes()
                )));
            }
        }
    }
}

/// Turns a status that is not wanted into what it means for the user.
fn check_status(site: &Site, response: &Response<Body>, wanted: &[StatusCode]) -> Result<(), Fault> {
    let status = response.status();
    if wanted.contains(&status) {
        return Ok(());
    }
    let number = status.as_u16();
    if matches!(number, 408 | 429) || matches!(number, 500 | 502..=504) {
        let pause = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let pause = pause.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        return Err(Fault::Passing { why: format!("answers HTTP {number}"), pause });
    }
    let why = match number {
        401 | 403 => format!(
            "refuses access (HTTP {number}): a private or gated repository needs its terms accepted and HF_TOKEN set"
        ),
        404 | 410 => format!("has no such repository or file (HTTP {number}); check the spelling"),
        _ => format!("answers HTTP {number}"),
    };
    Err(StoreError::Refused { host: site.host.clone(), why }.into())
}

fn fault_of(error: ureq::Error, site: &Site) -> Fault {
    use std::io::ErrorKind;
    match error {
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            Fault::Connect("no connection in time".to_owned())
        }
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::TimedOut => passing(format!("breaks off: {error}")),
            // A name that does not resolve has no kind of its own, and the system's text is long.
            _ => {
                let text = error.to_string().replacen("failed to lookup address information: ", "", 1);
                Fault::Connect(text.split(" (os error").next().unwrap_or_default().to_owned())
            }
        },
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
            Fault::Connect(error.to_string())
        }
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_) => {
            let why = format!("{error}; SSL_CERT_FILE names the certificates to trust");
            StoreError::Unreachable { host: site.host.clone(), why }.into()
        }
        ureq::Error::Timeout(Timeout::SendRequest | Timeout::RecvResponse) => {
            Fault::Connect("it does not answer".to_owned())
        }
        ureq::Error::Timeout(_) | ureq::Error::Protocol(_) | ureq::Error::BodyStalled => {
            passing(format!("does not answer properly: {error}"))
        }
        other => {
            StoreError::Refused { host: site.host.clone(), why: format!("cannot be asked: {other}") }.into()
        }
    }
}

fn passing(why: String) -> Fault {
    Fault::Passing { why, pause: None }
}

impl Site {
    fn of(uri: &Uri) -> Option<Site> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Site { scheme, host, port: uri.port_u16().unwrap_or(default) })
    }
}

/// The host of an address, for messages; the text itself if it is none.
pub(crate) fn host_of(address: &str) -> String {
    let host = address.parse().ok().and_then(|uri: Uri| uri.host().map(str::to_owned));
    host.unwrap_or_else(|| shown(address))
}

/// The address that a redirect from `base` leads to (RFC 3986, section 5.2, without the removal of dots, which
/// servers do themselves).
pub(crate) fn join(base: &Uri, target: &str) -> Option<String> {
    let scheme = base.scheme_str()?;
    let target = target.split('#').next()?;
    if target.parse::<Uri>().is_ok_and(|uri| uri.scheme().is_some()) {
        return Some(target.to_owned());
    }
    if let Some(rest) = target.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    let authority = base.authority()?;
    let directory = match target.starts_with('/') {
        true => "",
        false => &base.path()[..=base.path().rfind('/')?],
    };
    Some(format!("{scheme}://{authority}{directory}{target}"))
}

/// Escapes a path for an address; its slashes stay.
fn escape(path: &str) -> String {
    let mut escaped = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                escaped.push(byte as char);
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn proxy_of(hub: &HubConfig) -> Result<Option<Proxy>, StoreError> {
    let Some(address) = &hub.proxy else { return Ok(None) };
    let bad = || StoreError::BadSetting {
        setting: "HTTPS_PROXY",
        why: "an address like http://HOST:PORT is needed".to_owned(),
    };
    let plain = Proxy::new(address).map_err(|_| bad())?;
    let Some(exceptions) = &hub.no_proxy else { return Ok(Some(plain)) };
    // The exceptions can be given to a builder only, which takes the address apart.
    let protocol = plain.protocol();
    if !matches!(protocol, ProxyProtocol::Http | ProxyProtocol::Https) {
        return Err(bad());
    }
    let mut builder = Proxy::builder(protocol).host(plain.host()).port(plain.port());
    if let Some(name) = plain.username() {
        builder = builder.username(name).password(plain.password().unwrap_or_default());
    }
    for exception in exceptions.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        builder = builder.no_proxy(exception);
    }
    builder.build().map(Some).map_err(|_| bad())
}

fn roots_of(path: &Path) -> Result<RootCerts, StoreError> {
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(CA_FILE_BYTES_MAX).read_to_end(&mut pem));
    let bad = |why: String| StoreError::BadSetting { setting: "SSL_CERT_FILE", why };
    read.map_err(|error| bad(format!("cannot read {}: {error}", path.display())))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(bad(format!("{}: {error}", path.display()))),
        }
    }
    if certificates.is_empty() {
        return Err(bad(format!("{} holds no certificate", path.display())));
    }
    Ok(RootCerts::from(certificates))
}
