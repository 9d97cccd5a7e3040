//! Tools and reasoning in chats. A model of random weights calls a tool where it must, and says what looks like a call,
//! or like a thought, where its answer has a form that leaves no choice.

mod apis;
mod thinking;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weights::gguf::Value as Metadata;

use crate::kun::Scratch;
use crate::server::Server;
use crate::wire::with;
use crate::{model, vocabulary};

const CHAT: &str = "/v1/chat/completions";

/// A template that knows tools, and calls in the way of Hermes.
const HERMES: &str = "{{ bos_token }}{% if tools %}[tools <tool_call>]{% for t in tools %}{{ t | tojson }}{% endfor %}\
    {{ eos_token }}{% endif %}{% for m in messages %}[{{ m.role }}] {% if m.reasoning_content %}({{ m.reasoning_content }})\
    {% endif %}{{ m.content }}{% for c in m.tool_calls %}<call {{ c.function.name }} {{ c.function.arguments | tojson }}>\
    {% endfor %}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant] {{ begin }}{% endif %}";

/// The tiny model with this template, and a text for the special token that begins texts.
fn server(template: &str, begin: &str) -> Server {
    served(template, begin, model::data)
}

/// The same with weights of these numbers, each by its name and shape.
fn served(template: &str, begin: &str, data: impl Fn(&str, &[u64]) -> Vec<u8>) -> Server {
    let scratch = Scratch::new();
    let mut header = model::header();
    header.set("tokenizer.chat_template", vocabulary::text(template));
    header.set("tokenizer.ggml.tokens", vocabulary::tokens(begin));
    header.set("tokenizer.ggml.add_bos_token", Metadata::Bool(false));
    for (name, shape) in &model::TENSORS {
        header.tensor(name, shape, model::f32_format(), data(name, shape));
    }
    let path = scratch.path("small.gguf");
    header.write_file(&path).expect("the target folder can be written");
    Server::with_models(scratch, &[path.to_str().expect("UTF-8")], &[])
}

fn hermes() -> Server {
    server(HERMES, "<|begin|>")
}

