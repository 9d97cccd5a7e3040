//! The OpenAI-style routes: what their answers look like, field by field.

use serde_json::{Value, json};

use crate::server::Server;

fn chat(more: Value) -> Value {
    let mut body =
        json!({"messages": [{"role": "user", "content": "hello"}], "temperature": 0, "max_tokens": 5});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

#[test]
fn a_chat_is_answered_whole_or_in_pieces_with_the_same_text() {
    let server = Server::start(&[]);
    let whole = server.post("/v1/chat/completions", &chat(json!({}))).json(200);
    assert_eq!(
        (&whole["object"], &whole["choices"][0]["finish_reason"]),
        (&json!("chat.completion"), &json!("length"))
    );
    assert_eq!(whole["usage"]["completion_tokens"], 5);
    let streamed = server.post(
        "/v1/chat/completions",
        &chat(json!({"stream": true, "stream_options": {"include_usage": true}})),
    );
    let events = streamed.events();
    let (done, chunks) = events.split_last().expect("events");
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks.iter().map(|data| serde_json::from_str(data).expect("JSON")).collect();
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let text: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"]);
    let [.., last, usage] = &chunks[..] else { panic!("{chunks:?}") };
    assert_eq!(
        (&last["choices"][0]["delta"], &last["choices"][0]["finish_reason"]),
        (&json!({}), &json!("length"))
    );
    assert_eq!(
        (&usage["choices"], &usage["usage"]["total_tokens"]),
        (&json!([]), &whole["usage"]["total_tokens"])
    );
}
