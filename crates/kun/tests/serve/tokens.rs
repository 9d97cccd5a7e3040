//! The routes of tokenizers, in the shapes of llama.cpp's and of vLLM's clients.

use serde_json::{Value, json};

use crate::server::Server;
use crate::vocabulary::{BOS, EOS, HE, HELL, SIZE, TEMPLATE};

#[test]
fn a_text_becomes_tokens() {
    let server = Server::start(&[]);
    for (body, tokens) in [
        (json!({"content": "hell"}), json!([HELL])),
        (json!({"content": ""}), json!([])),
        (json!({"content": "hell", "add_special": true}), json!([BOS, HELL])),
        (json!({"prompt": "hell"}), json!([BOS, HELL])),
        (json!({"text": "hell"}), json!([BOS, HELL])),
        (json!({"prompt": "hell", "add_special_tokens": false}), json!([HELL])),
        (json!({"content": "he<|end|>"}), json!([HE, EOS])),
        (json!({"content": "<|", "parse_special": false}), json!([60, 124])),
        (json!({"content": "he", "with_pieces": true}), json!([{"id": HE, "piece": "he"}])),
        (
            json!({"content": "é<|end|>", "with_pieces": true}),
            json!([{"id": 195, "piece": [195]}, {"id": 169, "piece": [169]}, {"id": EOS, "piece": "<|end|>"}]),
        ),
    ] {
        let answer = server.post("/tokenize", &body).json(200);
        assert_eq!(answer["tokens"], tokens, "{body}");
        assert_eq!(
            (&answer["count"], &answer["max_model_len"]),
            (&json!(tokens.as_array().unwrap().len()), &json!(4096))
        );
    }
    let plain = server.post("/tokenize", &json!({"content": "<|end|>", "parse_special": false})).json(200);
    assert_eq!(plain["count"], 7);
    let named = server.post("/tokenize", &json!({"prompt": " he", "return_token_strs": true})).json(200);
    assert_eq!(named["token_strs"], json!(["<|begin|>", "\u{120}he"]));
}

#[test]
fn messages_become_the_prompt_that_a_chat_has() {
    let server = Server::start(&[]);
    let messages = json!([{"role": "user", "content": "hello"}]);
    let prompt = "<|begin|>[user] hello<|end|>[assistant] ";
    let applied = server.post("/apply-template", &json!({"messages": messages})).json(200);
    assert_eq!(applied, json!({"prompt": prompt}));
    let without = json!({"messages": messages, "add_generation_prompt": false});
    assert_eq!(server.post("/apply-template", &without).json(200)["prompt"], "<|begin|>[user] hello<|end|>");
    let tokens = server.post("/tokenize", &json!({"messages": messages})).json(200);
    assert_eq!(tokens["tokens"], server.post("/tokenize", &json!({"content": prompt})).json(200)["tokens"]);
    let chat = server.post("/v1/chat/completions", &json!({"messages": messages, "max_tokens": 1})).json(200);
    assert_eq!(chat["usage"]["prompt_tokens"], tokens["count"]);
}

#[test]
fn tokens_become_text() {
    let server = Server::start(&[]);
    for (tokens, text) in [
        (json!([HELL, 111]), "hello"),
        (json!([]), ""),
        (json!([BOS, HE, EOS]), "<|begin|>he<|end|>"),
        (json!([195, 169]), "é"),
        (json!([195]), "\u{fffd}"),
    ] {
        let answer = server.post("/detokenize", &json!({"tokens": tokens})).json(200);
        assert_eq!(answer, json!({"content": text, "prompt": text}), "{tokens}");
    }
}

#[test]
fn a_harness_learns_the_tokenizer() {
    let server = Server::start(&[]);
    let info = server.get("/tokenizer_info").json(200);
    for (name, expect) in [
        ("bos_token", json!("<|begin|>")),
        ("eos_token", json!("<|end|>")),
        ("pad_token", Value::Null),
        ("vocab_size", json!(SIZE)),
        ("model_max_length", json!(4096)),
        ("add_bos_token", json!(true)),
        ("chat_template", json!(TEMPLATE)),
    ] {
        assert_eq!(info[name], expect, "{name}");
    }
    let model = info["model"].as_str().expect("a name");
    assert_eq!(server.get(&format!("/tokenizer_info?model={model}")).json(200), info);
    assert_eq!(server.get("/tokenizer_info?model=x").json(404)["error"]["code"], "model_not_found");
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let server = Server::start(&[]);
    for (path, body, param) in [
        ("/tokenize", json!({}), "content"),
        ("/tokenize", json!({"content": "a", "prompt": "b"}), "content"),
        ("/tokenize", json!({"content": 5}), "content"),
        ("/tokenize", json!({"content": "a".repeat((1 << 20) + 1)}), "content"),
        ("/tokenize", json!({"messages": []}), "messages"),
        ("/tokenize", json!({"content": "a", "with_pieces": "yes"}), "with_pieces"),
        ("/detokenize", json!({}), "tokens"),
        ("/detokenize", json!({"tokens": [-1]}), "tokens"),
        ("/detokenize", json!({"tokens": [SIZE]}), "tokens"),
        ("/detokenize", json!({"tokens": [1u64 << 63]}), "tokens[0]"),
        ("/detokenize", json!({"tokens": [1.5]}), "tokens[0]"),
        ("/detokenize", json!({"tokens": ["a"]}), "tokens[0]"),
        ("/detokenize", json!({"tokens": vec![1; (1 << 20) + 1]}), "tokens"),
        ("/apply-template", json!({}), "messages"),
        ("/apply-template", json!({"messages": [{"role": "x", "content": ""}]}), "messages[0].role"),
        ("/apply-template", json!({"messages": [], "tools": [{}]}), "tools[0]"),
    ] {
        let error = server.post(path, &body).json(400)["error"].clone();
        assert_eq!(error["param"], param, "{path}: {error}");
    }
}
