//! The tensor table of one file: names, shapes, formats and places, checked against each other and the file.
//!
//! What comes out of here can be sliced without another look: every tensor has 1 to 4 dimensions, none 0, rows of
//! whole blocks, and its bytes lie in the file, aligned and apart from every other tensor's.

use std::path::Path;

use kernels::formats::{self, Format};

use super::cursor::Cursor;
use crate::error::{Error, Shown};

/// How many tensors a model may have.
pub(crate) const TENSORS_MAX: u64 = 1 << 16;

const NAME_BYTES_MAX: u64 = 256;
const DIMENSIONS_MAX: u32 = 4;
const DIMENSION_MAX: u64 = i32::MAX as u64;

/// What is known of a tensor without looking at its weights.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// The name, `"blk.0.attn_q.weight"`.
    pub name: String,
    /// 1 to 4 dimensions, none of them 0, the fastest first: a matrix is `[row length, rows]`.
    pub shape: Vec<u64>,
    /// The format of the blocks.
    pub format: Format,
    pub(crate) part: usize, // which file of a split model
    pub(crate) offset: u64, // in that file; while the table is being read, in its data area
    pub(crate) bytes: u64,
}

impl TensorInfo {
    /// The bytes that the tensor takes up in the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of weights.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Where the tensor starts in its file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// In which file of a split model the tensor is, counted from 0.
    pub fn part(&self) -> usize {
        self.part
    }
}

/// A tensor in a mapped file.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Name, shape and format.
    pub info: &'a TensorInfo,
    /// Whole blocks, row after row: [`TensorInfo::bytes`] of them.
    pub bytes: &'a [u8],
}

/// The bytes of a tensor of this shape, or what is wrong with the shape.
pub(crate) fn bytes_of(shape: &[u64], format: Format) -> Result<u64, String> {
    if shape.is_empty() || shape.len() > DIMENSIONS_MAX as usize {
        return Err(format!("has {} dimensions, expected 1 to {DIMENSIONS_MAX}", shape.len()));
    }
    if let Some(bad) = shape.iter().find(|&&dimension| dimension == 0 || dimension > DIMENSION_MAX) {
        return Err(format!("shape {shape:?} has a dimension of {bad}, expected 1 to {DIMENSION_MAX}"));
    }
    let block_len = format.block_len as u64;
    if !shape[0].is_multiple_of(block_len) {
        let (row, name) = (shape[0], format.name);
        return Err(format!("a row of {row} weights is not a multiple of {name}'s block of {block_len}"));
    }
    let rows = shape[1..].iter().try_fold(1u64, |product, &dimension| product.checked_mul(dimension));
    rows.and_then(|rows| rows.checked_mul(shape[0]))
        .and_then(|elements| (elements / block_len).checked_mul(format.block_bytes as u64))
        .filter(|&bytes| bytes <= i64::MAX as u64)
        .ok_or_else(|| format!("shape {shape:?} has more weights than can be counted"))
}

/// Reads the table: `count` tensors, whose offsets are still those in the data area.
pub(crate) fn read_table(cursor: &mut Cursor, count: usize, part: usize) -> Result<Vec<TensorInfo>, Error> {
    const ENTRY_BYTES: usize = size_of::<TensorInfo>() + size_of::<u32>();
    cursor.charge((count * ENTRY_BYTES) as u64, "the tensor table")?;
    let mut tensors = Vec::with_capacity(count);
    for index in 0..count {
        let name = cursor.name(NAME_BYTES_MAX, format_args!("the name of tensor {index} of {count}"))?;
        tensors.push(read_info(cursor, name, part)?);
    }
    Ok(tensors)
}

fn read_info(cursor: &mut Cursor, name: &str, part: usize) -> Result<TensorInfo, Error> {
    let shown = Shown(name);
    let what = format_args!("the table entry of tensor {shown}");
    let path = cursor.path();
    let bad = |what| Error::Tensor { path: path.to_path_buf(), tensor: name.to_string(), what };
    let dimensions = cursor.u32(what)?;
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return Err(bad(format!("has {dimensions} dimensions, expected 1 to {DIMENSIONS_MAX}")));
    }
    cursor.charge(name.len() as u64 + 8 * u64::from(dimensions), what)?;
    let mut shape = Vec::with_capacity(dimensions as usize);
    for _ in 0..dimensions {
        shape.push(cursor.u64(what)?);
    }
    let ggml_type = cursor.u32(what)?;
    let format = formats::by_ggml_type(ggml_type).ok_or_else(|| Error::UnknownFormat {
        path: path.to_path_buf(),
        tensor: name.to_string(),
        ggml_type,
        known: formats::TABLE.iter().map(|format| format.name).collect::<Vec<_>>().join(", "),
    })?;
    let bytes = bytes_of(&shape, format).map_err(bad)?;
    let offset = cursor.u64(what)?;
    Ok(TensorInfo { name: name.to_string(), shape, format, part, offset, bytes })
}

