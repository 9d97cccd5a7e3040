//! JSON schemas before the matcher sees them: what is wrong, contradictory, too large or beyond it is refused with the
//! JSON pointer of its place.
//!
//! Of a schema from a stranger nothing may be ignored: a keyword that was left out would give answers that look checked
//! and are not. The matcher refuses what it does not know as well, but without saying where.

use serde_json::{Map, Value, json};

use super::{GrammarError, GrammarLimits, first_line};

/// What is wrong with a schema, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at {})", if pointer.is_empty() { "the top of the schema" } else { pointer.as_str() })]
pub struct SchemaError {
    /// The JSON pointer of the place; empty for the whole schema.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// Keywords whose value is a schema.
const ONE: [&str; 3] = ["items", "additionalItems", "additionalProperties"];
/// Keywords whose value is a list of schemas.
const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
/// Keywords whose value is an object of schemas.
const OBJECTS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
/// Keywords that bound a count, in pairs: the least and the most.
const COUNTS: [[&str; 2]; 3] =
    [["minLength", "maxLength"], ["minItems", "maxItems"], ["minProperties", "maxProperties"]];
/// Keywords with plain values.
const PLAIN: [&str; 12] = [
    "$ref",
    "const",
    "enum",
    "type",
    "required",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];
/// Keywords that say nothing about what is valid.
const NOTES: [&str; 13] = [
    "$anchor",
    "$schema",
    "$id",
    "id",
    "$comment",
    "title",
    "description",
    "default",
    "readOnly",
    "writeOnly",
    "examples",
    "contentMediaType",
    "contentEncoding",
];
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// How the answer is to be spelt.
fn spelling() -> Value {
    json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "})
}

/// Adds how the answer is to be spelt: one space behind `:` and `,`, and none elsewhere.
pub fn spelt(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.insert("x-guidance".to_owned(), spelling());
    }
    schema
}

/// Makes the library's refusal one of ours.
pub(super) fn refusal(error: &str) -> GrammarError {
    let line = first_line(error);
    match line.strip_prefix("Unsatisfiable schema: ") {
        Some(why) => GrammarError::Unsatisfiable(why.to_owned()),
        None => GrammarError::Syntax(line),
    }
}

/// Refuses a schema that is wrong, contradicts itself, is too large, or holds what can't be enforced.
pub(super) fn check(schema: &Value, limits: &GrammarLimits) -> Result<(), GrammarError> {
    let mut check = Check { limits, root: schema, schemas: 0, properties: 0, values: 0 };
    let mut todo = vec![(String::new(), schema, 0usize)];
    // Without recursion: how deep a schema is nested is a stranger's choice.
    while let Some((pointer, schema, depth)) = todo.pop() {
        check.within("schemas within each other", depth, limits.depth)?;
        check.schemas += 1;
        check.within("schemas", check.schemas, limits.schemas)?;
        let before = todo.len();
        check.one(&pointer, schema, depth, &mut todo)?;
        todo[before..].reverse();
    }
    let bytes = schema.to_string().len();
    check.within("bytes", bytes, limits.source_bytes)
}

/// The same for the schemas that stand in a grammar, behind `%json`.
pub(super) fn check_within(lark: &str, limits: &GrammarLimits) -> Result<(), GrammarError> {
    let mut rest = lark;
    while let Some(at) = rest.find("%json") {
        rest = &rest[at + "%json".len()..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        // What is no JSON is refused by the matcher.
        if let Some(Ok(mut schema)) = values.next() {
            rest = &rest[values.byte_offset()..];
            if schema.get("x-guidance") == Some(&spelling())
                && let Some(object) = schema.as_object_mut()
            {
                object.remove("x-guidance");
            }
            check(&schema, limits)?;
        }
    }
    Ok(())
}

type Inner<'a> = Vec<(String, &'a Value, usize)>;

struct Check<'a> {
    limits: &'a GrammarLimits,
    root: &'a Value,
    schemas: usize,
    properties: usize,
    values: usize,
}

