//! The metadata of a model: keys in file order, looked up by name and asked for by type.
//!
//! A getter either gives the value as the type that the caller needs or an error that names the key, what stands
//! there and what was expected. Integers of any width do where one is expected, as converters disagree on widths.

use std::path::{Path, PathBuf};

use super::value::{Array, Strings, Value};
use crate::error::Error;

/// The metadata of one model.
#[derive(Debug)]
pub struct Metadata {
    path: PathBuf, // for messages
    entries: Vec<(String, Value)>,
    by_key: Vec<u32>, // indices of `entries` in the order of their keys
}

impl Metadata {
    /// Metadata of the file at `path`, which is only named in messages. A key must not occur twice.
    pub fn new(path: &Path, entries: Vec<(String, Value)>) -> Result<Metadata, Error> {
        let count = u32::try_from(entries.len()).expect("a file has fewer than 2^32 metadata keys");
        let key = |index: u32| entries[index as usize].0.as_str();
        let mut by_key: Vec<u32> = (0..count).collect();
        by_key.sort_unstable_by(|&a, &b| key(a).cmp(key(b)));
        if let Some(pair) = by_key.windows(2).find(|pair| key(pair[0]) == key(pair[1])) {
            let key = key(pair[0]).to_string();
            return Err(Error::BadKey { path: path.to_path_buf(), key, what: "occurs twice".into() });
        }
        Ok(Metadata { path: path.to_path_buf(), entries, by_key })
    }

    /// The value behind `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let key_of = |&index: &u32| self.entries[index as usize].0.as_str();
        let position = self.by_key.binary_search_by(|index| key_of(index).cmp(key)).ok()?;
        Some(&self.entries[self.by_key[position] as usize].1)
    }

    /// Keys and values in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The architecture, `"llama"`: the prefix of the keys that describe the model.
    pub fn architecture(&self) -> Result<&str, Error> {
        self.str("general.architecture")
    }

    /// The error for a value that has the right type but makes no sense, `what` continuing "metadata key … ".
    pub fn bad_key(&self, key: &str, what: impl Into<String>) -> Error {
        Error::BadKey { path: self.path.clone(), key: key.to_string(), what: what.into() }
    }

    fn optional<'a, T: Typed<'a>>(&'a self, key: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        T::from_value(value).map(Some).map_err(|found| Error::WrongType {
            path: self.path.clone(),
            key: key.to_string(),
            found,
            expected: T::EXPECTED,
        })
    }

    fn required<'a, T: Typed<'a>>(&'a self, key: &str) -> Result<T, Error> {
        self.optional(key)?.ok_or_else(|| Error::MissingKey {
            path: self.path.clone(),
            key: key.to_string(),
            expected: T::EXPECTED,
        })
    }
}

macro_rules! getters {
    ($($get:ident, $get_optional:ident: $type:ty, $what:literal;)*) => {
        impl Metadata {$(
            #[doc = concat!("The value behind `key`, which must be there: ", $what, ".")]
            pub fn $get(&self, key: &str) -> Result<$type, Error> {
                self.required(key)
            }

            #[doc = concat!("The value behind `key`, `None` if it is absent: ", $what, ".")]
            pub fn $get_optional(&self, key: &str) -> Result<Option<$type>, Error> {
                self.optional(key)
            }
        )*}
    };
}

getters! {
    u32, opt_u32: u32, "an integer of any width, in range";
    u64, opt_u64: u64, "an integer of any width, in range";
    i32, opt_i32: i32, "an integer of any width, in range";
    f32, opt_f32: f32, "a finite floating-point number";
    bool, opt_bool: bool, "a bool";
    str, opt_str: &str, "a string of valid UTF-8";
    strings, opt_strings: Vec<&str>, "an array of strings, each of valid UTF-8";
    byte_strings, opt_byte_strings: &Strings, "an array of strings of any bytes";
    f32s, opt_f32s: Vec<f32>, "an array of floating-point numbers, none of them NaN";
    u32s, opt_u32s: Vec<u32>, "an array of integers of any width, each in range";
    i32s, opt_i32s: Vec<i32>, "an array of integers of any width, each in range";
    bools, opt_bools: Vec<bool>, "an array of bools";
}

