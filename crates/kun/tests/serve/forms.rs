//! Answers that must have a form, through every API. A model of random weights has them too: no choice is left to it.

use serde_json::{Value, json};

use crate::server::Server;

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8, "pattern": "^[a-z]+$"},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        },
        "required": ["name", "age", "tags"],
    })
}

#[track_caller]
fn check_person(text: &str) {
    let person: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let object = person.as_object().expect("an object");
    assert_eq!(object.keys().collect::<Vec<_>>(), ["name", "age", "tags"]);
    let name = person["name"].as_str().expect("a text");
    assert!(!name.is_empty() && name.len() <= 8 && name.bytes().all(|b| b.is_ascii_lowercase()), "{text}");
    assert!((0..=150).contains(&person["age"].as_i64().expect("a whole number")), "{text}");
    let tags = person["tags"].as_array().expect("a list");
    assert!(tags.len() <= 2 && tags.iter().all(|tag| tag == "a" || tag == "b"), "{text}");
}

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

fn chat(more: Value) -> Value {
    with(json!({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 200, "seed": 7}), more)
}

#[test]
fn every_api_gives_a_form_to_its_answers() {
    let server = Server::start(&[]);
    let wrapped =
        json!({"type": "json_schema", "json_schema": {"name": "person", "schema": person(), "strict": true}});
    let format = json!({"type": "json_schema", "name": "person", "schema": person()});
    let hello = json!([{"role": "user", "content": "hello"}]);
    let cases = [
        ("/v1/chat/completions", chat(json!({"response_format": wrapped})), "/choices/0/message/content"),
        (
            "/v1/chat/completions",
            chat(json!({"response_format": {"type": "json_object", "schema": person()}})),
            "/choices/0/message/content",
        ),
        ("/v1/chat/completions", chat(json!({"guided_json": person()})), "/choices/0/message/content"),
        (
            "/v1/chat/completions",
            chat(json!({"guided_json": person().to_string()})),
            "/choices/0/message/content",
        ),
        (
            "/v1/chat/completions",
            chat(json!({"structured_outputs": {"json": person()}})),
            "/choices/0/message/content",
        ),
        (
            "/v1/completions",
            json!({"prompt": "he", "max_tokens": 200, "json_schema": person()}),
            "/choices/0/text",
        ),
        (
            "/v1/responses",
            json!({"input": "hello", "max_output_tokens": 200, "text": {"format": format}}),
            "/output/0/content/0/text",
        ),
        (
            "/v1/messages",
            json!({"messages": hello, "max_tokens": 200, "output_config": {"format": format}}),
            "/content/0/text",
        ),
        ("/api/chat", json!({"messages": hello, "stream": false, "format": person()}), "/message/content"),
        ("/api/generate", json!({"prompt": "hello", "stream": false, "format": person()}), "/response"),
    ];
    for (path, body, place) in cases {
        for temperature in [0.0, 1.0] {
            let body = match path.starts_with("/api/") {
                true => {
                    with(body.clone(), json!({"options": {"temperature": temperature, "num_predict": 200}}))
                }
                false => with(body.clone(), json!({"temperature": temperature})),
            };
            let answer = server.post(path, &body).json(200);
            check_person(answer.pointer(place).and_then(Value::as_str).unwrap_or_else(|| panic!("{answer}")));
        }
    }
}

