//! The variables of a render, from JSON to template values. Keys keep their order.

use minijinja::Value;

use super::TemplateError;

/// The variables that `input` defines, refused when it nests deeper than `depth_max`.
pub(super) fn variables(input: &serde_json::Value, depth_max: usize) -> Result<Value, TemplateError> {
    let found = match input {
        serde_json::Value::Object(_) => return convert(input, depth_max + 1),
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "an array",
    };
    Err(TemplateError::Input { found })
}

fn convert(json: &serde_json::Value, depth_left: usize) -> Result<Value, TemplateError> {
    let nested = || {
        depth_left
            .checked_sub(1)
            .ok_or(TemplateError::Limit { line: 0, limit: "nesting of the template's input" })
    };
    Ok(match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::Number(number) => convert_number(number),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => {
            let depth_left = nested()?;
            let items: Result<Vec<_>, _> = items.iter().map(|item| convert(item, depth_left)).collect();
            Value::from(items?)
        }
        serde_json::Value::Object(fields) => {
            let depth_left = nested()?;
            let fields: Result<Vec<_>, _> =
                fields.iter().map(|(key, field)| Ok((key.as_str(), convert(field, depth_left)?))).collect();
            Value::from_pairs(fields?)
        }
    })
}

fn convert_number(number: &serde_json::Number) -> Value {
    match (number.as_i64(), number.as_u64()) {
        (Some(integer), _) => Value::from(integer),
        (None, Some(integer)) => Value::from(integer),
        (None, None) => {
            Value::from(number.as_f64().expect("a JSON number is an integer of 64 bits or a float"))
        }
    }
}
