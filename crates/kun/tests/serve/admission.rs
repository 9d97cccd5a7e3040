//! Who is let in: full queues, requests that could never enter, and times that can't be kept.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Reply, Server, request};

/// A request for as many tokens as there is room for.
fn long() -> Value {
    // Long enough to show what a prompt's token costs.
    let prompt = "hello there, ".repeat(20);
    json!({"prompt": prompt, "max_tokens": 3000, "temperature": 0, "ignore_eos": true, "stream": true})
}

/// Sends a request and does not wait for its answer.
fn send(server: &Server, body: &Value) -> TcpStream {
    let mut stream = server.connect();
    std::io::Write::write_all(&mut stream, request("/v1/completions", &body.to_string(), &[]).as_bytes())
        .expect("it reads");
    stream
}

fn ask(server: &Server, body: &Value) -> (Reply, Duration) {
    let begun = Instant::now();
    let reply = server.post("/v1/completions", body);
    (reply, begun.elapsed())
}

#[test]
fn a_full_queue_is_told_at_once_and_when_to_come_again() {
    let server = Server::start(&["--max-sequences", "1", "--max-queue", "2"]);
    let mut streams = vec![send(&server, &long())];
    streams[0].read_exact(&mut [0; 400]).expect("it runs");
    // Each waits before the next one comes.
    for _ in 0..2 {
        let mut stream = send(&server, &long());
        stream.read_exact(&mut [0; 15]).expect("a status line: it was taken");
        streams.push(stream);
    }
    let (refused, time) = ask(&server, &long());
    assert_eq!(refused.json(429)["error"]["code"], "queue_full");
    let after: u64 = refused.header("retry-after").and_then(|after| after.parse().ok()).expect("seconds");
    assert!((1..=600).contains(&after), "{after}");
    assert!(time < Duration::from_secs(1), "{time:?}");
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("UTF-8 up to the end");
        assert!(rest.contains("[DONE]"), "who was taken is answered");
    }
}

#[test]
fn more_answers_than_the_queue_has_places_are_refused_for_good() {
    let server = Server::start(&["--max-queue", "4"]);
    for (body, param) in [
        (json!({"prompt": "he", "n": 5, "max_tokens": 1}), "n"),
        (json!({"prompt": ["a", "b", "c"], "n": 2, "max_tokens": 1}), "n"),
        (json!({"prompt": ["a", "b", "c", "d", "e"], "max_tokens": 1}), "prompt"),
    ] {
        assert_eq!(ask(&server, &body).0.json(400)["error"]["param"], param, "{body}");
    }
    assert_eq!(ask(&server, &json!({"prompt": "he", "n": 4, "max_tokens": 1})).0.status, 200);
}

#[test]
fn a_time_that_is_too_short_for_what_is_asked_is_refused_before_anything_is_computed() {
    let server = Server::start(&[]);
    // What a step takes is known after a few.
    for _ in 0..3 {
        let prompt = "hello there, ".repeat(40);
        ask(&server, &json!({"prompt": prompt, "max_tokens": 200, "ignore_eos": true})).0.json(200);
    }
    let body = json!({"prompt": "he", "max_tokens": 4000, "min_tokens": 4000, "deadline_ms": 40});
    let error = ask(&server, &body).0.json(400);
    assert_eq!(error["error"]["code"], "deadline_unreachable", "{error}");
    // The same by a header; and one that leaves time enough.
    let mut body = json!({"prompt": "he", "max_tokens": 4000, "min_tokens": 4000});
    let headers = |seconds| [("timeout", seconds)];
    let error = server.post_text("/v1/completions", &body.to_string(), &headers("0.04")).json(400);
    assert_eq!(error["error"]["code"], "deadline_unreachable", "{error}");
    body["max_tokens"] = json!(2);
    body["min_tokens"] = json!(0);
    server.post_text("/v1/completions", &body.to_string(), &headers("60")).json(200);
    let error = server.post_text("/v1/completions", &body.to_string(), &headers("soon")).json(400);
    assert_eq!(error["error"]["param"], "timeout");
}

#[test]
fn a_time_that_the_queue_takes_up_is_refused_with_when_to_come_again() {
    let server = Server::start(&["--max-sequences", "1", "--max-queue", "64"]);
    // One after the other: who was sent first is first in the queue.
    let taken = |_| {
        let mut stream = send(&server, &long());
        stream.read_exact(&mut [0; 15]).expect("a status line: it was taken");
        stream
    };
    let mut streams: Vec<TcpStream> = (0..24).map(taken).collect();
    // The pace at which requests leave is known after some have left. Those that remain take twice as long.
    let begun = Instant::now();
    for stream in streams.drain(..8) {
        let mut stream = stream;
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        stream.read_to_end(&mut Vec::new()).expect("answered");
    }
    let deadline_ms = begun.elapsed().as_millis() as u64;
    let (refused, time) = ask(&server, &json!({"prompt": "he", "max_tokens": 1, "deadline_ms": deadline_ms}));
    assert_eq!(refused.json(429)["error"]["code"], "deadline_unreachable");
    assert!(refused.header("retry-after").is_some());
    assert!(time < Duration::from_secs(1), "{time:?}");
}
