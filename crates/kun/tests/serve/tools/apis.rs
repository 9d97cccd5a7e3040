//! The same through the other APIs: blocks of Anthropic's, lines of Ollama's, items of the Responses API.

use serde_json::{Value, json};

use super::{HERMES, hermes, served, string, tools};
use crate::model;
use crate::server::{Reply, Server};
use crate::wire::with;

/// What an answer says, in order: its kind, and a text, or a name and arguments.
type Parts = Vec<(&'static str, String)>;

/// A model whose prompts end within a thought, and that ends thoughts with the token that otherwise begins texts. To it
/// every token is as probable as every other.
fn thinker() -> Server {
    let template = HERMES.replace("{{ bos_token }}", "").replace("{{ begin }}", "<think>\n");
    served(&template, "</think>", |name, shape| vec![0; model::data(name, shape).len()])
}

fn hello() -> Value {
    json!([{"role": "user", "content": "hello"}])
}

mod messages {
    use super::*;

    const PATH: &str = "/v1/messages";

    fn anthropic_tools() -> Value {
        let of = |tool: &Value| {
            let function = &tool["function"];
            let schema = function.get("parameters").cloned().unwrap_or_else(|| json!({"type": "object"}));
            json!({"name": function["name"], "description": "d", "input_schema": schema})
        };
        tools().as_array().expect("a list").iter().map(of).collect()
    }

    fn request(more: Value) -> Value {
        let usual =
            json!({"messages": hello(), "tools": anthropic_tools(), "temperature": 0, "max_tokens": 2000});
        with(usual, more)
    }

    fn parts_of(blocks: &[Value]) -> Parts {
        let part = |block: &Value| match block["type"].as_str() {
            Some("text") => ("text", string(&block["text"])),
            Some("thinking") => ("thought", string(&block["thinking"])),
            Some("tool_use") => ("call", format!("{} {}", string(&block["name"]), block["input"])),
            _ => panic!("{block}"),
        };
        blocks.iter().map(part).collect()
    }

    /// The blocks that a stream builds up, and why it stopped.
    fn built(reply: &Reply) -> (Vec<Value>, String) {
        let (mut blocks, mut json, mut reason): (Vec<Value>, _, _) =
            (Vec::new(), String::new(), String::new());
        let mut is_open = false;
        for data in reply.events() {
            let event: Value = serde_json::from_str(data).expect("JSON");
            match event["type"].as_str().expect("a type") {
                "content_block_start" => {
                    assert!(!is_open && event["index"] == blocks.len(), "{event}");
                    blocks.push(event["content_block"].clone());
                    is_open = true;
                    json.clear();
                }
                "content_block_delta" => {
                    assert!(is_open && event["index"] == blocks.len() - 1, "{event}");
                    let (delta, block) = (&event["delta"], blocks.last_mut().expect("it is open"));
                    for field in ["text", "thinking"] {
                        if let Some(more) = delta[field].as_str() {
                            block[field] = format!("{}{more}", string(&block[field])).into();
                        }
                    }
                    json += delta["partial_json"].as_str().unwrap_or_default();
                }
                "content_block_stop" => {
                    let block = blocks.last_mut().expect("it is open");
                    if block["type"] == "tool_use" {
                        block["input"] = serde_json::from_str(&json).expect("an object");
                    }
                    is_open = false;
                }
                "message_delta" => reason = string(&event["delta"]["stop_reason"]),
                _ => {}
            }
        }
        assert!(!is_open);
        (blocks, reason)
    }

    /// The parts of an answer, which are the same in a stream, and why it stopped.
    fn said(server: &Server, body: &Value) -> (Parts, String) {
        let whole = server.post(PATH, body).json(200);
        let parts = parts_of(whole["content"].as_array().expect("a list"));
        let (blocks, reason) = built(&server.post(PATH, &with(body.clone(), json!({"stream": true}))));
        assert_eq!((parts_of(&blocks), &reason), (parts.clone(), &string(&whole["stop_reason"])), "{body}");
        (parts, reason)
    }

    #[test]
    fn an_answer_has_a_block_for_each_thing_that_is_said() {
        let server = hermes();
        for choice in [json!({"type": "any"}), json!({"type": "any", "disable_parallel_tool_use": true})] {
            let (parts, reason) = said(&server, &request(json!({"tool_choice": choice})));
            assert!(parts.iter().all(|(kind, _)| *kind == "call") && !parts.is_empty(), "{parts:?}");
            assert_eq!(reason, "tool_use");
            assert!(choice.get("disable_parallel_tool_use").is_none() || parts.len() == 1);
        }
        let (parts, reason) =
            said(&server, &request(json!({"tool_choice": {"type": "tool", "name": "now"}})));
        assert_eq!((parts, reason.as_str()), (vec![("call", "now {}".to_owned())], "tool_use"));
        let (parts, _) = said(&server, &request(json!({"tool_choice": {"type": "none"}, "max_tokens": 5})));
        assert!(parts.iter().all(|(kind, _)| *kind == "text"));
        // The tools are of the prompt.
        let count = |more: Value| {
            let mut body = with(json!({"messages": hello()}), more);
            body["model"] = Value::Null;
            server.post("/v1/messages/count_tokens", &body).json(200)["input_tokens"].as_u64()
        };
        assert!(count(json!({"tools": anthropic_tools()})) > count(json!({})));
    }

    #[test]
    fn thoughts_have_blocks_of_their_own() {
        let server = thinker();
        let mut both = 0;
        for seed in 0..12 {
            let (parts, _) = said(
                &server,
                &request(json!({"temperature": 1, "top_k": 0, "top_p": 1, "seed": seed, "max_tokens": 300})),
            );
            let kinds: Vec<&str> = parts.iter().map(|(kind, _)| *kind).collect();
            assert!([&["thought"][..], &["thought", "text"], &["text"]].contains(&&kinds[..]), "{parts:?}");
            both += usize::from(kinds.len() == 2);
        }
        assert!(both > 0, "no thought ended in time");
    }

    #[test]
    fn what_is_wrong_with_tools_is_refused_by_name() {
        let server = hermes();
        for (more, words) in [
            (json!({"tools": [{"name": "f"}]}), "tools[0].input_schema"),
            (json!({"tools": [{"name": "f f", "input_schema": {}}]}), "tools[0].name"),
            (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), "tools[0]"),
            (json!({"tool_choice": {"type": "tool", "name": "x"}}), "tool_choice"),
            (json!({"tool_choice": {"type": "tool"}}), "tool_choice"),
            (json!({"tool_choice": "any"}), "tool_choice"),
            (json!({"tool_choice": {"type": "any"}, "stop_sequences": ["x"]}), "stop_sequences"),
        ] {
            let error = server.post(PATH, &request(more.clone())).json(400);
            assert!(string(&error["error"]["message"]).contains(words), "{more}: {error}");
        }
    }
}

