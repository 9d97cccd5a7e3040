//! Thinking that takes too long: it is ended, and the answer begins. A model that says one letter for ever thinks it too.

use serde_json::{Value, json};

use super::{CHAT, HERMES, chat, said, said_at_once, said_in_pieces, server};
use crate::server::Server;
use crate::vocabulary;
use crate::wire::with;

/// A model that thinks in each answer, and whether its marker is a special token or a text of eight tokens.
fn thinkers() -> [(Server, usize); 2] {
    let template = HERMES.replace("{{ bos_token }}", "").replace("{{ begin }}", "<think>\n");
    [(server(&template, "</think>"), 1), (server(&template, "<|begin|>"), 8)]
}

fn only_a(more: Value) -> Value {
    chat(with(json!({"max_tokens": 30, "logit_bias": {"97": 100}, "loop_guard": "off"}), more))
}

#[test]
fn a_budget_ends_the_thinking_and_the_answer_begins() {
    for (server, marker) in thinkers() {
        // Behind the thoughts come a new line, the marker and an empty line.
        let content = |budget: usize| "a".repeat(30 - budget - marker - 3);
        let budgets = [
            (json!({"thinking_token_budget": 5}), 5),
            (json!({"thinking_budget_tokens": 7}), 7),
            (json!({"reasoning_budget": 0}), 0),
            (json!({"reasoning_effort": "none"}), 0),
            (json!({"thinking_token_budget": 9, "thinking_budget_tokens": 4}), 4),
        ];
        for (more, budget) in budgets {
            let expect = (Some(content(budget)), "a".repeat(budget), vec![], "length".to_owned());
            assert_eq!(said(&server, &only_a(more.clone())), expect, "{more}");
        }
        for more in [json!({}), json!({"thinking_token_budget": -1}), json!({"reasoning_effort": "low"})] {
            assert_eq!(said(&server, &only_a(more)).1, "a".repeat(30));
        }
        let error = server.post(CHAT, &only_a(json!({"thinking_token_budget": -2}))).json(400);
        assert_eq!(error["error"]["param"], "thinking_token_budget");
        // A form begins behind it.
        let body = json!({"guided_regex": "b{4}", "thinking_token_budget": 3});
        let (said_then, thought, ..) = said(&server, &only_a(body));
        assert_eq!(said_then.as_deref(), Some("bbbb"));
        assert_eq!(thought, if marker == 1 { "aaa" } else { "" });
    }
}

#[test]
fn other_apis_have_their_own_words_for_it() {
    let bias = json!({"97": 100});
    for (server, marker) in thinkers() {
        let hello = json!([{"role": "user", "content": "hello"}]);
        let ollama = json!({
            "messages": hello, "stream": false, "think": false, "options": {"num_predict": 20, "logit_bias": bias},
        });
        let message = server.post("/api/chat", &ollama).json(200)["message"].take();
        assert_eq!(message["content"], "a".repeat(20 - marker - 3), "{message}");
        let asked = json!({
            "input": "hello", "max_output_tokens": 20, "logit_bias": bias, "reasoning": {"effort": "none"},
        });
        let response = server.post("/v1/responses", &asked).json(200);
        let text =
            response["output"].as_array().expect("a list").last().expect("a message")["content"][0].clone();
        assert_eq!(text["text"], "a".repeat(20 - marker - 3), "{response}");
        // There is no bias here: what counts is how many tokens were thought.
        let asked = |thinking: Value| json!({"messages": hello, "max_tokens": 40, "temperature": 0, "thinking": thinking, "loop_guard": "off"});
        let blocks =
            |thinking: Value| server.post("/v1/messages", &asked(thinking)).json(200)["content"].take();
        let free = blocks(json!({"type": "adaptive"}));
        assert_eq!((&free[0]["type"], &free[1]), (&json!("thinking"), &Value::Null), "{free}");
        let short = blocks(json!({"type": "enabled", "budget_tokens": 6}));
        assert_eq!((&short[0]["type"], &short[1]["type"]), (&json!("thinking"), &json!("text")), "{short}");
        let none = blocks(json!({"type": "disabled"}));
        assert_eq!((&none[0]["type"], &none[1]), (&json!("text"), &Value::Null), "{none}");
    }
}

#[test]
fn a_loop_in_the_thinking_ends_it_and_what_was_read_of_it_is_taken_back() {
    for (server, _) in thinkers() {
        let body = only_a(json!({"max_tokens": 3000, "loop_guard": "recover"}));
        let whole = server.post(CHAT, &body).json(200)["choices"][0].take();
        assert!(whole["repetition"]["tokens_trimmed"].as_u64() >= Some(511), "{whole}");
        let (content, reasoning, ..) = said_at_once(&server, &body);
        assert_eq!(reasoning, "a");
        assert!(content.is_some_and(|content| content.starts_with('a')), "{whole}");
        // A stream goes on behind what it has sent.
        let (content, reasoning, ..) = said_in_pieces(&server, &body);
        assert!(reasoning.len() > 200 && content.expect("text").len() > 200, "{reasoning}");
        let asked = json!({
            "messages": [{"role": "user", "content": "hello"}], "stream": false, "think": true,
            "options": {"num_predict": 3000, "logit_bias": {"97": 100}, "loop_guard": "stop"},
        });
        let answer = server.post("/api/chat", &asked).json(200);
        assert_eq!((&answer["message"]["thinking"], &answer["done_reason"]), (&json!("a"), &json!("stop")));
        let asked = json!({
            "messages": [{"role": "user", "content": "hello"}], "stream": false, "think": true,
            "options": {"num_predict": 300, "logit_bias": {"97": 100}, "loop_guard": "off"},
        });
        assert_eq!(server.post("/api/chat", &asked).json(200)["message"]["thinking"], "a".repeat(300));
    }
}

#[test]
fn a_model_that_begins_to_think_by_itself_has_a_budget_too() {
    let template = HERMES.replace("{{ bos_token }}", "");
    // `<think>` is one token here, which the bias has it say; then it says nothing else, which is thinking.
    let server = server(&template, "<think>");
    let body = chat(json!({
        "max_tokens": 30, "logit_bias": {vocabulary::BOS.to_string(): 100}, "loop_guard": "off", "thinking_token_budget": 4,
        "logprobs": true,
    }));
    let tokens = server.post(CHAT, &body).json(200)["choices"][0]["logprobs"]["content"].take();
    let bytes: Vec<u64> = tokens
        .as_array()
        .expect("a list")
        .iter()
        .map(|token| token["bytes"][0].as_u64().unwrap_or(0))
        .collect();
    let close: Vec<u64> = "\n</think>\n\n".bytes().map(u64::from).collect();
    assert_eq!(bytes[5..5 + close.len()], close, "{bytes:?}");
}
