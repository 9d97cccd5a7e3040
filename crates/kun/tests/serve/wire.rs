//! What clients depend on in chats and completions, each test named after what they were seen to break on.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weights::gguf::Value as Metadata;

use crate::kun::Scratch;
use crate::model;
use crate::server::Server;
use crate::vocabulary::{BOS, EOS, HELL, SIZE};

const CHAT: &str = "/v1/chat/completions";
const COMPLETION: &str = "/v1/completions";

/// An object with the fields of another over its own.
pub(crate) fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

fn chat(more: Value) -> Value {
    let usual =
        json!({"messages": [{"role": "user", "content": "hello"}], "temperature": 0, "max_tokens": 6});
    with(usual, more)
}

fn completion(more: Value) -> Value {
    with(json!({"prompt": "hell", "temperature": 0, "max_tokens": 6}), more)
}

/// A bias under which only these tokens are chosen.
fn only(tokens: &[u8]) -> Value {
    tokens.iter().map(|token| (token.to_string(), json!(100))).collect::<serde_json::Map<_, _>>().into()
}

/// The chunks of a stream, which ends with `[DONE]`.
fn chunks(server: &Server, path: &str, body: &Value) -> Vec<Value> {
    let reply = server.post(path, &with(body.clone(), json!({"stream": true})));
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let events = reply.events();
    let (done, chunks) = events.split_last().expect("events");
    assert_eq!(*done, "[DONE]");
    chunks.iter().map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

/// What the pieces of one choice say together.
fn text_of(chunks: &[Value], index: usize) -> String {
    let choices = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().expect("choices"));
    let of_it = choices.filter(|choice| choice["index"] == index);
    of_it.filter_map(|choice| choice["delta"]["content"].as_str().or(choice["text"].as_str())).collect()
}

#[test]
fn line_1_every_chunk_has_the_same_head_and_only_the_last_a_finish_reason() {
    let server = Server::start(&[]);
    for (path, body, object) in [
        (CHAT, chat(json!({})), "chat.completion.chunk"),
        (CHAT, chat(json!({"n": 3, "logprobs": true})), "chat.completion.chunk"),
        (COMPLETION, completion(json!({})), "text_completion"),
        (COMPLETION, completion(json!({"n": 2, "echo": true, "logprobs": 1})), "text_completion"),
    ] {
        let chunks = chunks(&server, path, &body);
        let heads: BTreeSet<String> = chunks
            .iter()
            .map(|chunk| json!([chunk["id"], chunk["created"], chunk["model"]]).to_string())
            .collect();
        assert_eq!(heads.len(), 1, "{path} {body}: {heads:?}");
        let choices = body["n"].as_u64().unwrap_or(1);
        let mut ended = BTreeSet::new();
        for chunk in &chunks {
            assert_eq!(chunk["object"], object, "{chunk}");
            for choice in chunk["choices"].as_array().expect("choices") {
                let index = choice["index"].as_u64().expect("a number");
                let reason = choice.get("finish_reason").expect("it is there");
                assert!(!ended.contains(&index), "{choice} comes after the end");
                match reason {
                    Value::Null => {}
                    Value::String(reason) => {
                        assert!(["stop", "length"].contains(&reason.as_str()), "{choice}");
                        ended.insert(index);
                    }
                    _ => panic!("{choice}"),
                }
            }
        }
        assert_eq!(ended, (0..choices).collect(), "{path} {body}");
    }
}

#[test]
fn line_2_a_stream_begins_with_the_role_and_ends_with_the_usage_if_asked() {
    let server = Server::start(&[]);
    for usage in [false, true] {
        let body = chat(json!({"stream_options": {"include_usage": usage}}));
        let chunks = chunks(&server, CHAT, &body);
        assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
        let roles = chunks.iter().filter(|chunk| chunk["choices"][0]["delta"].get("role").is_some()).count();
        assert_eq!(roles, 1);
        let (last, before) = chunks.split_last().expect("chunks");
        let end = if usage {
            assert_eq!(last["choices"], json!([]));
            assert_eq!(last["usage"]["completion_tokens"], 6);
            before.last().expect("the end")
        } else {
            last
        };
        assert_eq!(end["choices"][0]["delta"], json!({}));
        assert_eq!(end["choices"][0]["finish_reason"], "length");
        let with_usage = chunks.iter().filter(|chunk| chunk["usage"].is_object()).count();
        assert_eq!(with_usage, usize::from(usage));
    }
}

