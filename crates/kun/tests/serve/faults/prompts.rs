//! Models that are not there, messages and prompts of the wrong form or length, and pictures that must not be fetched.

use std::net::TcpListener;

use super::api::{
    ALL, Api, CHAT, COMPLETIONS, COUNT, Dialect, EMBEDDINGS, MESSAGES, OLLAMA_CHAT, OLLAMA_GENERATE,
    RESPONSES, TEMPLATE, TOKENIZE,
};
use super::case::{Case, Expect, wrong};
use super::exchange::exchange;
use crate::server::Server;

/// Tokens of context that the small model has.
const CONTEXT: usize = 4096;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(missing());
    cases.extend(models());
    cases.extend(messages());
    cases.extend(lengths());
    cases.extend(token_prompts());
    cases.extend(pictures());
    cases.extend(histories());
    for path in ["/rerank", "/v1/rerank"] {
        let bytes = crate::server::request(path, r#"{"query": "a", "documents": []}"#, &[]);
        cases.push(Case::sends(58, path, Dialect::OpenAi, bytes, Expect::status(&[404])));
    }
    cases
}

fn missing() -> Vec<Case> {
    let mut cases = Vec::new();
    // Without messages or a prompt Ollama only loads the model.
    let needed = [
        (CHAT, "messages"),
        (COMPLETIONS, "prompt"),
        (RESPONSES, "input"),
        (MESSAGES, "messages"),
        (MESSAGES, "max_tokens"),
        (COUNT, "messages"),
        (EMBEDDINGS, "input"),
        (TEMPLATE, "messages"),
    ];
    for (api, field) in needed {
        let title = |what: &str| format!("{} {what} {field}", api.path);
        let without = api.post(&api.without(field));
        cases.push(Case::sends(39, title("without"), api.dialect, without, Expect::field(field)));
        let null = api.post(&api.with(field, "null"));
        cases.push(Case::sends(39, title("with null for"), api.dialect, null, Expect::field(field)));
    }
    let nothing = TOKENIZE.post("{}");
    cases.push(Case::sends(
        39,
        "/tokenize without a text",
        Dialect::OpenAi,
        nothing,
        Expect::field("content"),
    ));
    cases
}

