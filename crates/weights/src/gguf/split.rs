//! Models that come as several files: which they are, and whether they belong together.

use std::path::{Path, PathBuf};

use super::metadata::Metadata;
use super::shard_name::ShardName;
use super::tensor::TENSORS_MAX;
use crate::error::Error;

const PARTS_MAX: u64 = 1024;

/// What the metadata of one part says of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    /// How many parts there are, at least 2.
    pub(crate) count: u32,
    /// How many tensors all parts have together, where it is said.
    pub(crate) tensors: Option<u64>,
}

impl Split {
    /// Of which split model the file at `path` is a part; `None` if it is whole.
    pub(crate) fn of(path: &Path, metadata: &Metadata) -> Result<Option<Split>, Error> {
        let named = name_of(path);
        let count = metadata.opt_u64("split.count")?.unwrap_or(1);
        if count <= 1 {
            return match named {
                Some(name) if name.count > 1 => Err(bad(
                    path,
                    format!(
                        "is named part {} of {}, but its metadata has no split.count",
                        name.number, name.count
                    ),
                )),
                _ => Ok(None),
            };
        }
        if count > PARTS_MAX {
            return Err(metadata.bad_key("split.count", format!("is {count}, the limit is {PARTS_MAX}")));
        }
        let number = metadata.u64("split.no")?;
        if number >= count {
            return Err(
                metadata.bad_key("split.no", format!("is {number}, expected less than split.count {count}"))
            );
        }
        let says = format!("part {} of {count}", number + 1);
        let Some(name) = named else {
            let what =
                format!("is {says}; the others can't be found unless it is named like x-00001-of-00003.gguf");
            return Err(bad(path, what));
        };
        if u64::from(name.number) != number + 1 || u64::from(name.count) != count {
            let what = format!("is named part {} of {}, but is {says}", name.number, name.count);
            return Err(bad(path, what));
        }
        // It is at most PARTS_MAX.
        Ok(Some(Split { count: count as u32, tensors: metadata.opt_u64("split.tensors.count")? }))
    }

    /// The paths of all parts of the model that the part at `path` belongs to.
    pub(crate) fn paths(self, path: &Path) -> Vec<PathBuf> {
        let name = name_of(path).expect("Split::of has refused paths without a shard's name");
        (1..=self.count).map(|number| path.with_file_name(name.sibling(number).to_string())).collect()
    }
}

/// Checks that the file at `path`, with the metadata `part`, belongs to the model whose first part has `first`.
pub(crate) fn check_part(path: &Path, first: &Metadata, part: &Metadata) -> Result<(), Error> {
    // Later parts usually repeat nothing but the split keys; what they do repeat must agree.
    for key in ["general.architecture", "general.name"] {
        if let (Some(expected), Some(found)) = (first.get(key), part.get(key))
            && expected != found
        {
            return Err(bad(path, format!("is a part of another model: its {key} differs from part 1's")));
        }
    }
    Ok(())
}

/// Checks the tensors of all parts together against what each part announces.
pub(crate) fn check_tensor_count(parts: &[(PathBuf, Split)], tensors: u64) -> Result<(), Error> {
    for (path, split) in parts {
        if let Some(announced) = split.tensors
            && announced != tensors
        {
            let what =
                format!("split.tensors.count is {announced}, but the parts have {tensors} tensors together");
            return Err(bad(path, what));
        }
    }
    Ok(())
}

/// The error for parts with more tensors than a model may have.
pub(crate) fn too_many_tensors(path: &Path, tensors: usize) -> Error {
    bad(path, format!("the parts up to this one have {tensors} tensors, the limit is {TENSORS_MAX}"))
}

/// The error for a part that is not there.
pub(crate) fn missing(path: &Path, number: usize, count: u32) -> Error {
    bad(path, format!("part {number} of {count} is missing"))
}

fn bad(path: &Path, what: String) -> Error {
    Error::Split { path: path.to_path_buf(), what }
}

fn name_of(path: &Path) -> Option<ShardName> {
    ShardName::parse(path.file_name()?.to_str()?)
}
