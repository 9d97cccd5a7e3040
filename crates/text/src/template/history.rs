//! The calls in a conversation's history, the way that a template wants them.
//!
//! Clients send a call's arguments as JSON in a string. Most templates take them for an object, and write the string
//! as a string once more, or fail; others can do nothing but put the text in. And some accept only ids of their own
//! kind. Which it is, a template is asked by rendering a call, as llama.cpp does it as well; nothing is known of
//! templates by name.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use serde_json::{Value, json};

use super::{ChatTemplate, TemplateLimits};

/// The ids that Mistral's templates accept have so many letters and digits.
const SHORT_ID_CHARACTERS: usize = 9;

/// What a template wants of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wants {
    /// Arguments as objects rather than as text.
    objects: bool,
    /// Ids of nine letters and digits.
    short_ids: bool,
}

impl ChatTemplate {
    /// Changes messages of the shape that OpenAI's clients send, so that the template writes their calls as the model
    /// is used to:
    ///
    /// - `arguments` that are JSON objects in strings become objects, if the template wants objects;
    /// - ids become nine letters and digits, the same for the same id, if it accepts no others;
    /// - a `content` of null beside calls becomes empty, as many templates would write `None`.
    ///
    /// Everything else, `reasoning_content`, `name` and `tools` among it, is what templates know already.
    pub fn adapt_calls(&self, messages: &mut [Value], limits: &TemplateLimits) {
        let has_calls = |message: &Value| message["tool_calls"].is_array() || message["role"] == "tool";
        if !messages.iter().any(has_calls) {
            return;
        }
        let wants = *self.wants.get_or_init(|| self.find_wants(limits));
        for message in messages {
            if message["tool_calls"].is_array() && message.get("content").is_some_and(Value::is_null) {
                message["content"] = json!("");
            }
            if wants.short_ids && message["tool_call_id"].is_string() {
                shorten(&mut message["tool_call_id"]);
            }
            let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
            for call in calls.into_iter().flatten() {
                if wants.short_ids && call["id"].is_string() {
                    shorten(&mut call["id"]);
                }
                let arguments = call.pointer_mut("/function/arguments").filter(|_| wants.objects);
                if let Some(arguments) = arguments
                    && let Some(object) = object_in(arguments)
                {
                    *arguments = object;
                }
            }
        }
    }

    fn find_wants(&self, limits: &TemplateLimits) -> Wants {
        let render = |id: &str, arguments: Value| self.render(&asked(id, arguments), limits).ok();
        let accepted = "abcdef123";
        let object = json!({"asked_key": "asked value"});
        // An object that is put in as text comes out as Python would print it.
        let is_right = |text: &String| text.contains("asked value") && !text.contains("'asked_key'");
        let with_object = render(accepted, object.clone());
        let short_ids = render("call_0123456789abcdef", object.clone()).is_none()
            && render("call_0123456789abcdef", object.to_string().into()).is_none();
        let with_text = render(accepted, object.to_string().into());
        Wants {
            objects: with_object.as_ref().is_some_and(is_right),
            short_ids: short_ids && (with_object.is_some() || with_text.is_some()),
        }
    }
}

/// A conversation with a call.
fn asked(id: &str, arguments: Value) -> Value {
    let parameters =
        json!({"type": "object", "properties": {"asked_key": {"type": "string", "description": "a"}}});
    json!({
        "messages": [
            {"role": "user", "content": "question"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": id, "type": "function", "function": {"name": "asked_tool", "arguments": arguments}},
            ]},
            {"role": "tool", "tool_call_id": id, "name": "asked_tool", "content": "result"},
            {"role": "assistant", "content": "answer"},
            {"role": "user", "content": "question"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "asked_tool", "description": "d", "parameters": parameters,
        }}],
        "add_generation_prompt": true,
        "bos_token": "",
        "eos_token": "",
    })
}

/// The object that a string has as JSON.
fn object_in(arguments: &Value) -> Option<Value> {
    let text = arguments.as_str()?;
    if text.trim().is_empty() {
        return Some(json!({}));
    }
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// Makes nine letters and digits of an id, the same of the same id; one that is of that kind stays as it is.
fn shorten(id: &mut Value) {
    let text = id.as_str().unwrap_or_default();
    if text.len() == SHORT_ID_CHARACTERS && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return;
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let mut left = hasher.finish();
    let mut short = String::with_capacity(SHORT_ID_CHARACTERS);
    while short.len() < SHORT_ID_CHARACTERS {
        short.push(char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[(left % 36) as usize]));
        left /= 36;
    }
    *id = short.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A template that writes the arguments of calls with this expression.
    fn check(expression: &str, arguments: Value, expect: Value) {
        let source = format!(
            "{{% for message in messages %}}{{% for call in message.tool_calls or [] %}}{expression}\
             {{% endfor %}}{{% endfor %}}"
        );
        let template = ChatTemplate::new(&source).expect("it parses");
        let call =
            |arguments: Value| json!([{"id": "call_1", "function": {"name": "f", "arguments": arguments}}]);
        let mut messages = [json!({"role": "assistant", "content": null, "tool_calls": call(arguments)})];
        template.adapt_calls(&mut messages, &TemplateLimits::default());
        let expect = json!({"role": "assistant", "content": "", "tool_calls": call(expect)});
        assert_eq!(messages, [expect], "{expression}");
    }

    #[test]
    fn arguments_are_objects_where_the_template_wants_them() {
        let (text, object) = (json!("{\"b\": 1, \"a\": 2}"), json!({"b": 1, "a": 2}));
        let arguments = "call.function.arguments";
        let print = format!("{{{{ {arguments} }}}}");
        let dump = format!("{{{{ {arguments}|tojson }}}}");
        let walk = format!("{{% for key, value in {arguments}|items %}}{{{{ key ~ value }}}}{{% endfor %}}");
        let either = format!("{{% if {arguments} is string %}}{print}{{% else %}}{dump}{{% endif %}}");
        check(&print, text.clone(), text.clone());
        check(&dump, text.clone(), object.clone());
        check(&walk, text.clone(), object.clone());
        check(&either, text, object.clone());
        check(&dump, json!(""), json!({}));
        check(&dump, json!("no json"), json!("no json"));
        check(&dump, json!("[1]"), json!("[1]"));
        check(&dump, object.clone(), object);
    }

    #[test]
    fn ids_are_short_where_no_others_are_accepted() {
        let source = "{% for m in messages %}{% for c in m.tool_calls or [] %}{% if c.id|length != 9 %}\
                      {{ raise_exception('nine, please') }}{% endif %}{% endfor %}{% endfor %}";
        let long = json!([
            {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1"}, {"id": "123456789"}]},
            {"role": "tool", "tool_call_id": "call_1", "content": ""},
            {"role": "tool", "tool_call_id": "123456789", "content": ""},
        ]);
        let adapted = |source: &str| {
            let mut messages = long.as_array().expect("it is a list").clone();
            let template = ChatTemplate::new(source).expect("it parses");
            template.adapt_calls(&mut messages, &TemplateLimits::default());
            messages
        };
        let messages = adapted(source);
        let id = messages[0]["tool_calls"][0]["id"].as_str().expect("it has an id").to_owned();
        assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        assert_eq!(messages[1]["tool_call_id"], id.as_str());
        assert_eq!(messages[0]["tool_calls"][1]["id"], "123456789");
        assert_eq!(messages[2]["tool_call_id"], "123456789");
        assert_eq!(adapted("{{ messages }}"), *long.as_array().expect("it is a list"));
    }
}
