//! What is in the files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use serde_json::{Value, json};

use crate::kun::end;
use crate::{Desk, completion, line};

#[test]
fn every_route_of_a_batch_answers_as_it_does_over_http() {
    let desk = Desk::new();
    let messages = json!([{"role": "user", "content": "hello"}]);
    let input = [
        line(
            "chat",
            "/v1/chat/completions",
            &json!({"messages": messages, "max_tokens": 4, "temperature": 0}),
        ),
        completion("text", 4),
        line("vector", "/v1/embeddings", &json!({"input": ["hello", "world"], "model": "small"})),
        line("response", "/v1/responses", &json!({"input": "hello", "max_output_tokens": 16})),
    ];
    let ended = desk.run(input.concat(), &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stderr.contains("4 completed, 0 failed; "), "{ended:?}");
    let answers = desk.answers();
    for (id, object) in [
        ("chat", "chat.completion"),
        ("text", "text_completion"),
        ("vector", "list"),
        ("response", "response"),
    ] {
        let answer = &answers[id];
        assert_eq!(answer["response"]["status_code"], 200, "{answer}");
        assert_eq!(answer["response"]["body"]["object"], object, "{answer}");
        assert_eq!(answer["error"], Value::Null);
        assert!(answer["id"].as_str().is_some_and(|id| id.starts_with("batch_req_")), "{answer}");
        assert!(
            answer["response"]["request_id"].as_str().is_some_and(|id| id.starts_with("req_")),
            "{answer}"
        );
    }
    assert_eq!(answers["vector"]["response"]["body"]["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(answers["chat"]["response"]["body"]["usage"]["completion_tokens"], 4);
}

#[test]
fn a_line_that_fails_is_an_error_of_its_own() {
    let desk = Desk::new();
    let long = completion(&"x".repeat(17 << 20), 1);
    let input = [
        completion("good", 2),
        "{\"custom_id\": \n".to_owned(),
        "{\"url\": \"/v1/completions\", \"body\": {}}\n".to_owned(),
        completion("good", 2),
        line("elsewhere", "/v1/models", &json!({})),
        line("field", "/v1/completions", &json!({"prompt": "a", "temperature": 9})),
        line("model", "/v1/completions", &json!({"prompt": "a", "model": "other"})),
        line("stream", "/v1/completions", &json!({"prompt": "a", "stream": true})),
        "\n\r\n".to_owned(),
        long,
        "\u{1f600}\n".to_owned(),
        completion("last", 2).trim_end().to_owned(),
    ];
    let ended = desk.run(input.concat(), &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("2 completed, 9 failed"), "{ended:?}");
    let lines = desk.lines("out.jsonl");
    let code = |line: &Value| line["error"]["code"].as_str().map(str::to_owned);
    let named = |name: &str| lines.iter().find(|line| line["custom_id"] == name).expect("it is there");
    assert_eq!((code(named("good")), code(named("last"))), (None, None));
    assert_eq!(code(named("elsewhere")).as_deref(), Some("invalid_url"));
    assert_eq!(code(named("model")).as_deref(), Some("model_not_found"));
    assert_eq!(code(named("stream")).as_deref(), Some("unsupported_parameter"));
    let field = named("field");
    assert_eq!(field["response"]["status_code"], 400, "{field}");
    assert_eq!(field["response"]["body"]["error"]["param"], "temperature", "{field}");
    assert!(
        field["error"]["message"].as_str().is_some_and(|text| text.contains("between 0 and 2")),
        "{field}"
    );
    let mut nameless: Vec<(u64, String)> = lines
        .iter()
        .filter(|line| line["custom_id"].is_null())
        .map(|line| (line["error"]["line"].as_u64().expect("its line"), code(line).expect("a code")))
        .collect();
    nameless.sort();
    let expect = [
        (2, "invalid_json_line"),
        (3, "missing_custom_id"),
        (4, "duplicate_custom_id"),
        (11, "line_too_long"),
        (12, "invalid_json_line"),
    ];
    assert_eq!(nameless, expect.map(|(line, code)| (line, code.to_owned())));

    // Another run finds everything answered, and says that some of it was by errors.
    let before = fs::read(desk.scratch.path("out.jsonl")).expect("it was written");
    let again = end(&mut desk.command(&[]));
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("2 completed, 9 failed, all of them before"), "{again:?}");
    assert_eq!(fs::read(desk.scratch.path("out.jsonl")).expect("it is there"), before);
}

#[test]
fn errors_have_a_file_of_their_own_where_one_is_named() {
    let desk = Desk::new();
    let errors = desk.scratch.path("errors.jsonl");
    let flags =
        ["--errors", errors.to_str().expect("UTF-8"), "--alias", "gpt", "--idle", "--concurrency", "2"];
    let input = [
        completion("a", 2),
        "nonsense\n".to_owned(),
        line("b", "/v1/completions", &json!({"prompt": "a", "model": "gpt", "max_tokens": 1})),
    ];
    let ended = desk.run(input.concat(), &flags);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(desk.answers().into_keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(desk.lines("errors.jsonl").len(), 1);
}

#[test]
fn files_without_requests_need_no_model() {
    let desk = Desk::new();
    fs::remove_file(&desk.model).expect("it is there");
    for (input, code, said) in [
        ("", 0, "0 completed, 0 failed; "),
        ("\r\n\n", 0, "0 completed, 0 failed; "),
        ("{}\n[]", 1, "0 completed, 2 failed, all of them before; "),
    ] {
        let _ = fs::remove_file(desk.scratch.path("out.jsonl"));
        let ended = desk.run(input, &[]);
        assert_eq!(ended.code, Some(code), "{input}: {ended:?}");
        assert!(ended.stderr.contains(said) || code == 1, "{input}: {ended:?}");
        assert_eq!(desk.lines("out.jsonl").len(), if code == 1 { 2 } else { 0 }, "{input}");
    }
}

#[test]
fn lines_may_end_as_on_windows_and_the_last_one_not_at_all() {
    let desk = Desk::new();
    let input = format!("\u{feff}{}\r\n{}", completion("a", 1).trim_end(), completion("b", 1).trim_end());
    assert_eq!(desk.run(input, &[]).code, Some(0));
    assert_eq!(desk.answers().into_keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn what_cannot_be_used_is_told_before_the_model_is_loaded() {
    let desk = Desk::new();
    let input = desk.scratch.file("in.jsonl", completion("a", 1));
    let (input, folder) = (input.to_str().expect("UTF-8"), desk.scratch.path(""));
    let out = desk.scratch.path("out.jsonl");
    let (folder, out) = (folder.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let notes = desk.scratch.file("notes.txt", "my notes");
    let absent = desk.scratch.path("absent/out.jsonl");
    let run = |args: &[&str]| desk.scratch.run([&["batch"], args].concat());
    run(&["/no/such/file", out]).fails(4, &["/no/such/file", "No such file"]);
    run(&[folder, out]).fails(4, &["is no file"]);
    run(&["/dev/null", out]).fails(4, &["/dev/null is no file"]);
    run(&[input, folder]).fails(4, &["is no file"]);
    run(&[input, "/dev/full"]).fails(4, &["/dev/full is no file"]);
    run(&[input, absent.to_str().expect("UTF-8")]).fails(4, &["No such file"]);
    run(&[input, input]).fails(2, &["the same file"]);
    run(&[input, out, "--errors", out]).fails(2, &["--errors"]);
    run(&[input, notes.to_str().expect("UTF-8")]).fails(2, &["notes.txt", "line 1", "another file"]);
    assert_eq!(fs::read_to_string(&notes).expect("it is there"), "my notes");
    run(&[input, out, "--concurrency", "0"]).fails(2, &["--concurrency"]);
    run(&[input, out, "--memory", "much"]).fails(2, &["--memory"]);
    run(&[input, out, "no-such-model"]).fails(2, &["no-such-model"]);
}

#[test]
fn an_output_that_may_not_be_written_is_told() {
    let desk = Desk::new();
    desk.scratch.file("in.jsonl", completion("a", 1));
    let out = desk.scratch.file("out.jsonl", "");
    fs::set_permissions(&out, fs::Permissions::from_mode(0o444)).expect("it is ours");
    let mut command = desk.command(&[]);
    if nix::unistd::geteuid().is_root() {
        // Who may do everything is not told that something may not be done.
        command.uid(65534).gid(65534);
    }
    end(&mut command).fails(4, &["cannot write", "out.jsonl: Permission denied"]);
}

#[test]
fn the_model_is_the_one_that_the_first_line_names() {
    let desk = Desk::new();
    let name = desk.model.to_str().expect("UTF-8");
    let body = json!({"prompt": "a", "model": name, "max_tokens": 1});
    let input = desk.scratch.file("in.jsonl", line("a", "/v1/completions", &body));
    let mut command = desk.scratch.command(["batch"]);
    let ended = end(command.arg(input).arg(desk.scratch.path("out.jsonl")));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(desk.answers().len(), 1);
}
