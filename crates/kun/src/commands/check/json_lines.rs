//! A JSON value in each line: each string in it is a text of its own.

use std::io::{self, BufRead, Read};

use serde_json::Value;

use super::watch::{Loop, Watch};
use crate::failure::{Failure, Outcome};

/// Bytes of a line. Whole documents stand in one, but no more than memory has room for.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Tells of each loop in the strings of a file of JSON lines, or in those of one field: its line, its field, the loop.
pub(super) fn check(
    mut reader: impl BufRead,
    name: &str,
    field: Option<&str>,
    unreadable: impl Fn(&io::Error) -> Failure,
    report: &mut dyn FnMut(u64, Option<&str>, &Loop) -> Outcome,
) -> Outcome {
    let mut watch = Watch::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut limited = reader.by_ref().take(LINE_BYTES_MAX + 1);
        let read = limited.read_until(b'\n', &mut line).map_err(|error| unreadable(&error))?;
        if read == 0 {
            break;
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            let limit = LINE_BYTES_MAX >> 20;
            return Err(Failure::usage(format!("{name}:{number}: the line is longer than {limit} MiB")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_slice(&line).map_err(|error| {
            // The line that serde_json counts is always the first one.
            let column = error.column();
            Failure::usage(format!(
                "{name}:{number}: column {column} is not as JSON has it: {}",
                cause(&error)
            ))
        })?;
        let value = match field {
            None => Some(&value),
            Some(field) => field.split('.').try_fold(&value, |value, key| value.get(key)),
        };
        let mut path = field.unwrap_or_default().to_owned();
        if let Some(value) = value {
            visit(value, &mut path, &mut |path, text| {
                let found = text.chars().filter_map(|c| watch.push(c, c.len_utf8())).collect::<Vec<_>>();
                let last = watch.finish();
                let field = (!path.is_empty()).then_some(path);
                found.iter().chain(&last).try_for_each(|found| report(number, field, found))
            })?;
        }
    }
    Ok(())
}

/// Calls `see` for each string with the path to it: `messages.0.content`.
fn visit(value: &Value, path: &mut String, see: &mut dyn FnMut(&str, &str) -> Outcome) -> Outcome {
    let len = path.len();
    let mut enter = |key: &str, value: &Value| {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        let outcome = visit(value, path, see);
        path.truncate(len);
        outcome
    };
    match value {
        Value::String(text) => see(path, text),
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| enter(&index.to_string(), item))
        }
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| enter(key, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// What is wrong, without the place.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}
