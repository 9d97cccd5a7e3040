//! `/v1/files` and `/v1/batches`: the whole life of a batch, its limits, its owner, and that it survives the server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kun::Scratch;
use crate::model;
use crate::server::{Reply, Server};

/// A server that keeps files, with these flags beside.
fn server(flags: &[&str]) -> Server {
    let scratch = Scratch::new();
    let state = scratch.path("state");
    model::write(&scratch, "small.gguf");
    start(scratch, &[&["--state-dir", state.to_str().expect("UTF-8")], flags].concat())
}

fn start(scratch: Scratch, flags: &[&str]) -> Server {
    let model: PathBuf = scratch.path("small.gguf");
    Server::with_models(scratch, &[model.to_str().expect("UTF-8")], flags)
}

/// Posts a form with a purpose and a file.
fn upload(server: &Server, purpose: &str, content: &str, headers: &str) -> Reply {
    let part = |name: &str, more: &str, content: &str| {
        format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{content}\r\n")
    };
    let file = part("file", "; filename=\"in.jsonl\"", content);
    send_form(server, &format!("{}{file}--edge--\r\n", part("purpose", "", purpose)), headers)
}

fn send_form(server: &Server, body: &str, headers: &str) -> Reply {
    server.send(format!(
        "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=edge\r\n\
         Content-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}",
        body.len()
    ))
}

fn ask(server: &Server, method: &str, path: &str, headers: &str) -> Reply {
    server.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"))
}