/// A type that a getter gives. The error of `from_value` says what was found.
trait Typed<'a>: Sized {
    const EXPECTED: &'static str;
    fn from_value(value: &'a Value) -> Result<Self, String>;
}

macro_rules! typed_integers {
    ($($type:ty, $one:literal, $many:literal;)*) => {$(
        impl Typed<'_> for $type {
            const EXPECTED: &'static str = $one;
            fn from_value(value: &Value) -> Result<$type, String> {
                value.integer().and_then(|v| v.try_into().ok()).ok_or_else(|| value.describe())
            }
        }
        impl Typed<'_> for Vec<$type> {
            const EXPECTED: &'static str = $many;
            fn from_value(value: &Value) -> Result<Vec<$type>, String> {
                collect(value, |element| <$type>::from_value(element).ok())
            }
        }
    )*};
}

typed_integers! {
    u32, "an integer of 0 to 4294967295", "an array of integers of 0 to 4294967295";
    u64, "an integer of 0 to 18446744073709551615", "an array of integers of 0 to 18446744073709551615";
    i32, "an integer of -2147483648 to 2147483647", "an array of integers of -2147483648 to 2147483647";
}

impl Typed<'_> for f32 {
    const EXPECTED: &'static str = "a finite floating-point number";
    fn from_value(value: &Value) -> Result<f32, String> {
        value.float().map(|v| v as f32).filter(|v| v.is_finite()).ok_or_else(|| value.describe())
    }
}

impl Typed<'_> for bool {
    const EXPECTED: &'static str = "a bool";
    fn from_value(value: &Value) -> Result<bool, String> {
        match value {
            Value::Bool(value) => Ok(*value),
            other => Err(other.describe()),
        }
    }
}

impl<'a> Typed<'a> for &'a str {
    const EXPECTED: &'static str = "a string of valid UTF-8";
    fn from_value(value: &'a Value) -> Result<&'a str, String> {
        value.text().ok_or_else(|| value.describe())
    }
}

impl<'a> Typed<'a> for &'a Strings {
    const EXPECTED: &'static str = "an array of strings";
    fn from_value(value: &'a Value) -> Result<&'a Strings, String> {
        match value {
            Value::Array(Array::String(strings)) => Ok(strings),
            other => Err(other.describe()),
        }
    }
}

impl<'a> Typed<'a> for Vec<&'a str> {
    const EXPECTED: &'static str = "an array of strings of valid UTF-8";
    fn from_value(value: &'a Value) -> Result<Vec<&'a str>, String> {
        let text = |(index, bytes)| {
            std::str::from_utf8(bytes).map_err(|_| format!("an array whose element {index} is not UTF-8"))
        };
        <&Strings>::from_value(value)?.iter().enumerate().map(text).collect()
    }
}

impl Typed<'_> for Vec<f32> {
    const EXPECTED: &'static str = "an array of floating-point numbers";
    fn from_value(value: &Value) -> Result<Vec<f32>, String> {
        collect(value, |element| element.float().map(|v| v as f32).filter(|v| !v.is_nan()))
    }
}

impl Typed<'_> for Vec<bool> {
    const EXPECTED: &'static str = "an array of bools";
    fn from_value(value: &Value) -> Result<Vec<bool>, String> {
        collect(value, |element| bool::from_value(element).ok())
    }
}