#[test]
fn line_2_pieces_say_what_the_whole_says() {
    let server = Server::start(&[]);
    let noisy = json!({"temperature": 1.5, "seed": 3, "max_tokens": 40});
    for (path, body) in [
        (CHAT, chat(json!({}))),
        (CHAT, chat(with(noisy.clone(), json!({"n": 3})))),
        (CHAT, chat(with(noisy.clone(), json!({"logprobs": true})))),
        (COMPLETION, completion(noisy.clone())),
        (COMPLETION, completion(with(noisy.clone(), json!({"n": 2, "echo": true})))),
        (COMPLETION, completion(with(noisy, json!({"prompt": ["a", "b"]})))),
    ] {
        let whole = server.post(path, &body).json(200);
        let chunks = chunks(&server, path, &body);
        for choice in whole["choices"].as_array().expect("choices") {
            let index = choice["index"].as_u64().expect("a number") as usize;
            let text = choice["message"]["content"].as_str().or(choice["text"].as_str()).expect("a text");
            assert_eq!(text_of(&chunks, index), text, "{path} {body}");
        }
    }
}

#[test]
fn line_3_what_stopped_an_answer_stands_beside_the_reason() {
    let server = Server::start(&[]);
    let a = only(b"A");
    for (path, more, reason, stop_reason) in [
        (CHAT, json!({"logit_bias": a}), "length", Value::Null),
        (CHAT, json!({"logit_bias": a, "stop": "AAA"}), "stop", json!("AAA")),
        (COMPLETION, json!({"logit_bias": a, "stop": ["x", "AA"]}), "stop", json!("AA")),
        (CHAT, json!({"logit_bias": a, "stop_token_ids": [65]}), "stop", json!(65)),
        (COMPLETION, json!({"logit_bias": a, "stop_token_ids": [65, 66]}), "stop", json!(65)),
        // The model's own end is no news.
        (CHAT, json!({"logit_bias": {EOS.to_string(): 100}}), "stop", Value::Null),
        (CHAT, json!({"logit_bias": {EOS.to_string(): 100}, "ignore_eos": true}), "length", Value::Null),
        (
            CHAT,
            json!({"logit_bias": {EOS.to_string(): 100}, "ignore_eos": true, "stop_token_ids": [EOS]}),
            "stop",
            json!(EOS),
        ),
    ] {
        let body = if path == CHAT { chat(more) } else { completion(more) };
        let whole = server.post(path, &body).json(200);
        let choice = &whole["choices"][0];
        assert_eq!(
            (&choice["finish_reason"], &choice["stop_reason"]),
            (&json!(reason), &stop_reason),
            "{body}"
        );
        let chunks = chunks(&server, path, &body);
        let last = &chunks.last().expect("chunks")["choices"][0];
        assert_eq!((&last["finish_reason"], &last["stop_reason"]), (&json!(reason), &stop_reason), "{body}");
    }
}

#[test]
fn line_7_the_whole_prompt_counts_and_says_what_was_cached() {
    let server = Server::start(&[]);
    let body = chat(json!({"messages": [{"role": "user", "content": "a".repeat(100)}]}));
    let first = server.post(CHAT, &body).json(200);
    let again = server.post(CHAT, &body).json(200);
    let tokens = server.post("/tokenize", &json!({"messages": body["messages"]})).json(200);
    for answer in [&first, &again] {
        let usage = &answer["usage"];
        assert_eq!(usage["prompt_tokens"], tokens["count"], "{usage}");
        let sum = usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
        assert_eq!(usage["total_tokens"], sum, "{usage}");
        assert!(answer["timings"]["prompt_ms"].as_f64().unwrap() >= 0.0);
    }
    assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    // All pages but the one that the last token is in.
    assert_eq!(again["usage"]["prompt_tokens_details"]["cached_tokens"], 96);
    // Choices of one prompt share it: it counts once.
    let three = server.post(CHAT, &with(body, json!({"n": 3}))).json(200);
    assert_eq!(three["usage"]["prompt_tokens"], tokens["count"]);
    assert_eq!(three["usage"]["completion_tokens"], 18);
}

