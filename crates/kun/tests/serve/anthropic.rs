//! The Anthropic-style routes: answers, events, counts and refusals.

use serde_json::{Value, json};

use crate::server::{Reply, Server};

const MESSAGES: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

/// A greedy request for five tokens, with these fields beside or instead; null takes one away.
fn request(more: Value) -> Value {
    let mut body =
        json!({"messages": [{"role": "user", "content": "hello"}], "temperature": 0, "max_tokens": 5});
    let fields = body.as_object_mut().expect("an object");
    for (name, value) in more.as_object().expect("an object") {
        match value {
            Value::Null => fields.shift_remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    body
}

/// The events of a stream, each of which has its name twice.
fn events(reply: &Reply) -> Vec<Value> {
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")));
    let frames = reply.text().split("\n\n").filter(|frame| !frame.is_empty() && !frame.starts_with(':'));
    let event = |frame: &str| {
        let (name, data) = frame.split_once('\n').expect("a name and data");
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str(), "{frame}");
        data
    };
    frames.map(event).collect()
}

#[test]
fn an_answer_is_a_message() {
    let server = Server::start(&[]);
    let answer = server.post(MESSAGES, &request(json!({}))).json(200);
    let names: Vec<&String> = answer.as_object().expect("an object").keys().collect();
    assert_eq!(
        names,
        ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage", "timings"]
    );
    assert!(answer["id"].as_str().is_some_and(|id| id.starts_with("msg_")), "{answer}");
    assert_eq!(
        (&answer["type"], &answer["role"], &answer["stop_reason"], &answer["stop_sequence"]),
        (&json!("message"), &json!("assistant"), &json!("max_tokens"), &Value::Null)
    );
    assert_eq!(answer["content"][0]["type"], "text");
    assert_eq!(answer["content"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["usage"]["output_tokens"], 5);
    assert!(answer["timings"]["prompt_ms"].is_number());
}

#[test]
fn wire_14_a_stream_has_the_events_of_a_message_in_order() {
    let server = Server::start(&[]);
    for more in [
        json!({}),
        json!({"max_tokens": 40, "system": "be brief"}),
        json!({"max_tokens": 1}),
        json!({"temperature": 1, "seed": 5}),
    ] {
        let whole = server.post(MESSAGES, &request(more.clone())).json(200);
        let mut streamed = request(more);
        streamed["stream"] = true.into();
        let events = events(&server.post(MESSAGES, &streamed));
        let [start, ping, block, deltas @ .., stop, message, end] = &events[..] else { panic!("{events:?}") };
        assert_eq!(start["type"], "message_start");
        let begun = &start["message"];
        assert_eq!(
            (&begun["content"], &begun["stop_reason"], &begun["usage"]["output_tokens"]),
            (&json!([]), &Value::Null, &json!(0))
        );
        let empty = json!({"type": "text", "text": ""});
        assert_eq!(*block, json!({"type": "content_block_start", "index": 0, "content_block": empty}));
        assert_eq!(*ping, json!({"type": "ping"}));
        let mut text = String::new();
        for delta in deltas {
            assert_eq!(
                (&delta["type"], &delta["index"], &delta["delta"]["type"]),
                (&json!("content_block_delta"), &json!(0), &json!("text_delta"))
            );
            text += delta["delta"]["text"].as_str().expect("text");
        }
        assert_eq!(text, whole["content"][0]["text"]);
        assert_eq!(*stop, json!({"type": "content_block_stop", "index": 0}));
        assert_eq!(message["type"], "message_delta");
        let end_of_whole = json!({"stop_reason": whole["stop_reason"], "stop_sequence": null});
        assert_eq!(message["delta"], end_of_whole);
        assert_eq!(message["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
        assert_eq!(*end, json!({"type": "message_stop"}));
    }
}

#[test]
fn a_stop_sequence_is_told() {
    let server = Server::start(&[]);
    let whole = server.post(MESSAGES, &request(json!({"max_tokens": 30}))).json(200);
    let text = whole["content"][0]["text"].as_str().expect("text");
    let stop: String = text.chars().skip(text.chars().count() / 2).take(2).collect();
    let more = json!({"max_tokens": 30, "stop_sequences": ["never to be seen", stop]});
    let stopped = server.post(MESSAGES, &request(more.clone())).json(200);
    assert_eq!((&stopped["stop_reason"], &stopped["stop_sequence"]), (&json!("stop_sequence"), &json!(stop)));
    assert_eq!(stopped["content"][0]["text"].as_str(), text.split(&stop).next());
    let mut streamed = request(more);
    streamed["stream"] = true.into();
    let events = events(&server.post(MESSAGES, &streamed));
    let message = events.iter().find(|event| event["type"] == "message_delta").expect("an end");
    assert_eq!(message["delta"], json!({"stop_reason": "stop_sequence", "stop_sequence": stop}));
    assert_eq!(message["usage"]["output_tokens"], stopped["usage"]["output_tokens"]);
}

/// All that the prompt is made of.
fn prompt_tokens(usage: &Value) -> u64 {
    let names = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
    names.iter().map(|name| usage[name].as_u64().expect("a number")).sum()
}

#[test]
fn tokens_are_counted_as_they_are_used() {
    let server = Server::start(&[]);
    let text = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
    let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}});
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": [text("42")]});
    for more in [
        json!({}),
        json!({"system": "be brief"}),
        json!({"system": [text("be"), text(" brief")], "thinking": {"type": "disabled"}}),
        json!({"messages": [{"role": "user", "content": [text("hello")]}], "output_config": {"effort": "low"}}),
        json!({"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "he"}]}),
        json!({"messages": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, call]},
            {"role": "user", "content": [result, text("so?")]},
        ]}),
    ] {
        let usage = server.post(MESSAGES, &request(more.clone())).json(200)["usage"].take();
        let counted = server.post(COUNT, &request(more)).json(200);
        assert_eq!(counted, json!({"input_tokens": prompt_tokens(&usage)}));
    }
}