/// A tool with a parameter of each simple type, and one without any.
fn tools() -> Value {
    let city = json!({"type": "string", "maxLength": 4, "pattern": "^[a-z]+$"});
    let parameters = json!({
        "type": "object",
        "properties": {"city": city, "days": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["city", "days"],
    });
    json!([
        {"type": "function", "function": {"name": "weather", "description": "It rains.", "parameters": parameters}},
        {"type": "function", "function": {"name": "now"}},
    ])
}

fn chat(more: Value) -> Value {
    let usual =
        json!({"messages": [{"role": "user", "content": "hello"}], "temperature": 0, "max_tokens": 300});
    with(usual, more)
}

/// What an answer says: content, reasoning, the calls' names and arguments, and how it ended.
type Said = (Option<String>, String, Vec<(String, String)>, String);

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn said_at_once(server: &Server, body: &Value) -> Said {
    let answer = server.post(CHAT, body).json(200);
    let choice = &answer["choices"][0];
    let message = &choice["message"];
    assert_eq!(message.get("reasoning"), message.get("reasoning_content"));
    let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
    let ids: BTreeSet<&str> = calls.iter().map(|call| call["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), calls.len(), "{message}");
    assert!(calls.iter().all(|call| call["type"] == "function"), "{message}");
    let calls = calls.iter().map(|call| &call["function"]);
    (
        message["content"].as_str().map(str::to_owned),
        string(&message["reasoning"]),
        calls.map(|call| (string(&call["name"]), string(&call["arguments"]))).collect(),
        string(&choice["finish_reason"]),
    )
}

fn said_in_pieces(server: &Server, body: &Value) -> Said {
    let reply = server.post(CHAT, &with(body.clone(), json!({"stream": true})));
    let (mut content, mut reasoning, mut reason) = (String::new(), String::new(), String::new());
    let mut calls: Vec<(String, String)> = Vec::new();
    let mut ids = BTreeSet::new();
    for data in reply.events().iter().filter(|data| **data != "[DONE]") {
        let chunk: Value = serde_json::from_str(data).expect("JSON");
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        content += delta["content"].as_str().unwrap_or_default();
        reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
        assert_eq!(delta.get("reasoning"), delta.get("reasoning_content"));
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().expect("a number") as usize;
            let (id, arguments) = (call.get("id"), call["function"]["arguments"].as_str().expect("a text"));
            if index == calls.len() {
                // Line 4: the beginning has all but the arguments.
                assert!(ids.insert(string(id.expect("an id"))) && call["type"] == "function", "{call}");
                assert_eq!(arguments, "", "{call}");
                calls.push((string(&call["function"]["name"]), String::new()));
            } else {
                assert_eq!(index + 1, calls.len(), "{call}");
                assert!(id.is_none() && call.get("type").is_none() && call["function"].get("name").is_none());
                calls[index].1 += arguments;
            }
        }
        reason += choice["finish_reason"].as_str().unwrap_or_default();
    }
    let content = Some(content).filter(|content| calls.is_empty() || !content.is_empty());
    (content, reasoning, calls, reason)
}

/// What an answer says, in one piece and in many.
#[track_caller]
fn said(server: &Server, body: &Value) -> Said {
    let whole = said_at_once(server, body);
    assert_eq!(said_in_pieces(server, body), whole, "{body}");
    whole
}

/// A call as it is compared.
fn call(name: &str, arguments: &str) -> (String, String) {
    (name.to_owned(), arguments.to_owned())
}

#[test]
fn an_answer_is_taken_apart() {
    let server = hermes();
    let check = |text: &str, content: Option<&str>, reasoning: &str, calls: &[(String, String)]| {
        let body = chat(json!({"tools": tools(), "guided_choice": [text]}));
        let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
        let expect = (content.map(str::to_owned), reasoning.to_owned(), calls.to_vec(), reason.to_owned());
        assert_eq!(said(&server, &body), expect, "{text}");
    };
    let now = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    let rain = "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"ä\"}}</tool_call>";
    let both = [call("now", "{}"), call("weather", "{\"city\": \"ä\"}")];
    check("hello", Some("hello"), "", &[]);
    check(now, None, "", &both[..1]);
    check(&format!("Let me see. {now}"), Some("Let me see. "), "", &both[..1]);
    check(&format!("{now}\n{rain}"), None, "", &both);
    check("<think>\nhm\n</think>\n\nYes.", Some("Yes."), "hm", &[]);
    check(&format!("<think>\nhm\n</think>\n\n{rain}"), None, "hm", &both[1..]);
    // What is no call stays as it was said.
    for text in [
        "<tool_call>{\"name\": \"nobody\", \"arguments\": {}}</tool_call>",
        "<tool_call>no JSON</tool_call>",
        "<tool_call>{\"name\": \"now\"",
        "a < b <tool",
    ] {
        check(text, Some(text), "", &[]);
    }
}

#[test]
fn without_tools_there_are_no_calls() {
    let server = hermes();
    let text = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    for more in [json!({}), json!({"tools": []}), json!({"tools": tools(), "tool_choice": "none"})] {
        let body = chat(with(json!({"guided_choice": [text]}), more));
        assert_eq!(said(&server, &body), (Some(text.to_owned()), String::new(), vec![], "stop".to_owned()));
    }
    // Nor where JSON was asked for that looks like one.
    let plain = Server::start(&[]);
    let schema = json!({"const": {"name": "now", "arguments": {}}});
    let body = chat(json!({"tools": tools(), "guided_json": schema}));
    let (content, _, calls, _) = said(&plain, &body);
    assert_eq!((content.as_deref(), calls), (Some("{\"name\": \"now\", \"arguments\": {}}"), vec![]));
}

#[track_caller]
fn check_call((name, arguments): &(String, String)) {
    let arguments: Value =
        serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{arguments}: {error}"));
    let keys: Vec<&String> = arguments.as_object().expect("an object").keys().collect();
    match name.as_str() {
        "weather" => {
            assert_eq!(keys, ["city", "days"]);
            assert!(arguments["city"].is_string() && arguments["days"].is_i64(), "{arguments}");
        }
        "now" => assert!(keys.is_empty(), "{arguments}"),
        other => panic!("{other} was not offered"),
    }
}

#[test]
fn a_call_that_has_to_be_made_is_made() {
    for server in [hermes(), Server::start(&[])] {
        for temperature in [0.0, 1.0] {
            let ask = |more: Value| {
                let usual =
                    json!({"tools": tools(), "temperature": temperature, "seed": 3, "max_tokens": 2000});
                said(&server, &chat(with(usual, more)))
            };
            let (content, reasoning, calls, reason) = ask(json!({"tool_choice": "required"}));
            assert_eq!((content, reasoning.as_str(), reason.as_str()), (None, "", "tool_calls"));
            assert!(!calls.is_empty());
            calls.iter().for_each(check_call);
            let (_, _, calls, _) = ask(json!({"tool_choice": "required", "parallel_tool_calls": false}));
            assert_eq!(calls.len(), 1);
            for name in ["weather", "now"] {
                let choice = json!({"type": "function", "function": {"name": name}});
                let (_, _, calls, _) = ask(json!({"tool_choice": choice}));
                assert_eq!(calls.len(), 1);
                assert_eq!(calls[0].0, name);
                check_call(&calls[0]);
            }
        }
    }
}

#[test]
fn one_call_is_told_where_no_more_may_be() {
    let server = hermes();
    let now = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    let body = json!({"tools": tools(), "guided_choice": [format!("{now}\n{now}")]});
    let (_, _, calls, _) = said(&server, &chat(body.clone()));
    assert_eq!(calls.len(), 2);
    let (_, _, calls, reason) = said(&server, &chat(with(body, json!({"parallel_tool_calls": false}))));
    assert_eq!((calls.len(), reason.as_str()), (1, "tool_calls"));
}

#[test]
fn a_limit_leaves_the_beginning_of_a_call() {
    let server = hermes();
    let choice = json!({"type": "function", "function": {"name": "weather"}});
    let body =
        |max_tokens: u64| chat(json!({"tools": tools(), "tool_choice": choice, "max_tokens": max_tokens}));
    let whole = server.post(CHAT, &body(300)).json(200);
    let tokens = whole["usage"]["completion_tokens"].as_u64().expect("a count");
    let (_, _, all, _) = said(&server, &body(300));
    for max_tokens in [1, tokens / 2, tokens - 20] {
        let (_, _, calls, reason) = said(&server, &body(max_tokens));
        assert_eq!(reason, "length");
        for (cut, whole) in calls.iter().zip(&all) {
            assert!(cut.0 == whole.0 && whole.1.starts_with(&cut.1), "{cut:?} of {whole:?}");
        }
    }
}

#[test]
fn markers_that_are_special_tokens_are_read() {
    let server = server(HERMES, "<tool_call>");
    let (content, _, calls, reason) =
        said(&server, &chat(json!({"tools": tools(), "tool_choice": "required", "max_tokens": 2000})));
    assert_eq!((content, reason.as_str()), (None, "tool_calls"));
    assert!(!calls.is_empty());
    calls.iter().for_each(check_call);
}

/// A prompt that ends with the beginning of a thought.
#[test]
fn thinking_that_the_prompt_began_is_reasoning() {
    let schema = json!({"type": "object", "properties": {"a": {"enum": ["b"]}}, "required": ["a"]});
    let thinks = json!({"chat_template_kwargs": {"begin": "<think>\n"}});
    let one = json!({"type": "function", "function": {"name": "now"}});
    for (begin, bias) in [("<|begin|>", json!({})), ("</think>", json!({vocabulary::BOS.to_string(): 100}))] {
        let server = server(&HERMES.replace("{{ bos_token }}", ""), begin);
        let body = chat(with(json!({"max_tokens": 8, "logit_bias": {"97": 100}}), thinks.clone()));
        let expect = (Some(String::new()), "a".repeat(8), vec![], "length".to_owned());
        assert_eq!(said(&server, &body), expect);
        let usage = server.post(CHAT, &body).json(200)["usage"].take();
        assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 8, "{usage}");
        // A form begins behind the end of the thought, or there is no thought.
        let body = chat(with(json!({"guided_json": schema, "logit_bias": bias}), thinks.clone()));
        let (content, reasoning, ..) = said(&server, &body);
        assert_eq!((content.as_deref(), reasoning.as_str()), (Some("{\"a\": \"b\"}"), ""));
        let body =
            chat(with(json!({"tools": tools(), "tool_choice": one, "logit_bias": bias}), thinks.clone()));
        let (_, reasoning, calls, _) = said(&server, &body);
        assert_eq!((reasoning.as_str(), calls), ("", vec![call("now", "{}")]));
    }
}

#[test]
fn a_history_with_calls_reaches_the_template() {
    let messages = json!([
        {"role": "user", "content": "rain?"},
        {"role": "assistant", "content": null, "reasoning": "hm", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "now", "arguments": "{\"a\": 1}"}},
        ]},
        {"role": "tool", "tool_call_id": "c", "content": "noon"},
    ]);
    let prompt = |server: &Server, tools: Value| {
        let body = json!({"messages": messages, "tools": tools});
        string(&server.post("/apply-template", &body).json(200)["prompt"])
    };
    let knows = hermes();
    let text = prompt(&knows, tools());
    assert!(
        text.contains("[tools <tool_call>]{\"type\": \"function\", \"function\": {\"name\": \"weather\""),
        "{text}"
    );
    assert!(
        text.contains("[assistant] (hm)<call now {\"a\": 1}><|end|>[tool] noon<|end|>[assistant] "),
        "{text}"
    );
    assert!(!prompt(&knows, json!([])).contains("[tools"));
    // A template that knows nothing of tools is told all of it in messages.
    let text = prompt(&Server::start(&[]), tools());
    assert!(
        text.contains("[system] You can call functions.") && text.contains("\"name\":\"weather\""),
        "{text}"
    );
    assert!(
        text.contains(
            "[assistant] <tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\": 1}}\n</tool_call><|end|>"
        ),
        "{text}"
    );
    assert!(text.contains("[user] <tool_response>\nnoon\n</tool_response><|end|>"), "{text}");
}