#[test]
fn line_8_logprobs_of_a_chat_have_bytes_and_alternatives() {
    let server = Server::start(&[]);
    for top in [None, Some(0), Some(3), Some(20)] {
        let mut body = chat(json!({"logprobs": true, "max_tokens": 8}));
        if let Some(top) = top {
            body["top_logprobs"] = json!(top);
        }
        let answer = server.post(CHAT, &body).json(200);
        let content = answer["choices"][0]["logprobs"]["content"].as_array().expect("a list");
        assert_eq!(content.len(), 8);
        let mut bytes = Vec::new();
        for token in content {
            let logprob = token["logprob"].as_f64().expect("a number");
            assert!(logprob <= 0.0, "{token}");
            let tops = token["top_logprobs"].as_array().expect("a list");
            assert_eq!(tops.len(), top.unwrap_or(0), "{token}");
            if let Some(first) = tops.first() {
                assert_eq!(first["logprob"], token["logprob"], "greedy takes the first");
            }
            bytes.extend(token["bytes"].as_array().unwrap().iter().map(|b| b.as_u64().unwrap() as u8));
        }
        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), text);
    }
}

#[test]
fn line_8_an_echo_with_logprobs_evaluates_the_prompt() {
    let server = Server::start(&[]);
    for (max_tokens, prompt, shown, tokens) in [
        (0, json!("abc"), "abc", 4),
        (1, json!("abc"), "abc", 4),
        (0, json!([97, 98, 99]), "abc", 3),
        (1, json!([[97, 98, 99]]), "abc", 3),
        (0, json!([BOS, 97]), "a", 2),
    ] {
        let body = json!({"prompt": prompt, "max_tokens": max_tokens, "echo": true, "logprobs": 2, "temperature": 0});
        let answer = server.post(COMPLETION, &body).json(200);
        let choice = &answer["choices"][0];
        let logprobs = &choice["logprobs"];
        let list = |name: &str| logprobs[name].as_array().expect("a list").clone();
        assert!(choice["text"].as_str().unwrap().starts_with(shown), "{choice}");
        for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
            assert_eq!(list(name).len(), tokens + max_tokens, "{name} of {choice}");
        }
        assert_eq!((&list("token_logprobs")[0], &list("top_logprobs")[0]), (&Value::Null, &Value::Null));
        for index in 1..tokens + max_tokens {
            assert!(list("token_logprobs")[index].as_f64().unwrap() <= 0.0);
            assert!(list("top_logprobs")[index].as_object().unwrap().len() >= 2);
        }
        assert_eq!(answer["usage"]["completion_tokens"], max_tokens);
    }
    // Without an echo there is nothing to evaluate for.
    let refused = server.post(COMPLETION, &json!({"prompt": "abc", "max_tokens": 0})).json(400);
    assert_eq!(refused["error"]["param"], "max_tokens");
}

#[test]
fn line_9_no_character_is_cut_and_no_stop_string_begun() {
    let server = Server::start(&[]);
    for seed in 0..12 {
        // Random bytes of two characters of two and three bytes.
        let noisy = json!({"temperature": 2, "seed": seed, "max_tokens": 48, "ignore_eos": true});
        let cut = with(noisy.clone(), json!({"logit_bias": only(&[0xc3, 0xa9, 0xe2, 0x82, 0xac])}));
        let body = chat(with(cut, json!({"logprobs": true})));
        let whole = server.post(CHAT, &body).json(200);
        let content = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
        let bytes: Vec<u8> = content
            .iter()
            .flat_map(|token| token["bytes"].as_array().unwrap().iter().map(|b| b.as_u64().unwrap() as u8))
            .collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(whole["choices"][0]["message"]["content"], text);
        assert_eq!(text_of(&chunks(&server, CHAT, &body), 0), text);

        let stop = with(noisy, json!({"logit_bias": only(b"ab"), "stop": ["aabb", "bbb"]}));
        let body = completion(stop);
        let whole = server.post(COMPLETION, &body).json(200);
        let text = whole["choices"][0]["text"].as_str().unwrap();
        assert!(!text.contains("aabb") && !text.contains("bbb"), "{text}");
        let pieces = chunks(&server, COMPLETION, &body);
        assert_eq!(text_of(&pieces, 0), text);
        if whole["choices"][0]["finish_reason"] == "stop" {
            let stop = whole["choices"][0]["stop_reason"].as_str().expect("which one");
            assert!(["aabb", "bbb"].contains(&stop));
            // The tokens of the stop string were generated.
            assert_eq!(whole["usage"]["completion_tokens"], text.len() + stop.len());
        }
    }
}