#[test]
fn what_means_the_same_is_the_same_prompt() {
    let server = Server::start(&[]);
    let text = |text: &str| json!({"type": "text", "text": text});
    let billing = "x-anthropic-billing-header: cc_version=2.1.37.0d9; cc_entrypoint=cli; cch=fa690;";
    for (one, other) in [
        (json!({}), json!({"messages": [{"role": "user", "content": [text("hel"), text("lo")]}]})),
        (json!({"system": "be brief"}), json!({"system": [text(billing), text("be brief")]})),
        (json!({"system": "be brief"}), json!({"system": format!("{billing}\nbe brief")})),
        (json!({}), json!({"system": billing})),
        (
            json!({"messages": [{"role": "user", "content": "a\nb"}]}),
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}),
        ),
        (
            json!({"system": "be brief"}),
            json!({"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]}),
        ),
        (
            json!({}),
            json!({"tools": [], "thinking": {"type": "adaptive"}, "metadata": {"user_id": "me"}, "unknown": 1}),
        ),
    ] {
        let [one, other] = [one, other].map(|more| {
            let answer = server.post(MESSAGES, &request(more)).json(200);
            (prompt_tokens(&answer["usage"]), answer["content"].clone())
        });
        assert_eq!(one, other);
    }
}

#[test]
fn the_beginning_of_an_answer_is_gone_on_from() {
    let server = Server::start(&[]);
    let answer = |path: &str, body: Value| server.post(path, &body).json(200);
    let begun = "The answer";
    let history = json!([{"role": "user", "content": "hello"}, {"role": "assistant", "content": begun}]);
    let more = request(json!({"messages": history}));
    // What the template makes of the question, and then the beginning as it is.
    let raw = format!("<|begin|>[user] hello<|end|>[assistant] {begun}");
    let expect = answer(
        "/api/generate",
        json!({
            "prompt": raw, "raw": true, "stream": false, "options": {"temperature": 0, "num_predict": 5},
        }),
    );
    let rest = answer(MESSAGES, more.clone());
    assert_eq!(rest["content"][0]["text"], expect["response"]);
    assert_eq!(prompt_tokens(&rest["usage"]), expect["prompt_eval_count"].as_u64().expect("a number"));
    let options = json!({"temperature": 0, "num_predict": 5});
    let chat = answer("/api/chat", json!({"messages": history, "stream": false, "options": options}));
    assert_eq!(chat["message"]["content"], expect["response"]);
}

