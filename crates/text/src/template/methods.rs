//! Python's methods of strings, lists and dictionaries: those that minijinja-contrib lacks, that differ, or that would
//! build more than was paid for. All others are minijinja-contrib's.

use minijinja::value::{Kwargs, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::python::{self, Text};

/// The environment's callback for methods that minijinja does not know by itself.
pub(super) fn call(
    state: &mut State,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let own = match value.kind() {
        ValueKind::String => string_method(state, value.as_str().unwrap_or_default(), method, arguments)?,
        ValueKind::Seq | ValueKind::Iterable => list_method(value, method, arguments)?,
        ValueKind::Map if method == "copy" => Some(value.clone()),
        _ => None,
    };
    match own {
        Some(result) => Ok(result),
        None => unknown_method_callback(state, value, method, arguments),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// One fuel pays for 64 bytes, here before they are built.
fn pay_bytes(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / 64) as u64)
}

fn list_method(value: &Value, method: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    match method {
        "index" => {
            let (wanted,): (&Value,) = from_args(arguments)?;
            let index = value.try_iter()?.position(|item| item == *wanted);
            let index = index.ok_or_else(|| invalid("the value is not in the list"))?;
            Ok(Some(Value::from(index)))
        }
        "copy" => Ok(Some(value.clone())),
        _ => Ok(None),
    }
}

fn string_method(
    state: &State,
    text: &str,
    method: &str,
    arguments: &[Value],
) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(arguments)?;
            Value::from(strip(text, chars, method != "rstrip", method != "lstrip"))
        }
        "split" | "rsplit" => {
            let (separator, count, kwargs): (Option<&str>, Option<i64>, Kwargs) = from_args(arguments)?;
            let separator = separator.or(kwargs.get("sep")?);
            let count = count.or(kwargs.get("maxsplit")?);
            kwargs.assert_all_used()?;
            let count = count.and_then(|count| usize::try_from(count).ok());
            Value::from(split(state, text, separator, count, method == "rsplit")?)
        }
        "splitlines" => {
            let (keep_ends, kwargs): (Option<bool>, Kwargs) = from_args(arguments)?;
            let keep_ends = keep_ends.or(kwargs.get("keepends")?).unwrap_or(false);
            Value::from(split_lines(state, text, keep_ends)?)
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            partition(text, separator, method == "rpartition")?
        }
        "index" | "rindex" => {
            let (wanted,): (&str,) = from_args(arguments)?;
            let found = if method == "index" { text.find(wanted) } else { text.rfind(wanted) };
            let found = found.ok_or_else(|| invalid("substring not found"))?;
            Value::from(text[..found].chars().count())
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(arguments)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(arguments)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "ljust" | "rjust" | "center" | "zfill" => pad(state, text, method, arguments)?,
        "capitalize" => {
            let () = from_args(arguments)?;
            Value::from(super::filters::capitalize(text))
        }
        "title" => {
            let () = from_args(arguments)?;
            Value::from(title(text))
        }
        "swapcase" => {
            let () = from_args(arguments)?;
            Value::from(swap_case(text))
        }
        "casefold" => {
            let () = from_args(arguments)?;
            Value::from(text.to_lowercase())
        }
        "join" => {
            let (items,): (Value,) = from_args(arguments)?;
            join(state, text, &items)?
        }
        "format" => {
            pay_format(state, text, arguments)?;
            return Ok(None);
        }
        _ => return Ok(None),
    }))
}

