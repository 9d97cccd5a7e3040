//! A tool's parameters: which JSON types a value may have, for formats in which values are written without quotes.

use serde_json::Value;

use super::scanner::quoted;

/// How many references and alternatives of a schema are looked at for one question. A schema comes from a client, and
/// its references may go in circles.
const STEPS_MAX: usize = 256;

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name, as the model is told.
    pub name: String,
    /// The JSON schema of its arguments, an object.
    pub parameters: Value,
}

impl Tool {
    /// The types that an argument may have; all of them if the schema doesn't say.
    pub(super) fn types(&self, parameter: &str) -> Types {
        self.schema(parameter).map_or(Types::ALL, |schema| Types::of(schema, &self.parameters))
    }

    /// The schema of an argument, if there is one.
    pub(super) fn schema(&self, parameter: &str) -> Option<&Value> {
        property(&self.parameters, parameter, &self.parameters)
    }
}

/// A set of JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    const NONE: Types = Types(0);
    pub(super) const STRING: Types = Types(1);
    const INTEGER: Types = Types(2);
    const NUMBER: Types = Types(4 | 2);
    const BOOLEAN: Types = Types(8);
    const NULL: Types = Types(16);
    pub(super) const OBJECT: Types = Types(32);
    pub(super) const ARRAY: Types = Types(64);
    pub(super) const ALL: Types = Types(127);

    /// The types that a schema allows, looking up references in `root`.
    pub(super) fn of(schema: &Value, root: &Value) -> Types {
        of_schema(schema, root, &mut { STEPS_MAX })
    }

    /// Whether all of `other` are among these.
    pub(super) fn has(self, other: Types) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no other type than text is allowed.
    pub(super) fn is_text_only(self) -> bool {
        self == Types::STRING
    }

    fn and(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    fn named(name: &str) -> Types {
        match name {
            "string" => Types::STRING,
            "integer" => Types::INTEGER,
            "number" => Types::NUMBER,
            "boolean" => Types::BOOLEAN,
            "null" => Types::NULL,
            "object" => Types::OBJECT,
            "array" => Types::ARRAY,
            _ => Types::ALL,
        }
    }

    fn of_value(value: &Value) -> Types {
        match value {
            Value::Null => Types::NULL,
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(number) if number.is_f64() => Types::NUMBER,
            Value::Number(_) => Types::INTEGER,
            Value::String(_) => Types::STRING,
            Value::Array(_) => Types::ARRAY,
            Value::Object(_) => Types::OBJECT,
        }
    }

    /// The JSON of an argument that was written as plain text. Text that is JSON of one of these types is taken as
    /// it stands, literals of Python among it; the rest is a string, as is JSON of a type that isn't allowed where
    /// a string is.
    pub(super) fn json_of(self, text: &str) -> String {
        let text_only = quoted(text);
        if self.is_text_only() {
            return text_only;
        }
        let trimmed = text.trim();
        let loose = || super::literal::python_to_json(trimmed);
        let json = match serde_json::from_str::<Value>(trimmed) {
            Ok(value) => Some((value, trimmed.to_owned())),
            Err(_) => loose().and_then(|json| Some((serde_json::from_str::<Value>(&json).ok()?, json))),
        };
        match json {
            // What is quoted stays quoted where text is allowed but for a schema that doesn't say anything.
            Some((Value::String(_), _)) if self.has(Types::STRING) && self != Types::ALL => text_only,
            Some((value, json)) if self.has(Types::of_value(&value)) || !self.has(Types::STRING) => json,
            _ => text_only,
        }
    }
}

fn of_schema(schema: &Value, root: &Value, steps_left: &mut usize) -> Types {
    if *steps_left == 0 {
        return Types::ALL;
    }
    *steps_left -= 1;
    let Some(fields) = schema.as_object() else { return Types::ALL };
    let all_of = |values: &[Value], types: &mut dyn FnMut(&Value) -> Types| {
        values.iter().fold(Types::NONE, |all, value| all.and(types(value)))
    };
    if let Some(target) = fields.get("$ref").and_then(|path| resolve(path, root)) {
        return of_schema(target, root, steps_left);
    }
    match fields.get("type") {
        Some(Value::String(name)) => return Types::named(name),
        Some(Value::Array(names)) => {
            return all_of(names, &mut |name| name.as_str().map_or(Types::ALL, Types::named));
        }
        _ => {}
    }
    if let Some(value) = fields.get("const") {
        return Types::of_value(value);
    }
    if let Some(Value::Array(values)) = fields.get("enum") {
        return all_of(values, &mut Types::of_value);
    }
    for alternatives in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(schemas)) = fields.get(alternatives) {
            return all_of(schemas, &mut |schema| of_schema(schema, root, steps_left));
        }
    }
    match (fields.contains_key("properties"), fields.contains_key("items")) {
        (true, _) => Types::OBJECT,
        (_, true) => Types::ARRAY,
        _ => Types::ALL,
    }
}

