//! How a load ends: by its plan, by Ctrl-C, or before it begins.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::ctrl_c::ends_with_130;
use crate::kun::{Ended, Scratch};
use crate::server::{Answer, Server, completion};

/// A server that takes so long for each of three tokens.
fn slow(millis: u64) -> Server {
    Server::start(move |_, _| Answer::stream(&completion(9, 0, 3), Duration::from_millis(millis)))
}

#[track_caller]
fn measured(server: &Server, flags: &[&str]) -> Json {
    Scratch::new().run([&["load", &server.url(), "--json"], flags].concat()).json()
}

#[test]
fn a_duration_ends_the_sending_and_what_runs_is_waited_for() {
    let json = measured(&slow(30), &["--duration", "0.5", "--concurrency", "4"]);
    let sent = json["requests"]["sent"].as_u64().expect("a number");
    assert!((1..=16).contains(&sent) && json["requests"]["ok"] == sent, "{json}");
    assert!(json["duration_s"].as_f64() >= Some(0.18) && json["duration_s"].as_f64() < Some(5.0), "{json}");
}

#[test]
fn an_open_loop_sends_when_requests_are_due_and_counts_waiting() {
    // 60 ms of six events each: with one stream, 20 requests take 1.2 s, though all are due within about 0.1 s.
    let flags = ["--rate", "200", "--requests", "20"];
    let one = measured(&slow(10), &[&flags[..], &["--concurrency", "1"]].concat());
    let many = measured(&slow(10), &flags);
    for json in [&one, &many] {
        assert_eq!(
            (&json["requests"]["ok"], &json["settings"]["loop"]),
            (&json!(20), &json!("open")),
            "{json}"
        );
    }
    let max = |json: &Json, name: &str| json[name]["max"].as_f64().expect("a number");
    assert_eq!(one["streams_max"], 1);
    assert!(max(&one, "wait_ms") > 500.0 && max(&one, "end_to_end_ms") > 500.0, "{one}");
    assert!(many["streams_max"].as_u64() > Some(3), "{many}");
    assert!(max(&many, "wait_ms") < max(&one, "wait_ms"), "{many}");
}

#[test]
fn a_stream_of_a_closed_loop_waits_as_long_as_a_full_server_asks_for() {
    let server = Server::start(|_, number| match number {
        0 => Answer::json(429, &json!({"error": {"message": "full"}})).header("Retry-After: 1"),
        _ => Answer::stream(&completion(9, 0, 3), Duration::ZERO),
    });
    let started = Instant::now();
    let json = measured(&server, &["--requests", "2"]);
    assert_eq!((&json["requests"]["ok"], &json["requests"]["failed"]), (&json!(1), &json!(1)), "{json}");
    assert!(started.elapsed() > Duration::from_secs(1));
}

