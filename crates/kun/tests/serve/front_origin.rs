//! Pages of others: by what host and from what origin the server may be asked. And its own page.

use serde_json::json;

use crate::server::{Reply, Server};

fn get(server: &Server, host: &str) -> Reply {
    server.send(format!("GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

#[test]
fn a_name_that_was_made_to_mean_this_machine_is_refused() {
    let server = Server::start(&["--allowed-host", "kun.example"]);
    for host in ["localhost", "localhost:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:8080", "Kun.Example:80"] {
        assert_eq!(get(&server, host).status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0"] {
        let error = get(&server, host).json(403);
        assert_eq!(error["error"]["code"], "host_not_allowed", "{host}");
    }
    let absolute =
        "GET http://evil.example/v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(server.send(absolute).status, 403);
}

fn post(server: &Server, headers: &[(&str, &str)]) -> Reply {
    let body = json!({"prompt": "hello", "max_tokens": 1}).to_string();
    server.post_text("/v1/completions", &body, headers)
}

#[test]
fn a_page_of_another_origin_gets_nothing_done() {
    let server = Server::start(&[]);
    for (headers, status) in [
        (&[][..], 200),
        (&[("Origin", "http://localhost")], 200),
        (&[("Origin", "https://evil.example")], 403),
        (&[("Origin", "null")], 403),
        (&[("Origin", "http://localhost:9999")], 403),
        (&[("Origin", "https://front.example"), ("Sec-Fetch-Site", "same-origin")], 200),
        (&[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")], 403),
    ] {
        let reply = post(&server, headers);
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.text());
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    let preflight = "OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\
                     Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n";
    let reply = server.send(preflight);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, None));
}

#[test]
fn a_page_that_is_named_may_ask_and_read() {
    let preflight = |server: &Server, origin: &str| {
        server.send(format!(
            "OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,content-type\r\n\
             Connection: close\r\n\r\n"
        ))
    };
    let server = Server::start(&["--cors", "https://chat.example", "--cors", "http://localhost:3000/"]);
    for origin in ["https://chat.example", "http://localhost:3000"] {
        let reply = preflight(&server, origin);
        assert_eq!(reply.status, 204);
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-headers", "authorization,content-type"),
            ("access-control-allow-methods", "GET, POST, OPTIONS"),
            ("vary", "origin"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{origin}");
        }
        let reply = post(&server, &[("Origin", origin)]);
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(origin)));
        assert!(
            reply.header("access-control-expose-headers").is_some_and(|names| names.contains("x-request-id"))
        );
        // What went wrong may be read as well.
        let reply = server.post_text("/v1/completions", "{", &[("Origin", origin)]);
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (400, Some(origin)));
    }
    let reply = post(&server, &[("Origin", "https://evil.example")]);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, None));
    let all = Server::start(&["--cors", "*"]);
    assert_eq!(preflight(&all, "null").header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        post(&all, &[("Origin", "https://any.example")]).header("access-control-allow-origin"),
        Some("*")
    );
}

#[test]
fn the_page_comes_with_a_policy_and_is_not_sent_twice() {
    let server = Server::start(&[]);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)));
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert!(!reply.body.is_empty(), "{path}");
        let tag = reply.header("etag").expect("a tag");
        let again = server.send(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
}
