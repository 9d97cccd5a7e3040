//! Requests that are written in odd ways: refused as JSON and with the connection closed, or answered as they should be.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::server::{Reply, Server, request};

/// Sends bytes and gives the answer, after which the connection must have been closed.
#[track_caller]
fn closes(server: &Server, bytes: &[u8], status: u16) -> Reply {
    let mut stream = server.connect();
    stream.write_all(bytes).expect("it reads");
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
    let reply = Reply::read(&mut stream);
    assert_eq!(reply.status, status, "{shown:?}: {}", reply.text());
    let error: Value = serde_json::from_str(reply.text()).unwrap_or_else(|e| panic!("{shown:?}: {e}"));
    assert!(error["error"]["message"].is_string() && error["error"]["type"].is_string(), "{error}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the connection ends");
    assert_eq!(rest, b"", "{shown:?}: nothing else is answered");
    reply
}

#[test]
fn what_two_servers_could_read_differently_is_refused() {
    let server = Server::start(&[]);
    let hidden = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    for head in [
        format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding: identity\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Transfer-Encoding\n: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{post}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}{hidden}"),
        format!("{post}Content-Length: 2\r\nContent-Length: 0\r\n\r\n{{}}{hidden}"),
        format!("{post}Content-Length: 2, 2\r\n\r\n{{}}{hidden}"),
        format!("{post}Content-Length: +2\r\n\r\n{{}}{hidden}"),
        format!("{post}Content-Length: -2\r\n\r\n{{}}{hidden}"),
        format!("{post}Content-Length: 0x2\r\n\r\n{{}}{hidden}"),
        format!("{post}Content-Length: 2 2\r\n\r\n{{}}{hidden}"),
        format!("{post}X: a\r\n b\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("{post}X: a\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("{post}X: a\rContent-Length: 0\r\n\r\n{hidden}"),
        format!("{post}X: a\0b\r\n\r\n{hidden}"),
        format!("{post}Host: localhost\r\n\r\n{hidden}"),
        "GET /health HTTP/1.1\n\n".to_owned(),
        "GET /health HTTP/1.1\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: local host\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: \r\n\r\n".to_owned(),
        "GET /health\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /he alth HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "G\x01T /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\r\n\r\n".to_owned(),
    ] {
        let reply = closes(&server, head.as_bytes(), 400);
        assert_eq!(reply.json(400)["error"]["code"], "malformed_request", "{head:?}");
    }
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn a_chunked_body_with_broken_framing_is_refused() {
    let server = Server::start(&[]);
    let post = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    for body in [
        "x\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\n{}\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(format!("{post}{body}").as_bytes()).expect("it reads");
        assert_eq!(Reply::read(&mut stream).json(400)["error"]["code"], "malformed_request", "{body:?}");
        assert_eq!(stream.read(&mut [0; 1]).expect("the connection ends"), 0, "{body:?}");
    }
}

#[test]
fn versions_that_are_not_spoken_are_refused() {
    let server = Server::start(&[]);
    closes(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    closes(&server, b"GET /health HTTP/3.0\r\nHost: localhost\r\n\r\n", 505);
    closes(&server, b"GET /health HTTP/0.9\r\n\r\n", 505);
}

#[test]
fn a_head_and_a_body_have_a_size() {
    let server = Server::start(&[]);
    let large = "x".repeat(10 << 20);
    let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {large}\r\n\r\n");
    let mut stream = server.connect();
    // The server need not read all of it.
    let _ = stream.write_all(head.as_bytes());
    assert_eq!(Reply::read(&mut stream).json(431)["error"]["code"], "headers_too_large");
    let many = "X: y\r\n".repeat(200);
    closes(&server, format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes(), 431);

    let declared = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                    Content-Length: 1073741824\r\n\r\n{";
    closes(&server, declared.as_bytes(), 413);
    // A gigabyte in chunks: the answer comes long before its end.
    let mut stream = server.connect();
    let post = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(post.as_bytes()).expect("it reads");
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    let sent = (0..1024).take_while(|_| stream.write_all(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 512, "{sent} MiB were taken");
}

#[test]
fn the_answer_to_a_body_that_is_too_large_arrives_while_it_is_sent() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    let post = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 33554432\r\n\r\n";
    stream.write_all(post.as_bytes()).expect("it reads");
    let megabyte = vec![b' '; 1 << 20];
    (0..32).for_each(|_| stream.write_all(&megabyte).expect("it is read and thrown away"));
    assert_eq!(Reply::read(&mut stream).json(413)["error"]["code"], "request_too_large");
}

#[test]
fn paths_are_taken_as_they_are_written() {
    let server = Server::start(&[]);
    for path in [
        "//v1//models",
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/models/../../../etc/passwd",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/V1/models",
        "/v1/models/",
        "/page/dist/page.js",
        "/index.html",
    ] {
        let error = server.get(path).json(404);
        assert!(error["error"]["code"].is_string(), "{path}: {error}");
    }
    for (method, path) in
        [("DELETE", "/v1/models"), ("GET", "/v1/chat/completions"), ("POST", "/health"), ("TRACE", "/")]
    {
        let text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let reply = server.send(text);
        assert_eq!(reply.json(405)["error"]["code"], "method_not_allowed", "{method} {path}");
        assert!(reply.header("allow").is_some(), "{method} {path}");
    }
}

#[test]
fn a_client_of_http_1_0_reads_to_the_end_of_the_connection() {
    let server = Server::start(&[]);
    for stream in [false, true] {
        let body = json!({"prompt": "hello", "max_tokens": 5, "stream": stream}).to_string();
        let reply = server
            .send(format!("POST /v1/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!((reply.status, reply.header("transfer-encoding")), (200, None));
        if stream {
            assert_eq!(reply.events().last(), Some(&"[DONE]"));
        } else {
            assert_eq!(reply.json(200)["usage"]["completion_tokens"], 5);
        }
    }
}

#[test]
fn requests_behind_each_other_are_answered_in_order() {
    let server = Server::start(&[]);
    let body = json!({"prompt": "hello", "max_tokens": 40, "ignore_eos": true}).to_string();
    let first = request("/v1/completions", &body, &[]).replace("Connection: close\r\n", "");
    let chunked = format!(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x};note=x\r\n{body}\r\n0\r\nX-Trailer: y\r\n\r\n",
        body.len()
    );
    let bytes =
        format!("\r\n{first}{chunked}GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    for piece in [1, 5, 100_000] {
        let mut stream = server.connect();
        stream.set_nodelay(true).expect("a socket");
        for piece in bytes.as_bytes().chunks(piece) {
            stream.write_all(piece).expect("it reads");
        }
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answers up to the end of the connection");
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
        assert_eq!(text.matches("\"completion_tokens\":40").count(), 2, "{text}");
        assert!(text.ends_with("{\"status\":\"ok\"}"), "{text}");
    }
}

#[test]
fn a_client_that_asks_first_whether_to_send_its_body_is_told() {
    let server = Server::start(&[]);
    let body = json!({"prompt": "hello", "max_tokens": 2}).to_string();
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).expect("a word");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).expect("it reads");
    assert_eq!(Reply::read(&mut stream).json(200)["usage"]["completion_tokens"], 2);
}