#[test]
fn a_form_ends_with_stop_and_a_limit_leaves_its_beginning() {
    let server = Server::start(&[]);
    let ask = |more: Value| {
        let answer = server
            .post("/v1/chat/completions", &chat(with(json!({"guided_json": person()}), more)))
            .json(200);
        let choice = &answer["choices"][0];
        let tokens = answer["usage"]["completion_tokens"].as_u64().expect("a count");
        let text = choice["message"]["content"].as_str().expect("text").to_owned();
        (text, choice["finish_reason"].as_str().expect("a reason").to_owned(), tokens)
    };
    let (whole, reason, tokens) = ask(json!({}));
    check_person(&whole);
    assert_eq!(reason, "stop");
    for max_tokens in [1, 5, tokens - 1, tokens, tokens + 1] {
        let (text, reason, used) = ask(json!({"max_tokens": max_tokens}));
        assert!(whole.starts_with(&text), "{text} of {whole}");
        assert_eq!(used, max_tokens.min(tokens));
        assert_eq!(reason, if max_tokens < tokens { "length" } else { "stop" }, "{max_tokens} of {tokens}");
    }
    // What each token's probability was is told of forced ones as well, and the answer is the same.
    let body = chat(json!({"guided_json": person(), "logprobs": true, "top_logprobs": 2}));
    let answer = server.post("/v1/chat/completions", &body).json(200);
    assert_eq!(answer["choices"][0]["message"]["content"], whole);
    let logprobs = answer["choices"][0]["logprobs"]["content"].as_array().expect("a list");
    let spelt: String = logprobs.iter().map(|token| token["token"].as_str().expect("a text")).collect();
    assert_eq!(spelt, whole);
    // Whatever else runs, and whether the end is ignored or put off, the form stays.
    for more in [
        json!({"ignore_eos": true}),
        json!({"min_tokens": 150}),
        json!({"n": 3}),
        json!({"temperature": 2.0}),
    ] {
        let answer = server
            .post("/v1/chat/completions", &chat(with(json!({"guided_json": person()}), more)))
            .json(200);
        for choice in answer["choices"].as_array().expect("a list") {
            check_person(choice["message"]["content"].as_str().expect("text"));
            assert_eq!(choice["finish_reason"], "stop");
        }
    }
}

#[test]
fn a_streamed_form_is_the_same() {
    let server = Server::start(&[]);
    let body = chat(json!({"guided_json": person()}));
    let whole = server.post("/v1/chat/completions", &body).json(200);
    let reply = server.post("/v1/chat/completions", &with(body, json!({"stream": true})));
    let events = reply.events();
    let chunks = events.iter().filter(|data| **data != "[DONE]");
    let chunks: Vec<Value> = chunks.map(|data| serde_json::from_str(data).expect("JSON")).collect();
    let text: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"]);
    assert_eq!(chunks.last().expect("chunks")["choices"][0]["finish_reason"], "stop");
}

#[test]
fn expressions_choices_and_grammars_hold() {
    let server = Server::start(&[]);
    let ask = |more: Value| {
        let body = with(json!({"prompt": "he", "max_tokens": 60, "seed": 3}), more);
        let answer = server.post("/v1/completions", &body).json(200);
        assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{answer}");
        answer["choices"][0]["text"].as_str().expect("text").to_owned()
    };
    for seed in 0..4 {
        let text = ask(json!({"guided_regex": "[a-c]{3}-\\d{2}", "seed": seed}));
        let bytes = text.as_bytes();
        assert!(
            bytes.len() == 6 && bytes[..3].iter().all(|b| (b'a'..=b'c').contains(b)) && bytes[3] == b'-',
            "{text}"
        );
        let text = ask(json!({"guided_choice": ["yes", "no"], "seed": seed}));
        assert!(["yes", "no"].contains(&text.as_str()), "{text}");
        let text = ask(json!({"grammar": "root ::= [xy] (\"1\" | \"22\")", "seed": seed}));
        assert!(["x1", "y1", "x22", "y22"].contains(&text.as_str()), "{text}");
        let text = ask(json!({"guided_grammar": "start: \"<\" /[0-9]{2}/ \">\"", "seed": seed}));
        assert!(text.len() == 4 && text.starts_with('<') && text.ends_with('>'), "{text}");
        let text = ask(json!({"structured_outputs": {"choice": ["é\u{1F40B}"]}, "seed": seed}));
        assert_eq!(text, "é\u{1F40B}");
    }
}

#[test]
fn what_says_two_things_is_refused() {
    let server = Server::start(&[]);
    for (more, param) in [
        (json!({"guided_json": person(), "guided_regex": "a"}), "guided_regex"),
        (json!({"response_format": {"type": "json_object"}, "grammar": "root ::= \"a\""}), "grammar"),
        (json!({"guided_json": person(), "stop": ["x"]}), "stop"),
        (json!({"structured_outputs": {"json": person(), "regex": "a"}}), "structured_outputs.regex"),
        (json!({"structured_outputs": {"whim": 1}}), "structured_outputs.whim"),
    ] {
        let error = server.post("/v1/chat/completions", &chat(more.clone())).json(400);
        assert_eq!(error["error"]["param"], param, "{more}: {error}");
    }
    let schema = json!({"type": "object", "properties": {"a": {"type": "string", "format": "whim"}}});
    let error = server.post("/v1/chat/completions", &chat(json!({"guided_json": schema}))).json(400);
    assert_eq!(error["error"]["code"], "invalid_json_schema", "{error}");
}