#[test]
fn line_9_text_that_could_have_become_a_stop_string_comes_at_the_end() {
    let server = Server::start(&[]);
    let body = chat(json!({"logit_bias": only(b"A"), "stop": "AAAAAAAB", "max_tokens": 5}));
    assert_eq!(server.post(CHAT, &body).json(200)["choices"][0]["message"]["content"], "AAAAA");
    assert_eq!(text_of(&chunks(&server, CHAT, &body), 0), "AAAAA");
}

#[test]
fn line_12_errors_have_one_shape_and_the_real_status() {
    let server = Server::start(&[]);
    let long = json!({"messages": [{"role": "user", "content": "a".repeat(5000)}]});
    for (path, body, status, param, code) in [
        (CHAT, long.clone(), 400, json!("messages"), json!("context_length_exceeded")),
        (
            COMPLETION,
            json!({"prompt": "a".repeat(4096)}),
            400,
            json!("prompt"),
            json!("context_length_exceeded"),
        ),
        (CHAT, chat(json!({"model": "gpt-9"})), 404, json!("model"), json!("model_not_found")),
        ("/v1/nothing", json!({}), 404, Value::Null, json!("unknown_url")),
        ("/v1/models", json!({}), 405, Value::Null, json!("method_not_allowed")),
        (CHAT, json!({"messages": []}), 400, json!("messages"), Value::Null),
        (CHAT, json!({}), 400, json!("messages"), Value::Null),
        (COMPLETION, json!({}), 400, json!("prompt"), Value::Null),
    ] {
        let error = server.post(path, &body).json(status)["error"].clone();
        assert!(error["message"].is_string() && error["type"] == "invalid_request_error", "{error}");
        assert_eq!((&error["param"], &error["code"]), (&param, &code), "{path} {error}");
    }
    let error = server.post(CHAT, &long).json(400)["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("maximum context length is 4096 tokens"), "{error}");
    assert_eq!(error["n_ctx"], 4096);
    assert!(error["n_prompt_tokens"].as_u64().unwrap() > 5000);
}

#[test]
fn line_16_models_say_how_long_their_context_is() {
    let server = Server::start(&[]);
    let list = server.get("/v1/models").json(200);
    let model = &list["data"][0];
    assert_eq!((&list["object"], &model["object"]), (&json!("list"), &json!("model")));
    assert_eq!((&model["max_model_len"], &model["context_length"]), (&json!(4096), &json!(4096)));
    assert!(model["created"].is_u64() && model["owned_by"].is_string());
    let id = model["id"].as_str().expect("a name");
    let shown = server.get(&format!("/v1/models/{id}")).json(200);
    assert_eq!(&shown, model);
    assert_eq!(server.get("/v1/models/gpt-9").json(404)["error"]["code"], "model_not_found");
}

#[test]
fn a_bias_forces_and_forbids() {
    let server = Server::start(&[]);
    let text = |more: Value| {
        let answer = server.post(CHAT, &chat(with(more, json!({"logprobs": true})))).json(200);
        answer["choices"][0]["logprobs"]["content"][0]["bytes"].clone()
    };
    assert_eq!(text(json!({"logit_bias": only(b"Q")})), json!([81]));
    let free = text(json!({}));
    let id = free[0].as_u64().expect("a byte").to_string();
    assert_ne!(text(json!({"logit_bias": {id: -100}})), free);
    let all: serde_json::Map<String, Value> =
        (0..SIZE).filter(|id| *id != 77).map(|id| (id.to_string(), json!(-100))).collect();
    assert_eq!(text(json!({"logit_bias": all, "temperature": 1.9})), json!([77]));
}

#[test]
fn special_tokens_are_shown_where_they_are_asked_for() {
    let server = Server::start(&[]);
    let text = |more: Value| {
        let body =
            json!({"prompt": "he", "max_tokens": 2, "temperature": 0, "logit_bias": {BOS.to_string(): 100}});
        let answer = server.post("/v1/completions", &with(body, more)).json(200);
        assert_eq!(answer["usage"]["completion_tokens"], 2);
        answer["choices"][0]["text"].as_str().expect("text").to_owned()
    };
    assert_eq!(text(json!({})), "");
    assert_eq!(text(json!({"skip_special_tokens": false})), "<|begin|><|begin|>");
}

#[test]
fn a_seed_repeats_its_answers_and_each_of_them_has_its_own() {
    let server = Server::start(&[]);
    for seed in [json!(0), json!(7), json!(-1), json!(u64::MAX), json!(i64::MIN)] {
        let body = chat(json!({"seed": seed, "temperature": 1.5, "n": 3, "max_tokens": 20}));
        let texts = || -> Vec<String> {
            let answer = server.post(CHAT, &body).json(200);
            let choices = answer["choices"].as_array().expect("choices").clone();
            choices.iter().map(|choice| choice["message"]["content"].as_str().unwrap().to_owned()).collect()
        };
        let first = texts();
        assert_eq!(texts(), first, "{seed}");
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3, "{seed}");
        // The first is what one answer alone would be.
        let alone = server.post(CHAT, &with(body.clone(), json!({"n": 1}))).json(200);
        assert_eq!(alone["choices"][0]["message"]["content"], first[0]);
    }
}

