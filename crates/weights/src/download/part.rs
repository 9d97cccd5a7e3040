//! A file that is still growing: `NAME.part`, and beside it `NAME.part.id`, which says whose prefix it is.
//!
//! A part whose identity is not the wanted one is dropped, never stitched.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Target;
use crate::store::{StoreError, name, sync_directory};

/// How much is hashed between two reports.
const BUFFER_BYTES: usize = 1 << 20;

/// An identity is a hash or an entity tag; a longer one is not ours.
const IDENTITY_BYTES_MAX: u64 = 1024;

/// A growing file. Its length on the disk is always the number of bytes that have arrived.
pub(crate) struct Part {
    file: File,
    path: PathBuf,
    identity_path: PathBuf,
    final_path: PathBuf,
    len: u64,
    bytes: u64,
    /// Whether the hash is known beforehand, so that any prefix can be trusted until the end.
    hash_known: bool,
    identity: Option<String>,
}

/// The hash of the file if it is already there under its final name and is the wanted one; another is removed.
pub(crate) fn adopt(
    directory: &Path,
    target: &Target,
    report: &mut dyn FnMut(u64),
) -> Result<Option<String>, StoreError> {
    let path = directory.join(&target.name);
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("cannot open", &path)(error)),
    };
    if found.is_symlink() {
        return Err(StoreError::OutsideStore { path });
    }
    if found.is_file() && found.len() == target.bytes && target.sha256.is_some() {
        let mut file = File::open(&path).map_err(StoreError::io("cannot open", &path))?;
        let sha256 = hash_of(&mut file, &path, report)?;
        if target.sha256.as_ref() == Some(&sha256) {
            return Ok(Some(sha256));
        }
    }
    fs::remove_file(&path).map_err(StoreError::io("cannot remove", &path))?;
    Ok(None)
}

/// Whether a file of this name belongs to a download that is not finished.
pub(crate) fn is_part_file(name: &str) -> bool {
    name.ends_with(".part") || name.ends_with(".part.id")
}

impl Part {
    /// Opens what has arrived of the file, or an empty part.
    pub(crate) fn open(directory: &Path, target: &Target) -> Result<Part, StoreError> {
        let path = directory.join(format!("{}.part", target.name));
        let identity_path = directory.join(format!("{}.part.id", target.name));
        for link in [&path, &identity_path] {
            if fs::symlink_metadata(link).is_ok_and(|found| found.is_symlink()) {
                return Err(StoreError::OutsideStore { path: link.clone() });
            }
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(StoreError::io("cannot open", &path))?;
        let len = file.seek(SeekFrom::End(0)).map_err(StoreError::io("cannot open", &path))?;
        let mut part = Part {
            file,
            path,
            final_path: directory.join(&target.name),
            len,
            bytes: target.bytes,
            hash_known: target.sha256.is_some(),
            identity: read_identity(&identity_path),
            identity_path,
        };
        match &target.sha256 {
            Some(sha256) => part.claim(Some(&format!("sha256:{sha256}")))?,
            None if part.entity_tag().is_none() => part.claim(None)?,
            None => {}
        }
        if part.len > part.bytes {
            part.truncate(0)?;
        }
        Ok(part)
    }

    /// The bytes that have arrived.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes of the whole file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file's final name, for messages.
    pub(crate) fn name(&self) -> String {
        self.final_path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The directory of the part, in which a source may keep what it needs meanwhile.
    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().expect("a part is opened inside a directory")
    }

    /// The entity tag with which the first bytes came, where no hash is known.
    pub(crate) fn entity_tag(&self) -> Option<&str> {
        self.identity.as_deref()?.strip_prefix("etag:")
    }

    /// Notes the entity tag of bytes that are about to come from the start. Only a strong tag fixes the bytes.
    pub(crate) fn set_entity_tag(&mut self, tag: Option<&str>) -> Result<(), StoreError> {
        if self.hash_known {
            return Ok(());
        }
        let identity = tag.filter(|tag| tag.starts_with('"')).map(|tag| format!("etag:{tag}"));
        self.claim(identity.as_deref())
    }

    /// Appends bytes. More than the file has are refused before they are written.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() as u64 > self.bytes - self.len {
            let why = format!("more than the expected {} bytes arrive", self.bytes);
            return Err(StoreError::WrongContent { file: self.name(), why });
        }
        let written = self.file.write_all(bytes);
        written.map_err(|error| StoreError::write(&self.path, self.bytes, error))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Cuts the part back to its first `len` bytes.
    pub(crate) fn truncate(&mut self, len: u64) -> Result<(), StoreError> {
        let cut = self.file.set_len(len).and_then(|()| self.file.seek(SeekFrom::Start(len)));
        cut.map_err(|error| StoreError::write(&self.path, self.bytes, error))?;
        self.len = len;
        Ok(())
    }

    /// Hashes the part as it lies on the disk.
    pub(crate) fn hash(&mut self, report: &mut dyn FnMut(u64)) -> Result<String, StoreError> {
        self.file.seek(SeekFrom::Start(0)).map_err(StoreError::io("cannot read", &self.path))?;
        hash_of(&mut self.file, &self.path, report)
    }

    /// Gives the whole file its final name, durably.
    pub(crate) fn publish(self) -> Result<(), StoreError> {
        assert_eq!(self.len, self.bytes, "only a whole file is hashed, and only a hashed one is published");
        self.file.sync_all().map_err(|error| StoreError::write(&self.path, self.bytes, error))?;
        fs::rename(&self.path, &self.final_path)
            .map_err(StoreError::io("cannot create", &self.final_path))?;
        sync_directory(self.directory())?;
        // Without its part the identity means nothing; a leftover does no harm.
        let _ = fs::remove_file(&self.identity_path);
        Ok(())
    }

    /// Removes the part: its bytes are known to be wrong.
    pub(crate) fn discard(self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.identity_path);
    }

    /// Makes this the part of the file with that identity: another's bytes are dropped first.
    fn claim(&mut self, identity: Option<&str>) -> Result<(), StoreError> {
        if identity.is_some() && self.identity.as_deref() == identity {
            return Ok(());
        }
        self.truncate(0)?;
        self.identity = identity.map(str::to_owned);
        let path = &self.identity_path;
        match identity {
            Some(text) => fs::write(path, text).map_err(|e| StoreError::write(path, text.len() as u64, e)),
            None => match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    Err(StoreError::io("cannot remove", path)(e))
                }
                _ => Ok(()),
            },
        }
    }
}

fn read_identity(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(IDENTITY_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn hash_of(file: &mut File, path: &Path, report: &mut dyn FnMut(u64)) -> Result<String, StoreError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut done = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(name::hex(&hasher.finalize())),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                done += n as u64;
                report(done);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::io("cannot read", path)(error)),
        }
    }
}
