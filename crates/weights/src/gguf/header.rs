//! The head of one GGUF file: magic, version, counts and metadata, read from its bytes.
//!
//! Layout, from the GGUF specification, all numbers little-endian:
//!
//! ```text
//! "GGUF"  version u32  tensors u64  keys u64
//! keys ×    { name: string, kind u32, value }
//! tensors × { name: string, dims u32, dims × u64, type u32, offset u64 }
//! padding to general.alignment, then the tensors' data
//! ```

use std::path::Path;

use super::cursor::Cursor;
use super::metadata::Metadata;
use super::tensor::{self, TensorInfo};
use super::value::{Array, Strings, Value, ValueKind};
use crate::error::{Error, Shown};

/// What every GGUF file starts with.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";
/// Where tensor data is aligned if the metadata does not say.
pub(crate) const ALIGNMENT_DEFAULT: u64 = 32;

const ALIGNMENT_MAX: u64 = 1 << 20;
const KEYS_MAX: u64 = 1 << 16;
const KEY_BYTES_MAX: u64 = (1 << 16) - 1;
const STRING_BYTES_MAX: u64 = 40 << 20;
const ELEMENTS_MAX: u64 = 1 << 25;
const NESTING_MAX: u32 = 4;

/// What stands at the head of one file.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) metadata: Metadata,
    pub(crate) tensors: Vec<TensorInfo>,
}

/// Reads the head of the file that `bytes` are. `part` is the number that its tensors get.
pub(crate) fn read(bytes: &[u8], path: &Path, part: usize) -> Result<Header, Error> {
    check_magic(bytes, path)?;
    let mut cursor = Cursor::new(bytes, path);
    cursor.take(MAGIC.len() as u64, "the magic number")?;
    let version = read_version(&mut cursor)?;
    // A tensor takes up at least 33 bytes (a name of one byte, one dimension), a key 14.
    let tensor_count = cursor.count(tensor::TENSORS_MAX, 33, "the tensor count")?;
    let key_count = cursor.count(KEYS_MAX, 14, "the metadata key count")?;
    let metadata = read_metadata(&mut cursor, key_count)?;
    let alignment = alignment(&metadata)?;
    let mut tensors = tensor::read_table(&mut cursor, tensor_count, part)?;
    let data_start = cursor.offset().next_multiple_of(alignment);
    tensor::place(
        &mut tensors,
        &tensor::DataArea { path, start: data_start, end: bytes.len() as u64, alignment },
    )?;
    Ok(Header { version, metadata, tensors })
}

