//! Tools for models whose templates know none: what they can call, and what was called before, as plain text.
//!
//! The way of writing calls is that of Hermes, which many models have seen. What templates do know is left to them.

use serde_json::{Map, Value, json};

use crate::speech::Known;

/// Changes what a template is given so that the tools in it are in the messages, where it shows none itself.
pub(crate) fn adapt(known: &Known, messages: &mut Vec<Value>, variables: &mut Map<String, Value>) {
    if !known.shows_calls {
        write_history(messages);
    }
    if !known.shows_tools
        && let Some(Value::Array(tools)) = variables.remove("tools")
    {
        let text = description(&tools);
        let first = messages.first_mut().filter(|message| message["role"] == "system");
        match first.and_then(|message| message.get_mut("content")) {
            Some(Value::String(system)) if !system.is_empty() => *system = format!("{system}\n\n{text}"),
            Some(system) => *system = text.into(),
            None => messages.insert(0, json!({"role": "system", "content": text})),
        }
    }
}

/// What the model is told.
fn description(tools: &[Value]) -> String {
    let lines: Vec<String> = tools.iter().map(Value::to_string).collect();
    format!(
        "You can call functions. These are their signatures:\n<tools>\n{}\n</tools>\n\n\
         To call a function, write a JSON object with its name and arguments, like this:\n\
         <tool_call>\n{{\"name\": \"<name>\", \"arguments\": {{<arguments>}}}}\n</tool_call>\n\n\
         Call one only if you need it to answer; otherwise answer as usual.",
        lines.join("\n")
    )
}

/// Puts the calls of a history and their results into contents. Results that follow each other are one turn.
fn write_history(messages: &mut Vec<Value>) {
    let mut written: Vec<Value> = Vec::with_capacity(messages.len());
    let mut after_result = false;
    for mut message in messages.drain(..) {
        let is_result = message["role"] == "tool" || message["role"] == "function";
        if is_result {
            let result = format!("<tool_response>\n{}\n</tool_response>", content(&message));
            match written.last_mut().filter(|_| after_result) {
                Some(last) => last["content"] = format!("{}\n{result}", content(last)).into(),
                None => written.push(json!({"role": "user", "content": result})),
            }
        } else {
            let calls = message.as_object_mut().and_then(|message| message.remove("tool_calls"));
            if let Some(Value::Array(calls)) = calls {
                let mut lines = vec![content(&message).to_owned()];
                lines.extend(calls.iter().map(call));
                lines.retain(|line| !line.is_empty());
                message["content"] = lines.join("\n").into();
            }
            written.push(message);
        }
        after_result = is_result;
    }
    *messages = written;
}

fn content(message: &Value) -> &str {
    message.get("content").and_then(Value::as_str).unwrap_or_default()
}

/// A call as the model is told to write it. What is no call is written as it is.
fn call(call: &Value) -> String {
    let Some(function) = call.get("function") else { return call.to_string() };
    let arguments = match function.get("arguments") {
        Some(Value::String(text)) if text.trim().is_empty() => "{}".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "{}".to_owned(),
    };
    let name = function.get("name").cloned().unwrap_or_default();
    format!("<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_and_results_become_turns_of_plain_text() {
        let call = |name: &str, arguments: Value| json!({"function": {"name": name, "arguments": arguments}});
        let mut messages = vec![
            json!({"role": "user", "content": "hi"}),
            json!({"role": "assistant", "content": null, "tool_calls": [call("f", json!("{\"a\": 1}"))]}),
            json!({"role": "tool", "content": "one"}),
            json!({"role": "tool", "content": "two"}),
            json!({"role": "assistant", "content": "so", "tool_calls": [call("g", json!("")), 5]}),
            json!({"role": "assistant", "content": "done"}),
        ];
        write_history(&mut messages);
        let one = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";
        let other = "so\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>\n5";
        let results = "<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>";
        let expect = [
            ("user", "hi"),
            ("assistant", one),
            ("user", results),
            ("assistant", other),
            ("assistant", "done"),
        ];
        let said: Vec<(&str, &str)> = messages
            .iter()
            .map(|message| {
                (message["role"].as_str().expect("text"), message["content"].as_str().expect("text"))
            })
            .collect();
        assert_eq!(said, expect);
    }
}
