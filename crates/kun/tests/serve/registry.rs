//! Several models: names, loading on demand, eviction, pins, and what all of it costs in memory.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kun::Scratch;
use crate::measure::resident_bytes;
use crate::model;
use crate::server::{Reply, Server, request};

/// A server of `count` models `m0`, `m1`, … of the tiny kind.
fn serve(count: usize, flags: &[&str]) -> Server {
    let scratch = Scratch::new();
    let write = |n| model::write(&scratch, &format!("m{n}.gguf")).to_str().expect("UTF-8").to_owned();
    let paths: Vec<String> = (0..count).map(write).collect();
    Server::with_models(scratch, &paths.iter().map(String::as_str).collect::<Vec<_>>(), flags)
}

fn ask(server: &Server, model: &str, max_tokens: usize) -> Reply {
    let body = json!({"model": model, "prompt": "he", "max_tokens": max_tokens, "temperature": 0, "ignore_eos": true});
    server.post("/v1/completions", &body)
}

/// The names of the models that are loaded.
fn loaded(server: &Server) -> Vec<String> {
    let list = server.get("/v1/models").json(200);
    let list = list["data"].as_array().expect("a list");
    let loaded = list.iter().filter(|model| model["loaded"] == true && model["root"] == model["id"]);
    loaded.map(|model| model["id"].as_str().expect("a name").to_owned()).collect()
}

/// Memory in which two of the tiny models fit, but not three: their engines want room to work in.
const ROOM_FOR_TWO: [&str; 6] = ["--memory", "220MiB", "--max-queue", "1024", "--connections-max", "64"];

#[test]
fn models_are_listed_with_their_aliases_and_found_by_every_name() {
    let server = serve(2, &["--alias", "fast=m1", "--alias", "slow=m0", "--alias", "quick=fast"]);
    let list = server.get("/v1/models").json(200);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let models = list["data"].as_array().expect("a list");
    let seen: Vec<(String, String, bool)> = models
        .iter()
        .map(|m| (text(&m["id"]), text(&m["root"]), m["loaded"].as_bool().expect("true or false")))
        .collect();
    let expect = [
        ("m0", "m0", true),
        ("slow", "m0", true),
        ("m1", "m1", false),
        ("fast", "m1", false),
        ("quick", "m1", false),
    ];
    assert_eq!(seen, expect.map(|(id, root, loaded)| (id.to_owned(), root.to_owned(), loaded)));
    assert!(models.iter().all(|m| m["max_model_len"] == 4096));
    assert_eq!(server.get("/v1/models/fast").json(200)["root"], "m1");
    assert_eq!(loaded(&server), ["m0"], "looking at a model does not load it");
    let answer = ask(&server, "quick", 2).json(200);
    assert_eq!(answer["model"], "m1");
    assert_eq!(loaded(&server), ["m0", "m1"]);
    let unknown = ask(&server, "m2", 1).json(404);
    let error = &unknown["error"];
    assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
}

#[test]
fn the_one_asked_for_longest_ago_goes_and_a_pinned_one_stays() {
    let server = serve(4, &[&ROOM_FOR_TWO[..], &["--pin", "m1"]].concat());
    assert_eq!(loaded(&server), ["m0", "m1"]);
    for (model, expect) in [
        ("m0", ["m0", "m1"]),
        ("m2", ["m1", "m2"]),
        ("m1", ["m1", "m2"]),
        ("m3", ["m1", "m3"]),
        ("m2", ["m1", "m2"]),
        ("m0", ["m0", "m1"]),
    ] {
        assert_eq!(ask(&server, model, 1).status, 200);
        assert_eq!(loaded(&server), expect, "after {model}");
    }
}

#[test]
fn many_ask_for_a_model_that_is_not_loaded_and_all_are_answered() {
    let server = serve(3, &[]);
    std::thread::scope(|scope| {
        let server = &server;
        let ask = |n: usize| ask(server, ["m1", "m2"][n % 2], 3).json(200)["choices"][0]["text"].clone();
        let asking: Vec<_> = (0..16).map(|n| scope.spawn(move || ask(n))).collect();
        let texts: Vec<Value> = asking.into_iter().map(|thread| thread.join().expect("answered")).collect();
        assert!(texts.iter().all(|text| text == &texts[0]), "{texts:?}");
    });
    assert_eq!(loaded(&server), ["m0", "m1", "m2"]);
}

#[test]
fn a_model_with_a_running_request_is_not_evicted_and_who_waits_is_told() {
    let server = serve(
        2,
        &["--memory", "130MiB", "--max-queue", "1024", "--connections-max", "64", "--load-wait", "300ms"],
    );
    // Much more than sockets hold, and nobody reads it.
    let body = json!({"model": "m0", "prompt": "he", "max_tokens": 4000, "n": 16, "stream": true, "ignore_eos": true});
    let mut stream = server.connect();
    stream.write_all(request("/v1/completions", &body.to_string(), &[]).as_bytes()).expect("sent");
    stream.read_exact(&mut [0; 300]).expect("it begins");
    let started = Instant::now();
    let refused = ask(&server, "m1", 1);
    let waited = started.elapsed();
    assert_eq!(refused.json(503)["error"]["code"], "model_loading");
    assert!(refused.header("retry-after").is_some());
    assert!((Duration::from_millis(250)..Duration::from_secs(3)).contains(&waited), "{waited:?}");
    assert_eq!(loaded(&server), ["m0"]);
    drop(stream);
    let until = Instant::now() + Duration::from_secs(10);
    while ask(&server, "m1", 1).status != 200 {
        assert!(Instant::now() < until, "m0 is idle now, so it can go");
    }
    assert_eq!(loaded(&server), ["m1"]);
}

#[test]
fn eight_models_in_turn_with_room_for_two_leak_nothing() {
    let server = serve(8, &ROOM_FOR_TWO);
    let threads = || fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs").count();
    let (mut answers, mut sizes, mut counts) = (Vec::<Value>::new(), Vec::new(), Vec::new());
    for _round in 0..8 {
        for n in 0..8 {
            answers.push(ask(&server, &format!("m{n}"), 4).json(200)["choices"][0]["text"].clone());
        }
        assert_eq!(loaded(&server), ["m6", "m7"]);
        sizes.push(resident_bytes(server.pid()));
        counts.push(threads());
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    assert!(counts.iter().all(|count| count.abs_diff(counts[0]) <= 2), "{counts:?}");
    assert!(sizes[7] <= sizes[3] + sizes[3] / 50 + (1 << 20), "{sizes:?}");
}

#[test]
fn a_model_whose_file_has_gone_is_told_and_the_others_go_on() {
    let server = serve(2, &[]);
    fs::remove_file(server.scratch.path("m1.gguf")).expect("it was there");
    let failed = ask(&server, "m1", 1);
    assert_eq!(failed.json(503)["error"]["code"], "model_load_failed");
    assert!(!failed.text().contains("gguf"), "no path: {}", failed.text());
    assert_eq!(ask(&server, "m0", 1).status, 200);
    assert_eq!(ask(&server, "m1", 1).status, 503);
}