/// Where the data of a file's tensors are, as byte offsets in the file.
pub(crate) struct DataArea<'a> {
    pub(crate) path: &'a Path,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) alignment: u64,
}

/// Turns offsets in the data area into offsets in the file, and checks that each tensor lies in the file, aligned
/// and apart from the others. Gaps are allowed.
pub(crate) fn place(tensors: &mut [TensorInfo], area: &DataArea) -> Result<(), Error> {
    let bad = |tensor: &TensorInfo, what| Error::Tensor {
        path: area.path.to_path_buf(),
        tensor: tensor.name.clone(),
        what,
    };
    for tensor in tensors.iter_mut() {
        let offset = tensor.offset;
        if !offset.is_multiple_of(area.alignment) {
            return Err(bad(
                tensor,
                format!("offset {offset} is not a multiple of the alignment {}", area.alignment),
            ));
        }
        let start = area.start.checked_add(offset);
        let Some((start, end)) = start.and_then(|start| Some((start, start.checked_add(tensor.bytes)?)))
        else {
            return Err(bad(tensor, format!("offset {offset} is beyond any file")));
        };
        if end > area.end {
            return Err(Error::Truncated {
                path: area.path.to_path_buf(),
                file_bytes: area.end,
                what: format!("tensor {}", Shown(&tensor.name)),
                needed_bytes: end,
            });
        }
        tensor.offset = start;
    }
    let mut in_place: Vec<&TensorInfo> = tensors.iter().collect();
    in_place.sort_unstable_by_key(|tensor| tensor.offset);
    for pair in in_place.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        if before.offset + before.bytes > after.offset {
            let what = format!("overlaps tensor {} at byte {}", Shown(&before.name), after.offset);
            return Err(bad(after, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::formats::{Float, Packing, TensorFormat};

    static BLOCKS_OF_32: TensorFormat = TensorFormat {
        name: "T32",
        ggml_type: 1000,
        block_len: 32,
        block_bytes: 18,
        decode: |_, _| {},
        packing: Packing::Float(Float::F32),
    };

    #[test]
    fn shapes_are_checked() {
        let check = |shape: &[u64], expect: Result<u64, &str>| match (bytes_of(shape, &BLOCKS_OF_32), expect)
        {
            (Ok(bytes), Ok(expect)) => assert_eq!(bytes, expect, "{shape:?}"),
            (Err(found), Err(expect)) => assert!(found.contains(expect), "{shape:?}: {found}"),
            (found, _) => panic!("{shape:?}: {found:?}, expected {expect:?}"),
        };
        check(&[32], Ok(18));
        check(&[64, 3, 1, 2], Ok(216));
        check(&[], Err("0 dimensions"));
        check(&[32, 1, 1, 1, 1], Err("5 dimensions"));
        check(&[32, 0], Err("dimension of 0"));
        check(&[1 << 33], Err("dimension of 8589934592"));
        check(&[33, 32], Err("a row of 33 weights is not a multiple of T32's block of 32"));
        check(&[1 << 30, 1 << 30, 1 << 30], Err("more weights"));
        check(&[1 << 30, 1 << 30, 16], Err("more weights"));
    }

    #[test]
    fn places_are_checked() {
        let tensor = |(name, offset): (&str, u64)| TensorInfo {
            name: name.into(),
            shape: vec![64],
            format: &BLOCKS_OF_32,
            part: 0,
            offset,
            bytes: 36,
        };
        let area = DataArea { path: Path::new("m.gguf"), start: 96, end: 96 + 164, alignment: 32 };
        let check = |offsets: &[(&str, u64)], expect: Result<Vec<u64>, &str>| {
            let mut tensors: Vec<TensorInfo> = offsets.iter().copied().map(tensor).collect();
            match (place(&mut tensors, &area), expect) {
                (Ok(()), Ok(expect)) => {
                    assert_eq!(tensors.iter().map(|t| t.offset).collect::<Vec<_>>(), expect);
                }
                (Err(found), Err(expect)) => assert!(found.to_string().contains(expect), "{found}"),
                (found, expect) => panic!("{found:?}, expected {expect:?}"),
            }
        };
        check(&[("a", 0), ("b", 64), ("c", 128)], Ok(vec![96, 160, 224]));
        check(&[("c", 128), ("a", 0)], Ok(vec![224, 96]));
        check(&[("a", 0), ("b", 32)], Err(r#"tensor "b": overlaps tensor "a" at byte 128"#));
        check(&[("a", 0), ("b", 33)], Err(r#"tensor "b": offset 33 is not a multiple of the alignment 32"#));
        check(&[("b", 160)], Err(r#"the file ends at byte 260, tensor "b" needs 292"#));
        check(&[("b", u64::MAX - 31)], Err("beyond any file"));
    }
}
