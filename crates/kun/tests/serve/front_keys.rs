//! API keys: who may come in where, how much a key may take, and how keys are made and exchanged.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::kun::Scratch;
use crate::metrics;
use crate::model;
use crate::server::{Server, request};

/// Requests that no route is for, or not in this way: they are closed as well.
const NO_ROUTES: &[(&str, &str)] = &[
    ("GET", "/no/such/route"),
    ("DELETE", "/v1/models"),
    ("POST", "/health"),
    ("OPTIONS", "/v1/models"),
    ("GET", "//health"),
    ("GET", "/health/"),
    ("GET", "/page.js/"),
];
const OPEN: &[&str] = &["/health", "/", "/page.js", "/page.css", "/icon.svg"];

/// Makes a key: the key and its entry.
fn new_key(scratch: &Scratch, name: &str) -> (String, String) {
    let output = scratch.run(["key", "new", name]).output();
    let (key, entry) = output.split_once("\n\n").expect("the key and its entry");
    (key.to_owned(), entry.to_owned())
}

struct Keyed {
    server: Server,
    file: PathBuf,
    key: String,
}

fn keyed(limits: &str) -> Keyed {
    let scratch = Scratch::new();
    let (key, entry) = new_key(&scratch, "alice");
    let file = scratch.file("keys.toml", format!("{entry}{limits}\n"));
    let model = model::write(&scratch, "small.gguf");
    let flags = ["--keys", file.to_str().expect("UTF-8")];
    Keyed { server: Server::with_models(scratch, &[model.to_str().expect("UTF-8")], &flags), file, key }
}

fn ask(server: &Server, method: &str, path: &str, headers: &str) -> crate::server::Reply {
    server.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"))
}

#[test]
fn every_route_wants_a_key_but_health_and_the_page() {
    let Keyed { server, key, .. } = keyed("");
    let wrong = format!("Authorization: Bearer {key}x\r\n");
    let twice = format!("Authorization: Bearer {key}\r\nAuthorization: Bearer {key}\r\n");
    let document = ask(&server, "GET", "/openapi.json", &format!("x-api-key: {key}\r\n")).json(200);
    let mut closed: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            closed.push((method.to_uppercase(), path.replace("{id}", "small.gguf")));
        }
    }
    closed.retain(|(_, path)| !OPEN.contains(&path.as_str()));
    assert!(closed.len() > 20, "{closed:?}");
    closed.extend(NO_ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())));
    for (method, path) in &closed {
        for headers in ["", &wrong, &twice, "Authorization: Basic a2V5\r\n", "x-api-key: \r\n"] {
            let reply = ask(&server, method, path, headers);
            let error = reply.json(401);
            assert!(!error["error"].is_null(), "{method} {path} {headers}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            assert!(!error.to_string().contains(&key), "{error}");
        }
        assert_eq!(ask(&server, method, &format!("{path}?key={key}&api_key={key}"), "").status, 401);
        for headers in [format!("Authorization: Bearer {key}\r\n"), format!("X-Api-Key: {key}\r\n")] {
            assert_ne!(ask(&server, method, path, &headers).status, 401, "{method} {path}");
        }
    }
    for path in OPEN {
        assert_eq!(ask(&server, "GET", path, "").status, 200, "{path}");
    }
    assert_eq!(ask(&server, "POST", "/v1/messages", "").json(401)["error"]["type"], "authentication_error");
    assert!(ask(&server, "POST", "/api/chat", "").json(401)["error"].is_string());
    assert!(!server.log().contains(&key), "{}", server.log());
}

fn complete(server: &Server, key: &str, body: &Value) -> crate::server::Reply {
    server.post_text("/v1/completions", &body.to_string(), &[("Authorization", &format!("Bearer {key}"))])
}

#[test]
fn a_key_that_has_used_its_tokens_is_told_when_there_are_more() {
    let Keyed { server, key, .. } = keyed("tokens_per_minute = 30\ntokens_per_day = 1000000");
    let body = json!({"prompt": "hello", "max_tokens": 28, "ignore_eos": true});
    assert_eq!(complete(&server, &key, &body).status, 200);
    let reply = complete(&server, &key, &body);
    assert_eq!(reply.json(429)["error"]["code"], "quota_exceeded");
    let wait: u64 = reply.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
    assert!((40..=60).contains(&wait), "{wait}");
    // Looking is free.
    let header = format!("Authorization: Bearer {key}\r\n");
    assert_eq!(ask(&server, "GET", "/v1/models", &header).status, 200);
}

