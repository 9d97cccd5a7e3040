//! What servers answer, and what is told of it.

use std::fs;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::kun::Scratch;
use crate::server::{Answer, Server, completion};

const NO_PAUSE: Duration = Duration::ZERO;

/// Runs a load and gives its JSON.
#[track_caller]
fn measured(server: &Server, flags: &[&str]) -> Json {
    Scratch::new().run([&["load", &server.url(), "--json"], flags].concat()).json()
}

#[test]
fn streams_are_measured_and_told_as_table_json_and_page() {
    let server = Server::start(|_, _| Answer::stream(&completion(128, 32, 5), Duration::from_millis(20)));
    let flags = ["--concurrency", "3", "--requests", "6", "--output-tokens", "5"];
    let json = measured(&server, &flags);
    let counts = json!({"sent": 6, "ok": 6, "failed": 0, "unfinished": 0, "short": 0});
    assert_eq!(json["requests"], counts, "{json}");
    assert_eq!((&json["input_tokens"], &json["output_tokens"]), (&json!(768), &json!(30)));
    assert_eq!((&json["cached_tokens"], &json["cached_fraction"]), (&json!(192), &json!(0.25)));
    assert_eq!(json["settings"]["model"], "tiny");
    assert_eq!(json["streams_max"], 3);
    let ms = |name: &str, percentile: &str| json[name][percentile].as_f64().expect(name);
    // On a busy machine pauses become longer, and of what is read late the gaps become shorter.
    assert_eq!(json["inter_token_ms"]["count"], 24);
    assert_eq!(json["first_token_ms"]["count"], 6);
    assert!(ms("first_token_ms", "p50") >= 20.0 && ms("end_to_end_ms", "p50") >= 160.0, "{json}");
    assert!(ms("inter_token_ms", "mean") > 5.0 && ms("inter_token_ms", "max") > 15.0, "{json}");
    assert!(ms("first_byte_ms", "p50") < ms("first_token_ms", "p50"), "{json}");
    assert!((ms("time_per_output_token_ms", "mean") - ms("inter_token_ms", "mean")).abs() < 0.01, "{json}");
    assert!(json["duration_s"].as_f64() >= Some(0.32), "{json}");

    let scratch = Scratch::new();
    let page = scratch.path("page.html");
    let url = server.url();
    let line = [&["load", &url, "--html", page.to_str().expect("UTF-8")], &flags[..]].concat();
    let table = scratch.run(line).output();
    for part in
        ["tiny, completions, streamed", "closed loop of 3 streams", "6 ok, 0 failed", "25.0 %", "first token"]
    {
        assert!(table.contains(part), "no {part:?} in {table}");
    }
    let page = fs::read_to_string(page).expect("it was written");
    assert_eq!(page.matches("<svg").count(), 5);
    assert_eq!(page.matches("<circle").count(), 6);
    assert!(page.contains("6 ok, 0 failed") && page.contains("prefers-color-scheme:dark"), "{page}");
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="), "{page}");
}

/// The kind of a failure, what is said of it, and the answer.
type Failing = (&'static str, &'static str, fn() -> Answer);

#[test]
fn each_failure_is_counted_under_its_kind_with_what_was_said() {
    let answers: [Failing; 10] = [
        ("429", "HTTP 429: full up", || {
            Answer::json(429, &json!({"error": {"message": "full up"}})).header("Retry-After: 2")
        }),
        ("4xx", "HTTP 400: too long", || Answer::json(400, &json!({"error": {"message": "too long"}}))),
        ("5xx", "HTTP 500: broken\\u{1b}[2J", || Answer::json(500, &json!("broken\u{1b}[2J"))),
        ("5xx", "HTTP 503", || Answer::json(503, &json!({"error": ""}))),
        ("broken", "breaks off", || Answer::stream(&completion(9, 0, 3)[..2], NO_PAUSE).cut()),
        ("broken", "without a finish_reason", || Answer::stream(&completion(9, 0, 3)[..2], NO_PAUSE)),
        ("error in stream", "out of memory", || {
            let error = "data: {\"error\": {\"message\": \"out of memory\"}}\n\n".to_owned();
            Answer::stream(&[completion(9, 0, 1)[0].clone(), error], NO_PAUSE)
        }),
        ("unreadable", "an event is not as expected", || {
            Answer::stream(&["data: nonsense\n\n".to_owned()], NO_PAUSE)
        }),
        ("unreadable", "application/json, not text/event-stream", || {
            Answer::json(200, &json!({"choices": []}))
        }),
        ("timeout", "in time", || Answer::stream(&completion(9, 0, 3), Duration::from_secs(3))),
    ];
    for (kind, message, answer) in answers {
        let server = Server::start(move |_, _| answer());
        let timeout = if kind == "timeout" { "0.7" } else { "60" };
        let json = measured(&server, &["--requests", "2", "--concurrency", "2", "--timeout", timeout]);
        assert_eq!(
            (&json["requests"]["ok"], &json["requests"]["failed"]),
            (&json!(0), &json!(2)),
            "{kind}: {json}"
        );
        let failures = json["failures"].as_array().expect("a list");
        assert_eq!(
            (failures.len(), &failures[0]["kind"], &failures[0]["count"]),
            (1, &json!(kind), &json!(2)),
            "{json}"
        );
        let said = failures[0]["message"].as_str().expect("a text");
        assert!(said.contains(message) && !said.contains('\u{1b}'), "{kind}: {said}");
        assert_eq!(json["first_token_ms"], Json::Null, "{kind}: only what succeeded has latencies");
        let is_full = kind == "429";
        assert_eq!(json["until_429_ms"]["count"], if is_full { json!(2) } else { Json::Null }, "{json}");
        assert_eq!(json["retry_after_ms"]["max"], if is_full { json!(2000.0) } else { Json::Null }, "{json}");
    }
}

