//! Parameters out of their range or of the wrong kind, on every route that has them.

use super::api::{
    ALL, Api, CHAT, COMPLETIONS, DETOKENIZE, Dialect, EMBEDDINGS, GENERATING, MESSAGES, OLLAMA_CHAT,
    OLLAMA_GENERATE, RESPONSES, TEMPLATE,
};
use super::case::{Case, Expect};

/// Row, field, and values as they stand in the JSON, each of which is refused with the field's name.
const REFUSED: &[(u16, &str, &[&str])] = &[
    (43, "temperature", &["-1", "-0.001", "3", "1e30", "1e400", "-1e400", r#""hot""#, "true", "[]", "{}"]),
    (44, "top_p", &["0", "-0", "-0.0", "1.1", "-1", "1e400", r#""x""#]),
    (44, "top_k", &["-2", "1099511627776", "1.5", "1e400", "9223372036854775808", r#""x""#]),
    (44, "min_p", &["2", "-0.1", "[]"]),
    (44, "typical_p", &["0", "1.5", r#""x""#]),
    (44, "repeat_penalty", &["0", "-1", "11", r#""x""#]),
    (44, "repeat_last_n", &["-2", "1099511627776", "0.5"]),
    (44, "frequency_penalty", &["-2.1", "2.1", "1e400", r#""x""#]),
    (44, "presence_penalty", &["-2.1", "2.1", "[0]"]),
    (
        45,
        "max_tokens",
        &["-1", "2147483648", "9223372036854775808", "-9223372036854775809", "1.5", "1e400", r#""5""#, "[5]"],
    ),
    (45, "max_completion_tokens", &["0", "-1", "2147483648", "1.5", r#""5""#]),
    (46, "min_tokens", &["5", "1000000000", "-1", "1.5", r#""x""#]),
    (47, "n", &["0", "-1", "129", "1000000000", "9223372036854775807", "1.5", r#""2""#]),
    (
        50,
        "logit_bias",
        &[
            r#"{"abc": 1}"#,
            r#"{"262": 1}"#,
            r#"{"-1": 1}"#,
            r#"{"1.0": 1}"#,
            r#"{"": 1}"#,
            r#"{"4294967296": 1}"#,
            r#"{"+5": 1, "5": 1}"#,
            r#""abc""#,
            "5",
        ],
    ),
    (53, "stop", &[r#"[""]"#, r#""""#, "5", "[5]", "{}", "[null]", r#"[["a"]]"#]),
    (53, "stop_token_ids", &["[-1]", "[262]", "[1099511627776]", "[1.5]", r#"["a"]"#, "5", "[null]"]),
    (54, "seed", &["-9223372036854775809", "18446744073709551616", "1.5", "1e400", r#""x""#, "[]"]),
    (54, "user", &["5", "[]", "{}"]),
    (55, "stream", &[r#""yes""#, "1", "[]", r#""true""#]),
    (55, "stream_options", &[r#""x""#, "5", r#"{"include_usage": true}"#, r#"{"include_usage": "yes"}"#]),
    (56, "priority", &["-1001", "1001", "1.5", r#""high""#]),
    (56, "deadline_ms", &["0", "-1", "9223372036854775807", "1.5", r#""soon""#]),
    (56, "ignore_eos", &[r#""x""#, "1"]),
    (56, "debug", &["5", r#""cache""#, r#"{"cache": "x"}"#]),
    (
        106,
        "chat_template_kwargs",
        &[
            r#"{"messages": []}"#,
            r#"{"tools": []}"#,
            r#"{"tokenize": true}"#,
            r#"{"add_generation_prompt": false}"#,
            r#"{"bos_token": "x"}"#,
            r#"{"documents": []}"#,
            "5",
            r#""x""#,
            "[[1]]",
        ],
    ),
    (106, "reasoning_effort", &["5", r#""extreme""#]),
    (107, "tools", &[r#""x""#, "5", "[5]"]),
    (
        108,
        "tool_choice",
        &[
            r#""required""#,
            r#"{"type": "function", "function": {"name": "f"}}"#,
            r#"{"type": "tool", "name": "f"}"#,
        ],
    ),
    (56, "metadata", &["5", "[[]]", r#"{"a": 5}"#]),
];

/// The same with values that are made.
fn made() -> Vec<(u16, &'static str, &'static str, String)> {
    let list = |count: usize, item: &str| format!("[{}]", vec![item; count].join(","));
    let map = |count: usize, value: &str| {
        let entries: Vec<String> = (0..count).map(|key| format!("\"{key}\": {value}")).collect();
        format!("{{{}}}", entries.join(","))
    };
    vec![
        (50, "logit_bias", "100,000 keys", map(100_000, "1")),
        (50, "logit_bias", "1e9", r#"{"5": 1e9}"#.to_owned()),
        (50, "logit_bias", "-1e9", r#"{"5": -1e9}"#.to_owned()),
        (50, "logit_bias", "1e400", r#"{"5": 1e400}"#.to_owned()),
        (50, "logit_bias", "null", r#"{"5": null}"#.to_owned()),
        (53, "stop", "1,000 strings", list(1000, r#""a""#)),
        (53, "stop", "17 strings", list(17, r#""a""#)),
        (53, "stop", "a string of 1 MiB", format!("{:?}", "x".repeat(1 << 20))),
        (53, "stop", "a list with a string of 1 MiB", format!("[{:?}]", "x".repeat(1 << 20))),
        (53, "stop_token_ids", "10,000 tokens", list(10_000, "1")),
        (106, "chat_template_kwargs", "10 MiB", format!("{{\"a\": {:?}}}", "x".repeat(10 << 20))),
        (56, "metadata", "17 entries", map(17, r#""v""#)),
        (56, "metadata", "a long value", format!("{{\"a\": {:?}}}", "x".repeat(513))),
    ]
}

/// What is odd and right: row, field, value.
const TAKEN: &[(u16, &str, &str)] = &[
    (43, "temperature", "-0.0"),
    (43, "temperature", "1"),
    (43, "temperature", "1e-30"),
    (43, "temperature", "null"),
    (44, "top_p", "1e-30"),
    (44, "top_k", "-1"),
    (44, "top_k", "0"),
    (44, "top_k", "2147483647"),
    (44, "min_p", "1"),
    (44, "repeat_last_n", "-1"),
    (50, "logit_bias", "{}"),
    (50, "logit_bias", r#"{"5": -100, "6": 100}"#),
    (50, "logit_bias", "null"),
    (53, "stop", "[]"),
    (53, "stop", "null"),
    (53, "stop", r#""\u0000""#),
    (54, "seed", "-9223372036854775808"),
    (54, "seed", "18446744073709551615"),
    (54, "seed", "0"),
    (54, "user", r#""\u0000\ud83d\ude00""#),
    (55, "stream_options", "null"),
    (56, "metadata", "{}"),
    (107, "tools", "[]"),
    (107, "tools", "null"),
    (108, "tool_choice", r#""none""#),
];

/// Rows of one route alone: the field, its value, and what comes of it.
fn particular() -> Vec<(u16, Api, &'static str, String, Expect)> {
    let field = |name: &str| Expect::field(name);
    let many = |count: usize, item: &str| format!("[{}]", vec![item; count].join(","));
    let mut rows = vec![
        // How many tokens: 0 asks for nothing, or for the prompt alone.
        (45, CHAT, "max_tokens", "0".to_owned(), field("max_tokens")),
        (45, COMPLETIONS, "max_tokens", "0".to_owned(), field("max_tokens")),
        (45, RESPONSES, "max_output_tokens", "0".to_owned(), field("max_output_tokens")),
        (43, MESSAGES, "temperature", "1.5".to_owned(), field("temperature")),
    ];
    for (api, value) in [
        (CHAT, r#""yes""#),
        (CHAT, "5"),
        (COMPLETIONS, "-1"),
        (COMPLETIONS, "1000000"),
        (COMPLETIONS, "true"),
    ] {
        rows.push((52, api, "logprobs", value.to_owned(), field("logprobs")));
    }
    for value in ["-1", "21", "1000000", "1.5", r#""x""#, "5"] {
        // 5 is right but for the missing logprobs.
        rows.push((52, CHAT, "top_logprobs", value.to_owned(), field("top_logprobs")));
    }
    for value in ["-1", "21", r#""x""#] {
        rows.push((52, RESPONSES, "top_logprobs", value.to_owned(), field("top_logprobs")));
    }
    for value in ["-1", "1000000", "0.5"] {
        rows.push((52, COMPLETIONS, "prompt_logprobs", value.to_owned(), field("prompt_logprobs")));
    }
    rows.push((51, COMPLETIONS, "best_of", "3".to_owned(), field("best_of")));
    rows.push((51, COMPLETIONS, "suffix", r#""x""#.to_owned(), field("suffix")));
    rows.push((51, COMPLETIONS, "echo", r#""x""#.to_owned(), field("echo")));
    for value in ["0", "-1", "33", "1000000000000", "1.5", r#""x""#] {
        rows.push((57, EMBEDDINGS, "dimensions", value.to_owned(), field("dimensions")));
    }
    for value in [r#""foo""#, "5", r#""""#] {
        rows.push((57, EMBEDDINGS, "encoding_format", value.to_owned(), field("encoding_format")));
    }
    for value in
        ["[]", "[\"\"]", "\"\"", "[[]]", "[[1], []]", "5", "[null]", "[262]", "[-1]", "[1.5]", "[\"a\", 5]"]
    {
        let place = if value == "[null]" || value == "[1.5]" { "input[0]" } else { "input" };
        rows.push((57, EMBEDDINGS, "input", value.to_owned(), field(place)));
    }
    rows.push((57, EMBEDDINGS, "input", many(10_000, "\"a\""), field("input").says("2048")));
    let long = format!("{:?}", "x".repeat(5000));
    rows.push((57, EMBEDDINGS, "input", long, field("input").code("context_length_exceeded")));
    for value in ["[-1]", "[262]", "[1099511627776]", "[1.5]", "[\"a\"]", "5", "null"] {
        let name = if value.starts_with("[1.") || value.starts_with("[\"") { "tokens[0]" } else { "tokens" };
        rows.push((49, DETOKENIZE, "tokens", value.to_owned(), field(name)));
    }
    rows.push((49, DETOKENIZE, "tokens", many(2_000_000, "1"), field("tokens")));
    for value in ["\"x\"", "{\"a\": 1}"] {
        rows.push((106, TEMPLATE, "messages", value.to_owned(), field("messages")));
    }
    for api in [OLLAMA_CHAT, OLLAMA_GENERATE] {
        for (name, value) in [
            ("num_predict", "-3"),
            ("num_predict", "2147483648"),
            ("num_predict", "\"x\""),
            ("num_ctx", "1000000"),
            ("num_ctx", "-1"),
            ("mirostat", "3"),
        ] {
            let name: &'static str = name;
            let place: &'static str = match name {
                "num_predict" => "options.num_predict",
                "num_ctx" => "options.num_ctx",
                _ => "options.mirostat",
            };
            rows.push((45, api, place, value.to_owned(), field(name)));
        }
        for (name, value) in
            [("options", "5"), ("options", "\"x\""), ("keep_alive", "[]"), ("format", "5"), ("think", "5")]
        {
            rows.push((56, api, name, value.to_owned(), field(name)));
        }
    }
    rows
}

pub(super) fn cases() -> Vec<Case> {
    let made = made();
    let plain = REFUSED.iter().flat_map(|(row, field, values)| {
        values.iter().map(move |value| (*row, *field, *value, (*value).to_owned()))
    });
    let mut cases = Vec::new();
    for (row, field, shown, value) in plain.chain(made) {
        for (api, name) in having(field) {
            // The last part of the name is what other dialects' messages have.
            let expect = expect(api, name, field, &value);
            let title = format!("{} with {name}: {shown}", api.path);
            cases.push(Case::sends(row, title, api.dialect, api.post(&api.with(name, &value)), expect));
        }
    }
    for (row, field, value) in TAKEN {
        for (api, name) in having(field).filter(|(api, _)| !is_elsewhere(*api, field, value)) {
            let title = format!("{} takes {name}: {value}", api.path);
            cases.push(Case::sends(
                *row,
                title,
                api.dialect,
                api.post(&api.with(name, value)),
                Expect::status(&[200]),
            ));
        }
    }
    for api in GENERATING {
        for value in ["NaN", "Infinity", "nan", "0x10", "1.", ".5", "+1", "01", "1e"] {
            let Some(name) = api.name("temperature") else { continue };
            let title = format!("{} with {name}: {value}", api.path);
            let expect = Expect::status(&[400]).code("invalid_json").says(" at byte ");
            cases.push(Case::sends(43, title, api.dialect, api.post(&api.with(name, value)), expect));
        }
    }
    let megabyte = format!("{:?}", "u".repeat(1 << 20));
    for (api, name) in having("user") {
        let title = format!("{} takes a user of 1 MiB", api.path);
        cases.push(Case::sends(
            54,
            title,
            api.dialect,
            api.post(&api.with(name, &megabyte)),
            Expect::status(&[200]),
        ));
    }
    for (row, api, name, value, expect) in particular() {
        let shown: String = value.chars().take(40).collect();
        let title = format!("{} with {name}: {shown}", api.path);
        cases.push(Case::sends(row, title, api.dialect, api.post(&api.with(name, &value)), expect));
    }
    cases
}

/// The routes that have a field, and what they call it.
fn having(field: &str) -> impl Iterator<Item = (Api, &'static str)> {
    ALL.into_iter().filter_map(move |api| api.name(field).map(|name| (api, name)))
}

/// What Anthropic's API writes in another way, or not at all.
fn is_elsewhere(api: Api, field: &str, value: &str) -> bool {
    let others = [("top_k", "-1"), ("tool_choice", r#""none""#), ("stop", r#""\u0000""#)];
    api.dialect == Dialect::Anthropic && others.contains(&(field, value))
}

/// What a route says of a bad value: where a list or a map is at fault it may name the place in it.
fn expect(api: Api, name: &'static str, field: &str, value: &str) -> Expect {
    let last = name.rsplit('.').next().expect("a name has a part");
    if api.dialect != Dialect::OpenAi {
        return Expect::field(last);
    }
    let place = match (field, value) {
        ("stop", "[5]" | "[null]") => format!("{name}[0]"),
        ("stop", r#"[["a"]]"#) => format!("{name}[0]"),
        ("stop_token_ids", v) if v.starts_with('[') && v.len() < 30 => format!("{name}[0]"),
        ("stream_options", r#"{"include_usage": "yes"}"#) => format!("{name}.include_usage"),
        ("debug", r#"{"cache": "x"}"#) => format!("{name}.cache"),
        ("logit_bias", r#"{"5": 1e400}"# | r#"{"5": null}"#) => format!("{name}.5"),
        ("metadata", r#"{"a": 5}"#) => format!("{name}.a"),
        ("tools", "[5]") => format!("{name}[0]"),
        _ => name.to_owned(),
    };
    Expect::field(place)
}