mod ollama {
    use super::*;

    fn parts_of(message: &Value) -> Parts {
        let mut parts = Vec::new();
        for (kind, field) in [("thought", "thinking"), ("text", "content")] {
            let text = string(&message[field]);
            if !text.is_empty() {
                parts.push((kind, text));
            }
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            parts.push(("call", format!("{} {}", string(&function["name"]), function["arguments"])));
        }
        parts
    }

    #[test]
    fn a_message_has_its_thoughts_beside_its_text() {
        let server = thinker();
        let mut both = 0;
        for seed in 0..12 {
            let options = json!({"temperature": 1, "top_k": 0, "top_p": 1, "seed": seed, "num_predict": 300});
            let body = json!({"messages": hello(), "tools": tools(), "options": options, "think": true});
            let whole = server.post("/api/chat", &with(body.clone(), json!({"stream": false}))).json(200);
            let (mut thought, mut text) = (String::new(), String::new());
            for line in server.post("/api/chat", &body).text().lines() {
                let line: Value = serde_json::from_str(line).expect("JSON");
                thought += line["message"]["thinking"].as_str().unwrap_or_default();
                text += line["message"]["content"].as_str().expect("a text");
            }
            let streamed = json!({"thinking": thought, "content": text});
            assert_eq!(parts_of(&whole["message"]), parts_of(&streamed), "{seed}");
            both += usize::from(parts_of(&whole["message"]).len() == 2);
        }
        assert!(both > 0, "no thought ended in time");
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        let server = Server::start(&[]);
        for (more, words) in [
            (json!({"tools": [{}]}), "tools[0]"),
            (json!({"tools": "x"}), "tools"),
            (json!({"think": true}), "think"),
        ] {
            let body = with(json!({"messages": hello()}), more);
            let error = server.post("/api/chat", &body).json(400);
            assert!(string(&error["error"]).contains(words), "{body}: {error}");
        }
    }
}

mod responses {
    use super::*;