#[test]
fn failures_among_successes_change_no_latency_and_are_in_table_and_page() {
    let server = Server::start(|_, number| match number % 2 {
        0 => Answer::stream(&completion(9, 0, 3), NO_PAUSE),
        _ => Answer::json(429, &json!({"error": {"message": "full <up>"}})),
    });
    let scratch = Scratch::new();
    let page = scratch.path("page.html");
    let url = server.url();
    let line = ["load", &url, "--requests", "8", "--html", page.to_str().expect("UTF-8")];
    let table = scratch.run(line).output();
    for part in ["4 ok, 4 failed", "until a 429", "failed: 429", "4, at first: HTTP 429: full <up>"] {
        assert!(table.contains(part), "no {part:?} in {table}");
    }
    let page = fs::read_to_string(page).expect("it was written");
    assert!(page.contains("full &lt;up&gt;") && page.contains("<g class=\"failed\"><circle"), "{page}");
}

#[test]
fn a_stream_is_understood_however_it_is_cut_and_whatever_is_between() {
    let whole: String = completion(9, 0, 4).concat().replace('\n', "\r\n");
    let pieces: Vec<String> = whole.chars().map(String::from).collect();
    let mut with_comments = vec![": waiting\n\n".to_owned()];
    with_comments.extend(completion(9, 0, 4));
    with_comments.insert(3, ":\n\n".to_owned());
    let reasoning = ["reasoning_content", "content"].map(|name| {
        let choice =
            json!({"delta": {name: "x"}, "finish_reason": if name == "content" { "stop" } else { "" }});
        format!("data: {}\n\n", json!({ "choices": [choice] }))
    });
    for (name, events, chunks) in [
        ("byte by byte", pieces, 4),
        ("all at once", vec![whole], 4),
        ("comments", with_comments, 4),
        ("reasoning, no usage, no [DONE]", reasoning.to_vec(), 2),
    ] {
        let server = Server::start(move |_, _| Answer::stream(&events, NO_PAUSE));
        let json = measured(&server, &["--requests", "2"]);
        assert_eq!(
            (&json["requests"]["ok"], &json["output_tokens"]),
            (&json!(2), &json!(2 * chunks)),
            "{name}: {json}"
        );
        assert_eq!(json["inter_token_ms"]["count"], json!(2 * (chunks - 1)), "{name}");
    }
}

#[test]
fn a_kept_connection_that_the_server_has_closed_is_replaced() {
    let server = Server::start(|_, _| Answer::stream(&completion(9, 0, 3), NO_PAUSE).last());
    let json = measured(&server, &["--requests", "6", "--concurrency", "2"]);
    assert_eq!((&json["requests"]["ok"], &json["requests"]["failed"]), (&json!(6), &json!(0)), "{json}");
    assert_eq!(server.asked("/v1/completions").len(), 6);
}

#[test]
fn whole_answers_have_no_first_token() {
    let server = Server::start(|asked, _| {
        assert_eq!(asked.body["stream"], false);
        let usage = json!({"prompt_tokens": 9, "completion_tokens": 3});
        Answer::json(200, &json!({"choices": [{"text": "a b c", "finish_reason": "stop"}], "usage": usage}))
    });
    let json = measured(&server, &["--no-stream", "--requests", "2", "--output-tokens", "5"]);
    assert_eq!(json["requests"], json!({"sent": 2, "ok": 2, "failed": 0, "unfinished": 0, "short": 2}));
    assert_eq!((&json["output_tokens"], &json["first_token_ms"]), (&json!(6), &Json::Null));
    assert_eq!((&json["end_to_end_ms"]["count"], &json["cached_tokens"]), (&json!(2), &Json::Null));
}

#[test]
fn outputs_are_saved_in_order_and_are_the_same_for_the_same_answers() {
    // The first requests are answered last.
    let saved = |pause: u64| {
        let server = Server::start(move |_, number| {
            let pause = Duration::from_millis(pause.saturating_sub(5 * number as u64));
            Answer::stream(&completion(9, number, 3), pause)
        });
        let scratch = Scratch::new();
        let file = scratch.path("outputs.jsonl");
        let path = file.to_str().expect("UTF-8");
        scratch
            .run(["load", &server.url(), "--save-outputs", path, "--requests", "6", "--concurrency", "6"])
            .output();
        fs::read_to_string(file).expect("it was written")
    };
    let text = saved(30);
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let numbers: Vec<u64> = lines.iter().filter_map(|line| line["number"].as_u64()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    assert_eq!((&lines[0]["text"], &lines[0]["ok"]), (&json!(" w0 w1 w2"), &json!(true)));
    assert_eq!(lines[0]["prompt"].as_array().map(Vec::len), Some(128));
    assert_eq!(text, saved(0));
}
