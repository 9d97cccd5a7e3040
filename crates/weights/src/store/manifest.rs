//! The record beside a stored model, `model.toml`. It is written last, so a model with a record is whole.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::name;
use crate::catalogue::is_sha256;

/// The name of the record in a model's directory.
pub(crate) const FILE_NAME: &str = "model.toml";

/// A record larger than this is not ours.
const BYTES_MAX: u64 = 1 << 20;

/// What is stored, and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) licence: String,
    #[serde(rename = "file")]
    pub(crate) files: Vec<FileRecord>,
}

/// One file of a stored model; a split model has several, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRecord {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Manifest {
    /// Reads the record of a directory. `None` if there is none or if it is damaged: the model then counts as
    /// not stored, and fetching it again finds the files and only checks them.
    pub(crate) fn read(directory: &Path) -> Option<Manifest> {
        let file = File::open(directory.join(FILE_NAME)).ok()?;
        let mut text = String::new();
        file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
        let manifest: Manifest = toml::from_str(&text).ok()?;
        let sound = |file: &FileRecord| name::check_file_name(&file.name).is_ok() && is_sha256(&file.sha256);
        (!manifest.files.is_empty() && manifest.files.iter().all(sound)).then_some(manifest)
    }

    /// Writes the record so that it is there whole or not at all.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), StoreError> {
        let text = toml::to_string(self).expect("strings, integers and a list of tables are TOML");
        let path = directory.join(FILE_NAME);
        let temporary = directory.join("model.toml.part");
        let failed = |error| StoreError::write(&temporary, text.len() as u64, error);
        // A link with this name must not be written through.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut file = File::create_new(&temporary).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&temporary, &path).map_err(StoreError::io("cannot create", &path))?;
        sync_directory(directory)
    }
}

/// Makes a rename in this directory survive a power cut.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        let synced = File::open(directory).and_then(|d| d.sync_all());
        synced.map_err(StoreError::io("cannot write", directory))?;
    }
    Ok(())
}