/// The schema of a property, in the object's schema or in one of its alternatives.
pub(super) fn property<'a>(schema: &'a Value, name: &str, root: &'a Value) -> Option<&'a Value> {
    let of_this = |schema: &'a Value| schema.get("properties").and_then(|properties| properties.get(name));
    find(schema, root, &of_this, &mut { STEPS_MAX })
}

/// The schema of an array's items, in its schema or in one of its alternatives.
pub(super) fn items<'a>(schema: &'a Value, root: &'a Value) -> Option<&'a Value> {
    find(schema, root, &|schema| schema.get("items"), &mut { STEPS_MAX })
}

/// The first of a schema and its alternatives that has what is looked for.
fn find<'a>(
    schema: &'a Value,
    root: &'a Value,
    of_this: &dyn Fn(&'a Value) -> Option<&'a Value>,
    steps_left: &mut usize,
) -> Option<&'a Value> {
    *steps_left = steps_left.checked_sub(1)?;
    if let Some(target) = schema.get("$ref").and_then(|path| resolve(path, root)) {
        return find(target, root, of_this, steps_left);
    }
    of_this(schema)
        .or_else(|| alternatives(schema).find_map(|schema| find(schema, root, of_this, steps_left)))
}

fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten()
}

/// What a reference within the schema points to.
fn resolve<'a>(path: &Value, root: &'a Value) -> Option<&'a Value> {
    root.pointer(path.as_str()?.strip_prefix('#')?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, text: &str, expect: &str) {
        let parameters = json!({"properties": {"p": schema}, "$defs": {"n": {"type": "integer"}}});
        let tool = Tool { name: "f".to_owned(), parameters };
        assert_eq!(tool.types("p").json_of(text), expect, "{} of {}", text, tool.parameters);
    }

    #[test]
    fn plain_text_becomes_json_of_the_type_that_the_schema_allows() {
        check(json!({"type": "string"}), "5", "\"5\"");
        check(json!({"type": "string"}), "\"q\"", "\"\\\"q\\\"\"");
        check(json!({"type": "integer"}), "42", "42");
        check(json!({"type": "integer"}), "forty", "\"forty\"");
        check(json!({"type": "number"}), " 1.5e3\n", "1.5e3");
        check(json!({"type": "boolean"}), "True", "true");
        check(json!({"type": "array"}), "['a', None]", "[\"a\", null]");
        check(json!({"type": ["string", "null"]}), "null", "null");
        check(json!({"type": ["string", "null"]}), "123", "\"123\"");
        check(json!({"type": ["null", "string"]}), "123 Main St", "\"123 Main St\"");
        check(json!({"type": ["string", "object"]}), "{\"a\": 1}", "{\"a\": 1}");
        check(json!({"type": ["string", "object"]}), "{broken", "\"{broken\"");
        check(json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}), "7", "7");
        check(json!({"enum": ["1", "2"]}), "1", "\"1\"");
        check(json!({"const": 3}), "3", "3");
        check(json!({"$ref": "#/$defs/n"}), "3", "3");
        check(json!({}), "3", "3");
        check(json!({}), "\"x\"", "\"x\"");
        check(json!({}), "text", "\"text\"");
    }

    #[test]
    fn references_in_circles_end() {
        let parameters = json!({"$ref": "#"});
        let tool = Tool { name: "f".to_owned(), parameters };
        assert_eq!(tool.types("p"), Types::ALL);
        let parameters = json!({"properties": {"p": {"$ref": "#/properties/p"}}});
        let tool = Tool { name: "f".to_owned(), parameters };
        assert_eq!(tool.types("p"), Types::ALL);
        let twice = json!({"anyOf": vec![json!({"$ref": "#"}); 100]});
        let tool = Tool { name: "f".to_owned(), parameters: twice };
        assert_eq!(tool.types("p"), Types::ALL);
    }
}
