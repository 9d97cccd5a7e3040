//! Tools as the APIs write them.

use serde_json::Value;
use utoipa::ToSchema;

use super::{Choice, Draft, Tools};
use crate::error::ApiError;

/// A tool of `/v1/chat/completions` and `/api/chat`.
#[derive(ToSchema)]
#[schema(as = ChatTool)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
pub(crate) struct ChatTool {
    /// `function`.
    r#type: String,
    function: ChatFunction,
}

/// A function of the client's.
#[derive(ToSchema)]
#[schema(as = ChatFunction)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
struct ChatFunction {
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.-]+$")]
    name: String,
    description: Option<String>,
    /// A JSON schema.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Value>,
    /// Taken: forced calls satisfy the schema in any case.
    strict: Option<bool>,
}

/// A tool of `/v1/messages`.
#[derive(ToSchema)]
#[schema(as = AnthropicTool)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
pub(crate) struct AnthropicTool {
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.-]+$")]
    name: String,
    description: Option<String>,
    /// A JSON schema.
    #[schema(value_type = Object)]
    input_schema: Value,
}

/// The tools of a chat in the OpenAI style.
pub(crate) fn of_chat(
    tools: Option<&Value>,
    choice: Option<&Value>,
    parallel: Option<bool>,
) -> Result<Tools, ApiError> {
    let mut drafts = Vec::new();
    for (index, tool) in list(tools)?.iter().enumerate() {
        let place = format!("tools[{index}]");
        let function = match tool.get("type").and_then(Value::as_str) {
            Some("function") => tool.get("function").filter(|function| function.is_object()),
            _ => None,
        };
        let function = function.ok_or_else(|| {
            let message = format!("{place} must be {{\"type\": \"function\", \"function\": {{…}}}}");
            ApiError::field(&place, message)
        })?;
        check_strict(function, &format!("{place}.function"))?;
        drafts.push(Draft::of(function, &format!("{place}.function"), "parameters"));
    }
    Tools::new(&drafts, chosen(choice, |choice| choice.pointer("/function/name"))?, parallel.unwrap_or(true))
}

/// The tools of a response. Those of other servers are left out: a client that offers them can do without.
pub(crate) fn of_responses(
    tools: Option<&[Value]>,
    choice: Option<&Value>,
    parallel: Option<bool>,
) -> Result<Tools, ApiError> {
    let mut drafts = Vec::new();
    for (index, tool) in tools.unwrap_or_default().iter().enumerate() {
        let place = format!("tools[{index}]");
        if !tool.is_object() {
            return Err(ApiError::field(&place, format!("{place} must be an object")));
        }
        if tool.get("type").and_then(Value::as_str) == Some("function") {
            check_strict(tool, &place)?;
            drafts.push(Draft::of(tool, &place, "parameters"));
        }
    }
    Tools::new(&drafts, chosen(choice, |choice| choice.get("name"))?, parallel.unwrap_or(true))
}

/// The tools of `/v1/messages`.
pub(crate) fn of_messages(tools: Option<&Value>, choice: Option<&Value>) -> Result<Tools, ApiError> {
    const CHOICE: &str = "tool_choice";
    let mut drafts = Vec::new();
    for (index, tool) in list(tools)?.iter().enumerate() {
        let place = format!("tools[{index}]");
        let kind = tool.get("type").filter(|kind| !kind.is_null());
        if kind.is_some_and(|kind| kind != "custom") || !tool.is_object() {
            let message = format!("{place} must be a tool of the client's: a name and an input_schema");
            return Err(ApiError::unsupported(place, message));
        }
        if tool.get("input_schema").is_none_or(Value::is_null) {
            let field = format!("{place}.input_schema");
            return Err(ApiError::field(&field, format!("{field} must be a JSON schema, an object")));
        }
        drafts.push(Draft::of(tool, &place, "input_schema"));
    }
    let choice = choice.filter(|choice| !choice.is_null());
    let text = |name: &str| choice.and_then(|choice| choice.get(name)).and_then(Value::as_str);
    let chosen = match (choice, text("type"), text("name")) {
        (None, ..) | (_, Some("auto"), _) => Choice::Auto,
        (_, Some("none"), _) => Choice::None,
        (_, Some("any"), _) => Choice::Required,
        (_, Some("tool"), Some(name)) => Choice::Named(name.to_owned()),
        _ => {
            let message = "tool_choice.type must be auto, any, none, or tool with a name";
            return Err(ApiError::field(CHOICE, message));
        }
    };
    let alone = choice.and_then(|choice| choice.get("disable_parallel_tool_use")).filter(|v| !v.is_null());
    let alone = alone.map_or(Some(false), Value::as_bool).ok_or_else(|| {
        ApiError::field(CHOICE, "tool_choice.disable_parallel_tool_use must be true or false")
    })?;
    Tools::new(&drafts, chosen, !alone)
}