/// `str.strip`: `chars` are a set; without them it is white space, which to Python includes four separators of ASCII.
pub(super) fn strip<'a>(text: &'a str, chars: Option<&str>, start: bool, end: bool) -> &'a str {
    let stripped = |c: char| match chars {
        Some(chars) => chars.contains(c),
        None => is_space(c),
    };
    let text = if start { text.trim_start_matches(stripped) } else { text };
    if end { text.trim_end_matches(stripped) } else { text }
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.split` and `str.rsplit`, with at most `count` splits.
fn split(
    state: &State,
    text: &str,
    separator: Option<&str>,
    count: Option<usize>,
    from_end: bool,
) -> Result<Vec<Value>, Error> {
    let limit = count.map_or(usize::MAX, |count| count.saturating_add(1));
    let mut parts: Vec<Value> = Vec::new();
    let mut push = |part: &str| {
        state.consume_fuel(1)?;
        parts.push(Value::from(part));
        Ok::<(), Error>(())
    };
    match separator {
        Some("") => return Err(invalid("empty separator")),
        Some(separator) if from_end => {
            text.rsplitn(limit, separator).try_for_each(&mut push)?;
            parts.reverse();
        }
        Some(separator) => text.splitn(limit, separator).try_for_each(push)?,
        None if from_end => {
            // The first part keeps the white space at its beginning when the splits ran out.
            let mut rest = strip(text, None, false, true);
            let mut taken = 1;
            while !rest.is_empty() {
                let word = rest.rfind(is_space).filter(|_| taken < limit);
                let start = word.map_or(0, |at| at + rest[at..].chars().next().map_or(0, char::len_utf8));
                push(&rest[start..])?;
                rest = strip(&rest[..start], None, false, true);
                taken += 1;
            }
            parts.reverse();
        }
        None => {
            let mut rest = strip(text, None, true, false);
            let mut taken = 1;
            while !rest.is_empty() {
                let end = rest.find(is_space).filter(|_| taken < limit);
                // The last part keeps the white space at its end when the splits ran out.
                push(&rest[..end.unwrap_or(rest.len())])?;
                rest = strip(&rest[end.unwrap_or(rest.len())..], None, true, false);
                taken += 1;
            }
        }
    }
    Ok(parts)
}

fn split_lines(state: &State, text: &str, keep_ends: bool) -> Result<Vec<Value>, Error> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        state.consume_fuel(1)?;
        let ends = |c| {
            matches!(
                c,
                '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
            )
        };
        let (line, after) = match rest.find(ends) {
            None => (rest, ""),
            Some(at) => {
                let end = match &rest[at..] {
                    crlf if crlf.starts_with("\r\n") => 2,
                    end => end.chars().next().map_or(0, char::len_utf8),
                };
                (&rest[..at + if keep_ends { end } else { 0 }], &rest[at + end..])
            }
        };
        lines.push(Value::from(line));
        rest = after;
    }
    Ok(lines)
}

/// The three parts around the first or last separator.
fn partition(text: &str, separator: &str, last: bool) -> Result<Value, Error> {
    if separator.is_empty() {
        return Err(invalid("empty separator"));
    }
    let parts = match if last { text.rsplit_once(separator) } else { text.split_once(separator) } {
        Some((before, after)) => [before, separator, after],
        None if last => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(minijinja::value::Tuple::from(parts.map(Value::from))))
}

fn pad(state: &State, text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (width, fill): (i64, Option<char>) = from_args(arguments)?;
    let length = text.chars().count();
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(length);
    pay_bytes(state, missing.saturating_mul(4))?;
    let fill = fill.unwrap_or(if method == "zfill" { '0' } else { ' ' });
    let padding = |count: usize| -> String { std::iter::repeat_n(fill, count).collect() };
    Ok(Value::from(match method {
        "ljust" => text.to_owned() + &padding(missing),
        "rjust" => padding(missing) + text,
        "zfill" => {
            let sign = usize::from(text.starts_with(['+', '-']));
            text[..sign].to_owned() + &padding(missing) + &text[sign..]
        }
        // An odd space goes to the left only when the width is odd: as CPython does it.
        _ => {
            let before = missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1);
            padding(before) + text + &padding(missing - before)
        }
    }))
}

/// `str.title`: a letter that follows no letter is upper case, all others lower case.
fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            titled.extend(c.to_lowercase());
        } else {
            titled.extend(c.to_uppercase());
        }
        in_word = c.is_lowercase() || c.is_uppercase();
    }
    titled
}

fn swap_case(text: &str) -> String {
    let mut swapped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() {
            swapped.extend(c.to_lowercase());
        } else {
            swapped.extend(c.to_uppercase());
        }
    }
    swapped
}

fn join(state: &State, separator: &str, items: &Value) -> Result<Value, Error> {
    let mut text = Text::new(state);
    for (index, item) in items.try_iter()?.enumerate() {
        if index > 0 {
            text.push(separator)?;
        }
        let item = item
            .as_str()
            .ok_or_else(|| invalid(format!("join expects strings, but item {index} is a {}", item.kind())))?;
        text.push(item)?;
    }
    Ok(Value::from(text.finish()))
}

/// Pays for the most that a format string can make of its arguments: each field is at most as long as the longest
/// argument or the largest width in it.
fn pay_format(state: &State, format: &str, arguments: &[Value]) -> Result<(), Error> {
    let fields = format.matches('{').count();
    let width = format
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse::<usize>().ok().or((!digits.is_empty()).then_some(usize::MAX)))
        .max()
        .unwrap_or(0);
    let mut longest = width;
    for argument in arguments {
        longest = longest.max(python::str(state, argument)?.len());
    }
    pay_bytes(state, fields.saturating_mul(longest))
}