#[test]
fn prompts_of_all_kinds_are_continued() {
    let server = Server::start(&[]);
    let text = server.post(COMPLETION, &completion(json!({"prompt": "abc"}))).json(200);
    let same = [json!([BOS, 97, 98, 99]), json!([[BOS, 97, 98, 99]]), json!(["abc"])];
    for prompt in same {
        let answer = server.post(COMPLETION, &completion(json!({"prompt": prompt}))).json(200);
        assert_eq!(answer["choices"], text["choices"], "{prompt}");
    }
    let many = server.post(COMPLETION, &completion(json!({"prompt": ["x", "abc", "y"], "n": 2}))).json(200);
    let choices = many["choices"].as_array().expect("choices");
    assert_eq!(choices.iter().map(|choice| &choice["index"]).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(choices[2]["text"], text["choices"][0]["text"]);
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let server = Server::start(&[]);
    let texts = |count: usize| json!(vec!["x"; count]);
    let both = |more: Value| vec![(CHAT, chat(more.clone())), (COMPLETION, completion(more))];
    let chats = |more: Value| vec![(CHAT, chat(more))];
    let completions = |more: Value| vec![(COMPLETION, completion(more))];
    for (requests, param) in [
        (both(json!({"temperature": -1})), "temperature"),
        (both(json!({"temperature": 3})), "temperature"),
        (both(json!({"temperature": "hot"})), "temperature"),
        (both(json!({"top_p": 0})), "top_p"),
        (both(json!({"top_p": 1.1})), "top_p"),
        (both(json!({"top_k": -2})), "top_k"),
        (both(json!({"top_k": 1u64 << 40})), "top_k"),
        (both(json!({"min_p": 2})), "min_p"),
        (both(json!({"max_tokens": 0})), "max_tokens"),
        (both(json!({"max_tokens": -1})), "max_tokens"),
        (both(json!({"max_tokens": 1u64 << 31})), "max_tokens"),
        (both(json!({"max_tokens": 1.5})), "max_tokens"),
        (both(json!({"min_tokens": 7})), "min_tokens"),
        (both(json!({"n": 0})), "n"),
        (both(json!({"n": 129})), "n"),
        (both(json!({"stream": "yes"})), "stream"),
        (both(json!({"stream_options": {"include_usage": true}})), "stream_options"),
        (both(json!({"stop": texts(17)})), "stop"),
        (both(json!({"stop": ""})), "stop"),
        (both(json!({"stop": "x".repeat(1025)})), "stop"),
        (both(json!({"stop_token_ids": [SIZE]})), "stop_token_ids[0]"),
        (both(json!({"logit_bias": {"abc": 1}})), "logit_bias"),
        (both(json!({"logit_bias": {SIZE.to_string(): 1}})), "logit_bias"),
        (both(json!({"logit_bias": {"5": 101}})), "logit_bias"),
        (both(json!({"seed": 1.5})), "seed"),
        (both(json!({"priority": 1001})), "priority"),
        (both(json!({"deadline_ms": 0})), "deadline_ms"),
        (both(json!({"user": 5})), "user"),
        (chats(json!({"max_completion_tokens": 5, "max_tokens": 6})), "max_tokens"),
        (chats(json!({"max_completion_tokens": 0, "max_tokens": null})), "max_completion_tokens"),
        (chats(json!({"logprobs": 2})), "logprobs"),
        (chats(json!({"top_logprobs": 2})), "top_logprobs"),
        (chats(json!({"logprobs": true, "top_logprobs": 21})), "top_logprobs"),
        (chats(json!({"tools": [{"type": "function", "function": {}}]})), "tools[0].function.name"),
        (chats(json!({"functions": [{"name": "f"}]})), "functions"),
        (chats(json!({"tool_choice": "required"})), "tool_choice"),
        (chats(json!({"response_format": {"type": "xml"}})), "response_format.type"),
        (chats(json!({"store": true})), "store"),
        (chats(json!({"metadata": {"a": "x".repeat(513)}})), "metadata"),
        (chats(json!({"reasoning_effort": "huge"})), "reasoning_effort"),
        (chats(json!({"chat_template_kwargs": {"messages": []}})), "chat_template_kwargs"),
        (chats(json!({"messages": [{"role": "king", "content": "x"}]})), "messages[0].role"),
        (chats(json!({"messages": [{"role": "user"}]})), "messages[0].content"),
        (chats(json!({"messages": [{"role": "user", "content": 5}]})), "messages[0].content"),
        (completions(json!({"logprobs": true})), "logprobs"),
        (completions(json!({"logprobs": 21})), "logprobs"),
        (completions(json!({"best_of": 2})), "best_of"),
        (completions(json!({"suffix": "x"})), "suffix"),
        (completions(json!({"prompt": []})), "prompt"),
        (completions(json!({"prompt": ""})), "prompt"),
        (completions(json!({"prompt": [[]]})), "prompt"),
        (completions(json!({"prompt": [-1]})), "prompt"),
        (completions(json!({"prompt": [SIZE]})), "prompt"),
        (completions(json!({"prompt": [1u64 << 40]})), "prompt"),
        (completions(json!({"prompt": [1.5]})), "prompt[0]"),
        (completions(json!({"prompt": [1, "a"]})), "prompt"),
        (completions(json!({"prompt": texts(129)})), "prompt"),
    ] {
        for (path, body) in requests {
            let error = server.post(path, &body).json(400)["error"].clone();
            assert_eq!(error["param"], param, "{path} {body}: {error}");
            assert_eq!(error["type"], "invalid_request_error", "{error}");
        }
    }
}

#[test]
fn what_has_no_effect_is_taken() {
    let server = Server::start(&[]);
    let plain = server.post(CHAT, &chat(json!({}))).json(200);
    for more in [
        json!({"user": "u".repeat(1 << 20)}),
        json!({"safety_identifier": "s", "prompt_cache_key": "p"}),
        json!({"max_completion_tokens": 6}),
        json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": true}),
        json!({"response_format": {"type": "text"}, "modalities": ["text"], "store": false}),
        json!({"service_tier": "auto", "verbosity": "medium"}),
        json!({"frobnicate": {"a": [1]}}),
        json!({"temperature": null, "temperature": 0, "stop": null, "logit_bias": null, "debug": null}),
    ] {
        let answer = server.post(CHAT, &chat(more.clone())).json(200);
        assert_eq!(answer["choices"], plain["choices"], "{more}");
    }
    let answer = server.post(CHAT, &chat(json!({"metadata": {"a": "b"}}))).json(200);
    assert_eq!(answer["metadata"], json!({"a": "b"}));
}

#[test]
fn a_suffix_stands_behind_the_gap() {
    let scratch = Scratch::new();
    let mut header = model::header();
    for (key, id) in [("fim_pre", 1), ("fim_suf", 2), ("fim_mid", 3)] {
        header.set(&format!("tokenizer.ggml.{key}_token_id"), Metadata::U32(id));
    }
    let path = scratch.path("fim.gguf");
    model::with_tensors(header, &model::TENSORS).write_file(&path).expect("the target folder can be written");
    let server = Server::with_models(scratch, &[path.to_str().expect("UTF-8")], &[]);
    let text = completion(json!({"prompt": "ab<|end|>", "suffix": "hell"}));
    let mut tokens = vec![BOS, 1, 97, 98];
    tokens.extend("<|end|>".bytes().map(u32::from));
    tokens.extend([2, HELL, 3]);
    let by_text = server.post(COMPLETION, &text).json(200);
    let by_tokens = server.post(COMPLETION, &completion(json!({"prompt": tokens}))).json(200);
    assert_eq!(by_text["choices"], by_tokens["choices"]);
    assert_eq!(by_text["usage"]["prompt_tokens"], tokens.len());
    for more in [json!({"echo": true}), json!({"prompt": [1, 2]})] {
        let error = server.post(COMPLETION, &with(text.clone(), more)).json(400);
        assert_eq!(error["error"]["param"], "suffix");
    }
}