    const PATH: &str = "/v1/responses";

    fn request(more: Value) -> Value {
        let of = |tool: &Value| {
            let mut function = tool["function"].clone();
            function["type"] = "function".into();
            function
        };
        let tools: Value = tools().as_array().expect("a list").iter().map(of).collect();
        with(json!({"input": "hello", "tools": tools, "temperature": 0, "max_output_tokens": 2000}), more)
    }

    fn parts_of(output: &[Value]) -> Parts {
        let part = |item: &Value| match item["type"].as_str() {
            Some("message") => ("text", string(&item["content"][0]["text"])),
            Some("reasoning") => ("thought", string(&item["content"][0]["text"])),
            Some("function_call") => {
                ("call", format!("{} {}", string(&item["name"]), string(&item["arguments"])))
            }
            _ => panic!("{item}"),
        };
        output.iter().map(part).collect()
    }

    /// The output of a response, which is the same in a stream, each item told as it grows and when it has ended.
    fn said(server: &Server, body: &Value) -> Vec<Value> {
        let whole = server.post(PATH, body).json(200);
        let (mut grown, mut done): (Vec<(Value, String)>, Vec<Value>) = (Vec::new(), Vec::new());
        let mut last = Value::Null;
        for data in server.post(PATH, &with(body.clone(), json!({"stream": true}))).events() {
            let mut event: Value = serde_json::from_str(data).expect("JSON");
            let kind = string(&event["type"]);
            match kind.as_str() {
                "response.output_item.added" => grown.push((event["item"].clone(), String::new())),
                "response.output_item.done" => done.push(event["item"].clone()),
                _ if event["output_index"].is_u64() => {
                    assert_eq!(event["output_index"], grown.len() - 1, "{event}");
                    let (item, text) = grown.last_mut().expect("it has begun");
                    assert_eq!(event["item_id"], item["id"]);
                    *text += event["delta"].as_str().unwrap_or_default();
                    for field in ["text", "arguments"] {
                        assert!(event.get(field).is_none_or(|all| all == text.as_str()), "{event}");
                    }
                }
                _ => last = event["response"].take(),
            }
        }
        assert_eq!(last["output"], json!(done));
        let output = whole["output"].as_array().expect("a list");
        assert_eq!(parts_of(&done), parts_of(output), "{body}");
        assert_eq!(last["usage"]["output_tokens_details"], whole["usage"]["output_tokens_details"]);
        output.clone()
    }

    #[test]
    fn an_answer_has_an_item_for_each_thing_that_is_said() {
        let server = hermes();
        let output = said(&server, &request(json!({"tool_choice": "required"})));
        assert!(output.iter().all(|item| item["type"] == "function_call" && item["status"] == "completed"));
        let choice = json!({"type": "function", "name": "now"});
        let body = request(json!({"tool_choice": choice, "parallel_tool_calls": false}));
        assert_eq!(parts_of(&said(&server, &body)), [("call", "now {}".to_owned())]);
        let whole = server.post(PATH, &body).json(200);
        assert_eq!((&whole["tool_choice"], &whole["tools"]), (&choice, &body["tools"]));
        // What a client sends back is a history.
        let call = &whole["output"][0];
        let result = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "noon"});
        let input = json!([{"role": "user", "content": "hello"}, call, result]);
        said(&server, &request(json!({"input": input, "max_output_tokens": 5})));
    }

    #[test]
    fn thoughts_are_items() {
        let server = thinker();
        let mut both = 0;
        for seed in 0..12 {
            let output = said(
                &server,
                &request(
                    json!({"temperature": 1, "top_k": 0, "top_p": 1, "seed": seed, "max_output_tokens": 300}),
                ),
            );
            both += usize::from(output.len() == 2 && output[0]["type"] == "reasoning");
        }
        assert!(both > 0, "no thought ended in time");
    }

    #[test]
    fn what_is_wrong_with_tools_is_refused_by_name() {
        let server = hermes();
        for (more, param) in [
            (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
            (json!({"tools": [{"type": "web_search"}], "tool_choice": "required"}), "tool_choice"),
            (json!({"tool_choice": {"type": "function", "name": "x"}}), "tool_choice"),
            (json!({"tool_choice": {"type": "web_search"}}), "tool_choice"),
        ] {
            let error = server.post(PATH, &request(more.clone())).json(400)["error"].take();
            assert_eq!(error["param"], param, "{more}: {error}");
        }
    }
}
