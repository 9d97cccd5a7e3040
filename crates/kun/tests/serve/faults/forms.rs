//! Schemas, expressions and grammars from strangers, on every way in: compiled within a second, or refused with what is
//! wrong with them. Never an answer without the form that was asked for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::{Api, CHAT, COMPLETIONS, MESSAGES, OLLAMA_CHAT, OLLAMA_GENERATE, RESPONSES};
use super::case::{Case, Expect, wrong};
use super::exchange::exchange;

/// What a compilation may take, the answer's four tokens included.
const TIME_MAX: Duration = Duration::from_secs(1);

/// What comes of a form.
enum Comes {
    Refused,
    /// Whether it can be had depends on how large it comes out.
    Either,
    Taken,
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (row, name, schema, comes) in schemas() {
        for (api, field, value, param) in ways_in(&schema) {
            // Ollama has a name for any object instead of an empty schema.
            cases.push(case(row, api, &format!("{field}: {name}"), field, &value, param, &comes));
        }
    }
    for (row, name, field, value, comes) in texts() {
        for api in [CHAT, COMPLETIONS] {
            cases.push(case(row, api, name, field, &value, field, &comes));
        }
    }
    for value in [json!(5), json!("x"), json!([]), json!({}), json!({"type": "xml"}), json!({"type": 5})] {
        let param = if value.is_object() { "response_format.type" } else { "response_format" };
        for api in [CHAT, COMPLETIONS] {
            cases.push(case(96, api, &value.to_string(), "response_format", &value, param, &Comes::Refused));
        }
    }
    cases
}

/// Row, name, schema, and what comes of it.
fn schemas() -> Vec<(u16, &'static str, Value, Comes)> {
    let many: serde_json::Map<String, Value> = (0..50_000).map(|i| (format!("p{i}"), json!({}))).collect();
    let values: Vec<String> = (0..100_000).map(|i| format!("v{i}")).collect();
    let pattern = |pattern: &str| json!({"type": "string", "pattern": pattern});
    use Comes::{Either, Refused, Taken};
    vec![
        (96, "false", json!(false), Refused),
        (96, "nothing", json!({}), Refused),
        (96, "a number", json!(5), Refused),
        (96, "more at least than at most", json!({"type": "integer", "minimum": 5, "maximum": 1}), Refused),
        (96, "nothing to choose from", json!({"enum": []}), Refused),
        (
            96,
            "no such property",
            json!({"type": "object", "properties": {"a": {}}, "required": ["b"]}),
            Refused,
        ),
        (96, "a text and a number", json!({"allOf": [{"type": "string"}, {"type": "number"}]}), Refused),
        (96, "what can't be enforced", json!({"type": "object", "dependentSchemas": {}}), Refused),
        (96, "what is far away", json!({"$ref": "http://127.0.0.1:1/schema"}), Refused),
        (96, "itself", json!({"$ref": "#"}), Refused),
        (98, "50,000 properties", json!({"type": "object", "properties": many}), Refused),
        (98, "100,000 values", json!({"enum": values}), Refused),
        (98, "a long text", json!({"type": "string", "maxLength": 65_536}), Refused),
        (98, "a billion items", json!({"type": "array", "items": {}, "maxItems": 1_000_000_000}), Refused),
        (
            98,
            "4,096 items of 4,096",
            json!({"type": "array", "items": {"type": "string", "minLength": 4096}, "minItems": 4096}),
            Either,
        ),
        (99, "a repeated repetition", pattern("(a+)+b"), Taken),
        (99, "thirty wild ones", pattern("(.*a){30}"), Either),
        (99, "a repeated beginning", pattern("^+[a-z]$"), Refused),
        (99, "a look behind", pattern("(?<=x)"), Refused),
        (99, "a thousand letters", pattern("\\p{L}{1000}"), Either),
        (99, "an open group", pattern("("), Refused),
        (
            104,
            "odd names",
            json!({"type": "object", "properties": {"\u{0}\"\\\n\u{1F40B}é": {"type": "null"}}, "required": ["\u{0}\"\\\n\u{1F40B}é"]}),
            Taken,
        ),
        (104, "large numbers", json!({"type": "number", "minimum": 1e308}), Either),
    ]
}

