//! Metadata values: what stands behind a key.
//!
//! The variants are those of the GGUF specification, no more. A list of 262,144 token strings is one block of
//! bytes with an index beside it, not as many allocations.

use std::fmt;

/// The types that a metadata value can have. The numbers are those of the GGUF specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ValueKind {
    /// An unsigned byte.
    U8 = 0,
    /// A signed byte.
    I8 = 1,
    /// 16 bits, unsigned.
    U16 = 2,
    /// 16 bits, signed.
    I16 = 3,
    /// 32 bits, unsigned.
    U32 = 4,
    /// 32 bits, signed.
    I32 = 5,
    /// IEEE 754 binary32.
    F32 = 6,
    /// One byte, 0 or 1.
    Bool = 7,
    /// A length and as many bytes.
    String = 8,
    /// A type, a count and as many values.
    Array = 9,
    /// 64 bits, unsigned.
    U64 = 10,
    /// 64 bits, signed.
    I64 = 11,
    /// IEEE 754 binary64.
    F64 = 12,
}

impl ValueKind {
    const ALL: [ValueKind; 13] = {
        use ValueKind::*;
        [U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64]
    };

    /// The kind with this number in a file.
    pub(crate) fn from_id(id: u32) -> Option<ValueKind> {
        ValueKind::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// The number in a file.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// The name in messages, `"u32"`.
    pub fn name(self) -> &'static str {
        match self {
            ValueKind::U8 => "u8",
            ValueKind::I8 => "i8",
            ValueKind::U16 => "u16",
            ValueKind::I16 => "i16",
            ValueKind::U32 => "u32",
            ValueKind::I32 => "i32",
            ValueKind::F32 => "f32",
            ValueKind::Bool => "bool",
            ValueKind::String => "string",
            ValueKind::Array => "array",
            ValueKind::U64 => "u64",
            ValueKind::I64 => "i64",
            ValueKind::F64 => "f64",
        }
    }

    /// The fewest bytes that a value of this kind takes up in a file.
    pub(crate) fn bytes_min(self) -> u64 {
        match self {
            ValueKind::U8 | ValueKind::I8 | ValueKind::Bool => 1,
            ValueKind::U16 | ValueKind::I16 => 2,
            ValueKind::U32 | ValueKind::I32 | ValueKind::F32 => 4,
            ValueKind::U64 | ValueKind::I64 | ValueKind::F64 | ValueKind::String => 8,
            ValueKind::Array => 12,
        }
    }
}

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An unsigned byte.
    U8(u8),
    /// A signed byte.
    I8(i8),
    /// 16 bits, unsigned.
    U16(u16),
    /// 16 bits, signed.
    I16(i16),
    /// 32 bits, unsigned.
    U32(u32),
    /// 32 bits, signed.
    I32(i32),
    /// IEEE 754 binary32.
    F32(f32),
    /// 64 bits, unsigned.
    U64(u64),
    /// 64 bits, signed.
    I64(i64),
    /// IEEE 754 binary64.
    F64(f64),
    /// True or false.
    Bool(bool),
    /// Text. The specification says UTF-8, but nothing keeps a file to it: [`Value::text`] looks.
    String(Vec<u8>),
    /// Many values of one type.
    Array(Array),
}

impl Value {
    /// The type of this value.
    pub fn kind(&self) -> ValueKind {
        match self {
            Value::U8(_) => ValueKind::U8,
            Value::I8(_) => ValueKind::I8,
            Value::U16(_) => ValueKind::U16,
            Value::I16(_) => ValueKind::I16,
            Value::U32(_) => ValueKind::U32,
            Value::I32(_) => ValueKind::I32,
            Value::F32(_) => ValueKind::F32,
            Value::U64(_) => ValueKind::U64,
            Value::I64(_) => ValueKind::I64,
            Value::F64(_) => ValueKind::F64,
            Value::Bool(_) => ValueKind::Bool,
            Value::String(_) => ValueKind::String,
            Value::Array(_) => ValueKind::Array,
        }
    }

    /// The number, if this is an integer of any width.
    pub fn integer(&self) -> Option<i128> {
        match *self {
            Value::U8(v) => Some(v.into()),
            Value::I8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::I16(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::I32(v) => Some(v.into()),
            Value::U64(v) => Some(v.into()),
            Value::I64(v) => Some(v.into()),
            _ => None,
        }
    }

    /// The number, if this is a floating-point one.
    pub fn float(&self) -> Option<f64> {
        match *self {
            Value::F32(v) => Some(v.into()),
            Value::F64(v) => Some(v),
            _ => None,
        }
    }

    /// The text, if this is a string of valid UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// What this value is, for a message: `"the i32 -1"`, `"an array of 5 strings"`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Value::Bool(value) => format!("the bool {value}"),
            Value::String(bytes) if std::str::from_utf8(bytes).is_err() => {
                "a string that is not UTF-8".into()
            }
            Value::String(_) => "a string".into(),
            Value::Array(array) => format!("an array of {} {}", array.len(), array.kind().name()),
            // In its own precision: as an f64, 1e-5f32 would be 0.000009999999747378752.
            Value::F32(value) => format!("the f32 {value:?}"),
            Value::F64(value) => format!("the f64 {value:?}"),
            integer => {
                let number = integer.integer().expect("every other kind is an integer");
                format!("the {} {number}", integer.kind().name())
            }
        }
    }
}

