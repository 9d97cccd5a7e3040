//! Clients in numbers, slow ones, and more models than there is room for. Each server has limits of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::exchange::{exchange, read};
use super::watch::Watch;
use crate::kun::Scratch;
use crate::measure::{gauge, resident_bytes, wait_for};
use crate::metrics::{self, open_files};
use crate::model;
use crate::server::{Server, request};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Looks after a server, and fails with what was found.
#[track_caller]
fn unharmed(watch: &mut Watch, server: &mut Server, row: u16) {
    let wrong = watch.look(server);
    assert!(wrong.is_empty(), "row {row}: {}", wrong.join("; "));
}

/// Row 75: more connections than are allowed, all of them idle, keep nobody out.
#[test]
fn idle_connections_give_way_to_busy_ones() {
    let mut server = Server::start(&["--connections-max", "64"]);
    let mut watch = Watch::begin(&server);
    let before = open_files(&server);
    let idle: Vec<TcpStream> = (0..400)
        .map(|number| {
            let mut stream = server.connect();
            // Every other one has been served once.
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
            }
            stream
        })
        .collect();
    for _ in 0..20 {
        let begun = Instant::now();
        let got = exchange(&server, HEALTH).expect("it answers");
        assert_eq!(got.reply.status, 200);
        assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
    }
    unharmed(&mut watch, &mut server, 75);
    assert!(open_files(&server) <= before + 80, "{} files are open", open_files(&server));
    drop(idle);
    let closed = wait_for(Duration::from_secs(5), || open_files(&server) <= before + 1);
    assert!(closed.is_some(), "{} files are open, {before} before", open_files(&server));
    unharmed(&mut watch, &mut server, 75);
}

/// Row 76: heads and bodies that come a byte at a time are cut off; nobody else notices.
#[test]
fn slow_clients_are_cut_off() {
    let mut server = Server::start(&["--head-timeout", "1s", "--body-timeout", "1s", "--idle-timeout", "1s"]);
    let mut watch = Watch::begin(&server);
    let text =
        request("/v1/completions", &json!({"prompt": "a".repeat(2000), "max_tokens": 1}).to_string(), &[]);
    let head = text.find("\r\n\r\n").expect("a head") + 4;
    let slow: Vec<_> = (0..100)
        .map(|number| {
            let mut stream = server.connect();
            // A third stops in the head, a third in the body, a third says nothing at all.
            let sent = [20, head + 5, 0][number % 3];
            let text = text.clone();
            thread::spawn(move || {
                let _ = stream.write_all(&text.as_bytes()[..sent]);
                for byte in text.as_bytes()[sent..].iter().take(if sent == 0 { 0 } else { 100 }) {
                    thread::sleep(Duration::from_millis(100));
                    if stream.write_all(&[*byte]).is_err() {
                        break;
                    }
                }
                let begun = Instant::now();
                let mut reply = Vec::new();
                let ended = stream.read_to_end(&mut reply);
                (
                    String::from_utf8_lossy(&reply).into_owned(),
                    ended.is_ok() || begun.elapsed() < Duration::from_secs(9),
                )
            })
        })
        .collect();
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(200));
        unharmed(&mut watch, &mut server, 76);
    }
    for client in slow {
        let (reply, ended) = client.join().expect("it does not panic");
        assert!(ended, "row 76: a slow client is still connected: {reply}");
        let is_told =
            reply.is_empty() || reply.starts_with("HTTP/1.1 408") || reply.starts_with("HTTP/1.1 400");
        assert!(is_told, "row 76: {reply}");
    }
    unharmed(&mut watch, &mut server, 76);
}

/// Row 67: a reader that reads no more has what the system buffers for it, and then loses its answer.
#[test]
fn a_reader_that_stops_is_cut_off_and_its_answer_with_it() {
    let mut server = Server::start(&["--write-timeout", "1s"]);
    let mut watch = Watch::begin(&server);
    let memory = resident_bytes(server.pid());
    let body = json!({
        "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4000, "n": 64, "stream": true, "logprobs": true,
        "top_logprobs": 20, "ignore_eos": true,
    });
    let mut stalled = server.connect();
    stalled.write_all(request("/v1/chat/completions", &body.to_string(), &[]).as_bytes()).expect("it reads");
    wait_for(Duration::from_secs(5), || gauge(&server, "kun_kv_pages_used") > 0.0).expect("it runs");
    let freed = wait_for(Duration::from_secs(20), || {
        let wrong = exchange(&server, HEALTH).is_err();
        assert!(!wrong, "row 67: others are harmed");
        gauge(&server, "kun_kv_pages_used") == 0.0
    });
    assert!(freed.is_some(), "row 67: it still runs");
    assert_eq!(metrics::sum(&server, "kun_cancelled_total"), 64.0, "row 67: the answer came to its end");
    let grown = resident_bytes(server.pid()).saturating_sub(memory);
    // How much that is in the time that the reader has depends on the machine; without a cut it is 167 MiB.
    assert!(grown < 64 << 20, "row 67: {grown} bytes wait for it");
    drop(stalled);
    unharmed(&mut watch, &mut server, 67);
}

