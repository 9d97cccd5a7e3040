//! Writing GGUF files: version 3, little-endian.
//!
//! For models small enough to be held, [`GgufWriter::tensor`] takes the bytes; for others,
//! [`GgufWriter::declare`] takes the shape and [`GgufWriter::write_with`] asks for the bytes when their turn comes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use kernels::formats::Format;

use super::header::{ALIGNMENT_DEFAULT, MAGIC};
use super::tensor;
use super::value::{Array, Value};

/// A GGUF file in the making.
///
/// Nothing is checked until it is written; then a tensor whose bytes don't fit its shape, a key or tensor that
/// occurs twice and the like are errors of the kind [`io::ErrorKind::InvalidInput`].
#[derive(Debug, Clone)]
pub struct GgufWriter {
    alignment: u64,
    metadata: Vec<(String, Value)>,
    tensors: Vec<Declared>,
}

#[derive(Debug, Clone)]
struct Declared {
    name: String,
    shape: Vec<u64>,
    format: Format,
    bytes: Option<Vec<u8>>,
}

impl Default for GgufWriter {
    fn default() -> Self {
        GgufWriter::new()
    }
}

impl GgufWriter {
    /// A file without metadata or tensors.
    pub fn new() -> GgufWriter {
        GgufWriter { alignment: ALIGNMENT_DEFAULT, metadata: Vec::new(), tensors: Vec::new() }
    }

    /// Sets `key`; a key that is there already gets the new value in its old place.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        match self.metadata.iter_mut().find(|(present, _)| present == key) {
            Some((_, present)) => *present = value,
            None => self.metadata.push((key.to_string(), value)),
        }
        self
    }

    /// Starts each tensor at a multiple of `alignment` bytes, a power of two, and says so in `general.alignment`.
    pub fn alignment(&mut self, alignment: u32) -> &mut Self {
        self.alignment = alignment.into();
        self.set("general.alignment", alignment)
    }

    /// Adds a tensor with its data. `shape` has the fastest dimension first, `bytes` whole blocks row after row.
    pub fn tensor(&mut self, name: &str, shape: &[u64], format: Format, bytes: Vec<u8>) -> &mut Self {
        self.tensors.push(Declared { name: name.into(), shape: shape.into(), format, bytes: Some(bytes) });
        self
    }

    /// Adds a tensor whose data is asked for when the file is written.
    pub fn declare(&mut self, name: &str, shape: &[u64], format: Format) -> &mut Self {
        self.tensors.push(Declared { name: name.into(), shape: shape.into(), format, bytes: None });
        self
    }

    /// The file as bytes.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut file = Vec::new();
        self.write_with(&mut file, no_data)?;
        Ok(file)
    }

    /// Writes the file to `path`, over what may be there.
    pub fn write_file(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        self.write_with(&mut file, no_data)?;
        file.flush()
    }

    /// Writes the file to `out`. `data` is called for each declared tensor, in order, and writes its bytes.
    pub fn write_with<W: Write>(
        &self,
        out: &mut W,
        mut data: impl FnMut(&str, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let sizes = self.sizes()?;
        let mut out = Counted { inner: out, written: 0 };
        out.write_all(&self.head(&sizes)?)?;
        for (tensor, size) in self.tensors.iter().zip(sizes) {
            out.pad_to(self.alignment)?;
            let start = out.written;
            match &tensor.bytes {
                Some(bytes) => out.write_all(bytes)?,
                None => data(&tensor.name, &mut out)?,
            }
            if out.written - start != size {
                let (name, written) = (&tensor.name, out.written - start);
                return Err(invalid(format!("tensor {name} has {written} bytes, its shape needs {size}")));
            }
        }
        out.pad_to(self.alignment)
    }

    /// The bytes of each tensor, once everything that can be checked beforehand has been.
    fn sizes(&self) -> io::Result<Vec<u64>> {
        if !self.alignment.is_power_of_two() {
            return Err(invalid(format!("alignment {} is not a power of two", self.alignment)));
        }
        let mut names: Vec<&str> = self.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(invalid(format!("tensor {} occurs twice", pair[0])));
        }
        let size = |tensor: &Declared| {
            tensor::bytes_of(&tensor.shape, tensor.format)
                .map_err(|what| invalid(format!("tensor {}: {what}", tensor.name)))
        };
        self.tensors.iter().map(size).collect()
    }

    fn head(&self, sizes: &[u64]) -> io::Result<Vec<u8>> {
        let mut head = MAGIC.to_vec();
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_string(&mut head, key.as_bytes());
            head.extend(value.kind().id().to_le_bytes());
            put_value(&mut head, value);
        }
        let mut offset = 0u64;
        for (tensor, &size) in self.tensors.iter().zip(sizes) {
            put_string(&mut head, tensor.name.as_bytes());
            head.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().for_each(|dimension| head.extend(dimension.to_le_bytes()));
            head.extend(tensor.format.ggml_type.to_le_bytes());
            head.extend(offset.to_le_bytes());
            let end = offset.checked_add(size).and_then(|end| end.checked_next_multiple_of(self.alignment));
            offset = end.ok_or_else(|| invalid("the tensors together are larger than any file".into()))?;
        }
        Ok(head)
    }
}

fn no_data(name: &str, _: &mut dyn Write) -> io::Result<()> {
    Err(invalid(format!("tensor {name} was declared without data: use write_with")))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Counts what goes through, for padding and for checking sizes.
struct Counted<'a, W> {
    inner: &'a mut W,
    written: u64,
}

impl<W: Write> Counted<'_, W> {
    fn pad_to(&mut self, alignment: u64) -> io::Result<()> {
        let padding = self.written.next_multiple_of(alignment) - self.written;
        io::copy(&mut io::Read::take(io::repeat(0), padding), self).map(drop)
    }
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => out.push(*v),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push((*v).into()),
        Value::String(bytes) => put_string(out, bytes),
        Value::Array(array) => put_array(out, array),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend(array.kind().id().to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::U8(v) => out.extend(v),
        Array::I8(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::U16(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::I16(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::U32(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::I32(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::F32(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::U64(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::I64(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::F64(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::Bool(v) => out.extend(v.iter().map(|&v| u8::from(v))),
        Array::String(strings) => strings.iter().for_each(|string| put_string(out, string)),
        Array::Array(arrays) => arrays.iter().for_each(|array| put_array(out, array)),
    }
}
