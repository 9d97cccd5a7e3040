//! A request's head, byte by byte: what is not written as RFC 9112 has it is refused.
//!
//! Servers and proxies that read the same bytes differently can be made to see different requests (request smuggling).
//! So nothing is mended here: one way to end a line, one way to say how long a body is, one host. What passes means the
//! same to everybody, the parser behind this one included.

use axum::http::StatusCode;
use axum::http::uri::Authority;

use crate::error::ApiError;

/// Headers of a request.
const HEADERS_MAX: usize = 100;

/// How much body follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    Known(u64),
    Chunked,
}

/// Checks a head, from its first byte to the empty line that ends it, and tells what body follows.
pub(super) fn check(head: &[u8]) -> Result<BodyLength, ApiError> {
    let mut lines = Lines { rest: head };
    let version = request_line(lines.next_line()?)?;
    let mut lengths = Lengths::default();
    let mut hosts = 0;
    let mut count = 0;
    loop {
        let line = lines.next_line()?;
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > HEADERS_MAX {
            return Err(too_large(format!("the request has more than {HEADERS_MAX} headers")));
        }
        let (name, value) = header(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            host(value)?;
        }
        lengths.take(name, value)?;
    }
    match (hosts, version) {
        (1, _) | (0, Version::OneZero) => lengths.body(version),
        (0, Version::OneOne) => Err(bad("the request has no Host header")),
        _ => Err(bad("the request has more than one Host header")),
    }
}

/// A head, or part of one, that is larger than anybody needs.
pub(super) fn too_large(message: String) -> ApiError {
    ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "invalid_request_error", message)
        .with_code("headers_too_large")
}

/// Whether a byte may stand in a header's name or a method.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a byte may stand in a header's value.
pub(super) fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    OneZero,
    OneOne,
}

/// Splits a head at its line ends, all of which are CR LF.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    fn next_line(&mut self) -> Result<&'a [u8], ApiError> {
        let end = self.rest.iter().position(|&byte| byte == b'\r' || byte == b'\n');
        let end = end.filter(|&end| self.rest[end..].starts_with(b"\r\n"));
        let end = end.ok_or_else(|| bad("a line of the request's head does not end in CR LF"))?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 2..];
        Ok(line)
    }
}

fn request_line(line: &[u8]) -> Result<Version, ApiError> {
    let malformed = || bad("the request line is not of the form METHOD TARGET HTTP/1.1");
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed());
    };
    let target_is_plain = !target.is_empty() && target.iter().all(|&byte| byte > b' ' && byte < 0x7f);
    if method.is_empty() || !method.iter().all(|&byte| is_token(byte)) || !target_is_plain {
        return Err(malformed());
    }
    match version {
        b"HTTP/1.1" => Ok(Version::OneOne),
        b"HTTP/1.0" => Ok(Version::OneZero),
        version if version.starts_with(b"HTTP/") => Err(ApiError::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "invalid_request_error",
            "this server speaks HTTP/1.1",
        )
        .with_code("http_version_not_supported")),
        _ => Err(malformed()),
    }
}

fn header(line: &[u8]) -> Result<(&[u8], &[u8]), ApiError> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(bad("a header is folded over several lines"));
    }
    let colon = line.iter().position(|&byte| byte == b':');
    let colon = colon.ok_or_else(|| bad("a header has no colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return Err(bad("a header's name is empty or has characters that no name has"));
    }
    if !value.iter().all(|&byte| is_text(byte)) {
        return Err(bad("a header's value has control characters"));
    }
    Ok((name, value.trim_ascii()))
}

fn host(value: &[u8]) -> Result<(), ApiError> {
    let text = str::from_utf8(value).ok().filter(|text| !text.contains('@'));
    let authority = text.and_then(|text| text.parse::<Authority>().ok());
    authority.map(|_| ()).ok_or_else(|| bad("the Host header is not of the form NAME or NAME:PORT"))
}

/// What the head says of the body's length.
#[derive(Debug, Default)]
struct Lengths {
    known: Option<u64>,
    chunked: bool,
}

impl Lengths {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), ApiError> {
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let length = str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
            let length = length.ok_or_else(|| bad("the Content-Length header is not a whole number"))?;
            if self.known.replace(length).is_some() {
                return Err(bad("the request has more than one Content-Length header"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if std::mem::replace(&mut self.chunked, true) {
                return Err(bad("the request has more than one Transfer-Encoding header"));
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(bad("the Transfer-Encoding header must be chunked"));
            }
        }
        Ok(())
    }

    fn body(self, version: Version) -> Result<BodyLength, ApiError> {
        match (self.known, self.chunked) {
            (Some(_), true) => Err(bad("the request has both Content-Length and Transfer-Encoding")),
            (None, true) if version == Version::OneZero => {
                Err(bad("HTTP/1.0 has no Transfer-Encoding: send Content-Length"))
            }
            (None, true) => Ok(BodyLength::Chunked),
            (known, false) => Ok(BodyLength::Known(known.unwrap_or(0))),
        }
    }
}

fn bad(message: &str) -> ApiError {
    ApiError::invalid(message).with_code("malformed_request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_all(cases: &[(&str, Result<BodyLength, &str>)]) {
        for (head, expected) in cases {
            let found = check(head.as_bytes());
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{head:?}"),
                (Err(error), Err(part)) if error.message.contains(part) => {}
                _ => panic!("{head:?} gave {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn what_is_written_as_it_should_be_tells_its_body() {
        check_all(&[
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(BodyLength::Known(0))),
            ("GET / HTTP/1.0\r\n\r\n", Ok(BodyLength::Known(0))),
            ("GET /a?b=%20 HTTP/1.1\r\nhost:[::1]:80\r\nX: \u{e9}\r\n\r\n", Ok(BodyLength::Known(0))),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7 \r\n\r\n", Ok(BodyLength::Known(7))),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Ok(BodyLength::Chunked)),
        ]);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let both = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
        check_all(&[
            (both, Err("both")),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", Err("must be chunked")),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                Err("must be chunked"),
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", Err("control")),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", Err("name")),
            ("POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\n Transfer-Encoding: chunked\r\n\r\n", Err("folded")),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err("HTTP/1.0")),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
                Err("more than one"),
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", Err("whole number")),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", Err("whole number")),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", Err("whole")),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", Err("CR LF")),
            ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Err("CR LF")),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", Err("CR LF")),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Err("METHOD")),
            ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Err("METHOD")),
            ("GET /\r\n\r\n", Err("METHOD")),
            ("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", Err("METHOD")),
            ("PRI * HTTP/2.0\r\n\r\n", Err("HTTP/1.1")),
            ("GET / HTTP/1.1\r\n\r\n", Err("no Host")),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Err("more than one Host")),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Err("NAME:PORT")),
            ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", Err("NAME:PORT")),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Err("NAME:PORT")),
            ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", Err("colon")),
            ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Err("name")),
        ]);
    }
}
