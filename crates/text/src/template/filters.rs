//! Filters, tests and functions that minijinja lacks or that differ from jinja2's.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex};

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::methods;
use super::numbers;
use super::python::{self, Text};
use super::sums;
use super::{json, raise_exception};

/// Adds them all to the environment.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("range", numbers::range);
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("string", string);
    environment.add_filter("python_str", plain_string);
    environment.add_filter("python_iter", iterable);
    environment.add_filter("python_add", sums::add);
    environment.add_filter("python_mod", numbers::modulo);
    environment.add_filter("int", numbers::int);
    environment.add_filter("float", numbers::float);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("dictsort", dictsort);
    environment.add_filter("join", join);
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_filter("safe", safe);
    environment.add_filter("trim", trim);
    environment.add_filter("indent", indent);
    environment.add_filter("list", list);
    environment.add_filter("upper", |state: &State, value: &Value| changed(state, value, str::to_uppercase));
    environment.add_filter("lower", |state: &State, value: &Value| changed(state, value, str::to_lowercase));
    environment.add_filter("title", |state: &State, value: &Value| {
        changed(state, value, |text| filters::title(text.into()))
    });
    environment.add_filter("capitalize", |state: &State, value: &Value| changed(state, value, capitalize));
    environment.add_filter("replace", replace);
    environment.add_filter("map", map);
    environment.add_filter("select", select);
    environment.add_filter("reject", reject);
    environment.add_filter("selectattr", selectattr);
    environment.add_filter("rejectattr", rejectattr);
    environment.add_test("sequence", is_sequence);
    environment.add_test("iterable", is_iterable);
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// `str(value)`, which leaves Markup as it is.
fn string(state: &State, value: &Value) -> Result<Value, Error> {
    Ok(match value.kind() {
        ValueKind::String => value.clone(),
        _ => python::str(state, value)?.into(),
    })
}

/// `str(value)` that is no Markup: what `~` makes of its operands.
fn plain_string(state: &State, value: &Value) -> Result<Value, Error> {
    Ok(match value.kind() {
        ValueKind::String if !value.is_safe() => value.clone(),
        _ => python::str(state, value)?.into(),
    })
}

/// Markup: nothing is ever escaped by itself, but what is added to Markup with `+` is.
fn safe(state: &State, value: &Value) -> Result<Value, Error> {
    Ok(Value::from_safe_string(python::str(state, value)?))
}

fn changed(state: &State, value: &Value, change: fn(&str) -> String) -> Result<String, Error> {
    Ok(change(&python::str(state, value)?))
}

pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect(),
        None => String::new(),
    }
}

/// What a `for` iterates over, once it is known that Python would, too.
fn iterable(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number => {
            Err(invalid(format!("{} object is not iterable", value.kind())))
        }
        _ => Ok(value),
    }
}

fn list(state: &State, value: Value) -> Result<Value, Error> {
    filters::list(state, iterable(value)?)
}

fn join(
    state: &State,
    value: Value,
    separator: Option<Value>,
    attribute: Option<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let separator = separator.or(kwargs.get("d")?);
    let attribute = attribute.or(kwargs.get("attribute")?);
    kwargs.assert_all_used()?;
    let separator = match separator {
        Some(separator) => python::str(state, &separator)?,
        None => String::new(),
    };
    let mut text = Text::new(state);
    for (index, item) in iterable(value)?.try_iter()?.enumerate() {
        if index > 0 {
            text.push(&separator)?;
        }
        let item = match attribute.as_ref().and_then(Value::as_str) {
            Some(path) => path.split('.').try_fold(item, |item, name| item.get_attr(name))?,
            None => item,
        };
        match item.as_str() {
            Some(item) => text.push(item)?,
            None => text.push(&python::str(state, &item)?)?,
        }
    }
    Ok(text.finish())
}

/// Markup with what HTML gives a meaning escaped; Markup itself stays as it is.
fn escape(state: &State, value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    Ok(Value::from_safe_string(escaped(state, value)?))
}

/// HTML escapes with MarkupSafe's entities.
pub(super) fn escaped(state: &State, value: &Value) -> Result<String, Error> {
    let mut escaped = String::new();
    for c in python::str(state, value)?.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    Ok(escaped)
}

fn trim(state: &State, value: &Value, chars: Option<&str>) -> Result<String, Error> {
    let text = python::str(state, value)?;
    Ok(methods::strip(&text, chars, true, true).to_owned())
}

fn replace(
    state: &mut State,
    value: &Value,
    old: &Value,
    new: &Value,
    count: Option<i64>,
) -> Result<Value, Error> {
    let arguments = [value, old, new].map(|argument| python::str(state, argument).map(Value::from));
    let [text, old, new] = arguments;
    let (text, old, new) = (text?, old?, new?);
    text.call_method(state, "replace", &[old, new, Value::from(count.unwrap_or(-1))])
}

