//! Python's `+`: of numbers, of texts, of Markup, which escapes what is added to it, and of lists.
//!
//! Lists are copied and paid for. minijinja's own sum of two lists is a view of both, and one that is added to itself
//! again and again takes for ever to be counted.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::filters;
use super::python::Text;

/// `left + right`.
pub(super) fn add(state: &State, left: Value, right: Value) -> Result<Value, Error> {
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    match (left.kind(), right.kind()) {
        (ValueKind::String, ValueKind::String) => texts(state, &left, &right),
        _ if is_list(&left) && is_list(&right) && left.is_tuple() == right.is_tuple() => {
            lists(state, &left, &right)
        }
        (ValueKind::Number | ValueKind::Bool, ValueKind::Number | ValueKind::Bool) => numbers(&left, &right),
        (a, b) => Err(invalid(format!("unsupported operands for +: {a} and {b}"))),
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn texts(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    let markup = left.is_safe() || right.is_safe();
    let mut text = Text::new(state);
    for side in [left, right] {
        if markup && !side.is_safe() {
            text.push(&filters::escaped(state, side)?)?;
        } else {
            text.push(side.as_str().unwrap_or_default())?;
        }
    }
    let text = text.finish();
    Ok(if markup { Value::from_safe_string(text) } else { text.into() })
}

fn lists(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    let (Some(a), Some(b)) = (left.len(), right.len()) else {
        return Err(invalid("a generator can not be added to".to_owned()));
    };
    // A value takes 24 bytes, and 64 cost one.
    state.consume_fuel((a.saturating_add(b) / 2) as u64)?;
    let items: Vec<Value> = left.try_iter()?.chain(right.try_iter()?).collect();
    Ok(if left.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) })
}

fn numbers(left: &Value, right: &Value) -> Result<Value, Error> {
    let is_whole = |value: &Value| value.is_integer() || value.kind() == ValueKind::Bool;
    if is_whole(left) && is_whole(right) {
        let sum = i128::try_from(left.clone())?.checked_add(i128::try_from(right.clone())?);
        let sum = sum.ok_or_else(|| invalid("a sum is too large".to_owned()))?;
        return Ok(i64::try_from(sum).map_or_else(|_| Value::from(sum), Value::from));
    }
    Ok(Value::from(f64::try_from(left.clone())? + f64::try_from(right.clone())?))
}