#[test]
fn ctrl_c_tells_what_was_measured_and_exits_with_130() {
    let server = Server::start(|_, number| {
        let pause = Duration::from_millis(if number < 2 { 0 } else { 60_000 });
        Answer::stream(&completion(9, 0, 3), pause)
    });
    let scratch = Scratch::new();
    let mut command =
        scratch.command(["load", &server.url(), "--json", "--requests", "9", "--concurrency", "3"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let patience = Instant::now();
    while server.asked("/v1/completions").len() < 5 {
        assert!(patience.elapsed() < Duration::from_secs(60), "the requests are not sent");
        thread::sleep(Duration::from_millis(5));
    }
    ends_with_130(&mut child, 1);
    let ended = Ended::new(child.wait_with_output().expect("it ended"));
    let json: Json = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(
        json["requests"],
        json!({"sent": 5, "ok": 2, "failed": 0, "unfinished": 3, "short": 2}),
        "{json}"
    );
    assert_eq!((&json["is_interrupted"], &ended.stderr[..]), (&json!(true), ""));
}

#[test]
fn a_server_that_cannot_be_reached_exits_with_4() {
    let scratch = Scratch::new();
    // Nothing listens at port 1.
    scratch.run(["load", "127.0.0.1:1"]).fails(4, &["cannot reach http://127.0.0.1:1", "Connection refused"]);
    scratch.run(["load", "127.0.0.1:1", "--model", "m"]).fails(4, &["cannot reach"]);
    let file = scratch.file("file", "");
    let below = file.join("page.html");
    let server = slow(0);
    let line = ["load", &server.url(), "--html", below.to_str().expect("UTF-8")];
    scratch.run(line).fails(4, &["cannot write", "page.html"]);
    assert!(server.asked("/v1/completions").is_empty(), "it is known before anything is measured");
}

#[test]
fn a_server_that_refuses_before_the_run_is_told_with_what_would_help() {
    let refusing = |status: u16, body: Json| Server::bare(move |_| Answer::json(status, &body));
    for (status, body, flags, parts) in [
        (
            401,
            json!({"error": {"message": "no key"}}),
            &[][..],
            &["/v1/models", "HTTP 401: no key", "--key"][..],
        ),
        (401, json!({}), &["--model", "m"], &["HTTP 401", "OPENAI_API_KEY"]),
        (404, json!({"detail": "Not Found"}), &[], &["/v1/models", "HTTP 404: Not Found"]),
        (200, json!({"data": []}), &[], &["names no model", "--model"]),
        (503, json!({"error": {"message": "loading"}}), &["--model", "m"], &["HTTP 503: loading"]),
    ] {
        let server = refusing(status, body);
        Scratch::new().run([&["load", &server.url()], flags].concat()).fails(4, parts);
    }
}

#[test]
fn mistakes_exit_with_2_and_say_what_works() {
    let scratch = Scratch::new();
    let empty = scratch.file("empty.txt", "\n");
    let broken = scratch.file("broken.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": 7}\n");
    let (empty, broken) = (empty.to_str().expect("UTF-8"), broken.to_str().expect("UTF-8"));
    let server = slow(0);
    let url = server.url();
    for (flags, parts) in [
        (&["ftp://host"][..], &["ftp://host", "http://127.0.0.1:8080"][..]),
        (&["http://u:p@host"], &["user name", "--header"]),
        (&[&url, "--rate", "0"], &["--rate", "0.001 to 10000"]),
        (&[&url, "--concurrency", "0"], &["--concurrency", "1..=4096"]),
        (&[&url, "--requests", "1000001"], &["--requests", "1..=1000000"]),
        (&[&url, "--duration", "-1"], &["--duration", "0.1 to 86400"]),
        (&[&url, "--prompt-tokens", "9-3"], &["--prompt-tokens", "the smaller first"]),
        (&[&url, "--output-tokens", "0"], &["--output-tokens", "1 to 1048576"]),
        (&[&url, "--shared-prefix", "1.1"], &["--shared-prefix", "0 to 1"]),
        (&[&url, "--api", "embeddings"], &["--api", "completions, chat"]),
        (&[&url, "--header", "no colon"], &["--header", "X-Name: value"]),
        (&[&url, "--key", "a b"], &["--key"]),
        (&[&url, "--prompts", empty], &["empty.txt", "no prompt"]),
        (&[&url, "--prompts", broken], &["broken.jsonl, line 2", "an object like"]),
        (&[&url, "--prompts", empty, "--prompt-tokens", "5"], &["--prompts", "--prompt-tokens"]),
        (&[], &["<URL>", "see kun load --help"]),
    ] {
        let ended = scratch.run([&["load"], flags].concat());
        assert_eq!(ended.code, Some(2), "{flags:?}: {ended:?}");
        ended.fails(2, parts);
    }
    scratch.run(["load", &url, "--prompts", "absent.txt"]).fails(4, &["cannot read absent.txt"]);
    assert!(server.asked("/v1/completions").is_empty());
}