/// Row 79: however many different prompts there were, what is kept of them has its bound.
#[test]
fn what_is_kept_of_prompts_is_bounded() {
    let mut server = Server::start(&["--ctx", "1024", "--kv-tokens", "4096"]);
    let mut watch = Watch::begin(&server);
    let ask = |number: usize| {
        let tokens: Vec<usize> = (0..200).map(|place| (number * 7919 + place * 31) % 256).collect();
        let reply = server.post("/v1/completions", &json!({"prompt": tokens, "max_tokens": 1}));
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    (0..100).for_each(ask);
    let memory = resident_bytes(server.pid());
    (100..600).for_each(ask);
    let grown = resident_bytes(server.pid()).saturating_sub(memory);
    assert!(grown < 8 << 20, "row 79: {grown} bytes more");
    unharmed(&mut watch, &mut server, 79);
}

/// Rows 80 and 81: models that don't fit together take turns; whoever asks waits, or is told when to come again.
#[test]
fn more_models_than_there_is_room_for_take_turns() {
    let scratch = Scratch::new();
    let names: Vec<String> = (0..8).map(|number| format!("m{number}")).collect();
    let paths: Vec<String> = names
        .iter()
        .map(|name| model::write(&scratch, &format!("{name}.gguf")).to_str().expect("UTF-8").to_owned())
        .collect();
    let models: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut server = Server::with_models(scratch, &models, &["--memory", "230MiB", "--ctx", "512"]);
    let mut watch = Watch::begin(&server);
    let ask = |name: &str| {
        let body = json!({"model": name, "prompt": "hello", "max_tokens": 4, "temperature": 0});
        server.post("/v1/completions", &body)
    };
    let mut expect: Option<Value> = None;
    let mut memory = 0;
    for round in 0..4 {
        for name in &names {
            let answer = ask(name).json(200);
            assert_eq!(answer["model"], **name, "row 81");
            let text = &answer["choices"][0]["text"];
            assert_eq!(text, expect.get_or_insert_with(|| text.clone()), "row 81: all have the same weights");
        }
        match round {
            1 => memory = resident_bytes(server.pid()),
            2.. => {
                let grown = resident_bytes(server.pid()).saturating_sub(memory);
                assert!(grown < 8 << 20, "row 81: {grown} bytes more after round {round}");
            }
            _ => {}
        }
    }
    // Row 80: all at once.
    thread::scope(|scope| {
        for name in names.iter().chain(&names) {
            scope.spawn(|| {
                let reply = ask(name);
                let comes_again = reply.header("retry-after").is_some_and(|after| after != "0");
                assert!(reply.status == 200 || (reply.status == 503 && comes_again), "row 80: {reply:?}");
            });
        }
    });
    unharmed(&mut watch, &mut server, 81);
}

/// Row 61: with keys, nobody comes in without one, whatever the key looks like.
#[test]
fn no_odd_key_opens_the_door() {
    let scratch = Scratch::new();
    let made = scratch.run(["key", "new", "tester"]).output();
    let key = made.lines().find_map(|line| {
        line.split_whitespace().find(|word| word.starts_with("kun-") || word.starts_with("sk-"))
    });
    let key = key.unwrap_or_else(|| panic!("no key in {made}")).to_owned();
    let hash = made
        .split('"')
        .find(|part| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit()))
        .unwrap_or_else(|| panic!("no hash in {made}"));
    let keys = scratch.file("keys.toml", format!("[[key]]\nname = \"tester\"\nsha256 = \"{hash}\"\n"));
    let path = model::write(&scratch, "small.gguf");
    let server = Server::with_models(
        scratch,
        &[path.to_str().expect("UTF-8")],
        &["--keys", keys.to_str().expect("UTF-8")],
    );
    let ask = |target: &str, headers: &str| {
        let text = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n");
        exchange(&server, text.as_bytes()).expect("it answers").reply
    };
    let bearer = |key: &str| format!("Authorization: Bearer {key}\r\n");
    assert_eq!(ask("/v1/models", &bearer(&key)).status, 200);
    assert_eq!(ask("/v1/models", &format!("x-api-key: {key}\r\n")).status, 200);
    let refused = [
        String::new(),
        bearer("wrong"),
        bearer(""),
        bearer(&key[..key.len() - 1]),
        bearer(&format!("{key}x")),
        bearer(&key.to_uppercase()),
        bearer(hash),
        format!("Authorization: Basic {key}\r\n"),
        format!("Authorization: {key}\r\n"),
        format!("Cookie: key={key}\r\n"),
        format!("{}{}", bearer(&key), bearer("wrong")),
        bearer(&"k".repeat(10_000)),
        "Authorization: Bearer \u{e9}\r\n".to_owned(),
        "x-api-key: \r\n".to_owned(),
    ];
    for headers in &refused {
        for target in ["/v1/models", "/metrics", "/nope", "/v1/messages", "/api/tags", "/openapi.json"] {
            let reply = ask(target, headers);
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            assert_eq!(reply.status, 401, "row 61: {target} {headers:?}: {text}");
            assert!(!text.contains(&key) && !text.contains(hash), "row 61: {text}");
        }
    }
    for target in [format!("/v1/models?key={key}"), format!("/v1/models?api_key={key}")] {
        assert_eq!(ask(&target, "").status, 401, "row 61: {target}");
    }
    assert!(!server.log().contains(&key), "row 61: the log has the key");
    // Open without one: whether it lives, and the page.
    assert_eq!((ask("/health", "").status, ask("/", "").status), (200, 200));
}

/// Row 93 and 115: a client of another protocol gets a clean end. (Certificates are tested beside TLS itself.)
#[test]
fn a_connection_that_says_nothing_sensible_ends_soon() {
    let mut server = Server::start(&["--head-timeout", "1s"]);
    let mut watch = Watch::begin(&server);
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00"[..], &[0; 4096], b"\r\n\r\n\r\n", &[0xff; 100], b"SSH-2.0-x\r\n"]
    {
        let mut stream = server.connect();
        stream.write_all(bytes).expect("it reads");
        let begun = Instant::now();
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        assert!(begun.elapsed() < Duration::from_secs(5), "row 93: {bytes:?} took {:?}", begun.elapsed());
    }
    let stream = server.connect();
    assert!(read(&stream).is_err(), "row 93: nothing was asked");
    unharmed(&mut watch, &mut server, 93);
}