impl<'a> Check<'a> {
    fn one(
        &mut self,
        pointer: &str,
        schema: &'a Value,
        depth: usize,
        inner: &mut Inner<'a>,
    ) -> Result<(), GrammarError> {
        let object = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) if pointer.is_empty() => {
                return Err(wrong(pointer, "the schema false allows nothing"));
            }
            // Elsewhere it says that there must be nothing, which is fine: no more properties, no more items.
            Value::Bool(false) => return Ok(()),
            Value::Object(object) => object,
            other => {
                return Err(wrong(pointer, format!("a schema must be an object, not {}", kind(other))));
            }
        };
        for (key, value) in object {
            let place = || format!("{pointer}/{}", escaped(key));
            match key.as_str() {
                key if ONE.contains(&key) => inner.push((place(), value, depth + 1)),
                key if LISTS.contains(&key) => {
                    let list = value.as_array().filter(|list| !list.is_empty());
                    let list =
                        list.ok_or_else(|| wrong(&place(), format!("{key} must be a list of schemas")))?;
                    inner.extend(
                        list.iter().enumerate().map(|(i, s)| (format!("{}/{i}", place()), s, depth + 1)),
                    );
                }
                key if OBJECTS.contains(&key) => {
                    let map = value.as_object();
                    let map =
                        map.ok_or_else(|| wrong(&place(), format!("{key} must be an object of schemas")))?;
                    self.properties += map.len();
                    self.within("properties", self.properties, self.limits.properties)?;
                    inner.extend(
                        map.iter().map(|(k, s)| (format!("{}/{}", place(), escaped(k)), s, depth + 1)),
                    );
                }
                key if PLAIN.contains(&key) || COUNTS.as_flattened().contains(&key) => {
                    self.plain(key, value, &place)?;
                }
                key if NOTES.contains(&key) => {}
                key => return Err(wrong(&place(), format!("the keyword {} can't be enforced", shown(key)))),
            }
        }
        contradictions(pointer, object)
    }

    fn plain(&mut self, key: &str, value: &Value, place: &dyn Fn() -> String) -> Result<(), GrammarError> {
        let refuse = |message: String| Err(wrong(&place(), message));
        match key {
            "type" => {
                let known = |name: &Value| name.as_str().is_some_and(|name| TYPES.contains(&name));
                let fine = known(value)
                    || value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(known));
                if !fine {
                    return refuse(format!("type must be one or a list of {}", TYPES.join(", ")));
                }
            }
            "enum" => {
                let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
                    return refuse("enum must be a list of at least one value".to_owned());
                };
                self.values += list.len();
                self.within("values in enum", self.values, self.limits.values)?;
            }
            "required" => {
                let texts = value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
                if !texts {
                    return refuse("required must be a list of names".to_owned());
                }
            }
            "$ref" => return self.reference(value, place),
            "pattern" | "format" if !value.is_string() => return refuse(format!("{key} must be a text")),
            "pattern"
                if value
                    .as_str()
                    .and_then(|p| p.strip_prefix('^'))
                    .is_some_and(|p| p.starts_with(['+', '*', '?', '{'])) =>
            {
                return refuse("pattern repeats the beginning of the text".to_owned());
            }
            "pattern" => {
                let product = super::counts::of_expression(value.as_str().unwrap_or_default());
                let max = self.limits.repetitions;
                if product > max {
                    return refuse(format!(
                        "pattern repeats a part of it {product} times; at most {max} are possible"
                    ));
                }
            }
            "const" | "format" => {}
            "multipleOf" if !value.as_f64().is_some_and(|number| number > 0.0) => {
                return refuse("multipleOf must be a number above 0".to_owned());
            }
            // In the oldest drafts they are flags beside minimum and maximum.
            "exclusiveMinimum" | "exclusiveMaximum" if value.is_boolean() => {
                return refuse(format!("{key} must be a number, as it is since draft 6"));
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                if !value.as_f64().is_some_and(f64::is_finite) {
                    return refuse(format!("{key} must be a number"));
                }
            }
            _ => {
                // 3.0 is a whole number as well.
                let whole = value
                    .as_u64()
                    .or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64));
                let Some(count) = whole else {
                    return refuse(format!("{key} must be a whole number from 0 up"));
                };
                if count > self.limits.repetitions {
                    return refuse(format!(
                        "{key} is {count}; at most {} is possible",
                        self.limits.repetitions
                    ));
                }
            }
        }
        Ok(())
    }

    /// Only what stands in the schema itself can be referred to: nothing is fetched.
    fn reference(&self, value: &Value, place: &dyn Fn() -> String) -> Result<(), GrammarError> {
        let Some(target) = value.as_str() else { return Err(wrong(&place(), "$ref must be a text")) };
        let Some(pointer) = target.strip_prefix('#') else {
            let message =
                format!("$ref {} leads outside of the schema, and nothing is fetched", shown(target));
            return Err(wrong(&place(), message));
        };
        if self.root.pointer(pointer.trim_end_matches('/')).is_none() {
            return Err(wrong(&place(), format!("$ref {} leads to nothing in the schema", shown(target))));
        }
        Ok(())
    }

    fn within(&self, what: &'static str, found: usize, max: usize) -> Result<(), GrammarError> {
        super::at_most(what, found, max)
    }
}

