//! The `tojson` filter, which in chat templates is Python's `json.dumps` with `ensure_ascii=False`: no HTML escapes,
//! `", "` and `": "` between items unless told otherwise, keys in their own order.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::filters::Generator;
use super::python::{self, Text};

/// `json.dumps(value, ensure_ascii, indent, separators, sort_keys)`.
pub(super) fn tojson(
    state: &State,
    value: &Value,
    ensure_ascii: Option<Value>,
    indent: Option<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let named = |name: &str| kwargs.get::<Option<Value>>(name);
    let ensure_ascii = ensure_ascii.or(named("ensure_ascii")?);
    let indent = match indent.or(named("indent")?) {
        None => None,
        Some(indent) if indent.is_none() => None,
        Some(indent) => Some(indent_unit(&indent)?),
    };
    let between_items = if indent.is_some() { "," } else { ", " };
    let (item_separator, key_separator) = match named("separators")? {
        Some(separators) if !separators.is_none() => {
            let part = |index| {
                let part = separators.get_item_by_index(index)?;
                part.as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| invalid("separators must be two strings".to_owned()))
            };
            (part(0)?, part(1)?)
        }
        _ => (between_items.to_owned(), ": ".to_owned()),
    };
    let style = Style {
        ensure_ascii: ensure_ascii.is_some_and(|flag| flag.is_true()),
        sort_keys: named("sort_keys")?.is_some_and(|flag| flag.is_true()),
        indent,
        item_separator,
        key_separator,
    };
    kwargs.assert_all_used()?;
    let mut text = Text::new(state);
    style.write(&mut text, value, 0)?;
    Ok(text.finish())
}

fn indent_unit(indent: &Value) -> Result<String, Error> {
    if let Some(unit) = indent.as_str() {
        return Ok(unit.to_owned());
    }
    match i64::try_from(indent.clone()) {
        // The cap keeps an absurd width from building an absurd string before the fuel sees it.
        Ok(width @ ..=1024) => Ok(" ".repeat(usize::try_from(width).unwrap_or(0))),
        _ => Err(invalid("indent must be a string or at most 1024".to_owned())),
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

struct Style {
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
}

impl Style {
    fn write(&self, text: &mut Text, value: &Value, depth: usize) -> Result<(), Error> {
        python::check_depth(depth)?;
        match value.kind() {
            ValueKind::None => text.push("null"),
            ValueKind::Bool => text.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => text.push(&value.to_string()),
            ValueKind::Number => {
                let number = f64::try_from(value.clone())?;
                text.push(&match number {
                    _ if number.is_nan() => "NaN".to_owned(),
                    f64::INFINITY => "Infinity".to_owned(),
                    f64::NEG_INFINITY => "-Infinity".to_owned(),
                    _ => python::float(number),
                })
            }
            ValueKind::String => self.write_string(text, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable if value.downcast_object_ref::<Generator>().is_none() => {
                self.write_list(text, value, depth)
            }
            ValueKind::Map => self.write_object(text, value, depth),
            kind => Err(invalid(format!("{kind} is not JSON serializable"))),
        }
    }

    fn write_list(&self, text: &mut Text, value: &Value, depth: usize) -> Result<(), Error> {
        text.push("[")?;
        let mut empty = true;
        for item in value.try_iter()? {
            self.begin_item(text, empty, depth)?;
            self.write(text, &item, depth + 1)?;
            empty = false;
        }
        self.end(text, empty, depth)?;
        text.push("]")
    }

    fn write_object(&self, text: &mut Text, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys: Vec<Value> = value.try_iter()?.collect();
        if self.sort_keys {
            keys.sort();
        }
        text.push("{")?;
        for (index, key) in keys.iter().enumerate() {
            self.begin_item(text, index == 0, depth)?;
            match key.kind() {
                ValueKind::String => self.write(text, key, depth)?,
                ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                    text.push("\"")?;
                    self.write(text, key, depth)?;
                    text.push("\"")?;
                }
                kind => return Err(invalid(format!("a JSON key cannot be a {kind}"))),
            }
            text.push(&self.key_separator)?;
            self.write(text, &value.get_item(key)?, depth + 1)?;
        }
        self.end(text, keys.is_empty(), depth)?;
        text.push("}")
    }

    fn begin_item(&self, text: &mut Text, first: bool, depth: usize) -> Result<(), Error> {
        if !first {
            text.push(&self.item_separator)?;
        }
        self.new_line(text, depth + 1)
    }

    fn end(&self, text: &mut Text, empty: bool, depth: usize) -> Result<(), Error> {
        if empty { Ok(()) } else { self.new_line(text, depth) }
    }

    fn new_line(&self, text: &mut Text, depth: usize) -> Result<(), Error> {
        if let Some(indent) = &self.indent {
            text.push("\n")?;
            for _ in 0..depth {
                text.push(indent)?;
            }
        }
        Ok(())
    }

    fn write_string(&self, text: &mut Text, string: &str) -> Result<(), Error> {
        let mut literal = String::with_capacity(string.len() + 2);
        literal.push('"');
        for c in string.chars() {
            match c {
                '"' => literal.push_str("\\\""),
                '\\' => literal.push_str("\\\\"),
                '\n' => literal.push_str("\\n"),
                '\r' => literal.push_str("\\r"),
                '\t' => literal.push_str("\\t"),
                '\u{8}' => literal.push_str("\\b"),
                '\u{c}' => literal.push_str("\\f"),
                '\0'..='\u{1f}' => push_escape(&mut literal, c),
                '\u{7f}'.. if self.ensure_ascii => push_escape(&mut literal, c),
                c => literal.push(c),
            }
        }
        literal.push('"');
        text.push(&literal)
    }
}

/// `\uXXXX`, twice for a character beyond the basic plane.
fn push_escape(literal: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        literal.push_str(&format!("\\u{unit:04x}"));
    }
}
