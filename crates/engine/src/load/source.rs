//! What an architecture loads from: hyper-parameters and tensors by name, each checked as it is read.

use super::LoadError;
use kernels::formats::{self, Format};
use kernels::{Cpu, Matrix};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use weights::gguf::{Gguf, Value, ValueKind};

/// A model file that is being loaded.
pub struct Source<'a> {
    file: &'a Gguf,
    cpu: &'a Arc<Cpu>,
    architecture: String,
    used: HashSet<String>,
    progress: &'a mut dyn FnMut(f32),
    bytes_done: u64,
    bytes_all: u64,
}

/// No dimension of a model is larger; products of three of them fit in 64 bits.
pub const DIMENSION_MAX: usize = 1 << 21;

pub(super) fn path_of(file: &Gguf) -> String {
    file.paths().next().map_or_else(String::new, |p| p.display().to_string())
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a Gguf, cpu: &'a Arc<Cpu>, progress: &'a mut dyn FnMut(f32)) -> Self {
        let architecture = file.metadata().architecture().unwrap_or_default().to_owned();
        let bytes_all = file.tensors().map(|t| t.bytes()).sum::<u64>().max(1);
        Source { file, cpu, architecture, used: HashSet::new(), progress, bytes_done: 0, bytes_all }
    }

    /// The processor that the model will run on.
    pub fn cpu(&self) -> &Arc<Cpu> {
        self.cpu
    }

    /// A whole number, `{architecture}.{key}`, in `range`.
    pub fn number(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize, LoadError> {
        self.number_or(key, None, range)
    }

    /// As `number`, with a value for files that do not say.
    pub fn number_or(
        &self,
        key: &str,
        default: Option<usize>,
        range: RangeInclusive<usize>,
    ) -> Result<usize, LoadError> {
        let full = self.key(key);
        let found = match default {
            Some(default) => self.file.metadata().opt_u64(&full)?.map_or(default, saturate),
            None => saturate(self.file.metadata().u64(&full)?),
        };
        if range.contains(&found) {
            return Ok(found);
        }
        Err(self.bad(key, format!("{found} is not between {} and {}", range.start(), range.end())))
    }

    /// A positive, finite number.
    pub fn float_or(&self, key: &str, default: Option<f32>) -> Result<f32, LoadError> {
        let full = self.key(key);
        let found = match default {
            Some(default) => self.file.metadata().opt_f32(&full)?.unwrap_or(default),
            None => self.file.metadata().f32(&full)?,
        };
        if found.is_finite() && found > 0.0 {
            return Ok(found);
        }
        Err(self.bad(key, format!("{found} is not a positive number")))
    }

    /// Whether the file says anything about `{architecture}.{key}`.
    pub fn has_key(&self, key: &str) -> bool {
        self.file.metadata().get(&self.key(key)).is_some()
    }

    /// A string, if there is one.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, LoadError> {
        Ok(self.file.metadata().opt_str(&self.key(key))?)
    }

    /// Which of `layers` layers a list of true and false names, or, of a number n, all but every n-th.
    pub fn pattern(&self, key: &str, default: usize, layers: usize) -> Result<Vec<bool>, LoadError> {
        let (full, metadata) = (self.key(key), self.file.metadata());
        if let Some(Value::Array(array)) = metadata.get(&full) {
            let pattern = match array.kind() {
                ValueKind::Bool => metadata.bools(&full)?,
                _ => metadata.u32s(&full)?.into_iter().map(|n| n != 0).collect(),
            };
            if pattern.len() < layers {
                return Err(self.bad(key, format!("{} entries for {layers} layers", pattern.len())));
            }
            return Ok(pattern);
        }
        let nth = self.number_or(key, Some(default), 0..=1 << 30)?;
        Ok((1..=layers).map(|layer| nth == 0 || !layer.is_multiple_of(nth)).collect())
    }

    /// Refuses a key that would change what the model computes.
    pub fn refuse(&self, key: &str) -> Result<(), LoadError> {
        match self.file.metadata().get(&self.key(key)).and_then(Value::integer) {
            Some(value) if value > 0 => Err(self.bad(key, format!("{value} is not implemented"))),
            _ => Ok(()),
        }
    }

    /// The error for a hyper-parameter that makes no sense.
    pub fn bad(&self, key: &str, problem: impl Into<String>) -> LoadError {
        LoadError::Hyper { path: path_of(self.file), key: self.key(key), problem: problem.into() }
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    /// Rows of a matrix, as the file has them: the vocabulary's size comes from the embedding.
    pub fn rows(&self, name: &str) -> Result<usize, LoadError> {
        let tensor = self.file.tensor(name).ok_or_else(|| self.missing(name))?;
        match *tensor.info.shape.as_slice() {
            [_, rows] if (1..=DIMENSION_MAX as u64).contains(&rows) => Ok(rows as usize),
            _ => Err(self.wrong(name, format!("a matrix of 1 to {DIMENSION_MAX} rows"))),
        }
    }

    /// Packs the matrix `name`: `rows` outputs of `columns` inputs.
    pub fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, LoadError> {
        let (format, bytes) = self.tensor(name, &[columns, rows])?;
        let matrix = Matrix::pack(self.cpu, format, rows, columns, bytes);
        self.done(name, bytes.len());
        Ok(matrix)
    }

    /// Reads the vector `name` of `len` numbers.
    pub fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let (format, bytes) = self.tensor(name, &[len])?;
        let mut vector = vec![0.0; len];
        formats::decode_row(format, bytes, &mut vector);
        self.done(name, bytes.len());
        Ok(vector)
    }

    /// The vector `name`, if there is one.
    pub fn vector_optional(&mut self, name: &str, len: usize) -> Result<Option<Vec<f32>>, LoadError> {
        if self.has(name) { self.vector(name, len).map(Some) } else { Ok(None) }
    }

    /// Refuses tensors that nobody asked for.
    pub(super) fn finish(self) -> Result<(), LoadError> {
        match self.file.tensors().find(|t| !self.used.contains(&t.name)) {
            None => Ok(()),
            Some(unused) => Err(LoadError::Unused {
                path: path_of(self.file),
                name: unused.name.clone(),
                architecture: self.architecture,
            }),
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<(Format, &'a [u8]), LoadError> {
        let tensor = self.file.tensor(name).ok_or_else(|| self.missing(name))?;
        // Files may write trailing dimensions of 1.
        let (head, tail) = tensor.info.shape.split_at(shape.len().min(tensor.info.shape.len()));
        let same =
            head.len() == shape.len() && head.iter().zip(shape).all(|(have, want)| *have == *want as u64);
        if !same || tail.iter().any(|n| *n != 1) {
            return Err(self.wrong(name, shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")));
        }
        if shape.len() == 1 && tensor.info.format.block_len > 1 {
            return Err(self.wrong(name, "plain numbers (F32, F16 or BF16)".to_owned()));
        }
        if tensor.info.format.block_len > 1 && !shape[0].is_multiple_of(kernels::GROUP) {
            return Err(self.wrong(name, format!("rows of a multiple of {}", kernels::GROUP)));
        }
        Ok((tensor.info.format, tensor.bytes))
    }

    fn done(&mut self, name: &str, bytes: usize) {
        self.used.insert(name.to_owned());
        self.file.release(name);
        self.bytes_done += bytes as u64;
        (self.progress)(self.bytes_done as f32 / self.bytes_all as f32);
    }

    fn missing(&self, name: &str) -> LoadError {
        LoadError::Missing { path: path_of(self.file), name: name.to_owned() }
    }

    fn wrong(&self, name: &str, expected: String) -> LoadError {
        let found = self.file.tensor(name).map_or_else(String::new, |t| {
            let shape: Vec<String> = t.info.shape.iter().map(u64::to_string).collect();
            format!("{} {}", t.info.format.name, shape.join(" x "))
        });
        LoadError::Shape { path: path_of(self.file), name: name.to_owned(), found, expected }
    }
}

fn saturate(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
