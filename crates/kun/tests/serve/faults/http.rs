//! Methods, paths, heads and framing of HTTP that are wrong, odd or hostile.

use super::api::{ALL, CHAT, Dialect};
use super::case::{Case, Expect};

/// Framing that two servers could read in two ways: each is refused, and the connection ends.
const SMUGGLED: &[(&str, &str)] = &[
    ("both lengths", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("both, the other way round", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    ("a list of lengths", "Content-Length: 5, 6\r\n\r\nhello!"),
    ("a length with a sign", "Content-Length: +5\r\n\r\nhello"),
    ("a negative length", "Content-Length: -5\r\n\r\nhello"),
    ("a length in hexadecimal", "Content-Length: 0x5\r\n\r\nhello"),
    ("a length that is a word", "Content-Length: five\r\n\r\nhello"),
    ("an empty length", "Content-Length: \r\n\r\nhello"),
    ("an unknown encoding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunked and then not", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ("gzip and chunked", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    ("chunked after a tab", "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    ("a blank before the colon", "Content-Length : 5\r\n\r\nhello"),
    ("a header over two lines", "X-A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello"),
    ("a length over two lines", "Content-Length:\r\n 5\r\n\r\nhello"),
    ("lines that end in LF alone", "Content-Length: 5\n\nhello"),
    ("CR within a header", "X-A: b\rContent-Length: 6\r\nContent-Length: 5\r\n\r\nhello"),
    ("a zero byte in a header", "X-A: b\0c\r\nContent-Length: 5\r\n\r\nhello"),
    ("a header without a name", ": b\r\nContent-Length: 5\r\n\r\nhello"),
    ("a header without a colon", "X-A\r\nContent-Length: 5\r\n\r\nhello"),
    ("a length that no number holds", "Content-Length: 184467440737095516160\r\n\r\nhello"),
    ("a chunk's length that is no number", "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"),
    (
        "a chunk's length that overflows",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    ("a chunk that is longer than it says", "Transfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n0\r\n\r\n"),
];

/// Requests that are no HTTP/1.x: refused by whatever status, and the connection ends.
const NO_HTTP: &[(&str, &[u8])] = &[
    ("words", b"hello there, how are you?\r\n\r\n"),
    ("HTTP/2 at once", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    ("HTTP/3.0", b"GET /health HTTP/3.0\r\nHost: localhost\r\n\r\n"),
    ("HTTP/0.9", b"GET /health\r\n\r\n"),
    ("a handshake of TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03abcdefgh\r\n\r\n"),
    ("zero bytes", b"\0\0\0\0\0\0\0\0\r\n\r\n"),
    ("a blank in the path", b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("a method of signs", b"G@T /health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("control characters in the path", b"GET /\x01\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n"),
];

/// Paths that lead nowhere, with the methods to ask for them.
const NOWHERE: &[(&str, &str)] = &[
    ("GET", "/nope"),
    ("POST", "/nope"),
    ("GET", "//v1//models"),
    ("GET", "/v1//models"),
    ("GET", "/v1/../admin"),
    ("GET", "/../../etc/passwd"),
    ("GET", "/%2e%2e/%2e%2e/etc/passwd"),
    ("GET", "/v1/%2e%2e/v1/models/../../x"),
    ("GET", "/V1/models"),
    ("GET", "/v1/models%00"),
    ("GET", "/v1%2fmodels"),
    ("GET", "/v1/chat"),
    ("POST", "/v1/chat/completions/"),
    ("POST", "/v1/chat/completions/x"),
    ("POST", "/v1/chat/completions%20"),
    ("POST", "/v1/messages/x"),
    ("POST", "/api/nope"),
    ("GET", "/.git/config"),
    ("GET", "/%zz"),
    ("GET", "/page.js.map"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for api in ALL {
        for method in ["GET", "PUT", "DELETE", "PATCH", "TRACE", "FOO"] {
            let bytes =
                format!("{method} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", api.path);
            let title = format!("{method} {}", api.path);
            cases.push(Case::sends(60, title, api.dialect, bytes, Expect::status(&[405])));
        }
    }
    for path in ["/v1/models", "/health", "/openapi.json"] {
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        );
        cases.push(Case::sends(60, format!("POST {path}"), Dialect::OpenAi, bytes, Expect::status(&[405])));
    }
    for (method, path) in NOWHERE {
        let bytes = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let dialect = match path {
            path if path.starts_with("/v1/messages") => Dialect::Anthropic,
            path if path.starts_with("/api/") => Dialect::Ollama,
            _ => Dialect::OpenAi,
        };
        cases.push(Case::sends(60, format!("{method} {path}"), dialect, bytes, Expect::status(&[404])));
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "a".repeat(8000));
    cases.push(Case::sends(60, "a path of 8,000 bytes", Dialect::OpenAi, long, Expect::status(&[404])));
    for (title, path_bytes, status) in
        [("60,000", 60_000, &[404, 414][..]), ("1,000,000", 1_000_000, &[414, 431, 400])]
    {
        let long = format!(
            "GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            "a".repeat(path_bytes)
        );
        cases.push(Case::sends(
            60,
            format!("a path of {title} bytes"),
            Dialect::None,
            long,
            Expect::status(status),
        ));
    }
    let tunnel = "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n";
    cases.push(Case::sends(60, "CONNECT", Dialect::None, tunnel, Expect::status(&[400, 403, 404, 405])));

    let heads = [
        ("a header of 1 MiB", format!("X-A: {}\r\n", "a".repeat(1 << 20))),
        ("an Authorization of 10 MiB", format!("Authorization: Bearer {}\r\n", "a".repeat(10 << 20))),
        ("10,000 headers", "X-A: b\r\n".repeat(10_000)),
        ("a header's name of 70,000 bytes", format!("{}: b\r\n", "a".repeat(70_000))),
    ];
    for (name, header) in heads {
        let bytes = format!("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        let expect = Expect { closes: true, ..Expect::status(&[431]) };
        cases.push(Case::sends(61, name, Dialect::None, bytes, expect));
    }
    for (name, rest) in SMUGGLED {
        let bytes = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{rest}",
            CHAT.path
        );
        let expect = Expect { closes: true, ..Expect::status(&[400]) };
        cases.push(Case::sends(63, *name, Dialect::None, bytes, expect));
    }
    for (name, bytes) in NO_HTTP {
        let expect = Expect { closes: true, ..Expect::status(&[400, 404, 505]) };
        cases.push(Case::sends(63, *name, Dialect::None, *bytes, expect));
    }
    for (name, host) in [
        ("no host", ""),
        ("two hosts", "Host: localhost\r\nHost: evil.example\r\n"),
        ("an odd host", "Host: a b\r\n"),
    ] {
        let bytes = format!("GET /v1/models HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        cases.push(Case::sends(63, name, Dialect::None, bytes, Expect::status(&[400, 403])));
    }
    // Somebody else's name for this address is how pages of other sites get in.
    let rebound = "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    cases.push(Case::sends(
        63,
        "a host of somebody else's",
        Dialect::OpenAi,
        rebound,
        Expect::status(&[403]),
    ));
    cases
}