#[test]
fn errors_have_the_shape_of_the_api_and_name_the_field() {
    let server = Server::start(&["--ctx", "64"]);
    let long = json!([{"role": "user", "content": "a b ".repeat(100)}]);
    let user = |block: Value| json!({"messages": [{"role": "user", "content": [block]}]});
    for (more, status, kind, words) in [
        (json!({"messages": null}), 400, "invalid_request_error", "messages"),
        (json!({"max_tokens": null}), 400, "invalid_request_error", "max_tokens"),
        (json!({"messages": []}), 400, "invalid_request_error", "messages is empty"),
        (
            json!({"messages": [{"role": "foo", "content": ""}]}),
            400,
            "invalid_request_error",
            "messages[0].role",
        ),
        (
            json!({"messages": [{"role": "user", "content": 5}]}),
            400,
            "invalid_request_error",
            "messages[0].content",
        ),
        (json!({"messages": [{"role": "user"}]}), 400, "invalid_request_error", "messages[0].content"),
        (user(json!({"type": "image"})), 400, "invalid_request_error", "text only"),
        (json!({"system": 5}), 400, "invalid_request_error", "system"),
        (json!({"system": [{"type": "image"}]}), 400, "invalid_request_error", "system[0]"),
        (json!({"model": "nobody"}), 404, "not_found_error", "nobody"),
        (json!({"temperature": -0.1}), 400, "invalid_request_error", "temperature"),
        (json!({"temperature": 1.1}), 400, "invalid_request_error", "between 0 and 1"),
        (json!({"temperature": "hot"}), 400, "invalid_request_error", "temperature"),
        (json!({"top_p": 1.1}), 400, "invalid_request_error", "top_p"),
        (json!({"top_k": 1_099_511_627_776_u64}), 400, "invalid_request_error", "top_k"),
        (json!({"max_tokens": 0}), 400, "invalid_request_error", "max_tokens"),
        (json!({"top_k": -1}), 400, "invalid_request_error", "top_k"),
        (json!({"max_tokens": -1}), 400, "invalid_request_error", "max_tokens"),
        (json!({"max_tokens": 1.5}), 400, "invalid_request_error", "max_tokens"),
        (json!({"max_tokens": 2_147_483_648_u64}), 400, "invalid_request_error", "max_tokens"),
        (json!({"stop_sequences": "x"}), 400, "invalid_request_error", "stop_sequences"),
        (json!({"stop_sequences": vec!["x"; 17]}), 400, "invalid_request_error", "stop_sequences"),
        (json!({"stop_sequences": [""]}), 400, "invalid_request_error", "stop"),
        (json!({"stream": "yes"}), 400, "invalid_request_error", "stream"),
        (json!({"tools": [{"name": "f"}]}), 400, "invalid_request_error", "tools[0].input_schema"),
        (json!({"tool_choice": {"type": "any"}}), 400, "invalid_request_error", "tool_choice"),
        (json!({"thinking": {"type": "sometimes"}}), 400, "invalid_request_error", "thinking.type"),
        (json!({"thinking": {"type": "enabled"}}), 400, "invalid_request_error", "thinking.budget_tokens"),
        (
            json!({"thinking": {"type": "disabled", "budget_tokens": 5}}),
            400,
            "invalid_request_error",
            "thinking.budget_tokens",
        ),
        (json!({"output_config": {"format": {}}}), 400, "invalid_request_error", "output_config.format.type"),
        (json!({"output_config": {"effort": "huge"}}), 400, "invalid_request_error", "output_config.effort"),
        (json!({"service_tier": "priority"}), 400, "invalid_request_error", "service_tier"),
        (json!({"container": "c"}), 400, "invalid_request_error", "container"),
        (json!({"mcp_servers": [{}]}), 400, "invalid_request_error", "mcp_servers"),
        (json!({"messages": long}), 400, "invalid_request_error", "prompt is too long: "),
        (json!({"messages": long}), 400, "invalid_request_error", "maximum context length is 64 tokens"),
    ] {
        let body = request(more);
        let error = server.post(MESSAGES, &body).json(status);
        assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!(kind)), "{body}");
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(message.contains(words), "{body}: {message}");
    }
    for (reply, status, kind) in [
        (server.get(MESSAGES), 405, "invalid_request_error"),
        (server.get("/v1/messages/batches"), 404, "not_found_error"),
        (server.post_text(MESSAGES, "{", &[]), 400, "invalid_request_error"),
        (server.post_text(MESSAGES, "{}", &[("Content-Encoding", "gzip")]), 415, "invalid_request_error"),
        (server.post(COUNT, &json!({})), 400, "invalid_request_error"),
    ] {
        let error = reply.json(status);
        assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!(kind)));
    }
}

#[test]
fn models_are_listed_for_both_styles() {
    let server = Server::start(&[]);
    let get = |path: &str| {
        server.send(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nanthropic-version: 2023-06-01\r\nConnection: close\r\n\r\n"
        ))
    };
    let list = get("/v1/models?limit=5").json(200);
    let model = &list["data"][0];
    assert_eq!(
        (&list["has_more"], &list["first_id"], &list["last_id"]),
        (&json!(false), &model["id"], &model["id"])
    );
    assert_eq!((&model["type"], &model["display_name"]), (&json!("model"), &model["id"]));
    assert_eq!(model["created_at"].as_str().map(str::len), Some("2025-11-26T21:00:01Z".len()));
    let id = model["id"].as_str().expect("an id");
    assert_eq!(get(&format!("/v1/models?after_id={id}")).json(200)["data"], json!([]));
    assert_eq!(get("/v1/models/nobody").json(404)["error"]["type"], "not_found_error");
    assert_eq!(get("/v1/models?limit=0").json(400)["error"]["type"], "invalid_request_error");
    assert_eq!(get("/v1/models?limit=many").json(400)["type"], "error");
    assert_eq!(server.get("/v1/models").json(200)["data"][0]["object"], "model");
    assert_eq!(server.get("/v1/models/nobody").json(404)["error"]["code"], "model_not_found");
}