/// Pairs of keywords that no value can satisfy together.
fn contradictions(pointer: &str, object: &Map<String, Value>) -> Result<(), GrammarError> {
    let number = |key: &str| object.get(key).and_then(Value::as_f64);
    for [least, most] in COUNTS.into_iter().chain([["minimum", "maximum"]]) {
        if let (Some(min), Some(max)) = (number(least), number(most))
            && min > max
        {
            return Err(wrong(pointer, format!("{least} is {min}, more than the {max} of {most}")));
        }
    }
    let required = object.get("required").and_then(Value::as_array);
    let properties = object.get("properties").and_then(Value::as_object);
    if let (Some(required), Some(properties)) = (required, properties)
        && !object.contains_key("patternProperties")
        && object.get("additionalProperties").is_none_or(|more| more == false)
        && let Some(name) =
            required.iter().filter_map(Value::as_str).find(|name| !properties.contains_key(*name))
    {
        return Err(wrong(
            &format!("{pointer}/required"),
            format!("{} is required, but no property", shown(name)),
        ));
    }
    Ok(())
}

fn wrong(pointer: &str, message: impl Into<String>) -> GrammarError {
    GrammarError::Schema(SchemaError {
        pointer: pointer.chars().take(200).collect(),
        message: message.into(),
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A text from a schema, made fit for a message.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

/// A name as a part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Lets objects have the properties that they name and no others, where a schema leaves it open. What is valid then was
/// valid before, and a model is not led to go on for ever. A schema that puts objects together from parts stays as it is.
pub fn close_objects(schema: &mut Value) {
    let mut parts = false;
    each(schema, &mut |object| {
        let names = object.contains_key("properties") || object.contains_key("required");
        let others = ["anyOf", "oneOf", "$ref"].iter().any(|key| object.contains_key(*key));
        parts |= object.contains_key("allOf") || names && others;
    });
    if parts {
        return;
    }
    each(schema, &mut |object| {
        if object.contains_key("properties") && !object.contains_key("patternProperties") {
            object.entry("additionalProperties").or_insert(Value::Bool(false));
        }
    });
}

/// Calls `with` for each schema within a schema.
fn each(schema: &mut Value, with: &mut dyn FnMut(&mut Map<String, Value>)) {
    let mut todo = vec![schema];
    while let Some(schema) = todo.pop() {
        let Value::Object(object) = schema else { continue };
        with(object);
        for (key, value) in object {
            match (key.as_str(), value) {
                (key, value) if ONE.contains(&key) => todo.push(value),
                (key, Value::Array(list)) if LISTS.contains(&key) => todo.extend(list),
                (key, Value::Object(map)) if OBJECTS.contains(&key) => todo.extend(map.values_mut()),
                _ => {}
            }
        }
    }
}