#[test]
fn what_is_wrong_with_tools_is_refused_by_name() {
    let server = hermes();
    let bad = |schema: Value| json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
    for (more, param) in [
        (
            json!({"tools": tools(), "tool_choice": "required", "response_format": {"type": "json_object"}}),
            "tool_choice",
        ),
        (json!({"tools": tools(), "tool_choice": "required", "stop": "x"}), "stop"),
        (json!({"tools": bad(json!({"type": "king"})), "tool_choice": "required"}), "tools"),
        (
            json!({"tools": bad(json!({"type": "object", "properties": {"a": {"pattern": "("}}})), "tool_choice": "required"}),
            "tools",
        ),
        (json!({"tools": bad(json!([]))}), "tools[0].function.parameters"),
        (json!({"tools": vec![tools()[0].clone(); 1000]}), "tools"),
        (
            json!({"tools": tools(), "tool_choice": {"type": "function", "function": {"name": "x"}}}),
            "tool_choice",
        ),
        (json!({"functions": [{"name": "f"}]}), "functions"),
        (json!({"function_call": {"name": "f"}}), "function_call"),
    ] {
        let error = server.post(CHAT, &chat(more.clone())).json(400)["error"].take();
        assert_eq!(error["param"], param, "{more}: {error}");
    }
}
