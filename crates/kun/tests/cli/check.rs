//! `kun check`: loops in texts and in JSON lines, their places, and the exit codes.

use serde_json::{Value, json};

use crate::kun::{Ended, Scratch};

#[path = "../../../text/tests/repetition/corpus.rs"]
mod corpus;

const SENTENCE: &str = "The model goes on and on about the weather in Berlin, and about nothing else. ";

/// It has found something: a JSON object for each line.
fn found(ended: &Ended) -> Vec<Value> {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_loop_is_told_with_its_place() {
    let scratch = Scratch::new();
    let text = format!("Größe\n\n{}\nThe end.\n", SENTENCE.repeat(12));
    let path = scratch.file("a.txt", text);
    let path = path.to_str().expect("UTF-8");
    let clean = scratch.file("clean.txt", "Nothing here.\n");
    let clean = clean.to_str().expect("UTF-8");
    let expect = json!({
        "file": path, "line": 3, "byte": 9, "period": SENTENCE.len(), "copies": 12, "excerpt": &SENTENCE[..60],
    });
    assert_eq!(found(&scratch.run(["check", "--json", clean, path])), [expect]);
    let ended = scratch.run(["check", path]);
    let line =
        format!("{path}:3: byte 9: 12 copies of {} characters: {:?}\n", SENTENCE.len(), &SENTENCE[..60]);
    assert_eq!((ended.code, ended.stdout, ended.stderr), (Some(1), line, String::new()));
    assert_eq!(scratch.run(["check", clean]).output(), "");
    let piped = scratch.run_with(["check", "--json", "-"], SENTENCE.repeat(300));
    assert_eq!(found(&piped)[0]["copies"], 300);
}

#[test]
fn strings_of_json_lines_are_texts_of_their_own() {
    let scratch = Scratch::new();
    let long = SENTENCE.repeat(10);
    // Three copies each, in a row only if the strings were one text.
    let short = SENTENCE.repeat(3);
    let lines = [
        json!({"text": "fine", "meta": {"tags": ["a", long]}}),
        json!([short, short, short, short]),
        json!({"text": long, "other": long}),
        json!(17),
    ];
    let file = lines.map(|line| line.to_string()).join("\n\n");
    let path = scratch.file("a.jsonl", &file);
    let path = path.to_str().expect("UTF-8");
    let places = |ended: &Ended| -> Vec<(u64, String)> {
        let place =
            |report: &Value| (report["line"].as_u64().expect("a number"), report["field"].to_string());
        found(ended).iter().map(place).collect()
    };
    let all = scratch.run(["check", "--json", path]);
    let expect = [(1, "\"meta.tags.1\""), (5, "\"text\""), (5, "\"other\"")].map(|(l, f)| (l, f.to_owned()));
    assert_eq!(places(&all), expect);
    let one = scratch.run(["check", "--json", "--field", "text", path]);
    assert_eq!(places(&one), expect[1..2]);
    let nested = scratch.run_with(["check", "--json", "--field", "meta.tags.1", "-"], &file);
    assert_eq!(nested.code, Some(0), "a list has no fields: {nested:?}");
    let named = scratch.run_with(["check", "--json", "--jsonl", "-"], &file);
    assert_eq!(places(&named), expect);
}

#[test]
fn legitimate_repetition_passes() {
    let scratch = Scratch::new();
    let line = |(name, text): (&str, String)| json!({"name": name, "text": text}).to_string() + "\n";
    let file: String = corpus::documents().into_iter().map(line).collect();
    let path = scratch.file("corpus.jsonl", file);
    assert_eq!(scratch.run(["check", path.to_str().expect("UTF-8")]).output(), "");
}

#[test]
fn bytes_that_are_no_text_are_gone_through() {
    let scratch = Scratch::new();
    let mut bytes = b"\xff\xfe broken \xe4\xb8".to_vec();
    bytes.extend(SENTENCE.repeat(12).bytes());
    bytes.extend(b"\xe4\xb8");
    let path = scratch.file("bytes.bin", bytes);
    let reports = found(&scratch.run(["check", "--json", path.to_str().expect("UTF-8")]));
    assert_eq!((&reports[0]["byte"], &reports[0]["copies"]), (&json!(12), &json!(12)));
}

#[test]
fn what_cannot_be_read_is_told() {
    let scratch = Scratch::new();
    let absent = scratch.path("absent.txt");
    scratch.run(["check", absent.to_str().expect("UTF-8")]).fails(4, &["absent.txt", "No such file"]);
    let broken = scratch.file("broken.jsonl", "{\"a\": 1}\n{\"a\": \n");
    scratch.run(["check", broken.to_str().expect("UTF-8")]).fails(2, &["broken.jsonl:2", "JSON", "EOF"]);
    scratch.run(["check", "--field", "", "x"]).fails(2, &["--field"]);
    assert_eq!(scratch.run(["check"]).code, Some(2));
}
