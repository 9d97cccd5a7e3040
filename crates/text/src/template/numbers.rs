//! Filters and operators on numbers as Python has them.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value, filters};

use super::python;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The most items of a range, as in jinja2's sandbox.
const RANGE_MAX: i128 = 100_000;

/// `range(stop)`, `range(start, stop)`, `range(start, stop, step)`.
pub(super) fn range(
    state: &State,
    first: i64,
    stop: Option<i64>,
    step: Option<i64>,
) -> Result<Vec<i64>, Error> {
    let (start, stop) = stop.map_or((0, first), |stop| (first, stop));
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(invalid("range with a step of 0"));
    }
    let (span, stride) = (i128::from(stop) - i128::from(start), i128::from(step));
    // Rounded up, away from the last item that would be too far.
    let items = ((span + stride - stride.signum()) / stride).max(0);
    if items > RANGE_MAX {
        return Err(invalid(format!("range of {items} items, the most are {RANGE_MAX}")));
    }
    let items = i64::try_from(items).expect("checked just now");
    state.consume_fuel(items as u64 / 2)?;
    Ok((0..items).map(|index| start + index * step).collect())
}

/// `int(default, base)`: what is no number is the default, 0.
pub(super) fn int(
    state: &State,
    value: Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let default = default.or(kwargs.get("default")?).unwrap_or_else(|| Value::from(0));
    let base = base.or(kwargs.get("base")?);
    kwargs.assert_all_used()?;
    filters::int(state, &trimmed(value), Some(default), base, none())
}

/// `float(default)`: what is no number is the default, 0.0.
pub(super) fn float(
    state: &State,
    value: Value,
    default: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let default = default.or(kwargs.get("default")?).unwrap_or_else(|| Value::from(0.0));
    kwargs.assert_all_used()?;
    filters::float(state, &trimmed(value), Some(default), none())
}

/// A text without the white space around it, which Python's numbers may have.
fn trimmed(value: Value) -> Value {
    match value.as_str() {
        Some(text) => Value::from(text.trim()),
        None => value,
    }
}

fn none() -> Kwargs {
    Kwargs::from_iter(std::iter::empty::<(&str, Value)>())
}

/// Python's `%`: the remainder with the sign of the divisor, or printf-like formatting when the left side is a string.
pub(super) fn modulo(state: &mut State, left: Value, right: Value) -> Result<Value, Error> {
    if left.kind() == ValueKind::String {
        return format_percent(state, left, right);
    }
    let impossible = || invalid(format!("unsupported operands for %: {} and {}", left.kind(), right.kind()));
    let numeric = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if !numeric(&left) || !numeric(&right) {
        return Err(impossible());
    }
    if let (Ok(a), Ok(b)) = (i128::try_from(left.clone()), i128::try_from(right.clone()))
        && (left.is_integer() || left.kind() == ValueKind::Bool)
        && (right.is_integer() || right.kind() == ValueKind::Bool)
    {
        let remainder = a.checked_rem(b).ok_or_else(|| invalid("modulo by zero"))?;
        let floored = remainder != 0 && (remainder < 0) != (b < 0);
        let result = if floored { remainder + b } else { remainder };
        return Ok(i64::try_from(result).map_or_else(|_| Value::from(result), Value::from));
    }
    let (a, b) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
    if b == 0.0 {
        return Err(invalid("modulo by zero"));
    }
    let remainder = a % b;
    let floored = remainder != 0.0 && (remainder < 0.0) != (b < 0.0);
    Ok(Value::from(if floored { remainder + b } else { remainder }))
}

fn format_percent(state: &mut State, format: Value, values: Value) -> Result<Value, Error> {
    let mut arguments = vec![format];
    if values.is_tuple() {
        for value in values.try_iter()? {
            arguments.push(printable(state, value)?);
        }
    } else if values.kind() == ValueKind::Map {
        arguments.push(values);
    } else {
        arguments.push(printable(state, values)?);
    }
    state.apply_filter("format", &arguments)
}

/// A container as its text, which has to be paid for; anything else as it is.
fn printable(state: &State, value: Value) -> Result<Value, Error> {
    Ok(match value.as_object() {
        Some(_) => python::str(state, &value)?.into(),
        None => value,
    })
}
