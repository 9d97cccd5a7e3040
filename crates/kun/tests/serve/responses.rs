//! `/v1/responses`: the events of a stream, the object that they build up, and what becomes of an input.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::server::Server;
use crate::wire::with;

const PATH: &str = "/v1/responses";

fn usual(more: Value) -> Value {
    with(json!({"input": "hello", "temperature": 0, "max_output_tokens": 6}), more)
}

/// The events of a stream as pairs of a name and an object; each name is the object's type.
fn events(server: &Server, body: &Value) -> Vec<Value> {
    let reply = server.post(PATH, &with(body.clone(), json!({"stream": true})));
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let names = reply.text().lines().filter_map(|line| line.strip_prefix("event: "));
    let events: Vec<Value> =
        reply.events().into_iter().map(|data| serde_json::from_str(data).expect("JSON")).collect();
    assert_eq!(names.collect::<Vec<_>>(), kinds(&events));
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

#[test]
fn line_13_events_come_in_order_and_are_numbered() {
    let server = Server::start(&[]);
    let a = json!({"65": 100});
    let end = json!({"logit_bias": a});
    for (more, last, status) in [
        (json!({}), "response.incomplete", "incomplete"),
        (with(end, json!({"stop": "zzz"})), "response.incomplete", "incomplete"),
        (json!({"stop": ["a", "e", "i"], "max_output_tokens": 400}), "response.completed", "completed"),
    ] {
        let body = usual(more);
        let events = events(&server, &body);
        let kinds = kinds(&events);
        let deltas = kinds.iter().filter(|kind| **kind == "response.output_text.delta").count();
        let mut expected = vec![
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
        ];
        expected.extend(vec!["response.output_text.delta"; deltas]);
        expected.extend([
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            last,
        ]);
        assert_eq!(kinds, expected, "{body}");
        let item_id = &events[2]["item"]["id"];
        let mut text = String::new();
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], number);
            let kind = event["type"].as_str().unwrap();
            if kind.contains("output_text") || kind.contains("content_part") {
                assert_eq!((&event["output_index"], &event["content_index"]), (&json!(0), &json!(0)));
                assert_eq!(&event["item_id"], item_id);
            }
            text.push_str(event["delta"].as_str().unwrap_or_default());
        }
        let ids: BTreeSet<String> = events
            .iter()
            .filter(|event| event["response"].is_object())
            .map(|e| e["response"]["id"].to_string())
            .collect();
        assert_eq!(ids.len(), 1);
        let response = &events.last().expect("events")["response"];
        let item = &response["output"][0];
        assert_eq!((&response["status"], &item["status"]), (&json!(status), &json!(status)));
        assert_eq!((&item["content"][0]["text"], &item["id"]), (&json!(text), item_id));
        assert_eq!(events[events.len() - 4]["text"], text);
        assert_eq!(&events[events.len() - 3]["part"], &item["content"][0]);
        assert_eq!(&events[events.len() - 2]["item"], item);

        let whole = server.post(PATH, &body).json(200);
        assert_eq!(whole["output"][0]["content"], item["content"]);
        assert_eq!(
            (&whole["status"], &whole["usage"]["output_tokens"]),
            (&json!(status), &response["usage"]["output_tokens"])
        );
    }
}

#[test]
fn a_response_says_again_what_was_asked() {
    let server = Server::start(&[]);
    let asked = json!({
        "instructions": "be brief", "metadata": {"a": "b"}, "top_p": 0.5, "temperature": 0.25, "user": "me",
        "parallel_tool_calls": false, "tool_choice": "none", "reasoning": {"effort": "low"}, "prompt_cache_key": "k",
        "include": ["reasoning.encrypted_content"], "truncation": "disabled", "store": false, "background": false,
        "text": {"format": {"type": "text"}}, "service_tier": "auto",
        "tools": [{"type": "web_search"}, {"type": "code_interpreter", "container": {"type": "auto"}}],
    });
    let response = server.post(PATH, &usual(asked)).json(200);
    for (name, expect) in [
        ("object", json!("response")),
        ("instructions", json!("be brief")),
        ("metadata", json!({"a": "b"})),
        ("top_p", json!(0.5)),
        ("temperature", json!(0.25)),
        ("max_output_tokens", json!(6)),
        ("parallel_tool_calls", json!(false)),
        ("tool_choice", json!("none")),
        ("tools", json!([])),
        ("reasoning", json!({"effort": "low", "summary": null})),
        ("truncation", json!("disabled")),
        ("store", json!(false)),
        ("previous_response_id", Value::Null),
        ("error", Value::Null),
        ("incomplete_details", json!({"reason": "max_output_tokens"})),
        ("user", json!("me")),
        ("prompt_cache_key", json!("k")),
    ] {
        assert_eq!(response[name], expect, "{name}");
    }
    let usage = &response["usage"];
    assert_eq!(usage["output_tokens"], 6);
    assert_eq!(usage["total_tokens"], usage["input_tokens"].as_u64().unwrap() + 6);
    assert_eq!(usage["input_tokens_details"]["cached_tokens"], 0);
    assert_eq!(usage["output_tokens_details"]["reasoning_tokens"], 0);
}