#[test]
fn what_a_cancelled_answer_took_counts() {
    let Keyed { server, key, .. } = keyed("tokens_per_minute = 6");
    let body = json!({"prompt": "hello", "max_tokens": 3500, "ignore_eos": true, "stream": true, "n": 4});
    let mut stream = server.connect();
    let header = format!("Bearer {key}");
    stream
        .write_all(request("/v1/completions", &body.to_string(), &[("Authorization", &header)]).as_bytes())
        .expect("it reads");
    stream.read_exact(&mut [0; 2000]).expect("an answer begins");
    drop(stream);
    let small = json!({"prompt": "hello", "max_tokens": 1});
    assert_eq!(complete(&server, &key, &small).json(429)["error"]["code"], "quota_exceeded");
}

#[test]
fn a_key_has_so_many_requests_at_a_time() {
    let Keyed { server, key, .. } = keyed("max_concurrent = 1");
    let header = format!("Bearer {key}");
    let body = json!({"prompt": "hello", "max_tokens": 3500, "ignore_eos": true, "stream": true, "n": 16});
    let mut first = server.connect();
    first
        .write_all(request("/v1/completions", &body.to_string(), &[("Authorization", &header)]).as_bytes())
        .expect("it reads");
    first.read_exact(&mut [0; 100]).expect("an answer begins");
    let small = json!({"prompt": "hello", "max_tokens": 1});
    let reply = complete(&server, &key, &small);
    assert_eq!(reply.json(429)["error"]["code"], "concurrency_limit");
    assert!(reply.header("retry-after").is_some());
    drop(first);
    let started = Instant::now();
    while complete(&server, &key, &small).status != 200 {
        assert!(started.elapsed() < Duration::from_secs(5), "the place is free again");
    }
}

#[test]
fn the_file_is_read_again_when_the_server_is_told_to() {
    let Keyed { server, file, key } = keyed("");
    let status = |key: &str| ask(&server, "GET", "/v1/models", &format!("x-api-key: {key}\r\n")).status;
    let wait_for = |key: &str, wanted: u16| {
        let started = Instant::now();
        while status(key) != wanted {
            assert!(started.elapsed() < Duration::from_secs(5), "{wanted}: {}", server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let (other, entry) = new_key(&server.scratch, "bob");
    assert_eq!((status(&key), status(&other)), (200, 401));
    std::fs::write(&file, entry).expect("the target folder can be written");
    server.signal(Signal::SIGHUP);
    wait_for(&other, 200);
    assert_eq!(status(&key), 401);
    // A file that can't be used changes nothing.
    std::fs::write(&file, "[[key]]\nname = 5\n").expect("the target folder can be written");
    server.signal(Signal::SIGHUP);
    let started = Instant::now();
    while !server.log().contains("line 2") {
        assert!(started.elapsed() < Duration::from_secs(5), "{}", server.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((status(&key), status(&other)), (401, 200));
}

#[test]
fn a_file_that_can_not_be_used_ends_the_start() {
    let scratch = Scratch::new();
    let model = model::write(&scratch, "small.gguf");
    let run =
        |file: &str| scratch.run(["serve", model.to_str().expect("UTF-8"), "--port", "0", "--keys", file]);
    let empty = scratch.file("empty.toml", "");
    run(empty.to_str().expect("UTF-8")).fails(2, &["empty.toml", "kun key new"]);
    let broken = scratch.file("broken.toml", "[[key]]\nname = \"a\"\nsha = \"b\"\n");
    run(broken.to_str().expect("UTF-8")).fails(2, &["broken.toml", "line 3", "sha"]);
    run("missing.toml").fails(4, &["missing.toml"]);
}

#[test]
fn metrics_know_keys_by_name_only() {
    let Keyed { server, key, .. } = keyed("");
    complete(&server, &key, &json!({"prompt": "hello", "max_tokens": 1}));
    let reply = ask(&server, "GET", "/metrics", &format!("x-api-key: {key}\r\n"));
    assert!(metrics::values(reply.text(), "kun_requests_total").sum::<f64>() >= 1.0);
    assert!(!reply.text().contains(&key));
    assert!(server.log().contains("alice"), "{}", server.log());
}
