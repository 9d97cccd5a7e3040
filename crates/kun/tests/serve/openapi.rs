//! The OpenAPI document is served, and it is true: what it says of answers is held against answers.

use serde_json::{Value, json};

use crate::server::Server;

/// What of a value is not as its schema says, as far as the keywords go that the document uses.
fn problems(schema: &Value, value: &Value, document: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').expect("a reference within the document");
        let schema = document.pointer(pointer).unwrap_or_else(|| panic!("{name} is not there"));
        return problems(schema, value, document, place, found);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        problems(part, value, document, place, found);
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(schemas) = schema[choice].as_array() {
            let fits = |schema: &&Value| {
                let mut found = Vec::new();
                problems(schema, value, document, place, &mut found);
                found.is_empty()
            };
            let count = schemas.iter().filter(fits).count();
            if count == 0 || (choice == "oneOf" && count > 1) {
                found.push(format!("{place} fits {count} of the schemas: {value}"));
            }
        }
    }
    let is = |kind: &str| match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    };
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        found.push(format!("{place} is none of {values:?}: {value}"));
    }
    match &schema["type"] {
        Value::String(kind) if !is(kind) => found.push(format!("{place} is no {kind}: {value}")),
        Value::Array(kinds) if !kinds.iter().any(|kind| is(kind.as_str().expect("a type"))) => {
            found.push(format!("{place} is none of {kinds:?}: {value}"));
        }
        _ => {}
    }
    if let Some(object) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(name.as_str().expect("a name")) {
                found.push(format!("{place} lacks {name}"));
            }
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = object.get(name) {
                problems(schema, value, document, &format!("{place}.{name}"), found);
            }
        }
    }
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        problems(&schema["items"], value, document, &format!("{place}[{index}]"), found);
    }
}

fn check(document: &Value, path: &str, method: &str, status: &str, kind: &str, value: &Value) {
    let responses = &document["paths"][path][method]["responses"];
    let response = if responses[status].is_object() { &responses[status] } else { &responses["default"] };
    let mut schema = &response["content"][kind]["schema"];
    if kind == "text/event-stream" {
        schema = &schema["properties"]["data"]["anyOf"][0]["contentSchema"]["anyOf"][0];
    }
    assert!(schema.is_object(), "{method} {path} {status} has no schema for {kind}");
    let mut found = Vec::new();
    problems(schema, value, document, "answer", &mut found);
    assert!(found.is_empty(), "{method} {path} {status}: {found:#?}");
}

#[test]
fn answers_are_as_the_document_says() {
    let server = Server::start(&[]);
    let document = server.get("/openapi.json").json(200);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let chat = json!({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3});
    let full = json!({
        "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3, "n": 2, "logprobs": true,
        "top_logprobs": 2, "metadata": {"a": "b"}, "stop": ["a"], "debug": {"cache": true},
    });
    let completion = json!({
        "prompt": ["a", "b"], "max_tokens": 2, "echo": true, "logprobs": 1, "prompt_logprobs": 1, "debug": {"cache": true},
    });
    let response = json!({"input": "hi", "max_output_tokens": 2, "include": ["message.output_text.logprobs"], "top_logprobs": 1});
    for (path, body) in [
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", full),
        ("/v1/completions", json!({"prompt": [1, 2], "max_tokens": 1})),
        ("/v1/completions", completion),
        ("/v1/embeddings", json!({"input": ["a", "b"]})),
        ("/v1/embeddings", json!({"input": "a", "encoding_format": "base64"})),
        ("/v1/responses", response),
        ("/tokenize", json!({"content": "é", "with_pieces": true})),
        ("/tokenize", json!({"prompt": "a", "return_token_strs": true})),
        ("/detokenize", json!({"tokens": [1, 2]})),
        ("/apply-template", json!({"messages": [{"role": "user", "content": "a"}]})),
        ("/v1/messages", json!({"messages": [{"role": "user", "content": "a"}], "max_tokens": 2})),
        ("/v1/messages/count_tokens", json!({"messages": [{"role": "user", "content": "a"}]})),
        ("/api/chat", json!({"messages": [{"role": "user", "content": "a"}], "stream": false})),
        ("/api/chat", json!({"stream": false})),
        ("/api/generate", json!({"prompt": "a", "stream": false})),
        ("/api/generate", json!({"stream": false})),
        ("/api/embed", json!({"input": ["a", "b"]})),
        ("/api/show", json!({})),
    ] {
        check(&document, path, "post", "200", "application/json", &server.post(path, &body).json(200));
        check(
            &document,
            path,
            "post",
            "400",
            "application/json",
            &server.post(path, &json!({"model": 5})).json(400),
        );
        let mut body = body;
        body["model"] = json!("unknown");
        check(&document, path, "post", "404", "application/json", &server.post(path, &body).json(404));
        if ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"].contains(&path) {
            body["model"] = Value::Null;
            body["stream"] = json!(true);
            for data in server.post(path, &body).events().into_iter().filter(|data| *data != "[DONE]") {
                let event: Value = serde_json::from_str(data).expect("JSON");
                check(&document, path, "post", "200", "text/event-stream", &event);
            }
        }
    }
    let id = server.get("/v1/models").json(200)["data"][0]["id"].as_str().expect("a name").to_owned();
    for (path, template) in [
        ("/v1/models", "/v1/models"),
        (&format!("/v1/models/{id}"), "/v1/models/{id}"),
        ("/tokenizer_info", "/tokenizer_info"),
        ("/api/tags", "/api/tags"),
        ("/api/ps", "/api/ps"),
        ("/api/version", "/api/version"),
    ] {
        check(&document, template, "get", "200", "application/json", &server.get(path).json(200));
    }
}

#[test]
fn what_a_client_can_send_is_described() {
    let server = Server::start(&[]);
    let document = server.get("/openapi.json").json(200);
    // The fields that several requests have in common stand beside those of one.
    let property = |name: &str, field: &str| {
        let schema = &document["components"]["schemas"][name];
        let mut parts = schema["allOf"].as_array().into_iter().flatten().chain([schema]);
        let described = parts.find_map(|part| part["properties"].get(field));
        described.cloned().unwrap_or_default()
    };
    for (schema, field, expect) in [
        ("ChatRequest", "temperature", json!({"minimum": 0, "maximum": 2})),
        ("CompletionRequest", "top_p", json!({"exclusiveMinimum": 0, "maximum": 1})),
        ("ChatRequest", "top_logprobs", json!({"minimum": 0, "maximum": 20})),
        ("EmbeddingRequest", "dimensions", json!({"minimum": 1})),
        ("ResponsesRequest", "max_output_tokens", json!({"minimum": 1})),
    ] {
        let described = property(schema, field);
        for (keyword, value) in expect.as_object().expect("an object") {
            assert_eq!(described[keyword].as_f64(), value.as_f64(), "{schema}.{field}: {described}");
        }
        assert!(
            described["type"].as_array().expect("it may be null").contains(&json!("null")),
            "{described}"
        );
    }
}
