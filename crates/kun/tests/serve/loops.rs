//! What clients are told of answers that repeat themselves. With a penalty below 0, what was said once is said for ever.

use serde_json::{Value, json};

use crate::metrics;
use crate::server::Server;

const MAX_TOKENS: u64 = 1500;
const PENALTY: f64 = -2.0;

fn body(more: Value) -> Value {
    let mut body = json!({
        "prompt": "hello", "temperature": 0, "max_tokens": MAX_TOKENS, "logprobs": 0, "frequency_penalty": PENALTY,
    });
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    body
}

#[test]
fn an_answer_that_repeats_itself_ends_and_says_so() {
    let server = Server::start(&[]);
    let off = server.post("/v1/completions", &body(json!({"loop_guard": "off"}))).json(200);
    assert_eq!(
        (&off["choices"][0]["finish_reason"], &off["choices"][0]["repetition"]),
        (&json!("length"), &Value::Null)
    );
    assert_eq!(off["usage"]["completion_tokens"], MAX_TOKENS);

    let stopped = server.post("/v1/completions", &body(json!({"loop_guard": "stop"}))).json(200);
    let choice = &stopped["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["stop_reason"]), (&json!("stop"), &json!("repetition")));
    let repetition = &choice["repetition"];
    assert_eq!(repetition["recovered"], false, "{choice}");
    let number = |name: &str| repetition[name].as_u64().expect("a number");
    let (period, repeats, trimmed) = (number("period_tokens"), number("repeats"), number("tokens_trimmed"));
    assert!(period > 0 && repeats > 3 && trimmed >= (repeats - 1) * period, "{repetition}");
    // What is left is the beginning of what it would have been, and its log-probabilities go along.
    let text = choice["text"].as_str().expect("text");
    assert!(off["choices"][0]["text"].as_str().expect("text").starts_with(text.trim_end_matches('\u{fffd}')));
    let tokens = stopped["usage"]["completion_tokens"].as_u64().expect("a number");
    let logprobs = choice["logprobs"]["token_logprobs"].as_array().expect("a list");
    assert_eq!(logprobs.len() as u64, tokens);
    assert_eq!(
        off["choices"][0]["logprobs"]["token_logprobs"].as_array().expect("a list")[..logprobs.len()],
        logprobs[..]
    );

    let text = server.get("/metrics").text().to_owned();
    assert!(text.contains("outcome=\"stopped\"} 1"), "{text}");
    assert_eq!(metrics::values(&text, "kun_loops_total").sum::<f64>(), 2.0, "caught and stopped");
    assert!(server.log().contains("repetition=\"stopped\""), "{}", server.log());
}

#[test]
fn a_chat_and_a_response_and_a_stream_say_it_too() {
    let server = Server::start(&["--loop-guard", "stop"]);
    let messages = json!([{"role": "user", "content": "hello"}]);
    let asked = json!({"messages": messages, "temperature": 0, "frequency_penalty": PENALTY, "max_tokens": MAX_TOKENS});
    let chat = server.post("/v1/chat/completions", &asked).json(200);
    let choice = &chat["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["stop_reason"]), (&json!("stop"), &json!("repetition")));
    let asked = json!({"input": "hello", "temperature": 0, "frequency_penalty": PENALTY, "max_output_tokens": MAX_TOKENS});
    let response = server.post("/v1/responses", &asked).json(200);
    assert_eq!((&response["status"], &response["stop_reason"]), (&json!("completed"), &json!("repetition")));
    assert_eq!(response["repetition"]["recovered"], false);
    let asked = json!({"messages": messages, "temperature": 0, "frequency_penalty": PENALTY, "max_tokens": MAX_TOKENS, "stream": true});
    let stream = server.post("/v1/chat/completions", &asked);
    let last = stream.text().lines().rfind(|line| line.contains("\"finish_reason\":\"stop\""));
    let last = last.expect("it ends");
    assert!(last.contains("\"stop_reason\":\"repetition\",\"repetition\":{\"period_tokens\":"), "{last}");
    let asked = json!({"prompt": "hello", "stream": false, "options": {"temperature": 0, "frequency_penalty": PENALTY, "num_predict": MAX_TOKENS}});
    let generated = server.post("/api/generate", &asked).json(200);
    assert_eq!(generated["done_reason"], "stop");
}

#[test]
fn who_wants_a_length_gets_it_and_a_word_that_is_none_is_refused() {
    let server = Server::start(&[]);
    let long = server.post("/v1/completions", &body(json!({"ignore_eos": true}))).json(200);
    assert_eq!(
        long["usage"]["completion_tokens"], MAX_TOKENS,
        "an answer that may not end may repeat itself"
    );
    for path in ["/v1/completions", "/v1/chat/completions", "/v1/responses"] {
        let mut asked = body(json!({"loop_guard": "maybe", "messages": [], "input": "hello"}));
        if path.ends_with("chat/completions") {
            asked.as_object_mut().expect("an object").remove("logprobs");
        }
        let error = server.post(path, &asked).json(400);
        assert_eq!(error["error"]["param"], "loop_guard", "{error}");
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(["off", "stop", "recover"].iter().all(|word| message.contains(word)), "{message}");
    }
}
