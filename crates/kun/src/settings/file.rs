//! A file with settings. What is wrong with it is told with line and column.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::TABLE;
use super::{Setting, did_you_mean};
use crate::failure::{Failure, Outcome};

/// No file of settings is larger.
const BYTES_MAX: u64 = 1 << 20;

/// A setting, and its values as text.
type Row = (&'static Setting, Vec<OsString>);

/// The settings of a file, checked.
pub(super) fn read(path: &Path) -> Outcome<Vec<Row>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::file("read", path, &error))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Failure::usage(format!(
            "{}: larger than {BYTES_MAX} bytes, so no settings",
            path.display()
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        Failure::usage(format!("{}: byte {byte} is not UTF-8", path.display()))
    })?;
    parse(&text).map_err(|(span, message)| {
        let (line, column) = place(&text, span.start);
        Failure::usage(format!("{}:{line}:{column}: {message}", path.display()))
    })
}

/// Where it is wrong, and how.
type Wrong = (Range<usize>, String);

fn parse(text: &str) -> Result<Vec<Row>, Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        (error.span().unwrap_or(0..0), message)
    })?;
    table.get_ref().iter().map(|(key, value)| row(key, value)).collect()
}

fn row(key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> Result<Row, Wrong> {
    let name = key.get_ref().as_ref();
    let Some(setting) = TABLE.iter().find(|setting| setting.name == name) else {
        let meant = did_you_mean(name, TABLE.iter().map(|setting| setting.name));
        return Err((key.span(), format!("{name:?} is no setting{meant}\nsee kun serve --help")));
    };
    let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
        DeValue::Array(items) if setting.list => items.iter().collect(),
        _ => vec![value],
    };
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let wrong = |why: String| (item.span(), format!("{name}: {why}"));
        let text = scalar(item.get_ref()).ok_or_else(|| {
            let expected = if setting.list { "a value or a list of values" } else { "one value" };
            wrong(format!("it must be {expected}, not a {}", item.get_ref().type_str()))
        })?;
        let text = OsString::from(text);
        setting.check(&text).map_err(wrong)?;
        values.push(text);
    }
    Ok((setting, values))
}

/// The text of a value, as a flag would have it.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i128::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Line and column of a byte, both from 1; columns are counted in characters.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names with their values, or the line, the column and a part of what is wrong.
    type Expect<'a> = Result<&'a [(&'a str, &'a [&'a str])], (usize, usize, &'a str)>;

    fn check(text: &str, expect: Expect<'_>) {
        let got = parse(text).map(|rows| {
            rows.into_iter()
                .map(|(setting, values)| {
                    let values: Vec<String> =
                        values.iter().map(|value| value.to_str().expect("UTF-8").to_owned()).collect();
                    (setting.name, values)
                })
                .collect::<Vec<_>>()
        });
        match (got, expect) {
            (Ok(got), Ok(expect)) => {
                let expect: Vec<(&str, Vec<String>)> = expect
                    .iter()
                    .map(|(name, values)| (*name, values.iter().map(|&value| value.to_owned()).collect()))
                    .collect();
                assert_eq!(got, expect, "{text}");
            }
            (Err((span, message)), Err((line, column, part))) => {
                assert_eq!(place(text, span.start), (line, column), "{text}: {message}");
                assert!(message.contains(part), "{text}: {message}");
            }
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn a_file_is_read_or_told_where_it_is_wrong() {
        check("", Ok(&[]));
        check("port = 0x1f90\nmemory = \"60%\" # much", Ok(&[("memory", &["60%"]), ("port", &["8080"])]));
        check("port = 1_000", Ok(&[("port", &["1000"])]));
        check("no-prefix-cache = true", Ok(&[("no-prefix-cache", &["true"])]));
        check("load-wait = 1.5", Ok(&[("load-wait", &["1.5"])]));
        check("pin = \"a\"\nmodels = ['a', 'b']", Ok(&[("models", &["a", "b"]), ("pin", &["a"])]));
        check("port = 1\nprot = 2", Err((2, 1, "\"prot\" is no setting; did you mean port?")));
        check("port = 1\nport = 2", Err((2, 1, "duplicate key")));
        check("port = 1\n  host = é", Err((2, 10, "")));
        check("port = 70000", Err((1, 8, "0 to 65535")));
        check("port = [1]", Err((1, 8, "not a array")));
        check("models = ['a', ['b']]", Err((1, 16, "list of values")));
        check("[alias]\nfast = 'a'", Err((1, 1, "")));
        check("config = 'x'", Err((1, 1, "\"config\" is no setting")));
        check("drain-timeout = 2030-01-01", Err((1, 17, "datetime")));
    }
}