fn id(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

fn completion(id: &str, max_tokens: usize) -> String {
    let body = json!({"prompt": format!("hello {id}"), "max_tokens": max_tokens, "temperature": 0});
    json!({"custom_id": id, "method": "POST", "url": "/v1/completions", "body": body}).to_string() + "\n"
}

fn completions(count: usize, max_tokens: usize) -> String {
    (0..count).map(|n| completion(&format!("id-{n}"), max_tokens)).collect()
}

/// More than can be answered while a test looks.
fn endless() -> String {
    completions(5000, 1000).replace("\"temperature\":0", "\"ignore_eos\":true")
}

/// Sends a file and has it answered.
fn create(server: &Server, content: &str, window: &str) -> Value {
    let file = upload(server, "batch", content, "").json(200);
    let body =
        json!({"input_file_id": id(&file), "endpoint": "/v1/completions", "completion_window": window});
    server.post("/v1/batches", &body).json(200)
}

/// Waits until a batch is in one of these states.
#[track_caller]
fn wait(server: &Server, batch: &str, states: &[&str]) -> Value {
    let started = Instant::now();
    loop {
        let batch = server.get(&format!("/v1/batches/{batch}")).json(200);
        if states.iter().any(|state| batch["status"] == *state) {
            return batch;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it stays: {batch}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A file's lines, by their names; each has one.
fn lines(server: &Server, file: &Value) -> BTreeMap<String, Value> {
    let file = file.as_str().expect("a file");
    let reply = server.get(&format!("/v1/files/{file}/content"));
    assert_eq!(reply.status, 200);
    let lines: Vec<Value> =
        reply.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let shown = server.get(&format!("/v1/files/{file}")).json(200);
    assert_eq!((&shown["bytes"], &shown["purpose"]), (&json!(reply.body.len()), &json!("batch_output")));
    let name = |line: &Value| {
        line["custom_id"].as_str().map_or_else(|| line["error"]["line"].to_string(), str::to_owned)
    };
    let named: BTreeMap<String, Value> = lines.iter().map(|line| (name(line), line.clone())).collect();
    assert_eq!(named.len(), lines.len(), "a line is answered twice");
    named
}

#[test]
fn a_batch_is_answered_line_by_line() {
    let server = server(&[]);
    let input = [
        completion("good", 3),
        "nonsense\n".to_owned(),
        completion("good", 3),
        completion("hot", 3).replace("\"temperature\":0", "\"temperature\":9"),
        completion("elsewhere", 3).replace("/v1/completions", "/v1/embeddings"),
        completion("last", 3),
    ];
    let created = create(&server, &input.concat(), "24h");
    assert_eq!((&created["object"], &created["status"]), (&json!("batch"), &json!("validating")));
    assert_eq!(created["expires_at"].as_u64(), created["created_at"].as_u64().map(|at| at + 24 * 3600));
    let batch = wait(&server, &id(&created), &["completed", "failed"]);
    assert_eq!(batch["status"], "completed", "{batch}");
    assert_eq!(batch["request_counts"], json!({"total": 6, "completed": 2, "failed": 4}));
    for time in ["in_progress_at", "finalizing_at", "completed_at"] {
        assert!(batch[time].is_u64(), "{time}: {batch}");
    }
    let faults: Vec<&Value> =
        batch["errors"]["data"].as_array().expect("faults").iter().map(|f| &f["line"]).collect();
    assert_eq!(faults, [2, 5], "what can't be asked is told at once: {batch}");

    let output = lines(&server, &batch["output_file_id"]);
    assert_eq!(output.keys().collect::<Vec<_>>(), ["good", "last"]);
    let body = json!({"prompt": "hello good", "max_tokens": 3, "temperature": 0});
    let direct = server.post("/v1/completions", &body).json(200);
    assert_eq!(output["good"]["response"]["body"]["choices"], direct["choices"]);
    let errors = lines(&server, &batch["error_file_id"]);
    let codes: Vec<(&str, &Value)> =
        errors.iter().map(|(name, line)| (name.as_str(), &line["error"]["code"])).collect();
    assert_eq!(
        codes,
        [
            ("2", &json!("invalid_json_line")),
            ("3", &json!("duplicate_custom_id")),
            ("elsewhere", &json!("mismatched_endpoint")),
            ("hot", &json!("invalid_request_error")),
        ]
    );
    let metrics = server.get("/metrics");
    assert!(
        metrics.text().contains("kun_batch_lines_total{outcome=\"completed\"} 2\n"),
        "{}",
        metrics.text()
    );
    assert!(metrics.text().contains("kun_batch_lines_total{outcome=\"failed\"} 4\n"), "{}", metrics.text());
}

#[test]
fn files_and_batches_are_listed_shown_and_deleted() {
    let server = server(&[]);
    let batch = create(&server, &completions(3, 1), "24h");
    let done = wait(&server, &id(&batch), &["completed"]);
    let input = batch["input_file_id"].as_str().expect("a file");
    let names = |reply: Reply| -> Vec<String> {
        reply.json(200)["data"].as_array().expect("a list").iter().map(id).collect()
    };
    let output = done["output_file_id"].as_str().expect("a file");
    assert_eq!(names(server.get("/v1/files")), [output, input]);
    assert_eq!(names(server.get("/v1/files?order=asc&limit=1")), [input]);
    assert_eq!(names(server.get("/v1/files?purpose=batch_output")), [output]);
    assert_eq!(names(server.get(&format!("/v1/files?after={output}"))), [input]);
    assert_eq!(names(server.get("/v1/batches?limit=5")), [id(&batch)]);
    assert!(names(server.get(&format!("/v1/batches?after={}", id(&batch)))).is_empty());
    for query in ["limit=0", "limit=x", "order=up", "after=nothing"] {
        assert_eq!(server.get(&format!("/v1/files?{query}")).status, 400, "{query}");
    }
    assert_eq!(server.get(&format!("/v1/files/{input}/content")).text(), completions(3, 1));
    let deleted = ask(&server, "DELETE", &format!("/v1/files/{input}"), "").json(200);
    assert_eq!((&deleted["deleted"], &deleted["id"]), (&json!(true), &json!(input)));
    assert_eq!(server.get(&format!("/v1/files/{input}")).status, 404);
    assert!(!server.scratch.path("state/files").join(input).exists());
    for path in ["/v1/files/..%2Fstate.redb/content", "/v1/files/state.redb", "/v1/batches/x"] {
        assert_eq!(server.get(path).json(404)["error"]["code"], "not_found", "{path}");
    }
}

#[test]
fn what_is_no_upload_and_no_batch_is_refused() {
    let server = server(&["--file-limit", "2000", "--files-max", "2", "--batch-lines-max", "5"]);
    let refused = |reply: Reply, status: u16, part: &str| {
        let error = &reply.json(status)["error"];
        assert!(error["message"].as_str().is_some_and(|text| text.contains(part)), "{error}");
    };
    refused(upload(&server, "fine-tune", "x", ""), 400, "purpose must be batch");
    refused(upload(&server, "batch", &"x".repeat(2001), ""), 413, "2000 bytes");
    refused(send_form(&server, "--edge--\r\n", ""), 400, "file");
    refused(send_form(&server, "--edge\r\nContent-Dispos", ""), 400, "the form is broken");
    refused(server.post("/v1/files", &json!({})), 415, "multipart/form-data");
    let expires =
        "--edge\r\nContent-Disposition: form-data; name=\"expires_after[seconds]\"\r\n\r\n1\r\n--edge--\r\n";
    refused(send_form(&server, expires, ""), 400, "expires_after");

    let empty = id(&upload(&server, "batch", "\n", "").json(200));
    let lines = id(&upload(&server, "batch", &"{}\n".repeat(6), "").json(200));
    refused(upload(&server, "batch", "x", ""), 400, "2 files");
    let batch = |change: Value| {
        let mut body =
            json!({"input_file_id": empty, "endpoint": "/v1/completions", "completion_window": "24h"});
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        server.post("/v1/batches", &body)
    };
    refused(batch(json!({"endpoint": "/v1/models"})), 400, "endpoint must be one of");
    refused(batch(json!({"completion_window": "soon"})), 400, "completion_window");
    refused(batch(json!({"input_file_id": "file-x"})), 404, "no file");
    refused(batch(json!({"output_expires_after": {"seconds": 5}})), 400, "output_expires_after");
    let fails = |change: Value, code: &str, line: Value| {
        let failed = wait(&server, &id(&batch(change).json(200)), &["failed"]);
        let fault = &failed["errors"]["data"][0];
        assert_eq!((&fault["code"], &fault["line"]), (&json!(code), &line), "{failed}");
        assert!(failed["failed_at"].is_u64(), "{failed}");
    };
    fails(json!({}), "empty_file", Value::Null);
    fails(json!({"input_file_id": lines}), "too_many_lines", Value::Null);
    assert_eq!(ask(&server, "DELETE", &format!("/v1/files/{lines}"), "").status, 200);
    let bad = id(&upload(&server, "batch", "{}\n", "").json(200));
    fails(json!({"input_file_id": bad}), "missing_custom_id", json!(1));
}

#[test]
fn a_batch_that_is_cancelled_or_late_keeps_what_it_has() {
    let server = server(&["--batch-concurrency", "2"]);
    let created = create(&server, &endless(), "24h");
    let path = format!("/v1/batches/{}", id(&created));
    while server.get(&path).json(200)["request_counts"]["completed"].as_u64() < Some(3) {}
    let input = created["input_file_id"].as_str().expect("a file");
    let in_use = ask(&server, "DELETE", &format!("/v1/files/{input}"), "").json(400);
    assert_eq!(in_use["error"]["code"], "file_in_use");
    let cancelling = ask(&server, "POST", &format!("{path}/cancel"), "Content-Length: 0\r\n").json(200);
    assert_eq!(cancelling["status"], "cancelling");
    let cancelled = wait(&server, &id(&created), &["cancelled"]);
    let done = cancelled["request_counts"]["completed"].as_u64().expect("a number");
    assert!((3..5000).contains(&done), "{cancelled}");
    assert_eq!(lines(&server, &cancelled["output_file_id"]).len() as u64, done);
    assert_eq!(cancelled["error_file_id"], Value::Null);
    let again = ask(&server, "POST", &format!("{path}/cancel"), "Content-Length: 0\r\n").json(400);
    assert_eq!(again["error"]["code"], "batch_ended");

    let expired = create(&server, &endless(), "1s");
    let expired = wait(&server, &id(&expired), &["expired"]);
    let counts = &expired["request_counts"];
    assert_eq!(counts["completed"].as_u64().zip(counts["failed"].as_u64()).map(|(c, f)| c + f), Some(5000));
    let errors = lines(&server, &expired["error_file_id"]);
    assert!(errors.values().all(|line| line["error"]["code"] == "batch_expired"));
    assert_eq!(Some(errors.len() as u64), counts["failed"].as_u64());
}

#[test]
fn a_batch_goes_on_after_the_server_was_killed() {
    let count = 300;
    let mut server = server(&["--batch-concurrency", "4"]);
    let batch = id(&create(&server, &completions(count, 30), "24h"));
    for more in [5, 40] {
        let done =
            || server.get(&format!("/v1/batches/{batch}")).json(200)["request_counts"]["completed"].as_u64();
        let before = done().expect("a number");
        while done().is_some_and(|done| done < (before + more).min(count as u64)) {}
        server = server.killed_and_started(&["--batch-concurrency", "4"]);
    }
    let done = wait(&server, &batch, &["completed"]);
    assert_eq!(done["request_counts"], json!({"total": count, "completed": count, "failed": 0}));
    let output = lines(&server, &done["output_file_id"]);
    assert_eq!(output.len(), count);
    let files = std::fs::read_dir(server.scratch.path("state/files")).expect("a folder").count();
    assert_eq!(files, 2, "the input and the output");
}

#[test]
fn interactive_requests_come_first() {
    let server = server(&["--max-sequences", "1", "--batch-concurrency", "32"]);
    let path = format!("/v1/batches/{}", id(&create(&server, &endless(), "24h")));
    let done = || server.get(&path).json(200)["request_counts"]["completed"].as_u64().expect("a number");
    while done() == 0 {}
    let body = json!({"prompt": "hello", "max_tokens": 2, "temperature": 0});
    for _ in 0..3 {
        let before = done();
        server.post("/v1/completions", &body).json(200);
        // The one place was taken, and 31 lines waited for it: whoever waits for an answer is asked about before them.
        let meanwhile = done() - before;
        assert!(meanwhile < 16, "{meanwhile} lines were answered first");
    }
    assert_eq!(server.get(&path).json(200)["status"], "in_progress", "the batch was under way all the time");
}

#[test]
fn nobody_sees_what_is_another_keys() {
    let scratch = Scratch::new();
    model::write(&scratch, "small.gguf");
    let mut keys = String::new();
    let headers = ["alice", "bob"].map(|name| {
        let output = scratch.run(["key", "new", name]).output();
        let (key, entry) = output.split_once("\n\n").expect("the key and its entry");
        keys.push_str(entry);
        format!("Authorization: Bearer {key}\r\n")
    });
    let (state, keys) = (scratch.path("state"), scratch.file("keys.toml", keys));
    let flags = ["--state-dir", state.to_str().expect("UTF-8"), "--keys", keys.to_str().expect("UTF-8")];
    let server = start(scratch, &flags);
    let [alice, bob] = &headers;
    let file = id(&upload(&server, "batch", &completions(2, 1), alice).json(200));
    let body = json!({"input_file_id": file, "endpoint": "/v1/completions", "completion_window": "24h"});
    let create = |headers: &str| {
        let body = body.to_string();
        server.send(format!(
            "POST /v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    };
    assert_eq!(create(bob).status, 404);
    let batch = id(&create(alice).json(200));
    for (method, path) in [
        ("GET", format!("/v1/files/{file}")),
        ("GET", format!("/v1/files/{file}/content")),
        ("DELETE", format!("/v1/files/{file}")),
        ("GET", format!("/v1/batches/{batch}")),
        ("POST", format!("/v1/batches/{batch}/cancel")),
    ] {
        assert_eq!(ask(&server, method, &path, bob).status, 404, "{method} {path}");
        assert_eq!(ask(&server, method, &path, "").status, 401, "{method} {path}");
    }
    for path in ["/v1/files", "/v1/batches"] {
        assert_eq!(ask(&server, "GET", path, bob).json(200)["data"], json!([]), "{path}");
        let hers = ask(&server, "GET", path, alice).json(200);
        assert!(hers["data"].as_array().is_some_and(|data| !data.is_empty()), "{path}: {hers}");
    }
}

#[test]
fn without_a_folder_the_routes_name_the_flag() {
    let server = Server::start(&[]);
    for path in ["/v1/files", "/v1/batches", "/v1/files/x/content"] {
        let error = &server.get(path).json(404)["error"];
        assert!(error["message"].as_str().is_some_and(|text| text.contains("--state-dir")), "{error}");
    }
    let taken = server.scratch.file("taken", "a file");
    let model = server.scratch.path("small.gguf");
    let flags = ["--port", "0", "--state-dir", taken.to_str().expect("UTF-8")];
    server
        .scratch
        .run([&["serve", model.to_str().expect("UTF-8")], &flags[..]].concat())
        .fails(4, &["--state-dir"]);
}