/// The elements of an array, each converted; the error names the first that does not convert.
fn collect<T>(value: &Value, convert: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, String> {
    let Value::Array(array) = value else { return Err(value.describe()) };
    // Text and arrays never convert; element 0 would be copied out only to be described.
    if let Array::String(_) | Array::Array(_) = array {
        return Err(value.describe());
    }
    let element = |index| {
        let element = array.get(index).expect("the index is below the length");
        convert(&element).ok_or_else(|| format!("an array whose element {index} is {}", element.describe()))
    };
    (0..array.len()).map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        let entries: Vec<(&str, Value)> = vec![
            ("general.architecture", "llama".into()),
            ("z.count", 7u16.into()),
            ("big", (1u64 << 32).into()),
            ("negative", (-1i64).into()),
            ("eps", 1e-5f32.into()),
            ("nan", f32::NAN.into()),
            ("flag", true.into()),
            ("list", vec![1i32, -2].into()),
            ("scores", vec![0.5f64, f64::NEG_INFINITY].into()),
            ("tokens", ["a", "b"].as_slice().into()),
            ("bytes", Value::Array(Array::String([b"a".as_slice(), b"\xff"].into_iter().collect()))),
            ("text", Value::String(b"\xff".to_vec())),
        ];
        let entries = entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        Metadata::new(Path::new("m.gguf"), entries).expect("no key occurs twice")
    }

    #[test]
    fn keys_keep_their_order_and_are_found() {
        let metadata = metadata();
        assert_eq!(metadata.len(), 12);
        assert_eq!(metadata.iter().nth(1).map(|(key, _)| key), Some("z.count"));
        assert_eq!(metadata.get("big"), Some(&Value::U64(1 << 32)));
        assert_eq!(metadata.get("bi"), None);
    }

    #[test]
    fn values_come_as_the_type_asked_for() {
        let metadata = metadata();
        assert_eq!(metadata.architecture().unwrap(), "llama");
        assert_eq!(metadata.u32("z.count").unwrap(), 7);
        assert_eq!(metadata.u64("big").unwrap(), 1 << 32);
        assert_eq!(metadata.i32("negative").unwrap(), -1);
        assert_eq!(metadata.f32("eps").unwrap(), 1e-5);
        assert!(metadata.bool("flag").unwrap());
        assert_eq!(metadata.i32s("list").unwrap(), [1, -2]);
        assert_eq!(metadata.f32s("scores").unwrap(), [0.5, f32::NEG_INFINITY]);
        assert_eq!(metadata.strings("tokens").unwrap(), ["a", "b"]);
        assert_eq!(metadata.byte_strings("bytes").unwrap().get(1), Some(b"\xff".as_slice()));
        assert_eq!(metadata.opt_u32("absent").unwrap(), None);
        assert_eq!(metadata.opt_u32("z.count").unwrap(), Some(7));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        fn check<T: std::fmt::Debug>(result: Result<T, Error>, expect: &str) {
            let error = result.unwrap_err();
            assert!(!error.is_io());
            assert!(error.to_string().contains(expect), "{error}");
        }
        let metadata = metadata();
        check(
            metadata.u32("absent"),
            r#"m.gguf: metadata key "absent" is missing, expected an integer of 0 to"#,
        );
        check(
            metadata.u32("big"),
            r#"key "big" is the u64 4294967296, expected an integer of 0 to 4294967295"#,
        );
        check(metadata.u32("negative"), "is the i64 -1, expected");
        check(metadata.opt_u32("eps"), "is the f32 1e-5, expected an integer");
        check(metadata.f32("nan"), "is the f32 NaN, expected a finite");
        check(metadata.f32("z.count"), "is the u16 7, expected a finite");
        check(
            metadata.u32s("list"),
            "is an array whose element 1 is the i32 -2, expected an array of integers",
        );
        check(metadata.u32s("tokens"), "is an array of 2 string, expected an array of integers");
        check(metadata.strings("bytes"), "is an array whose element 1 is not UTF-8");
        check(metadata.strings("list"), "is an array of 2 i32, expected an array of strings");
        check(metadata.str("text"), "is a string that is not UTF-8, expected a string of valid UTF-8");
        check(metadata.bool("z.count"), "is the u16 7, expected a bool");
        check(metadata.f32s("eps"), "is the f32 1e-5, expected an array");
    }

    #[test]
    fn a_key_that_occurs_twice_is_refused() {
        let entries =
            vec![("a".to_string(), Value::U8(1)), ("b".into(), 2u8.into()), ("a".into(), 3u8.into())];
        let error = Metadata::new(Path::new("m.gguf"), entries).unwrap_err();
        assert!(error.to_string().contains(r#"metadata key "a" occurs twice"#), "{error}");
    }
}