/// Many values of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// 16 bits each, unsigned.
    U16(Vec<u16>),
    /// 16 bits each, signed.
    I16(Vec<i16>),
    /// 32 bits each, unsigned.
    U32(Vec<u32>),
    /// 32 bits each, signed.
    I32(Vec<i32>),
    /// IEEE 754 binary32.
    F32(Vec<f32>),
    /// 64 bits each, unsigned.
    U64(Vec<u64>),
    /// 64 bits each, signed.
    I64(Vec<i64>),
    /// IEEE 754 binary64.
    F64(Vec<f64>),
    /// True or false.
    Bool(Vec<bool>),
    /// Texts.
    String(Strings),
    /// Arrays, each of a type of its own.
    Array(Vec<Array>),
}

impl Array {
    /// The type of the elements.
    pub fn kind(&self) -> ValueKind {
        match self {
            Array::U8(_) => ValueKind::U8,
            Array::I8(_) => ValueKind::I8,
            Array::U16(_) => ValueKind::U16,
            Array::I16(_) => ValueKind::I16,
            Array::U32(_) => ValueKind::U32,
            Array::I32(_) => ValueKind::I32,
            Array::F32(_) => ValueKind::F32,
            Array::U64(_) => ValueKind::U64,
            Array::I64(_) => ValueKind::I64,
            Array::F64(_) => ValueKind::F64,
            Array::Bool(_) => ValueKind::Bool,
            Array::String(_) => ValueKind::String,
            Array::Array(_) => ValueKind::Array,
        }
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Array::U8(v) => v.len(),
            Array::I8(v) => v.len(),
            Array::U16(v) => v.len(),
            Array::I16(v) => v.len(),
            Array::U32(v) => v.len(),
            Array::I32(v) => v.len(),
            Array::F32(v) => v.len(),
            Array::U64(v) => v.len(),
            Array::I64(v) => v.len(),
            Array::F64(v) => v.len(),
            Array::Bool(v) => v.len(),
            Array::String(v) => v.len(),
            Array::Array(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index` as a value of its own, `None` beyond the end.
    pub fn get(&self, index: usize) -> Option<Value> {
        match self {
            Array::U8(v) => v.get(index).copied().map(Value::U8),
            Array::I8(v) => v.get(index).copied().map(Value::I8),
            Array::U16(v) => v.get(index).copied().map(Value::U16),
            Array::I16(v) => v.get(index).copied().map(Value::I16),
            Array::U32(v) => v.get(index).copied().map(Value::U32),
            Array::I32(v) => v.get(index).copied().map(Value::I32),
            Array::F32(v) => v.get(index).copied().map(Value::F32),
            Array::U64(v) => v.get(index).copied().map(Value::U64),
            Array::I64(v) => v.get(index).copied().map(Value::I64),
            Array::F64(v) => v.get(index).copied().map(Value::F64),
            Array::Bool(v) => v.get(index).copied().map(Value::Bool),
            Array::String(v) => v.get(index).map(|bytes| Value::String(bytes.to_vec())),
            Array::Array(v) => v.get(index).cloned().map(Value::Array),
        }
    }
}

/// Many strings in one block of memory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Strings {
    bytes: Vec<u8>,
    ends: Vec<u32>, // string i is bytes[ends[i - 1]..ends[i]]
}

impl Strings {
    /// Room for `count` strings of `bytes` bytes together.
    pub(crate) fn with_capacity(count: usize, bytes: usize) -> Strings {
        Strings { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(count) }
    }

    /// Appends a string.
    ///
    /// # Panics
    /// When all strings together exceed 4 GiB, which the reader's limits rule out.
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(u32::try_from(self.bytes.len()).expect("strings of one array stay below 4 GiB"));
    }

    /// How many strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of string `index`, `None` beyond the end.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        Some(&self.bytes[start..end])
    }

    /// The bytes of each string, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index).expect("the index is below the length"))
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

impl<S: AsRef<[u8]>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Strings {
        let mut all = Strings::default();
        strings.into_iter().for_each(|string| all.push(string.as_ref()));
        all
    }
}

macro_rules! value_from {
    ($($plain:ty => $variant:ident),* $(,)?) => {$(
        impl From<$plain> for Value {
            fn from(value: $plain) -> Value {
                Value::$variant(value)
            }
        }
        impl From<Vec<$plain>> for Value {
            fn from(values: Vec<$plain>) -> Value {
                Value::Array(Array::$variant(values))
            }
        }
    )*};
}

value_from!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, f32 => F32, u64 => U64,
    i64 => I64, f64 => F64, bool => Bool, Array => Array);

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text.into_bytes())
    }
}

impl<S: AsRef<str>> From<&[S]> for Value {
    fn from(texts: &[S]) -> Value {
        Value::Array(Array::String(texts.iter().map(|text| text.as_ref().as_bytes()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_numbers_agree() {
        for (id, kind) in ValueKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.id() as usize, id, "{}", kind.name());
            assert_eq!(ValueKind::from_id(kind.id()), Some(kind));
        }
        assert_eq!(ValueKind::from_id(13), None);
    }

    #[test]
    fn strings_share_one_block() {
        let strings: Strings = ["a", "", "ßc"].into_iter().collect();
        assert_eq!(strings.len(), 3);
        assert_eq!(strings.iter().collect::<Vec<_>>(), [b"a".as_slice(), b"", "ßc".as_bytes()]);
        assert_eq!(strings.get(3), None);
    }

    #[test]
    fn values_describe_themselves() {
        let check = |value: Value, expect: &str| assert_eq!(value.describe(), expect);
        check(Value::I32(-1), "the i32 -1");
        check(Value::F64(0.5), "the f64 0.5");
        check(Value::from("x"), "a string");
        check(Value::String(vec![0xff]), "a string that is not UTF-8");
        check(Value::from(vec![1u8, 2]), "an array of 2 u8");
        check(Value::from(true), "the bool true");
    }
}
