//! A place in a file's bytes from which numbers and strings are read, each with its bounds checked.
//!
//! The invariant: nothing is allocated for a count or a length until that many bytes are known to be in the file
//! and the memory for it is within [`MEMORY_BYTES_MAX`].

use std::fmt::Display;
use std::path::Path;

use crate::error::Error;

/// How much memory the metadata and the tensor table of one file may take up once they are read. The largest
/// vocabularies come to about 15 MiB, with an embedded `tokenizer.json` to 40.
pub(crate) const MEMORY_BYTES_MAX: u64 = 48 << 20;

/// The reading position in the bytes of one file.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
    path: &'a Path,
    memory_left: u64,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], path: &'a Path) -> Cursor<'a> {
        Cursor { bytes, position: 0, path, memory_left: MEMORY_BYTES_MAX }
    }

    /// A second cursor at the same place, to look ahead.
    pub(crate) fn fork(&self) -> Cursor<'a> {
        Cursor { ..*self }
    }

    /// The byte offset of what is read next.
    pub(crate) fn offset(&self) -> u64 {
        self.position as u64
    }

    /// The file, for messages.
    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// The next `count` bytes. `what` names them if the file ends before.
    pub(crate) fn take(&mut self, count: u64, what: impl Display) -> Result<&'a [u8], Error> {
        let rest = &self.bytes[self.position..];
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
        let taken = taken.ok_or_else(|| self.truncated(count, what))?;
        self.position += taken.len();
        Ok(taken)
    }

    /// The next `N` bytes as an array, for `from_le_bytes`.
    pub(crate) fn array<const N: usize>(&mut self, what: impl Display) -> Result<[u8; N], Error> {
        let bytes = self.take(N as u64, what)?;
        Ok(bytes.try_into().expect("take gives as many bytes as it is asked for"))
    }

    pub(crate) fn u32(&mut self, what: impl Display) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: impl Display) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A count of things of at least `bytes_min` bytes each, of which there may be `limit`, and which must all be
    /// in the file.
    pub(crate) fn count(&mut self, limit: u64, bytes_min: u64, what: impl Display) -> Result<usize, Error> {
        let offset = self.offset();
        let found = self.u64(&what)?;
        if found > limit {
            let what = what.to_string();
            return Err(Error::Limit { path: self.path.to_path_buf(), offset, what, found, limit });
        }
        // Limits are far below 2^32, so that this product cannot overflow.
        let bytes = found * bytes_min;
        if bytes > (self.bytes.len() - self.position) as u64 {
            return Err(self.truncated(bytes, format_args!("{what} {found}")));
        }
        Ok(found as usize)
    }

    /// A string: its length and as many bytes.
    pub(crate) fn string(&mut self, limit: u64, what: impl Display) -> Result<&'a [u8], Error> {
        let length = self.count(limit, 1, format_args!("the length of {what}"))?;
        self.take(length as u64, what)
    }

    /// A string that is a name: valid UTF-8, not empty.
    pub(crate) fn name(&mut self, limit: u64, what: impl Display) -> Result<&'a str, Error> {
        let offset = self.offset();
        let bytes = self.string(limit, &what)?;
        match std::str::from_utf8(bytes) {
            Ok("") => Err(self.malformed(offset, format_args!("{what} is empty"))),
            Ok(name) => Ok(name),
            Err(_) => Err(self.malformed(offset, format_args!("{what} is not UTF-8"))),
        }
    }

    /// Accounts for memory that is about to be allocated.
    pub(crate) fn charge(&mut self, bytes: u64, what: impl Display) -> Result<(), Error> {
        match self.memory_left.checked_sub(bytes) {
            Some(left) => self.memory_left = left,
            None => {
                return Err(Error::Limit {
                    path: self.path.to_path_buf(),
                    offset: self.offset(),
                    what: format!("the memory for metadata up to {what}"),
                    found: (MEMORY_BYTES_MAX - self.memory_left).saturating_add(bytes),
                    limit: MEMORY_BYTES_MAX,
                });
            }
        }
        Ok(())
    }

    /// The error for something at `offset` that breaks the format.
    pub(crate) fn malformed(&self, offset: u64, what: impl Display) -> Error {
        Error::Malformed { path: self.path.to_path_buf(), offset, what: what.to_string() }
    }

    fn truncated(&self, count: u64, what: impl Display) -> Error {
        Error::Truncated {
            path: self.path.to_path_buf(),
            file_bytes: self.bytes.len() as u64,
            what: what.to_string(),
            needed_bytes: self.offset().saturating_add(count),
        }
    }
}
