//! Clients that go away, in every way and at every moment, and clients that only look as if they did.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::{Value, json};

use crate::metrics::{self, open_files};
use crate::server::{Reply, Server, request};

/// Memory is free within a tenth of a second; a machine that also builds and tests may take longer to say so.
const FREE_WITHIN: Duration = Duration::from_millis(1000);

/// A request for answers that take long: many at once, none of which ends before its time.
fn long(stream: bool) -> Value {
    json!({"prompt": "hello", "n": 24, "max_tokens": 3500, "ignore_eos": true, "stream": stream, "temperature": 0})
}

fn send(server: &Server, body: &Value) -> TcpStream {
    let mut stream = server.connect();
    stream.write_all(request("/v1/completions", &body.to_string(), &[]).as_bytes()).expect("it reads");
    stream
}

fn running(server: &Server) -> f64 {
    metrics::sum(server, "kun_requests_running") + metrics::sum(server, "kun_requests_waiting")
}

#[track_caller]
fn wait_until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    started.elapsed()
}

/// How a client goes.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// It closes the socket: the system sends FIN, and RST to whatever comes after.
    Closes,
    /// RST at once, as a process does that is killed with data unread.
    Resets,
}

fn go(stream: TcpStream, way: Way) {
    if let Way::Resets = way {
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&stream, sockopt::Linger, &at_once).expect("a socket");
    }
    drop(stream);
}

#[test]
fn a_client_that_goes_frees_its_pages_streaming_or_not() {
    let server = Server::start(&[]);
    for streams in [true, false] {
        for way in [Way::Closes, Way::Resets] {
            let before = metrics::sum(&server, "kun_cancelled_total");
            let mut stream = send(&server, &long(streams));
            wait_until("it runs", Duration::from_secs(10), || running(&server) > 0.0);
            if streams {
                stream.read_exact(&mut [0; 64]).expect("an answer begins");
            }
            go(stream, way);
            let taken = wait_until("its pages are free", FREE_WITHIN, || {
                running(&server) == 0.0 && metrics::sum(&server, "kun_kv_pages_used") == 0.0
            });
            println!("stream {streams}, {way:?}: free after {taken:?}");
            assert!(metrics::sum(&server, "kun_cancelled_total") > before, "stream {streams}, {way:?}");
        }
    }
}

#[test]
fn a_client_that_goes_while_it_waits_leaves_the_queue() {
    let server = Server::start(&[]);
    let first = send(&server, &json!({"prompt": "hello", "n": 128, "max_tokens": 3500, "ignore_eos": true}));
    let second = send(&server, &json!({"prompt": "hello", "n": 128, "max_tokens": 3500, "ignore_eos": true}));
    let third = send(&server, &json!({"prompt": "hello", "n": 128, "max_tokens": 3500, "ignore_eos": true}));
    wait_until("all are there", Duration::from_secs(10), || running(&server) >= 384.0);
    drop(third);
    wait_until("the third has left", FREE_WITHIN, || running(&server) <= 256.0);
    drop(second);
    drop(first);
    wait_until("all have left", FREE_WITHIN, || running(&server) == 0.0);
}

#[test]
fn a_client_that_has_said_all_it_has_to_say_gets_its_answer() {
    let server = Server::start(&[]);
    for (path, body) in [
        (
            "/v1/completions",
            json!({"prompt": "hello", "max_tokens": 900, "ignore_eos": true, "temperature": 0}),
        ),
        (
            "/v1/completions",
            json!({"prompt": "hello", "max_tokens": 900, "ignore_eos": true, "temperature": 0, "stream": true}),
        ),
        ("/v1/completions", json!({"prompt": "hello", "max_tokens": -1})),
    ] {
        let whole = server.post(path, &body);
        let mut stream = server.connect();
        stream.write_all(request(path, &body.to_string(), &[]).as_bytes()).expect("it reads");
        stream.shutdown(Shutdown::Write).expect("a socket");
        let half = Reply::read(&mut stream);
        assert_eq!(half.status, whole.status);
        assert_eq!(texts(&half), texts(&whole));
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the connection ends");
        assert_eq!(rest, b"", "{body}");
    }
    // HTTP/1.0 as well.
    let body = json!({"prompt": "hello", "max_tokens": 900, "ignore_eos": true}).to_string();
    let mut stream = server.connect();
    let text = format!("POST /v1/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).expect("it reads");
    stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(Reply::read(&mut stream).json(200)["usage"]["completion_tokens"], 900);
}

/// What an answer says, without what is new each time.
fn texts(reply: &Reply) -> String {
    if reply.status != 200 {
        return reply.text().to_owned();
    }
    let events = reply.text().lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    let values = events.filter_map(|event| serde_json::from_str::<Value>(event).ok());
    values.filter_map(|value| value["choices"][0]["text"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_reader_that_stops_is_left_and_others_are_not_harmed() {
    let server = Server::start(&["--write-timeout", "1"]);
    // Log-probabilities make the answer large enough to fill every buffer on the way.
    let body = json!({"prompt": "hello", "n": 8, "max_tokens": 3500, "ignore_eos": true, "stream": true, "logprobs": 5});
    let files = open_files(&server);
    let stalled = send(&server, &body);
    let body = json!({"prompt": "hello", "max_tokens": 200, "ignore_eos": true});
    assert_eq!(server.post("/v1/completions", &body).json(200)["usage"]["completion_tokens"], 200);
    wait_until("the answers are given up", Duration::from_secs(20), || {
        metrics::sum(&server, "kun_cancelled_total") > 0.0
    });
    wait_until("the connection is closed", Duration::from_secs(5), || open_files(&server) <= files);
    wait_until("its pages are free", Duration::from_secs(5), || {
        metrics::sum(&server, "kun_kv_pages_used") == 0.0
    });
    drop(stalled);
}

/// `KUN_TEST_DISCONNECTS` asks for more of them than a quick test has.
#[test]
fn disconnects_at_any_moment_leave_nothing_behind() {
    let count = std::env::var("KUN_TEST_DISCONNECTS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_u64);
    let server = Server::start(&[]);
    server.post("/v1/completions", &json!({"prompt": "hello", "max_tokens": 4}));
    let files = open_files(&server);
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut open = Vec::new();
    for number in 0..count {
        let body = json!({"prompt": "hello", "n": 1 + random(8), "max_tokens": 1 + random(1500), "stream": random(2) == 0});
        let text = request("/v1/completions", &body.to_string(), &[]);
        // Some go in the middle of their request.
        let end = if random(4) == 0 { random(text.len() as u64) as usize } else { text.len() };
        let mut stream = server.connect();
        stream.write_all(&text.as_bytes()[..end]).expect("it reads");
        open.push((stream, if random(2) == 0 { Way::Closes } else { Way::Resets }));
        if open.len() > random(16) as usize {
            let (mut stream, way) = open.swap_remove(random(open.len() as u64) as usize);
            if random(2) == 0 {
                std::thread::sleep(Duration::from_micros(random(20_000)));
            }
            if random(4) == 0 {
                // Nothing comes if its request is not whole.
                stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
                let _ = stream.read(&mut [0; 256]);
            }
            go(stream, way);
        }
        if number % 50 == 0 {
            assert_eq!(server.get("/health").status, 200);
        }
    }
    open.into_iter().for_each(|(stream, way)| go(stream, way));
    wait_until("nothing runs", Duration::from_secs(10), || {
        running(&server) == 0.0 && metrics::sum(&server, "kun_kv_pages_used") == 0.0
    });
    wait_until("no socket is left", Duration::from_secs(10), || open_files(&server) <= files);
}
