//! What Python's `str` and `repr` make of a value. Text is charged against the fuel while it is built, because a small
//! value can print as a huge one: lists share their items.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Output, State, Value};

/// How deeply lists and objects may nest where they are walked: deeper ones would overflow the stack.
const DEPTH_MAX: usize = 128;

/// Writes `str(value)`: what `{{ value }}` prints. This is the formatter of the environment.
pub(super) fn write(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => output.write_str(text)?,
        None => output.write_str(&str(state, value)?)?,
    }
    Ok(())
}

/// `str(value)`: a string is itself, anything else prints as in a list.
pub(super) fn str(state: &State, value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None if value.is_undefined() => Ok(String::new()),
        None => {
            let mut text = Text::new(state);
            repr(&mut text, value, 0)?;
            Ok(text.finish())
        }
    }
}

/// A string under construction whose bytes are paid for as they are written.
pub(super) struct Text<'a, 'template, 'env> {
    state: &'a State<'template, 'env>,
    text: String,
    bytes_unpaid: usize,
}

impl<'a, 'template, 'env> Text<'a, 'template, 'env> {
    pub(super) fn new(state: &'a State<'template, 'env>) -> Self {
        Text { state, text: String::new(), bytes_unpaid: 0 }
    }

    pub(super) fn push(&mut self, part: &str) -> Result<(), Error> {
        // Each part costs something, or a list of empty strings would print for free.
        self.bytes_unpaid = self.bytes_unpaid.saturating_add(part.len() + 8);
        if self.bytes_unpaid >= BYTES_PER_FUEL {
            self.state.consume_fuel((self.bytes_unpaid / BYTES_PER_FUEL) as u64)?;
            self.bytes_unpaid %= BYTES_PER_FUEL;
        }
        self.text.push_str(part);
        Ok(())
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// minijinja's own price: one fuel for 64 bytes.
const BYTES_PER_FUEL: usize = 64;

/// The error for a value that nests deeper than [`DEPTH_MAX`], to be asked before going one level down.
pub(super) fn check_depth(depth: usize) -> Result<(), Error> {
    if depth < DEPTH_MAX {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidOperation, format!("a value nests deeper than {DEPTH_MAX} levels")))
}

fn repr(text: &mut Text, value: &Value, depth: usize) -> Result<(), Error> {
    check_depth(depth)?;
    match value.kind() {
        ValueKind::Undefined => text.push("Undefined"),
        ValueKind::None => text.push("None"),
        ValueKind::String if value.is_safe() => {
            text.push("Markup(")?;
            repr_string(text, value.as_str().unwrap_or_default())?;
            text.push(")")
        }
        ValueKind::String => repr_string(text, value.as_str().unwrap_or_default()),
        ValueKind::Number if !value.is_integer() => text.push(&float_of(value)),
        ValueKind::Seq | ValueKind::Iterable if value.len().is_some() => {
            let tuple = value.is_tuple();
            text.push(if tuple { "(" } else { "[" })?;
            for (index, item) in value.try_iter()?.enumerate() {
                if index > 0 {
                    text.push(", ")?;
                }
                repr(text, &item, depth + 1)?;
            }
            text.push(match (tuple, value.len()) {
                (true, Some(1)) => ",)",
                (true, _) => ")",
                (false, _) => "]",
            })
        }
        ValueKind::Map => {
            text.push("{")?;
            for (index, key) in value.try_iter()?.enumerate() {
                if index > 0 {
                    text.push(", ")?;
                }
                repr(text, &key, depth + 1)?;
                text.push(": ")?;
                repr(text, &value.get_item(&key)?, depth + 1)?;
            }
            text.push("}")
        }
        ValueKind::Bool | ValueKind::Number => text.push(&value.to_string()),
        ValueKind::Seq | ValueKind::Iterable => text.push("<generator object>"),
        // Functions, macros, bytes and errors: nothing that a template prints on purpose.
        _ => text.push("<object>"),
    }
}

/// A Python string literal: single quotes unless only the double ones avoid an escape.
fn repr_string(text: &mut Text, string: &str) -> Result<(), Error> {
    let quote = if string.contains('\'') && !string.contains('"') { '"' } else { '\'' };
    let mut literal = String::with_capacity(string.len() + 2);
    literal.push(quote);
    for c in string.chars() {
        match c {
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            c if c == quote => literal.extend(['\\', c]),
            c if is_printable(c) => literal.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(literal, "\\x{code:02x}"),
                    0x100..=0xffff => write!(literal, "\\u{code:04x}"),
                    _ => write!(literal, "\\U{code:08x}"),
                };
            }
        }
    }
    literal.push(quote);
    text.push(&literal)
}

/// Whether Python prints the character as itself: no control, format, private or separator character but the space.
fn is_printable(c: char) -> bool {
    !(c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{10ffff}'))
}

fn float_of(value: &Value) -> String {
    f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float)
}

/// `repr(number)`: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) =
        scientific.split_once('e').expect("Rust's scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is an integer");
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let decimal = number.to_string();
    if decimal.contains('.') { decimal } else { decimal + ".0" }
}
