//! The Ollama-style routes: answers, lines, models, vectors and refusals.

use serde_json::{Value, json};

use crate::server::{Reply, Server};

const CHAT: &str = "/api/chat";
const GENERATE: &str = "/api/generate";

/// A body with these fields beside or instead; null takes one away.
fn with(mut body: Value, more: &Value) -> Value {
    let fields = body.as_object_mut().expect("an object");
    for (name, value) in more.as_object().expect("an object") {
        match value {
            Value::Null => fields.shift_remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    body
}

fn chat(more: Value) -> Value {
    let options = json!({"temperature": 0, "num_predict": 5});
    with(json!({"messages": [{"role": "user", "content": "hello"}], "options": options}), &more)
}

fn generate(more: Value) -> Value {
    with(json!({"prompt": "hello", "options": {"temperature": 0, "num_predict": 5}}), &more)
}

fn lines(reply: &Reply) -> Vec<Value> {
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-ndjson")));
    let lines = reply.text().lines().inspect(|line| assert!(!line.is_empty(), "{}", reply.text()));
    lines.map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// Without what differs from one answer to the next.
fn timeless(mut line: Value) -> Value {
    let fields = line.as_object_mut().expect("an object");
    fields.retain(|name, _| name != "created_at" && !name.ends_with("_duration"));
    line
}

#[test]
fn a_stream_is_lines_that_add_up_to_the_whole() {
    let server = Server::start(&[]);
    let of_chat = |line: &Value| line["message"]["content"].as_str().map(str::to_owned);
    let of_generate = |line: &Value| line["response"].as_str().map(str::to_owned);
    type Text = fn(&Value) -> Option<String>;
    for (path, body, text) in [
        (CHAT, chat(json!({})), of_chat as Text),
        (CHAT, chat(json!({"think": false, "keep_alive": "5m", "tools": []})), of_chat as Text),
        (CHAT, chat(json!({"options": {"num_predict": 40, "seed": 3, "num_thread": 4}})), of_chat as Text),
        (GENERATE, generate(json!({})), of_generate as Text),
        (
            GENERATE,
            generate(json!({"system": "be brief", "format": "", "keep_alive": -1})),
            of_generate as Text,
        ),
        (GENERATE, generate(json!({"raw": true})), of_generate as Text),
    ] {
        let mut whole = server.post(path, &with(body.clone(), &json!({"stream": false}))).json(200);
        let mut lines = lines(&server.post(path, &body));
        let told: String = lines.iter().map(|line| text(line).expect("each line has text")).collect();
        assert_eq!(Some(told), text(&whole), "{body}");
        let last = lines.pop().expect("a last line");
        for line in &lines {
            assert_eq!(line["done"], false);
            assert!(line.get("done_reason").is_none() && line.get("eval_count").is_none(), "{line}");
        }
        for name in ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"] {
            assert!(last[name].is_u64() && whole[name].is_u64(), "{name} of {last}");
        }
        match path {
            CHAT => whole["message"]["content"] = "".into(),
            _ => whole["response"] = "".into(),
        }
        assert_eq!(timeless(last), timeless(whole));
    }
}

#[test]
fn a_last_line_has_the_numbers() {
    let server = Server::start(&[]);
    let line = timeless(server.post(GENERATE, &generate(json!({"stream": false, "raw": true}))).json(200));
    let model = line["model"].clone();
    let text = line["response"].clone();
    // The beginning of the text, `hell` and `o`.
    let expect = json!({
        "model": model, "response": text, "done": true, "done_reason": "length",
        "prompt_eval_count": 3, "eval_count": 5,
    });
    assert_eq!(line, expect);
}

#[test]
fn log_probabilities_come_with_their_tokens() {
    let server = Server::start(&[]);
    let more = json!({"logprobs": true, "top_logprobs": 2});
    let lines = lines(&server.post(CHAT, &chat(more)));
    let told: Vec<&Value> = lines.iter().filter_map(|line| line["logprobs"].as_array()).flatten().collect();
    assert_eq!(told.len(), 5);
    for token in told {
        assert_eq!(token["logprob"], token["top_logprobs"][0]["logprob"]);
        assert_eq!(token["top_logprobs"].as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn without_a_prompt_the_model_is_only_loaded() {
    let server = Server::start(&[]);
    for (path, body, empty) in [
        (CHAT, json!({}), json!({"message": {"role": "assistant", "content": ""}})),
        (
            CHAT,
            json!({"messages": [], "keep_alive": "10m"}),
            json!({"message": {"role": "assistant", "content": ""}}),
        ),
        (GENERATE, json!({}), json!({"response": ""})),
        (GENERATE, json!({"prompt": "", "stream": true}), json!({"response": ""})),
    ] {
        let lines = lines(&server.post(path, &body));
        assert_eq!(lines.len(), 1);
        let mut line = timeless(lines[0].clone());
        assert!(line.as_object_mut().expect("an object").shift_remove("model").is_some());
        assert_eq!(line, with(empty, &json!({"done": true, "done_reason": "load"})));
    }
    let error = server.post(GENERATE, &json!({"keep_alive": 0})).json(400);
    assert!(error["error"].as_str().is_some_and(|text| text.contains("keep_alive")), "{error}");
}

#[test]
fn the_models_are_told() {
    let server = Server::start(&[]);
    let tags = server.get("/api/tags").json(200);
    let tag = &tags["models"][0];
    let name = tag["name"].as_str().expect("a name");
    assert_eq!(tag["model"], name);
    let details = json!({
        "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
        "parameter_size": "17.70K", "quantization_level": "F32",
    });
    assert_eq!(tag["details"], details);
    assert_eq!(tag["digest"].as_str().map(str::len), Some(64));
    assert!(tag["size"].as_u64().is_some_and(|bytes| bytes > 10_000));
    assert!(tag["modified_at"].as_str().is_some_and(|date| date.starts_with("20") && date.ends_with('Z')));
    let running = &server.get("/api/ps").json(200)["models"][0];
    assert_eq!((&running["name"], &running["details"]), (&tag["name"], &tag["details"]));
    assert_eq!(running["context_length"], 4096);
    assert!(server.get("/api/version").json(200)["version"].is_string());
    // A tag that says nothing may be left out or given.
    for name in [name.to_owned(), format!("{name}:latest")] {
        let shown = server.post("/api/show", &json!({"model": name})).json(200);
        assert_eq!((&shown["details"], &shown["modified_at"]), (&tag["details"], &tag["modified_at"]));
        assert_eq!(shown["capabilities"], json!(["completion"]));
        let info = &shown["model_info"];
        assert_eq!(
            (&info["general.architecture"], &info["llama.context_length"], &info["tokenizer.ggml.tokens"]),
            (&json!("llama"), &json!(4096), &Value::Null)
        );
        assert_eq!(info["llama.attention.layer_norm_rms_epsilon"], json!(1e-5));
        assert!(shown["template"].as_str().is_some_and(|template| template.contains("bos_token")));
        assert_eq!(
            server.post("/api/pull", &json!({"name": name, "stream": false})).json(200),
            json!({"status": "success"})
        );
        let answer = server.post(CHAT, &chat(json!({"model": name, "stream": false}))).json(200);
        assert_eq!(answer["model"], tag["model"]);
    }
}

#[test]
fn texts_become_vectors() {
    let server = Server::start(&[]);
    let embed = |more: Value| server.post("/api/embed", &more).json(200);
    let both = embed(json!({"input": ["hello", "he"]}));
    let vectors = both["embeddings"].as_array().expect("vectors");
    assert_eq!((vectors.len(), &both["prompt_eval_count"]), (2, &json!(3 + 2)));
    assert_eq!(embed(json!({"input": "hello"}))["embeddings"], json!([vectors[0]]));
    let old = server.post("/api/embeddings", &json!({"prompt": "he"})).json(200);
    assert_eq!(old, json!({"embedding": vectors[1]}));
    let numbers = |vector: &Value| -> Vec<f64> {
        vector.as_array().expect("numbers").iter().map(|x| x.as_f64().expect("a number")).collect()
    };
    let length = |vector: &[f64]| vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    let whole = numbers(&vectors[0]);
    let short = numbers(&embed(json!({"input": "hello", "dimensions": 4}))["embeddings"][0]);
    assert_eq!((whole.len(), short.len()), (32, 4));
    assert!((length(&whole) - 1.0).abs() < 1e-5 && (length(&short) - 1.0).abs() < 1e-5);
    assert!((short[0] / short[1] - whole[0] / whole[1]).abs() < 1e-3, "{whole:?} {short:?}");
    for nothing in [json!(""), json!([]), json!([""])] {
        assert_eq!(embed(json!({"input": nothing}))["embeddings"], json!([]));
    }
    let many = vec!["he"; 200];
    assert_eq!(embed(json!({"input": many}))["embeddings"].as_array().map(Vec::len), Some(200));
    let long = "a b ".repeat(5000);
    assert_eq!(embed(json!({"input": long}))["prompt_eval_count"], 4096);
}

#[test]
fn errors_are_one_text_that_names_the_field() {
    let server = Server::start(&["--ctx", "64"]);
    let option = |name: &str, value: Value| chat(json!({"options": {name: value}}));
    let message = |message: Value| chat(json!({"messages": [message]}));
    let long = "a b ".repeat(100);
    for (path, body, status, words) in [
        (CHAT, chat(json!({"model": "nobody"})), 404, "model 'nobody' not found"),
        (CHAT, chat(json!({"model": "nobody:latest"})), 404, "model 'nobody:latest' not found"),
        (CHAT, message(json!({"role": "foo", "content": "x"})), 400, "messages[0].role"),
        (CHAT, message(json!({"role": "user"})), 400, "messages[0].content"),
        (CHAT, message(json!({"role": "user", "content": 5})), 400, "messages[0].content"),
        (
            CHAT,
            message(json!({"role": "user", "content": "x", "images": ["AA=="]})),
            400,
            "messages[0].images",
        ),
        (
            CHAT,
            chat(json!({"messages": vec![json!({"role": "user", "content": "x"}); 5000]})),
            400,
            "messages",
        ),
        (CHAT, chat(json!({"format": "xml"})), 400, "format"),
        (CHAT, chat(json!({"tools": [{}]})), 400, "tools[0]"),
        (CHAT, chat(json!({"think": true})), 400, "think"),
        (CHAT, chat(json!({"think": "high"})), 400, "think"),
        (CHAT, chat(json!({"truncate": true})), 400, "truncate"),
        (CHAT, chat(json!({"stream": "yes"})), 400, "stream"),
        (CHAT, chat(json!({"keep_alive": []})), 400, "keep_alive"),
        (CHAT, chat(json!({"top_logprobs": 2})), 400, "logprobs"),
        (CHAT, chat(json!({"logprobs": true, "top_logprobs": 21})), 400, "top_logprobs"),
        (CHAT, option("temperature", json!(-1)), 400, "temperature"),
        (CHAT, option("temperature", json!("hot")), 400, "options.temperature"),
        (CHAT, option("top_p", json!(1.5)), 400, "top_p"),
        (CHAT, option("min_p", json!(2)), 400, "min_p"),
        (CHAT, option("num_predict", json!(0)), 400, "num_predict"),
        (CHAT, option("num_predict", json!(-3)), 400, "num_predict"),
        (CHAT, option("num_ctx", json!(65)), 400, "num_ctx"),
        (CHAT, option("num_ctx", json!(0)), 400, "num_ctx"),
        (CHAT, option("mirostat", json!(3)), 400, "mirostat"),
        (CHAT, option("tfs_z", json!(0.5)), 400, "tfs_z"),
        (CHAT, option("stop", json!(vec!["x"; 17])), 400, "stop"),
        (CHAT, option("seed", json!("x")), 400, "seed"),
        (CHAT, message(json!({"role": "user", "content": long})), 400, "maximum context length is 64 tokens"),
        (GENERATE, generate(json!({"prompt": long})), 400, "maximum context length is 64 tokens"),
        (GENERATE, generate(json!({"template": "{{ .Prompt }}"})), 400, "template"),
        (GENERATE, generate(json!({"context": [1, 2]})), 400, "context"),
        (GENERATE, generate(json!({"suffix": "}"})), 400, "suffix"),
        (GENERATE, generate(json!({"images": ["AA=="]})), 400, "images"),
        (GENERATE, generate(json!({"raw": true, "system": "x"})), 400, "system"),
        ("/api/embed", json!({}), 400, "input"),
        ("/api/embed", json!({"input": 5}), 400, "input"),
        ("/api/embed", json!({"input": "x", "dimensions": 0}), 400, "dimensions"),
        ("/api/embed", json!({"input": "x", "dimensions": 33}), 400, "dimensions"),
        ("/api/embed", json!({"input": vec!["x"; 10_000]}), 400, "at most 2048"),
        (
            "/api/embed",
            json!({"input": ["x", long], "truncate": false}),
            400,
            "maximum context length is 64 tokens",
        ),
        ("/api/show", json!({"model": "nobody"}), 404, "nobody"),
        ("/api/show", json!({"verbose": true}), 400, "verbose"),
        ("/api/pull", json!({"model": "nobody"}), 400, "kun pull"),
        ("/api/push", json!({"model": "nobody"}), 400, "not sent"),
        ("/api/create", json!({"model": "nobody"}), 400, "kun pull"),
        ("/api/copy", json!({"source": "a", "destination": "b"}), 400, "kun serve"),
        ("/api/delete", json!({}), 405, "not allowed"),
        ("/api/nothing", json!({}), 404, "/api/nothing"),
    ] {
        let error = server.post(path, &body).json(status);
        let text = error["error"].as_str().expect("an error is a text");
        assert!(text.contains(words), "{path} {body}: {text}");
        assert_eq!(error, json!({"error": text}));
    }
    assert!(server.get(CHAT).json(405)["error"].is_string());
    assert!(server.post_text(CHAT, "[", &[]).json(400)["error"].is_string());
}

#[test]
fn options_reach_the_model() {
    let server = Server::start(&["--ctx", "64"]);
    let count = |options: Value| {
        server.post(GENERATE, &generate(json!({"stream": false, "options": options}))).json(200)["eval_count"]
            .clone()
    };
    assert_eq!(count(json!({"temperature": 0, "num_predict": 3, "num_ctx": 32})), 3);
    let all = count(json!({"temperature": 0, "num_predict": -1}));
    assert_eq!(count(json!({"temperature": 0, "num_predict": -2})), all);
    let text = |options: Value| {
        server.post(GENERATE, &generate(json!({"stream": false, "options": options}))).json(200)["response"]
            .clone()
    };
    let seeded = |seed: i64| text(json!({"temperature": 2, "num_predict": 20, "seed": seed}));
    assert_eq!(seeded(1), seeded(1));
    assert_ne!(seeded(1), seeded(2));
    assert_ne!(seeded(-1), seeded(-1));
}