/// Names are never paths, and none is so odd that it is more than unknown.
fn models() -> Vec<Case> {
    let long = format!("{:?}", "m".repeat(5000));
    let unknown = [
        r#""nope""#,
        r#""""#,
        r#""../small.gguf""#,
        r#""/etc/passwd""#,
        r#""a\u0000b""#,
        r#""CON""#,
        r#""%2e%2e""#,
        r#""small\n""#,
        r#""http://127.0.0.1:1/x""#,
        r#""hf:a/b""#,
        &long,
    ];
    let mut cases = Vec::new();
    for api in ALL {
        for value in unknown {
            let shown: String = value.chars().take(30).collect();
            let expect = Expect::status(&[404]).code("model_not_found");
            // Ollama's clients look for these words.
            let expect = if api.dialect == Dialect::OpenAi {
                Expect { param: Some("model".into()), ..expect }
            } else {
                expect
            };
            let row = if value.contains("nope") { 40 } else { 90 };
            let title = format!("{} with model {shown}", api.path);
            cases.push(Case::sends(row, title, api.dialect, api.post(&api.with("model", value)), expect));
        }
        for value in ["5", "[]", "{}", "true"] {
            let title = format!("{} with model {value}", api.path);
            let bytes = api.post(&api.with("model", value));
            cases.push(Case::sends(40, title, api.dialect, bytes, Expect::field("model")));
        }
        let title = format!("{} with null for a model", api.path);
        let bytes = api.post(&api.with("model", "null"));
        cases.push(Case::sends(40, title, api.dialect, bytes, Expect::status(&[200])));
    }
    for name in ["nope", "..%2f..%2fetc%2fpasswd", "../../etc/passwd", "a%00b", "%ff", &"m".repeat(5000)] {
        let shown: String = name.chars().take(30).collect();
        let bytes = format!("GET /v1/models/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let expect = Expect::status(&[404, 400]);
        cases.push(Case::sends(90, format!("GET /v1/models/{shown}"), Dialect::OpenAi, bytes, expect));
    }
    cases
}

fn messages() -> Vec<Case> {
    let many = format!("[{}]", vec![r#"{"role": "user", "content": "a"}"#; 10_000].join(","));
    let user = |content: &str| format!(r#"[{{"role": "user", "content": {content}}}]"#);
    // What chats of all dialects refuse, and the place as the OpenAI style names it.
    let common = [
        ("[]".to_owned(), "messages"),
        (r#""hi""#.to_owned(), "messages"),
        ("5".to_owned(), "messages"),
        ("{}".to_owned(), "messages"),
        ("[5]".to_owned(), "messages[0]"),
        ("[null]".to_owned(), "messages[0]"),
        (r#"[["user", "hi"]]"#.to_owned(), "messages[0]"),
        (many, "messages"),
        (r#"[{"role": "foo", "content": "a"}]"#.to_owned(), "messages[0].role"),
        (r#"[{"role": "", "content": "a"}]"#.to_owned(), "messages[0].role"),
        (r#"[{"role": "User", "content": "a"}]"#.to_owned(), "messages[0].role"),
        (r#"[{"role": 5, "content": "a"}]"#.to_owned(), "messages[0].role"),
        (r#"[{"role": null, "content": "a"}]"#.to_owned(), "messages[0].role"),
        (r#"[{"content": "a"}]"#.to_owned(), "messages[0].role"),
        (
            r#"[{"role": "user", "content": "a"}, {"role": "x", "content": "a"}]"#.to_owned(),
            "messages[1].role",
        ),
        (user("5"), "messages[0].content"),
        (user("true"), "messages[0].content"),
        (user("{}"), "messages[0].content"),
    ];
    let parts = [
        (user("null"), "messages[0].content"),
        (user("[5]"), "messages[0].content[0]"),
        (user(r#"["hi"]"#), "messages[0].content[0]"),
        (user(r#"[{"type": "text"}]"#), "messages[0].content[0]"),
        (user(r#"[{"type": "text", "text": 5}]"#), "messages[0].content[0]"),
        (user(r#"[{"type": "foo", "text": "x"}]"#), "messages[0].content[0]"),
        (user(r#"[{"text": "x"}]"#), "messages[0].content[0]"),
        (user(r#"[{"type": "text", "text": "a"}, {}]"#), "messages[0].content[1]"),
        (r#"[{"role": "user"}]"#.to_owned(), "messages[0].content"),
    ];
    let mut cases = Vec::new();
    for api in [CHAT, TEMPLATE, TOKENIZE, MESSAGES, COUNT, OLLAMA_CHAT] {
        let parts = if api.dialect == Dialect::Ollama { &[][..] } else { &parts };
        for (value, place) in common.iter().chain(parts) {
            // No messages are how Ollama's clients have a model loaded.
            if api.path == OLLAMA_CHAT.path && value == "[]" {
                continue;
            }
            let body = if api.path == TOKENIZE.path {
                format!(r#"{{"messages": {value}}}"#)
            } else {
                api.with("messages", value)
            };
            let shown: String = value.chars().take(60).collect();
            // Others name the place in their own words, but they name it.
            let expect = match api.dialect {
                Dialect::OpenAi => Expect::field(*place),
                _ => Expect::status(&[400]).says(place.split('[').next().unwrap_or("messages")),
            };
            cases.push(Case::sends(
                41,
                format!("{} with messages {shown}", api.path),
                api.dialect,
                api.post(&body),
                expect,
            ));
        }
    }
    let input = [
        ("[]", "input"),
        ("\"\"", "input"),
        ("5", "input"),
        ("{}", "input"),
        ("[5]", "input[0]"),
        ("[null]", "input[0]"),
        (r#"[{"role": "foo", "content": "a"}]"#, "input[0].role"),
        (r#"[{"role": "user", "content": 5}]"#, "input[0].content"),
        (r#"[{"role": "user"}]"#, "input[0].content"),
        (r#"[{"type": "nope"}]"#, "input[0].type"),
        (r#"[{"type": 5}]"#, "input[0].type"),
        (r#"[{"type": "item_reference", "id": "x"}]"#, "input[0]"),
        (r#"[{"type": "function_call"}]"#, "input[0].name"),
        (r#"[{"type": "web_search_call"}]"#, "input"),
    ];
    for (value, place) in input {
        let bytes = RESPONSES.post(&RESPONSES.with("input", value));
        cases.push(Case::sends(
            41,
            format!("/v1/responses with input {value}"),
            Dialect::OpenAi,
            bytes,
            Expect::field(place),
        ));
    }
    cases
}

/// Prompts for which the context has no room, or just so.
fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    let ids = |count: usize| format!("[{}]", vec!["5"; count].join(","));
    let too_long = |field: &str, tokens: usize| {
        let expect = Expect::field(field).code("context_length_exceeded");
        expect.says(format!("maximum context length is {CONTEXT} tokens")).says(tokens.to_string())
    };
    for (count, fits) in [(CONTEXT - 1, true), (CONTEXT, false), (CONTEXT + 1, false), (1_000_000, false)] {
        let bytes = COMPLETIONS
            .post(&COMPLETIONS.with("prompt", &ids(count)).replace("\"max_tokens\":4", "\"max_tokens\":1"));
        let expect = if fits { Expect::status(&[200]) } else { too_long("prompt", count) };
        cases.push(Case::sends(48, format!("a prompt of {count} tokens"), Dialect::OpenAi, bytes, expect));
    }
    let text = format!("{:?}", "x".repeat(1_000_000));
    for api in [CHAT, COMPLETIONS, RESPONSES, MESSAGES, OLLAMA_CHAT, OLLAMA_GENERATE] {
        let value = match api.input {
            "messages" => format!(r#"[{{"role": "user", "content": {text}}}]"#),
            _ => text.clone(),
        };
        let expect = Expect::status(&[400])
            .code("context_length_exceeded")
            .says(format!("context length is {CONTEXT} tokens"));
        let title = format!("{} with a text of 1,000,000 tokens", api.path);
        cases.push(Case::sends(48, title, api.dialect, api.post(&api.with(api.input, &value)), expect));
    }
    // An answer longer than the room is cut where the room ends.
    for (api, field) in [
        (CHAT, "max_tokens"),
        (COMPLETIONS, "max_tokens"),
        (RESPONSES, "max_output_tokens"),
        (MESSAGES, "max_tokens"),
    ] {
        let title = format!("{} with {field} above the context", api.path);
        let bytes = api.post(&api.with(field, "100000").replacen(
            '{',
            "{\"stop\":[\"a\",\"e\",\" \"],\"stop_sequences\":[\"a\",\"e\",\" \"],",
            1,
        ));
        cases.push(Case::sends(45, title, api.dialect, bytes, Expect::status(&[200, 400])));
    }
    cases
}

fn token_prompts() -> Vec<Case> {
    let many = format!("[{}]", vec!["\"a\""; 100_000].join(","));
    let choices = format!("[{}]", vec!["\"a\""; 129].join(","));
    let rows = [
        ("[]", "prompt"),
        ("\"\"", "prompt"),
        ("[[]]", "prompt"),
        ("[\"\"]", "prompt"),
        ("[\"a\", \"\"]", "prompt"),
        ("[[1], []]", "prompt"),
        ("[-1]", "prompt"),
        ("[262]", "prompt"),
        ("[1099511627776]", "prompt"),
        ("[18446744073709551615]", "prompt"),
        ("[1.5]", "prompt"),
        ("[1, \"a\"]", "prompt"),
        ("[\"a\", 1]", "prompt"),
        ("[[1], \"a\"]", "prompt"),
        ("[[1], 2]", "prompt"),
        ("[[[1]]]", "prompt"),
        ("[[\"a\"]]", "prompt"),
        ("[null]", "prompt"),
        ("5", "prompt"),
        ("{}", "prompt"),
        ("true", "prompt"),
        ("[1e400]", "prompt"),
        (&many, "prompt"),
        (&choices, "prompt"),
    ];
    rows.into_iter()
        .map(|(value, field)| {
            let shown: String = value.chars().take(40).collect();
            let bytes = COMPLETIONS.post(&COMPLETIONS.with("prompt", value));
            // The place in the list may be named.
            let expect = match value {
                "[null]" | "[1.5]" | "[1e400]" => Expect::field("prompt[0]"),
                "[[[1]]]" | "[[\"a\"]]" => Expect::field("prompt[0][0]"),
                _ => Expect::field(field),
            };
            Case::sends(49, format!("a prompt of {shown}"), Dialect::OpenAi, bytes, expect)
        })
        .collect()
}

/// Pictures are refused, wherever they are; none is looked at, and nothing is fetched.
fn pictures() -> Vec<Case> {
    let urls = [
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x",
        r"http:\\\\evil\\@127.0.0.1/x",
        "http://LISTENER/x.png",
        "https://LISTENER/x.png",
        "ftp://LISTENER/x",
        "gopher://LISTENER/x",
        "//LISTENER/x",
        "data:image/png;base64,@@@",
        "data:image/png;base64,iVBORw0KGgo=",
        "data:image/svg+xml,<svg/>",
        "",
        "x",
    ];
    let mut cases = Vec::new();
    for url in urls {
        let act = move |server: &Server| {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
            listener.set_nonblocking(true).map_err(|e| e.to_string())?;
            let address = listener.local_addr().map_err(|e| e.to_string())?.to_string();
            let url = url.replace("LISTENER", &address);
            let mut what = Vec::new();
            for (api, body) in with_picture(&url) {
                let got = exchange(server, &api.post(&body))?;
                let expect = Expect::status(&[400]);
                let expect =
                    if api.dialect == Dialect::OpenAi { expect.code("unsupported_media") } else { expect };
                what.extend(
                    wrong(server, &got, api.dialect, &expect)
                        .into_iter()
                        .map(|w| format!("{}: {w}", api.path)),
                );
            }
            if listener.accept().is_ok() {
                what.push("it was fetched".to_owned());
            }
            if what.is_empty() { Ok(()) } else { Err(what.join("; ")) }
        };
        cases.push(Case::does(59, format!("a picture at {url:?}"), act));
    }
    cases
}

fn with_picture(url: &str) -> Vec<(Api, String)> {
    let user = |part: String| {
        format!(r#"[{{"role": "user", "content": [{{"type": "text", "text": "what?"}}, {part}]}}]"#)
    };
    let chat = user(format!(r#"{{"type": "image_url", "image_url": {{"url": "{url}"}}}}"#));
    let responses = user(format!(r#"{{"type": "input_image", "image_url": "{url}"}}"#));
    let messages = user(format!(r#"{{"type": "image", "source": {{"type": "url", "url": "{url}"}}}}"#));
    let ollama = format!(r#"[{{"role": "user", "content": "what?", "images": ["{url}"]}}]"#);
    vec![
        (CHAT, CHAT.with("messages", &chat)),
        (TEMPLATE, TEMPLATE.with("messages", &chat)),
        (TOKENIZE, format!(r#"{{"messages": {chat}}}"#)),
        (RESPONSES, RESPONSES.with("input", &responses)),
        (MESSAGES, MESSAGES.with("messages", &messages)),
        (COUNT, COUNT.with("messages", &messages)),
        (OLLAMA_CHAT, OLLAMA_CHAT.with("messages", &ollama)),
        (OLLAMA_GENERATE, OLLAMA_GENERATE.with("images", &format!("[\"{url}\"]"))),
    ]
}

/// Calls of tools in a history may be odd, but they are no fault of the server's.
fn histories() -> Vec<Case> {
    let call = |arguments: &str| {
        format!(
            r#"[{{"role": "user", "content": "a"}}, {{"role": "assistant", "content": null, "tool_calls": [{{"id": "c",
                "type": "function", "function": {{"name": "f", "arguments": {arguments}}}}}]}},
                {{"role": "tool", "tool_call_id": "c", "content": "r"}}]"#
        )
    };
    let odd = [
        call(r#""not json""#), call("5"), call("null"), call(r#""{}""#),
        r#"[{"role": "tool", "content": "r"}]"#.to_owned(),
        r#"[{"role": "tool", "content": "r", "tool_call_id": 5}]"#.to_owned(),
        r#"[{"role": "assistant", "tool_calls": "x"}]"#.to_owned(),
        r#"[{"role": "assistant", "tool_calls": [5]}]"#.to_owned(),
        r#"[{"role": "tool", "content": "r", "tool_call_id": "c"}, {"role": "tool", "content": "r", "tool_call_id": "c"}]"#.to_owned(),
    ];
    odd.into_iter()
        .map(|value| {
            let shown: String = value.chars().take(80).collect();
            let bytes = CHAT.post(&CHAT.with("messages", &value));
            Case::sends(
                109,
                format!("a history of {shown}"),
                Dialect::OpenAi,
                bytes,
                Expect::status(&[200, 400]),
            )
        })
        .collect()
}