/// Indents all lines but the first and the blank ones, unless told otherwise.
fn indent(
    state: &State,
    value: &Value,
    width: Option<Value>,
    first: Option<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let flag = |flag: Option<Value>| flag.is_some_and(|flag| flag.is_true());
    let width = width.or(kwargs.get("width")?);
    let first = flag(first.or(kwargs.get("first")?));
    let blank = flag(kwargs.get("blank")?);
    kwargs.assert_all_used()?;
    let unit = match width {
        None => " ".repeat(4),
        Some(width) => match width.as_str() {
            Some(unit) => unit.to_owned(),
            None => {
                let columns = usize::try_from(width)?;
                state.consume_fuel((columns / 64) as u64)?;
                " ".repeat(columns)
            }
        },
    };
    let value = python::str(state, value)?;
    let mut text = Text::new(state);
    for (index, line) in value.split('\n').enumerate() {
        if index > 0 {
            text.push("\n")?;
        }
        let indented = if index == 0 { first } else { blank || !line.is_empty() };
        if indented {
            text.push(&unit)?;
        }
        text.push(line.strip_suffix('\r').unwrap_or(line))?;
    }
    Ok(text.finish())
}

/// `default(default_value, boolean)`, either by position or by name.
fn default(
    value: Value,
    other: Option<Value>,
    boolean: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let other = other.or(kwargs.get("default_value")?).unwrap_or_else(|| Value::from(""));
    let boolean = boolean.or(kwargs.get("boolean")?).is_some_and(|flag| flag.is_true());
    kwargs.assert_all_used()?;
    Ok(if value.is_undefined() || (boolean && !value.is_true()) { other } else { value })
}

/// `dictsort(case_sensitive, by, reverse)`, either by position or by name.
fn dictsort(state: &State, value: Value, arguments: Arguments) -> Result<Value, Error> {
    let arguments = arguments.into_values();
    let (by_position, by_name): (&[Value], Kwargs) = minijinja::value::from_args(&arguments)?;
    if by_position.len() > 3 {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut options: Vec<(&str, Value)> = Vec::new();
    for (index, name) in ["case_sensitive", "by", "reverse"].into_iter().enumerate() {
        let named = by_name.get::<Option<Value>>(name)?;
        options.extend(by_position.get(index).cloned().or(named).map(|option| (name, option)));
    }
    by_name.assert_all_used()?;
    state.consume_fuel(value.len().unwrap_or(0) as u64)?;
    filters::dictsort(&value, options.into_iter().collect())
}

/// What Python means by it: it has a length and can be indexed. A slice of a list is lazy here, and still one.
fn is_sequence(value: &Value) -> bool {
    match value.kind() {
        ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined => true,
        ValueKind::Iterable => value.len().is_some(),
        _ => false,
    }
}

fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// What `map`, `select` and their like return: a Python generator, which has no length, is true even when it would
/// yield nothing, and can be walked once.
pub(super) struct Generator(Arc<Mutex<std::vec::IntoIter<Value>>>);

impl fmt::Debug for Generator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<generator object>")
    }
}

impl Object for Generator {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let items = Arc::clone(&self.0);
        Enumerator::Iter(Box::new(std::iter::from_fn(move || {
            items.lock().expect("nothing panics while it holds the lock").next()
        })))
    }
}

fn generator(items: Vec<Value>) -> Value {
    Value::from_object(Generator(Arc::new(Mutex::new(items.into_iter()))))
}

/// What a lazy filter walks: like jinja2, it asks of nothing that is false whether it can be iterated over.
fn walked(value: Value) -> Result<Value, Error> {
    if value.is_true() { iterable(value) } else { Ok(Value::from(Vec::<Value>::new())) }
}

type Arguments = Rest<ValueOrKwargs>;
type Test<'a> = Option<Cow<'a, str>>;

fn map(state: &mut State, value: Value, arguments: Arguments) -> Result<Value, Error> {
    Ok(generator(filters::map(state, walked(value)?, arguments)?))
}

fn select(state: &mut State, value: Value, test: Test, arguments: Arguments) -> Result<Value, Error> {
    Ok(generator(filters::select(state, walked(value)?, test, arguments)?))
}

fn reject(state: &mut State, value: Value, test: Test, arguments: Arguments) -> Result<Value, Error> {
    Ok(generator(filters::reject(state, walked(value)?, test, arguments)?))
}

fn selectattr(
    state: &mut State,
    value: Value,
    attribute: Cow<str>,
    test: Test,
    arguments: Arguments,
) -> Result<Value, Error> {
    let kept = filters::selectattr(state, walked(value)?, attribute, test, arguments)?;
    Ok(generator(kept))
}

fn rejectattr(
    state: &mut State,
    value: Value,
    attribute: Cow<str>,
    test: Test,
    arguments: Arguments,
) -> Result<Value, Error> {
    let kept = filters::rejectattr(state, walked(value)?, attribute, test, arguments)?;
    Ok(generator(kept))
}
