//! Sizes, times and counts as people write them.

use std::ffi::OsStr;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// Units of bytes. A letter alone is the power of 1024, as memory is counted.
const BYTES: [(&str, u64); 13] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("b", 1),
];

/// Units of time, in seconds.
const SECONDS: [(&str, f64); 4] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// No time that is set is longer: a week.
const SECONDS_MAX: f64 = 7.0 * 24.0 * 3600.0;

/// The text of a value.
pub(super) fn text(value: &OsStr) -> Result<&str, String> {
    value.to_str().ok_or_else(|| "it is not valid UTF-8".to_owned())
}

/// A number of bytes: `8GiB`, `8G`, `500MB`, `1048576`.
pub(super) fn bytes(value: &OsStr) -> Result<u64, String> {
    let expected = || "it must be a size such as 8GiB, 8G, 500MB or a number of bytes".to_owned();
    let text = text(value)?.trim().to_ascii_lowercase();
    let (number, unit) = split(&text, BYTES.iter().copied()).unwrap_or((&text, 1));
    let number: f64 = number.trim().parse().map_err(|_| expected())?;
    let bytes = number * unit as f64;
    // Beyond 2^53 not every number can be written as a float, and no machine has as many bytes.
    if number.is_finite() && (1.0..=(1u64 << 53) as f64).contains(&bytes) {
        return Ok(bytes as u64);
    }
    Err(expected())
}

/// A time: `30s`, `2m`, `1.5h`, `500ms`, or a number of seconds.
pub(super) fn duration(value: &OsStr) -> Result<Duration, String> {
    let expected =
        || "it must be a time such as 30s, 2m, 500ms or a number of seconds, at most 7 days".to_owned();
    let text = text(value)?.trim().to_ascii_lowercase();
    let (number, unit) = split(&text, SECONDS.iter().copied()).unwrap_or((&text, 1.0));
    let number: f64 = number.trim().parse().map_err(|_| expected())?;
    let seconds = number * unit;
    if (0.0..=SECONDS_MAX).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(expected())
    }
}

/// A time that may be switched off with `none`.
pub(super) fn duration_or_none(value: &OsStr) -> Result<Option<Duration>, String> {
    if value == "none" {
        return Ok(None);
    }
    match duration(value).map_err(|why| why + ", or none")? {
        Duration::ZERO => Err("it must be more than 0, or none".to_owned()),
        time => Ok(Some(time)),
    }
}

/// A whole number within a range.
pub(super) fn count<T: FromStr + PartialOrd + Display>(value: &OsStr, min: T, max: T) -> Result<T, String> {
    match text(value)?.trim().parse::<T>() {
        Ok(value) if value >= min && value <= max => Ok(value),
        _ => Err(format!("it must be a number from {min} to {max}")),
    }
}

/// A switch.
pub(super) fn switch(value: &OsStr) -> Result<bool, String> {
    match text(value)?.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

/// A number and the unit behind it.
fn split<T>(text: &str, units: impl Iterator<Item = (&'static str, T)>) -> Option<(&str, T)> {
    units.into_iter().find_map(|(name, unit)| text.strip_suffix(name).map(|number| (number, unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, expect) in [
            ("8GiB", Some(8 << 30)),
            ("8G", Some(8 << 30)),
            ("8 g", Some(8 << 30)),
            ("500MB", Some(500_000_000)),
            ("0.5k", Some(512)),
            ("1", Some(1)),
            ("12b", Some(12)),
            ("0", None),
            ("-1G", None),
            ("8X", None),
            ("", None),
            ("GiB", None),
            ("nan", None),
            ("inf", None),
            ("1e300", None),
            ("99999999TiB", None),
        ] {
            assert_eq!(bytes(text.as_ref()).ok(), expect, "{text:?}");
        }
    }

    #[test]
    fn times_are_read_with_their_units() {
        for (text, expect) in [
            ("30", Some(30_000)),
            ("30s", Some(30_000)),
            ("2m", Some(120_000)),
            ("500ms", Some(500)),
            ("1.5 h", Some(5_400_000)),
            ("0", Some(0)),
            ("8000h", None),
            ("-1", None),
            ("soon", None),
            ("nan", None),
        ] {
            assert_eq!(duration(text.as_ref()).ok().map(|t| t.as_millis()), expect, "{text:?}");
        }
        assert_eq!(duration_or_none("none".as_ref()), Ok(None));
        assert!(duration_or_none("0".as_ref()).is_err());
    }
}
