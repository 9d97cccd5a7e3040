//! Chat templates against Python's jinja2: snippets whose expectations are committed, and the corpus of real templates
//! that `xtask` fetches. `templates/make_expected.py` is the oracle of both.

#[path = "templates/hostile.rs"]
mod hostile;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use text::template::{ChatTemplate, TemplateError, TemplateLimits};

/// The instant of `NOW` in make_expected.py.
const NOW: i64 = 1_772_892_309;

/// The corpus: a directory of `.jinja` files.
const CORPUS: &str = "KUN_TEST_TEMPLATES";
/// What `make_expected.py corpus` wrote for it.
const EXPECTED: &str = "KUN_TEST_TEMPLATES_EXPECTED";

/// How many templates there are, so that none goes missing without notice.
const TEMPLATES: usize = 70;

/// Pairs of template and case that differ from jinja2, with the reason. One that agrees again fails the test.
const KNOWN_DIFFERENCES: &[(&str, &str, &str)] = &[];

/// Snippets that differ from jinja2, with the reason. One that agrees again fails the test.
const KNOWN_SNIPPETS: &[(&str, &str)] = &[
    ("{{ '{!r}'.format('a') }}", "there are no conversions in format strings"),
    ("{{ 1 in s }}", "a number is in no string, where Python raises"),
    ("{{ lipsum.__globals__ }}", "there is no lipsum, and nothing has attributes that hide things"),
    ("{{ m|attr('__class__') }}", "as above"),
    ("{{ s.encode('utf-8') is defined }}", "there are no bytes, which no prompt is made of"),
];

/// Templates that want the arguments of calls as objects.
const OBJECT_TEMPLATES: [&str; 5] = [
    "Qwen-Qwen2.5-7B-Instruct.jinja",
    "meta-llama-Llama-3.1-8B-Instruct.jinja",
    "mistralai-Mistral-Nemo-Instruct-2407.jinja",
    "Qwen3-Coder.jinja",
    "GLM-4.6.jinja",
];

/// One that wants text.
const TEXT_TEMPLATE: &str = "meetkai-functionary-medium-v3.2.jinja";

fn limits() -> TemplateLimits {
    TemplateLimits { now_unix_seconds: Some(NOW), ..TemplateLimits::default() }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the file is JSON")
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("the file has an object here")
}

/// Where the outcome differs from `{"text"}`, `{"raised"}` or `{"error"}`, or `None`.
fn difference(outcome: &Result<String, TemplateError>, expected: &Value) -> Option<String> {
    let agrees = match outcome {
        Ok(text) => expected["text"] == text.as_str(),
        Err(TemplateError::Raised { message, .. }) => expected["raised"] == message.as_str(),
        // Both stop a template that calls itself for ever.
        Err(TemplateError::Limit { limit, .. }) => {
            *limit == "nested loops and macro calls"
                && expected["error"].as_str().is_some_and(|error| error.starts_with("RecursionError"))
        }
        Err(_) => expected["error"].is_string(),
    };
    (!agrees).then(|| format!("  jinja2: {expected}\n  here:   {outcome:?}"))
}

#[test]
fn snippets_render_as_jinja2_renders_them() {
    let table = json(include_str!("templates/snippets.json"));
    let mut failures = Vec::new();
    let mut known = BTreeMap::from_iter(KNOWN_SNIPPETS.iter().copied());
    let snippets = table["snippets"].as_array().expect("a list of snippets");
    for snippet in snippets {
        let source = snippet["source"].as_str().expect("a snippet has a source");
        let outcome =
            ChatTemplate::new(source).and_then(|template| template.render(&table["variables"], &limits()));
        match (difference(&outcome, snippet), known.remove(source)) {
            (None, None) | (Some(_), Some(_)) => {}
            (None, Some(reason)) => {
                failures.push(format!("{source}\n  agrees now, though {reason:?} is listed"))
            }
            (Some(difference), None) => failures.push(format!("{source}\n{difference}")),
        }
    }
    assert!(!snippets.is_empty());
    assert!(known.is_empty(), "listed differences of snippets that do not exist: {known:?}");
    assert!(
        failures.is_empty(),
        "{} of {} snippets differ\n{}",
        failures.len(),
        snippets.len(),
        failures.join("\n")
    );
}

#[test]
fn corpus_renders_as_jinja2_renders_it() {
    let (Ok(corpus), Ok(expected)) = (std::env::var(CORPUS), std::env::var(EXPECTED)) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{CORPUS} and {EXPECTED} must be set under CI");
        eprintln!("SKIPPED: the corpus of chat templates, because {CORPUS} and {EXPECTED} are not set");
        return;
    };
    let cases = json(include_str!("templates/cases.json"));
    let expected = json(&std::fs::read_to_string(&expected).expect("the expectations can be read"));
    let mut known: BTreeMap<_, _> =
        KNOWN_DIFFERENCES.iter().map(|(file, case, reason)| ((*file, *case), *reason)).collect();
    assert_eq!(object(&expected).len(), TEMPLATES, "the expectations are for other templates");
    let (mut pairs, mut agreeing, mut failures) = (0, 0, Vec::new());
    for (file, outcomes) in object(&expected) {
        let source =
            std::fs::read_to_string(Path::new(&corpus).join(file)).expect("the template can be read");
        let template = ChatTemplate::new(&source);
        for (case, expected) in object(outcomes) {
            let mut variables = object(&cases["defaults"]).clone();
            variables.extend(object(&cases["cases"][case]).clone());
            let outcome =
                template.clone().and_then(|template| template.render(&Value::Object(variables), &limits()));
            pairs += 1;
            match (difference(&outcome, expected), known.remove(&(file.as_str(), case.as_str()))) {
                (None, None) => agreeing += 1,
                (Some(_), Some(_)) => {}
                (None, Some(reason)) => {
                    failures.push(format!("{file}, {case}: agrees now, though {reason:?} is listed"))
                }
                (Some(difference), None) => failures.push(format!("{file}, {case}\n{difference}")),
            }
        }
    }
    println!("{agreeing} of {pairs} pairs of template and case agree with jinja2");
    assert!(pairs > 0, "the expectations are empty");
    assert!(known.is_empty(), "listed differences of pairs that do not exist: {known:?}");
    assert!(failures.is_empty(), "{} of {pairs} pairs differ\n{}", failures.len(), failures.join("\n"));
}