/// Other things that end up under the name of a model file, by their first bytes.
const IMPOSTORS: [(&[u8], &str, &str); 8] = [
    (b"FUGG", "a big-endian GGUF file", "convert the model for little-endian machines"),
    (b"lmgg", "GGML, the format before GGUF", "download a GGUF version of the model"),
    (b"fmgg", "GGMF, a format before GGUF", "download a GGUF version of the model"),
    (b"tjgg", "GGJT, a format before GGUF", "download a GGUF version of the model"),
    (b"PK\x03\x04", "a zip archive, perhaps a PyTorch pickle", "download a GGUF version of the model"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file behind it: git lfs pull"),
    (b"<", "a web page", "download it again, from the link to the file itself"),
    (b"{", "JSON text", "download it again, from the link to the file itself"),
];

fn check_magic(bytes: &[u8], path: &Path) -> Result<(), Error> {
    if bytes.starts_with(MAGIC) {
        return Ok(());
    }
    let impostor = IMPOSTORS.iter().find(|(start, ..)| bytes.starts_with(start));
    let (found, advice) = match (impostor, bytes) {
        (Some((_, what, advice)), _) => ((*what).to_string(), *advice),
        (None, [a, b, c, d, ..]) => (
            format!("it starts with bytes {a:02x} {b:02x} {c:02x} {d:02x}"),
            "name a .gguf file, or download it again",
        ),
        (None, short) => (format!("{} bytes", short.len()), "the download stopped early: download it again"),
    };
    Err(Error::NotGguf { path: path.to_path_buf(), found, advice })
}

fn read_version(cursor: &mut Cursor) -> Result<u32, Error> {
    let version = cursor.u32("the version")?;
    let found = match version {
        2 | 3 => return Ok(version),
        // Read in the wrong order, a small version's bytes are all at the top.
        _ if version != 0 && version & 0xffff == 0 => {
            format!("GGUF version {} in big-endian byte order", version.swap_bytes())
        }
        _ => format!("GGUF version {version}"),
    };
    Err(Error::Version { path: cursor.path().to_path_buf(), found })
}

fn read_metadata(cursor: &mut Cursor, count: usize) -> Result<Metadata, Error> {
    const ENTRY_BYTES: usize = size_of::<(String, Value)>() + size_of::<u32>();
    cursor.charge((count * ENTRY_BYTES) as u64, "the keys")?;
    let mut entries = Vec::with_capacity(count);
    for index in 0..count {
        let key = cursor.name(KEY_BYTES_MAX, format_args!("the name of metadata key {index} of {count}"))?;
        cursor.charge(key.len() as u64, Shown(key))?;
        let kind = read_kind(cursor, key)?;
        let value = read_value(cursor, kind, key)?;
        entries.push((key.to_string(), value));
    }
    Metadata::new(cursor.path(), entries)
}

fn read_kind(cursor: &mut Cursor, key: &str) -> Result<ValueKind, Error> {
    let offset = cursor.offset();
    let id = cursor.u32(format_args!("the type of metadata key {}", Shown(key)))?;
    ValueKind::from_id(id).ok_or_else(|| {
        let what =
            format_args!("metadata key {} is of type {id}, the last known is 12", Shown(key)).to_string();
        cursor.malformed(offset, what)
    })
}

fn read_value(cursor: &mut Cursor, kind: ValueKind, key: &str) -> Result<Value, Error> {
    let shown = Shown(key);
    let what = format_args!("the value of metadata key {shown}");
    Ok(match kind {
        ValueKind::U8 => Value::U8(u8::from_le_bytes(cursor.array(what)?)),
        ValueKind::I8 => Value::I8(i8::from_le_bytes(cursor.array(what)?)),
        ValueKind::U16 => Value::U16(u16::from_le_bytes(cursor.array(what)?)),
        ValueKind::I16 => Value::I16(i16::from_le_bytes(cursor.array(what)?)),
        ValueKind::U32 => Value::U32(u32::from_le_bytes(cursor.array(what)?)),
        ValueKind::I32 => Value::I32(i32::from_le_bytes(cursor.array(what)?)),
        ValueKind::F32 => Value::F32(f32::from_le_bytes(cursor.array(what)?)),
        ValueKind::U64 => Value::U64(u64::from_le_bytes(cursor.array(what)?)),
        ValueKind::I64 => Value::I64(i64::from_le_bytes(cursor.array(what)?)),
        ValueKind::F64 => Value::F64(f64::from_le_bytes(cursor.array(what)?)),
        ValueKind::Bool => {
            let offset = cursor.offset();
            let [byte] = cursor.array(what)?;
            Value::Bool(bool_of(byte).ok_or_else(|| cursor.malformed(offset, not_bool(key, byte)))?)
        }
        ValueKind::String => {
            let bytes = cursor.string(STRING_BYTES_MAX, what)?;
            cursor.charge(bytes.len() as u64, what)?;
            Value::String(bytes.to_vec())
        }
        ValueKind::Array => Value::Array(read_array(cursor, key, 1)?),
    })
}

fn read_array(cursor: &mut Cursor, key: &str, depth: u32) -> Result<Array, Error> {
    let shown = Shown(key);
    let what = format_args!("the array of metadata key {shown}");
    let start = cursor.offset();
    if depth > NESTING_MAX {
        let problem = format!("{what} nests more than {NESTING_MAX} deep");
        return Err(cursor.malformed(start, problem));
    }
    let kind = read_kind(cursor, key)?;
    let count = cursor.count(ELEMENTS_MAX, kind.bytes_min(), format_args!("the length of {what}"))?;
    match kind {
        ValueKind::String => return read_strings(cursor, key, count).map(Array::String),
        ValueKind::Array => {
            cursor.charge((count * size_of::<Array>()) as u64, what)?;
            let mut arrays = Vec::with_capacity(count);
            for _ in 0..count {
                arrays.push(read_array(cursor, key, depth + 1)?);
            }
            return Ok(Array::Array(arrays));
        }
        _ => {}
    }
    let bytes = count as u64 * kind.bytes_min();
    cursor.charge(bytes, what)?;
    let offset = cursor.offset();
    let raw = cursor.take(bytes, what)?;
    Ok(match kind {
        ValueKind::U8 => Array::U8(raw.to_vec()),
        ValueKind::I8 => Array::I8(numbers(raw, i8::from_le_bytes)),
        ValueKind::U16 => Array::U16(numbers(raw, u16::from_le_bytes)),
        ValueKind::I16 => Array::I16(numbers(raw, i16::from_le_bytes)),
        ValueKind::U32 => Array::U32(numbers(raw, u32::from_le_bytes)),
        ValueKind::I32 => Array::I32(numbers(raw, i32::from_le_bytes)),
        ValueKind::F32 => Array::F32(numbers(raw, f32::from_le_bytes)),
        ValueKind::U64 => Array::U64(numbers(raw, u64::from_le_bytes)),
        ValueKind::I64 => Array::I64(numbers(raw, i64::from_le_bytes)),
        ValueKind::F64 => Array::F64(numbers(raw, f64::from_le_bytes)),
        ValueKind::Bool => {
            if let Some(index) = raw.iter().position(|&byte| bool_of(byte).is_none()) {
                return Err(cursor.malformed(offset + index as u64, not_bool(key, raw[index])));
            }
            Array::Bool(raw.iter().map(|&byte| byte == 1).collect())
        }
        ValueKind::String | ValueKind::Array => unreachable!("strings and arrays have returned above"),
    })
}

/// Reads the strings twice: first their lengths, so that the one block for them is allocated at its right size.
fn read_strings(cursor: &mut Cursor, key: &str, count: usize) -> Result<Strings, Error> {
    let shown = Shown(key);
    let mut ahead = cursor.fork();
    let mut total = 0;
    for index in 0..count {
        let what = format_args!("string {index} of metadata key {shown}");
        total += ahead.string(STRING_BYTES_MAX, what)?.len();
    }
    cursor.charge((total + count * size_of::<u32>()) as u64, format_args!("metadata key {shown}"))?;
    let mut strings = Strings::with_capacity(count, total);
    for _ in 0..count {
        strings.push(cursor.string(STRING_BYTES_MAX, "a string that was read before")?);
    }
    Ok(strings)
}

fn numbers<const N: usize, T>(raw: &[u8], from_le_bytes: fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|&bytes| from_le_bytes(bytes)).collect()
}

fn bool_of(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn not_bool(key: &str, byte: u8) -> String {
    format!("metadata key {} has a bool of value {byte}, neither 0 nor 1", Shown(key))
}

fn alignment(metadata: &Metadata) -> Result<u64, Error> {
    const KEY: &str = "general.alignment";
    let alignment = metadata.opt_u64(KEY)?.unwrap_or(ALIGNMENT_DEFAULT);
    if !alignment.is_power_of_two() || alignment > ALIGNMENT_MAX {
        let what = format!("is {alignment}, expected a power of two up to {ALIGNMENT_MAX}");
        return Err(metadata.bad_key(KEY, what));
    }
    Ok(alignment)
}
