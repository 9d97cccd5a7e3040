//! The end of a server: what runs may finish, what comes is told, what lasts too long is cancelled.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::server::{Reply, Server, request};

fn stream(server: &Server, n: usize, max_tokens: usize) -> TcpStream {
    let body =
        json!({"prompt": "hello", "n": n, "max_tokens": max_tokens, "ignore_eos": true, "stream": true});
    let mut stream = server.connect();
    stream.write_all(request("/v1/completions", &body.to_string(), &[]).as_bytes()).expect("it reads");
    stream
}

/// Reads a stream that has begun and gives its last two events.
#[track_caller]
fn last_events(stream: &mut TcpStream) -> (String, String) {
    let reply = Reply::read(stream);
    let events = reply.events();
    let [.., before, last] = &events[..] else { panic!("{events:?}") };
    ((*before).to_owned(), (*last).to_owned())
}

/// Waits until the stream has sent something, and leaves it there.
fn has_begun(stream: &TcpStream) {
    assert_eq!(stream.peek(&mut [0; 1]).expect("an answer begins"), 1);
}

#[test]
fn whatever_runs_finishes_and_whatever_comes_is_told() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::start(&[]);
        let mut running: Vec<TcpStream> = (0..4).map(|_| stream(&server, 8, 2500)).collect();
        running.iter().for_each(has_begun);
        let mut idle = server.connect();
        idle.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
        assert_eq!(Reply::read(&mut idle).status, 200);
        server.signal(signal);
        assert_eq!(idle.read(&mut [0; 1]).expect("it is closed at once"), 0);
        let ready = server.get("/ready");
        assert_eq!(ready.json(503)["error"]["code"], "shutting_down");
        assert_eq!(ready.header("connection"), Some("close"));
        assert_eq!(server.get("/health").status, 200);
        let refused = server.post("/v1/completions", &json!({"prompt": "hello"}));
        assert_eq!(refused.json(503)["error"]["code"], "shutting_down");
        assert!(refused.header("retry-after").is_some());
        for stream in &mut running {
            let (before, last) = last_events(stream);
            assert_eq!(last, "[DONE]");
            let last: Value = serde_json::from_str(&before).expect("JSON");
            assert_eq!(last["choices"][0]["finish_reason"], "length");
        }
        assert_eq!(server.ends_within(Duration::from_secs(5)), Some(0), "{}", server.log());
    }
}

#[test]
fn what_lasts_too_long_is_cancelled_with_a_last_event() {
    let mut server = Server::start(&["--drain-timeout", "0.3"]);
    let mut running = stream(&server, 128, 3900);
    has_begun(&running);
    let mut whole = server.connect();
    let body = json!({"prompt": "hello", "n": 128, "max_tokens": 3900, "ignore_eos": true});
    whole.write_all(request("/v1/completions", &body.to_string(), &[]).as_bytes()).expect("it reads");
    std::thread::sleep(Duration::from_millis(100));
    server.signal(Signal::SIGTERM);
    let (_, last) = last_events(&mut running);
    let last: Value = serde_json::from_str(&last).expect("JSON");
    assert_eq!(last["error"]["code"], "shutting_down");
    assert_eq!(Reply::read(&mut whole).json(503)["error"]["code"], "shutting_down");
    assert_eq!(server.ends_within(Duration::from_secs(5)), Some(0), "{}", server.log());
}

#[test]
fn a_second_signal_ends_at_once() {
    for (signal, code) in [(Signal::SIGTERM, 0), (Signal::SIGINT, 130)] {
        let mut server = Server::start(&[]);
        let running = stream(&server, 128, 3900);
        has_begun(&running);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.ends_within(Duration::from_millis(100)), None, "it waits for the stream");
        server.signal(signal);
        let started = Instant::now();
        assert_eq!(server.ends_within(Duration::from_secs(5)), Some(code), "{}", server.log());
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

#[test]
fn ten_ends_under_load_cut_no_answer() {
    for round in 0..10 {
        let mut server = Server::start(&[]);
        let clients: Vec<_> = (0..6)
            .map(|client| {
                let address = server.address;
                std::thread::spawn(move || ask_until_refused(address, client, round))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(40 + 20 * round));
        server.signal(Signal::SIGTERM);
        let answered: usize =
            clients.into_iter().map(|client| client.join().expect("no answer is cut")).sum();
        assert_eq!(server.ends_within(Duration::from_secs(10)), Some(0), "{}", server.log());
        println!("round {round}: {answered} answers");
    }
}

/// Asks for stream after stream, each on a connection of its own, until the server says that it is going.
fn ask_until_refused(address: std::net::SocketAddr, client: u64, round: u64) -> usize {
    let body = json!({
        "prompt": "hello", "max_tokens": 50 + 60 * ((client + round) % 5), "ignore_eos": true, "stream": !client.is_multiple_of(3)
    });
    for answered in 0..10_000 {
        // Once it has ended there is nobody to connect to.
        let Ok(mut stream) = TcpStream::connect(address) else { return answered };
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        if stream.write_all(request("/v1/completions", &body.to_string(), &[]).as_bytes()).is_err() {
            return answered;
        }
        // A connection that the server has not accepted yet when it ends is reset by the system.
        if stream.peek(&mut [0; 1]).unwrap_or(0) == 0 {
            return answered;
        }
        let reply = Reply::read(&mut stream);
        match reply.status {
            503 => return answered,
            200 if !client.is_multiple_of(3) => assert_eq!(reply.events().last(), Some(&"[DONE]")),
            200 => assert!(reply.json(200)["usage"].is_object()),
            _ => panic!("{}", reply.text()),
        }
    }
    panic!("the server does not end");
}