/// What clients send: arguments in a string, and no content. Adapted, every template makes of it what jinja2 makes of
/// arguments in an object, if it wants those, or of the string.
#[test]
fn histories_of_clients_render_as_templates_are_used_to() {
    let (Ok(corpus), Ok(expected)) = (std::env::var(CORPUS), std::env::var(EXPECTED)) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{CORPUS} and {EXPECTED} must be set under CI");
        eprintln!(
            "SKIPPED: histories in the corpus of chat templates, because {CORPUS} and {EXPECTED} are not set"
        );
        return;
    };
    let cases = json(include_str!("templates/cases.json"));
    let expected = json(&std::fs::read_to_string(&expected).expect("the expectations can be read"));
    let adapted = |file: &str, id: &str| {
        let source =
            std::fs::read_to_string(Path::new(&corpus).join(file)).expect("the template can be read");
        let template = ChatTemplate::new(&source).expect("it parses");
        let mut variables = object(&cases["defaults"]).clone();
        variables.extend(object(&cases["cases"]["tool_call_string"]).clone());
        let mut messages = variables["messages"].as_array().expect("a list of messages").clone();
        messages[1]["tool_calls"][0]["id"] = id.into();
        messages[2]["tool_call_id"] = id.into();
        template.adapt_calls(&mut messages, &limits());
        variables.insert("messages".to_owned(), messages.into());
        template.render(&Value::Object(variables), &limits())
    };
    for file in OBJECT_TEMPLATES {
        let outcome = adapted(file, "call12345");
        assert_eq!(difference(&outcome, &expected[file]["tool_call_object"]), None, "{file}");
    }
    let outcome = adapted(TEXT_TEMPLATE, "call12345");
    assert_eq!(difference(&outcome, &expected[TEXT_TEMPLATE]["tool_call_string"]), None);
    // An id that this template would refuse.
    adapted(OBJECT_TEMPLATES[2], "call_0123456789").expect("the id was made one that it accepts");
}

#[test]
fn errors_tell_their_line() {
    let line = |source: &str| match ChatTemplate::new(source)
        .and_then(|template| template.render(&serde_json::json!({"messages": []}), &limits()))
    {
        Err(TemplateError::Syntax { line, .. }) => ("syntax", line),
        Err(TemplateError::Raised { line, .. }) => ("raised", line),
        Err(TemplateError::Render { line, .. }) => ("render", line),
        other => panic!("{source:?} gave {other:?}"),
    };
    assert_eq!(line("a\n{% if %}\n"), ("syntax", 2));
    assert_eq!(line("a\r\n\r\n{% for x in messages %}"), ("syntax", 3));
    assert_eq!(line("\n\n{{ raise_exception('no') }}"), ("raised", 3));
    assert_eq!(
        line("{% macro m() %}\n{{ raise_exception('no') }}{% endmacro %}\n\n{{ m() }}"),
        ("raised", 2)
    );
    assert_eq!(line("\n{{ nothing.at.all }}"), ("render", 2));
}

#[test]
fn the_text_of_raise_exception_is_the_message() {
    let template =
        ChatTemplate::new("{{ raise_exception('Roles must alternate: ' ~ 1) }}").expect("it parses");
    let error = template.render(&serde_json::json!({}), &limits()).expect_err("it raises");
    assert_eq!(error.to_string(), "Roles must alternate: 1");
}

#[test]
fn without_a_clock_strftime_now_is_not_defined() {
    let source =
        "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}26 Jul 2024{% endif %}";
    let template = ChatTemplate::new(source).expect("it parses");
    let render = |limits: &TemplateLimits| template.render(&serde_json::json!({}), limits);
    assert_eq!(render(&TemplateLimits::default()), Ok("26 Jul 2024".to_owned()));
    assert_eq!(render(&limits()), Ok("07 Mar 2026".to_owned()));
    // The last day of a leap year, and the second before 1970.
    let at = |now| TemplateLimits { now_unix_seconds: Some(now), ..limits() };
    assert_eq!(render(&at(1_735_603_200)), Ok("31 Dec 2024".to_owned()));
    assert_eq!(render(&at(-1)), Ok("31 Dec 1969".to_owned()));
    assert_eq!(render(&at(951_782_400)), Ok("29 Feb 2000".to_owned()));
}

#[test]
fn the_input_must_be_an_object() {
    let template = ChatTemplate::new("x").expect("it parses");
    let error = template.render(&serde_json::json!([1]), &limits()).expect_err("a list has no names");
    assert_eq!(error, TemplateError::Input { found: "an array" });
}
