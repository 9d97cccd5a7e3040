//! A file mapped into memory, read-only.
//!
//! A mapped file must not shrink while it is in use: the operating system kills a process that touches a page
//! behind the end (SIGBUS). Nothing in the process can prevent that; the store replaces files by renaming, which
//! leaves the mapped ones alone, and never writes into a model file that has its final name.

use std::fs::{File, FileType, OpenOptions};
use std::ops::{Deref, Range};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use memmap2::{Mmap, UncheckedAdvice};

use crate::error::Error;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) struct Mapping(Mmap);

impl Mapping {
    /// Maps the file at `path`, which must be a regular one.
    pub(crate) fn open(path: &Path) -> Result<Mapping, Error> {
        let file = open_regular(path)?;
        // SAFETY: a read-only mapping of a regular file, only ever read as bytes, for which every value is valid.
        // That nobody truncates or rewrites the file meanwhile is asked of the user; see the head of this module.
        let map = unsafe { Mmap::map(&file) };
        map.map(Mapping).map_err(|error| Error::from_io(path, "map it into memory", error))
    }

    /// Lets the operating system take back the memory of whole pages inside `range`. They stay readable: touched
    /// again, they come back from the file.
    pub(crate) fn release(&self, range: Range<usize>) {
        // Where pages are larger than this, the kernel rounds to them, and neighbours are read again at worst.
        const PAGE_BYTES: usize = 4096;
        let start = range.start.next_multiple_of(PAGE_BYTES);
        let end = range.end.min(self.0.len()) / PAGE_BYTES * PAGE_BYTES;
        if start >= end {
            return;
        }
        // SAFETY: dropping pages loses changes only in private or anonymous memory. This mapping is shared,
        // read-only and backed by a file, so that it has the same bytes afterwards.
        let advised = unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        // It is advice: if the kernel does not take it, memory stays in use and nothing else changes.
        drop(advised);
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

fn open_regular(path: &Path) -> Result<File, Error> {
    // Without O_NONBLOCK, opening a pipe waits for a writer that may never come.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let attributes = match &opened {
        Ok(file) => file.metadata(),
        // A socket can't even be opened; its attributes can be had all the same.
        Err(_) => std::fs::metadata(path),
    };
    if let Ok(attributes) = &attributes {
        let file_type = attributes.file_type();
        if file_type.is_dir() {
            return Err(Error::Directory { path: path.to_path_buf() });
        }
        if !file_type.is_file() {
            return Err(Error::NotRegularFile { path: path.to_path_buf(), kind: kind_of(file_type) });
        }
    }
    opened.map_err(|error| Error::from_io(path, "open it", error))
}

fn kind_of(file_type: FileType) -> &'static str {
    if file_type.is_fifo() {
        "pipe (FIFO)"
    } else if file_type.is_socket() {
        "socket"
    } else if file_type.is_char_device() || file_type.is_block_device() {
        "device"
    } else {
        "special file"
    }
}