impl<'a> Draft<'a> {
    fn of(tool: &'a Value, place: &str, parameters: &str) -> Self {
        let field = |name: &str| format!("{place}.{name}");
        Draft {
            name: tool.get("name"),
            name_field: field("name"),
            description: tool.get("description"),
            description_field: field("description"),
            parameters: tool.get(parameters),
            parameters_field: field(parameters),
        }
    }
}

fn list(tools: Option<&Value>) -> Result<&[Value], ApiError> {
    match tools {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(ApiError::field("tools", "tools must be a list")),
    }
}

/// Calls that are forced satisfy their schemas in any case, and no others can be made to.
fn check_strict(tool: &Value, place: &str) -> Result<(), ApiError> {
    match tool.get("strict") {
        None | Some(Value::Null | Value::Bool(_)) => Ok(()),
        Some(_) => {
            let field = format!("{place}.strict");
            Err(ApiError::field(&field, format!("{field} must be true or false")))
        }
    }
}

/// The `tool_choice` of the OpenAI style, in which `name` finds the name of a function.
fn chosen(choice: Option<&Value>, name: impl Fn(&Value) -> Option<&Value>) -> Result<Choice, ApiError> {
    let wrong = || {
        let message = "tool_choice must be auto, none, required, or name a function";
        ApiError::field("tool_choice", message)
    };
    match choice {
        None | Some(Value::Null) => Ok(Choice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(Choice::Auto),
            "none" => Ok(Choice::None),
            "required" => Ok(Choice::Required),
            _ => Err(wrong()),
        },
        Some(choice) if choice.get("type").and_then(Value::as_str) == Some("function") => {
            let name = name(choice).and_then(Value::as_str).ok_or_else(wrong)?;
            Ok(Choice::Named(name.to_owned()))
        }
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name}})
    }

    #[track_caller]
    fn check(tools: Value, choice: Value, expect: Result<&[&str], &str>) {
        let found = of_chat(Some(&tools), Some(&choice), None);
        let found = found.map(|tools| tools.into_list().into_iter().map(|tool| tool.name).collect());
        let found: Result<Vec<String>, String> = found.map_err(|error| error.param.unwrap_or_default());
        let expect = expect.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(found, expect.map_err(str::to_owned), "{tools} {choice}");
    }

    #[test]
    fn tools_are_checked_field_by_field() {
        let function = |more: Value| {
            let mut tool = tool("f");
            tool["function"]
                .as_object_mut()
                .expect("it is one")
                .extend(more.as_object().expect("one").clone());
            json!([tool])
        };
        let nested = (0..60).fold(json!({}), |inner, _| json!({"items": inner}));
        let many: Vec<Value> = (0..129).map(|index| tool(&format!("f{index}"))).collect();
        check(json!(null), json!(null), Ok(&[]));
        check(json!([]), json!("auto"), Ok(&[]));
        check(json!([tool("f"), tool("get.it-now_2")]), json!("auto"), Ok(&["f", "get.it-now_2"]));
        check(json!([tool("f")]), json!("none"), Ok(&[]));
        check(
            function(json!({"parameters": null, "description": null, "strict": true})),
            json!("required"),
            Ok(&["f"]),
        );
        check(json!("x"), json!(null), Err("tools"));
        check(json!([5]), json!(null), Err("tools[0]"));
        check(json!([{"type": "retrieval"}]), json!(null), Err("tools[0]"));
        check(json!([{"type": "function", "function": {}}]), json!(null), Err("tools[0].function.name"));
        for name in ["", "a b", "ä", "a\n", &"x".repeat(65)] {
            check(json!([tool("f"), tool(name)]), json!(null), Err("tools[1].function.name"));
        }
        check(json!([tool("f"), tool("f")]), json!(null), Err("tools[1].function.name"));
        check(many.into(), json!(null), Err("tools"));
        check(function(json!({"description": "x".repeat(600 << 10)})), json!(null), Err("tools"));
        check(function(json!({"description": 5})), json!(null), Err("tools[0].function.description"));
        check(function(json!({"parameters": "x"})), json!(null), Err("tools[0].function.parameters"));
        check(function(json!({"parameters": nested})), json!(null), Err("tools[0].function.parameters"));
        check(function(json!({"strict": "yes"})), json!(null), Err("tools[0].function.strict"));
    }

    #[test]
    fn a_choice_needs_what_it_chooses() {
        let named = |name: &str| json!({"type": "function", "function": {"name": name}});
        check(json!([tool("f"), tool("g")]), named("g"), Ok(&["f", "g"]));
        check(json!([tool("f")]), named("g"), Err("tool_choice"));
        check(json!([]), named("g"), Err("tool_choice"));
        check(json!([]), json!("required"), Err("tool_choice"));
        for choice in [
            json!("any"),
            json!(5),
            json!({}),
            json!({"type": "function"}),
            json!({"type": "tool", "name": "f"}),
        ] {
            check(json!([tool("f")]), choice, Err("tool_choice"));
        }
    }
}