/// A schema on each way in: the route, the field, its value, and what is named when it is wrong.
fn ways_in(schema: &Value) -> Vec<(Api, &'static str, Value, &'static str)> {
    let format = json!({"type": "json_schema", "name": "x", "schema": schema});
    let wrapped = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let mut ways = vec![
        (CHAT, "response_format", wrapped, "response_format.json_schema.schema"),
        (RESPONSES, "text", json!({"format": format}), "text.format.schema"),
        (MESSAGES, "output_config", json!({"format": format}), "output_config.format.schema"),
        (OLLAMA_CHAT, "format", schema.clone(), "format"),
        (OLLAMA_GENERATE, "format", schema.clone(), "format"),
    ];
    // Where a schema may say nothing, everything is right.
    if *schema != json!({}) {
        ways.push((CHAT, "guided_json", schema.clone(), "guided_json"));
        ways.push((COMPLETIONS, "json_schema", schema.clone(), "json_schema"));
        ways.push((CHAT, "structured_outputs", json!({"json": schema}), "structured_outputs.json"));
    }
    ways
}

/// Row, name, field, its value, and what comes of it.
fn texts() -> Vec<(u16, &'static str, &'static str, Value, Comes)> {
    let chain: String = (0..5000).map(|i| format!("r{i} ::= r{}\n", i + 1)).collect();
    use Comes::{Either, Refused, Taken};
    vec![
        (99, "(a+)+b", "guided_regex", json!("(a+)+b"), Taken),
        (99, "(.*a){30}", "guided_regex", json!("(.*a){30}"), Either),
        (99, "a look behind", "guided_regex", json!("(?<=x)"), Refused),
        (99, "nested counts", "guided_regex", json!("((a{1000}){1000}){1000}"), Refused),
        (99, "a number", "guided_regex", json!(5), Refused),
        (98, "100,000 choices", "guided_choice", json!(vec!["x"; 100_000]), Refused),
        (98, "no choice", "guided_choice", json!([]), Refused),
        (98, "a choice of numbers", "guided_choice", json!([1]), Refused),
        (100, "60,000 groups", "grammar", json!(format!("root ::= {}", "(".repeat(60_000))), Refused),
        (100, "a rule that begins with itself", "grammar", json!("root ::= root \"a\" | \"b\""), Refused),
        (100, "a rule that is none", "grammar", json!("root ::= other"), Refused),
        (100, "5,000 rules", "grammar", json!(chain), Refused),
        (100, "no rule", "grammar", json!(" "), Refused),
        (100, "a number", "grammar", json!(5), Refused),
        (
            100,
            "60,000 groups of Lark",
            "guided_grammar",
            json!(format!("start: {}", "(".repeat(60_000))),
            Refused,
        ),
        (100, "a rule of Lark that is none", "guided_grammar", json!("start: other"), Refused),
        (100, "a list", "guided_grammar", json!("root ::= \"(\" root* \")\""), Taken),
    ]
}

fn case(
    row: u16,
    api: Api,
    name: &str,
    field: &'static str,
    value: &Value,
    param: &'static str,
    comes: &Comes,
) -> Case {
    let bytes = api.post(&api.with(field, &value.to_string()));
    let expect = match comes {
        Comes::Refused => Expect::field(param),
        Comes::Taken => Expect::status(&[200]),
        Comes::Either => Expect { param: Some(param.to_owned()), ..Expect::status(&[200, 400]) },
    };
    Case::does(row, format!("{} with {field}: {name}", api.path), move |server| {
        let begun = Instant::now();
        let got = exchange(server, &bytes)?;
        let mut wrong = wrong(server, &got, api.dialect, &expect);
        // A second for the compilation; a test's own build is slower than what is shipped.
        if begun.elapsed() > TIME_MAX * 3 {
            wrong.push(format!("it took {:?}", begun.elapsed()));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    })
}