#[test]
fn logprobs_stand_beside_the_text() {
    let server = Server::start(&[]);
    for (more, top) in [
        (json!({"include": ["message.output_text.logprobs"]}), 0),
        (json!({"include": ["message.output_text.logprobs"], "top_logprobs": 3}), 3),
    ] {
        let body = usual(more);
        let whole = server.post(PATH, &body).json(200);
        let logprobs = &whole["output"][0]["content"][0]["logprobs"];
        assert_eq!(logprobs.as_array().map(Vec::len), Some(6));
        assert_eq!(logprobs[0]["top_logprobs"].as_array().map(Vec::len), Some(top));
        let told: Vec<Value> = events(&server, &body)
            .iter()
            .filter(|event| event["type"] == "response.output_text.delta")
            .flat_map(|event| event["logprobs"].as_array().expect("a list").clone())
            .collect();
        assert_eq!(json!(told), *logprobs);
    }
    let without = server.post(PATH, &usual(json!({}))).json(200);
    assert_eq!(without["output"][0]["content"][0]["logprobs"], json!([]));
}

#[test]
fn line_13_instructions_and_the_system_are_one_message_at_the_beginning() {
    let server = Server::start(&[]);
    let user = json!({"role": "user", "content": "hi"});
    let parts = |kind: &str, text: &str| json!([{"type": kind, "text": text}]);
    // What the input must be in the eyes of the model, as messages of a chat.
    for (instructions, input, messages) in [
        (None, json!("hi"), json!([user])),
        (None, json!([user]), json!([user])),
        (Some("I"), json!("hi"), json!([{"role": "system", "content": "I"}, user])),
        (
            Some("I"),
            json!([{"role": "developer", "content": "D"}, user, {"role": "system", "content": parts("input_text", "S")}]),
            json!([{"role": "system", "content": "I\n\nD\n\nS"}, user]),
        ),
        (
            None,
            json!([
                {"type": "message", "role": "user", "content": parts("input_text", "hi")},
                {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"},
                {"type": "message", "id": "m", "status": "completed", "role": "assistant", "content": parts("output_text", "yo")},
                {"type": "web_search_call", "id": "w", "status": "completed"},
                user,
            ]),
            json!([user, {"role": "assistant", "content": "yo"}, user]),
        ),
        (
            None,
            json!([
                user,
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "42"},
            ]),
            json!([
                user,
                {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "42"},
            ]),
        ),
    ] {
        let mut body = usual(json!({"input": input, "debug": {"cache": true}}));
        body["instructions"] = json!(instructions);
        let response = server.post(PATH, &body).json(200);
        let chat = json!({"messages": messages, "temperature": 0, "max_tokens": 6});
        let chat = server.post("/v1/chat/completions", &chat).json(200);
        assert_eq!(response["usage"]["input_tokens"], chat["usage"]["prompt_tokens"], "{body}");
        assert_eq!(
            response["output"][0]["content"][0]["text"], chat["choices"][0]["message"]["content"],
            "{body}"
        );
    }
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let server = Server::start(&[]);
    for (more, param) in [
        (json!({"input": null}), "input"),
        (json!({"input": 5}), "input"),
        (json!({"input": ""}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": ["a"]}), "input[0]"),
        (json!({"input": [{"role": "king", "content": "x"}]}), "input[0].role"),
        (json!({"input": [{"role": "user", "content": 5}]}), "input[0].content"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}]}),
            "input[0].content[0]",
        ),
        (json!({"input": [{"type": "item_reference", "id": "x"}]}), "input[0]"),
        (json!({"input": [{"type": "nonsense"}]}), "input[0].type"),
        (json!({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}), "input[0].arguments"),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "c", "output": 5}]}),
            "input[0].output",
        ),
        (json!({"input": [{"role": "system", "content": "x"}]}), "input"),
        (json!({"input": "a".repeat(5000)}), "input"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
        (json!({"temperature": 2.5}), "temperature"),
        (json!({"top_logprobs": 21}), "top_logprobs"),
        (json!({"include": ["x"]}), "include[0]"),
        (json!({"store": true}), "store"),
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"conversation": "c"}), "conversation"),
        (json!({"conversation": {"id": "c"}}), "conversation"),
        (json!({"prompt": {"id": "p"}}), "prompt"),
        (json!({"background": true}), "background"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"reasoning": {"effort": "huge"}}), "reasoning.effort"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream_options": {"include_obfuscation": false}}), "stream_options"),
        (json!({"metadata": {"k".repeat(65): "v"}}), "metadata"),
    ] {
        let error = server.post(PATH, &usual(more.clone())).json(400)["error"].clone();
        assert_eq!(error["param"], param, "{more}: {error}");
    }
}
