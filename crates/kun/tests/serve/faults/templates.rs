//! Chat templates that are hostile, broken or strict, and texts that look like templates.

use serde_json::{Value, json};
use weights::gguf::GgufWriter;

use super::api::{CHAT, COMPLETIONS, Dialect, RESPONSES, TEMPLATE};
use super::case::{Case, Expect, wrong};
use super::exchange::exchange;
use crate::kun::Scratch;
use crate::model;
use crate::server::Server;
use crate::vocabulary::text;

/// A template of a model, the code that a chat gets, and a part of the message.
const TEMPLATES: &[(u16, &str, &str, &str)] = &[
    (16, "{% if %}", "invalid_chat_template", "line 1"),
    (16, "{{ unclosed", "invalid_chat_template", "line 1"),
    (16, "a\n{% for m in messages %}\n{% endif %}", "invalid_chat_template", "line 3"),
    (105, "{% for i in range(10000000000) %}x{% endfor %}", "template_error", ""),
    (
        105,
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
        "template_error",
        "",
    ),
    (105, "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "template_error", ""),
    (105, "{{ 'a' * 2000000000 }}", "template_error", ""),
    (105, "{{ ('a' * 1000000) * 1000000 }}", "template_error", ""),
    (
        105,
        "{% set ns = namespace(a='aaaaaaaa') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a }}",
        "template_error",
        "",
    ),
    (105, "{% include '/etc/passwd' %}", "", ""),
    (105, "{% import '/etc/passwd' as x %}", "", ""),
    (105, "{% extends 'base' %}", "", ""),
    (105, "{{ ''.__class__.__mro__[1].__subclasses__() }}", "template_error", ""),
    (105, "{{ cycler.__init__.__globals__.os.popen('id').read() }}", "template_error", ""),
    (105, "{{ messages[0].content.__class__ }}{{ nothing.at.all }}", "template_error", ""),
    (
        111,
        "{{ raise_exception('roles must alternate user/assistant') }}",
        "template_error",
        "roles must alternate user/assistant",
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (row, template, code, part) in TEMPLATES {
        let act = move |_: &Server| with_template(template, code, part);
        let shown: String = template.chars().take(50).collect();
        cases.push(Case::does(*row, format!("the template {shown:?}"), act));
    }
    // What a client says is data: no template looks into it.
    for said in [
        "{{ 7 * 7 }}",
        "{% for i in range(10000000000) %}",
        "{{ raise_exception('x') }}",
        "${7*7}",
        "{# a #}",
    ] {
        let act = move |server: &Server| {
            let body = json!({"messages": [{"role": "user", "content": said}]});
            let got = exchange(server, &TEMPLATE.post(&body.to_string()))?;
            let answer: Value = serde_json::from_slice(&got.reply.body).map_err(|e| e.to_string())?;
            let prompt = answer["prompt"].as_str().unwrap_or_default();
            if prompt.contains(said) { Ok(()) } else { Err(format!("became {answer}")) }
        };
        cases.push(Case::does(105, format!("the text {said:?} in a message"), act));
    }
    cases
}

/// A model with this template is served; chats get an error, completions an answer.
fn with_template(template: &str, code: &'static str, part: &str) -> Result<(), String> {
    let scratch = Scratch::new();
    let path = scratch.path("odd.gguf");
    let mut header: GgufWriter = model::header();
    header.set("tokenizer.chat_template", text(template));
    model::with_tensors(header, &model::TENSORS).write_file(&path).map_err(|e| e.to_string())?;
    let server = Server::with_models(scratch, &[path.to_str().expect("UTF-8")], &[]);
    let mut what = Vec::new();
    for api in [CHAT, TEMPLATE, RESPONSES] {
        let got = exchange(&server, &api.post(api.good))?;
        let mut expect = Expect::field(api.input).says(part);
        // Whether a template is refused when it is loaded or when it runs is all the same.
        expect.code = if code.is_empty() { None } else { Some(code) };
        what.extend(
            wrong(&server, &got, api.dialect, &expect).into_iter().map(|w| format!("{}: {w}", api.path)),
        );
    }
    let got = exchange(&server, &COMPLETIONS.post(COMPLETIONS.good))?;
    what.extend(wrong(&server, &got, Dialect::OpenAi, &Expect::status(&[200])));
    if what.is_empty() { Ok(()) } else { Err(what.join("; ")) }
}
