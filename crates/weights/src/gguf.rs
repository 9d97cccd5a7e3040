//! GGUF model files: metadata and tensors of one model, of one file or split over several.
//!
//! Opening a file reads and checks its head and maps the rest; no weight is touched. After that nothing can fail
//! but the lookup of a name. What the metadata *means* (shapes that fit the architecture, tensors that must be
//! there) is for the engine to check.

pub mod metadata;
pub mod shard_name;
pub mod tensor;
pub mod value;
pub mod write;

mod cursor;
mod header;
mod mapping;
mod split;

use std::path::{Path, PathBuf};

use self::header::Header;
use self::mapping::Mapping;
/// The formats that tensors come in: readers and writers of files name them.
pub use kernels::formats;

pub use self::metadata::Metadata;
pub use self::shard_name::ShardName;
use self::split::Split;
pub use self::tensor::{Tensor, TensorInfo};
pub use self::value::{Array, Strings, Value, ValueKind};
pub use self::write::GgufWriter;
use crate::error::Error;

/// A model: its metadata, and its tensors in the mapped files.
#[derive(Debug)]
pub struct Gguf {
    files: Vec<(PathBuf, Mapping)>,
    version: u32,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    by_name: Vec<u32>, // indices of `tensors` in the order of their names
}

impl Gguf {
    /// Opens a model file. Any part of a split model opens them all.
    pub fn open(path: &Path) -> Result<Gguf, Error> {
        let (mapping, header) = open_file(path, 0)?;
        match Split::of(path, &header.metadata)? {
            None => {
                let tensors = header.tensors;
                Gguf::new(vec![(path.to_path_buf(), mapping)], header.version, header.metadata, tensors)
            }
            // The part that was asked for only said where the others are; it is opened again in its turn.
            Some(split) => Gguf::open_split(split, split.paths(path)),
        }
    }

    /// The metadata. For a split model, that of its first part.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors in file order.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorInfo> {
        self.tensors.iter()
    }

    /// The tensor with this name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let info = self.find(name)?;
        Some(Tensor { info, bytes: &self.files[info.part].1[range_of(info)] })
    }

    /// Tells the operating system that the bytes of this tensor aren't needed in memory any more. They can still
    /// be read, at the price of fetching them from the file again. Does nothing for an unknown name.
    pub fn release(&self, name: &str) {
        if let Some(info) = self.find(name) {
            self.files[info.part].1.release(range_of(info));
        }
    }

    /// The size of all files together.
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|(_, mapping)| mapping.len() as u64).sum()
    }

    /// The GGUF version of the (first) file, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The files, in the order of the parts.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    fn open_split(split: Split, paths: Vec<PathBuf>) -> Result<Gguf, Error> {
        let mut files = Vec::with_capacity(paths.len());
        let mut splits = Vec::with_capacity(paths.len());
        let mut tensors = Vec::new();
        let mut first: Option<(u32, Metadata)> = None;
        for (part, path) in paths.into_iter().enumerate() {
            let (mapping, header) = open_file(&path, part).map_err(|error| match error {
                Error::NotFound { .. } => split::missing(&path, part + 1, split.count),
                other => other,
            })?;
            let found = Split::of(&path, &header.metadata)?.expect(
                "the name says that there are several parts, so that a file without split.count is refused",
            );
            splits.push((path.clone(), found));
            tensors.extend(header.tensors);
            if tensors.len() as u64 > tensor::TENSORS_MAX {
                return Err(split::too_many_tensors(&path, tensors.len()));
            }
            match &first {
                None => first = Some((header.version, header.metadata)),
                Some((_, metadata)) => split::check_part(&path, metadata, &header.metadata)?,
            }
            files.push((path, mapping));
        }
        split::check_tensor_count(&splits, tensors.len() as u64)?;
        let (version, metadata) = first.expect("a split model has at least two parts");
        Gguf::new(files, version, metadata, tensors)
    }

    fn new(
        files: Vec<(PathBuf, Mapping)>,
        version: u32,
        metadata: Metadata,
        tensors: Vec<TensorInfo>,
    ) -> Result<Gguf, Error> {
        let name = |index: u32| tensors[index as usize].name.as_str();
        let count = u32::try_from(tensors.len()).expect("the number of tensors is limited");
        let mut by_name: Vec<u32> = (0..count).collect();
        by_name.sort_unstable_by(|&a, &b| name(a).cmp(name(b)));
        if let Some(pair) = by_name.windows(2).find(|pair| name(pair[0]) == name(pair[1])) {
            let second = &tensors[pair[0].max(pair[1]) as usize];
            let what = "occurs twice".to_string();
            return Err(Error::Tensor {
                path: files[second.part].0.clone(),
                tensor: second.name.clone(),
                what,
            });
        }
        Ok(Gguf { files, version, metadata, tensors, by_name })
    }

    fn find(&self, name: &str) -> Option<&TensorInfo> {
        let info_of = |index: u32| &self.tensors[index as usize];
        let found = self.by_name.binary_search_by(|&index| info_of(index).name.as_str().cmp(name)).ok()?;
        Some(info_of(self.by_name[found]))
    }
}

fn open_file(path: &Path, part: usize) -> Result<(Mapping, Header), Error> {
    let mapping = Mapping::open(path)?;
    let header = header::read(&mapping, path, part)?;
    Ok((mapping, header))
}

/// Where a tensor is in its file. `tensor::place` has checked that both ends are in the mapping.
fn range_of(info: &TensorInfo) -> std::ops::Range<usize> {
    info.offset as usize..(info.offset + info.bytes) as usize
}
