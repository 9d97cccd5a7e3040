//! What the server keeps from one start to the next: files that clients sent, and batches.
//!
//! ```text
//! DIR/state.redb   a record of each file and each batch, as JSON
//! DIR/files/ID     the bytes of a file; those of an output that is still written, too
//! ```
//!
//! Records are in memory as well, so that nobody waits for the disk to read one. Invariant: a record that was told to a
//! client is on the disk, and its file was whole before; what has no record is removed at the next start.

mod record;
mod upload;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::batch::{Counts, Progress};
use crate::config::Config;
use crate::error::ApiError;
use crate::openai::new_id;
use crate::state::unix_seconds;

pub(crate) use record::{BatchRecord, FileRecord, Status};
pub(crate) use upload::Upload;

const FILES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("files");
const BATCHES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("batches");
/// Memory that the database may use for its pages.
const CACHE_BYTES: usize = 4 << 20;
/// Batches that are not at their end, of all owners.
const PENDING_MAX: usize = 1000;
/// Batches whose records are kept; beyond that the oldest that have ended are forgotten.
const BATCHES_MAX: usize = 10_000;

/// Files and batches.
pub(crate) struct Kept {
    folder: PathBuf,
    database: Database,
    limits: Limits,
    /// Held while a change is made and written, so that changes have an order.
    writing: Mutex<()>,
    inner: Mutex<Inner>,
    /// Bytes of uploads that have no record yet.
    arriving: AtomicU64,
    /// There may be something to do for whoever runs the batches.
    pub(crate) changed: Notify,
    /// A batch was cancelled.
    cancelled: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    file_bytes_max: u64,
    bytes_max: u64,
    files_max: usize,
}

/// Records by their ids, which are in the order of their making.
#[derive(Default)]
struct Inner {
    files: BTreeMap<String, FileRecord>,
    batches: BTreeMap<String, BatchRecord>,
    /// How far the batches are that run.
    running: HashMap<String, Arc<Progress>>,
}

/// A change of the records.
enum Change<'a> {
    File(&'a FileRecord),
    NoFile(&'a str),
    Batch(&'a BatchRecord),
    NoBatch(&'a str),
}

impl Kept {
    /// Opens the folder, which is made if need be, and removes what has no record.
    pub(crate) fn open(folder: &Path, config: &Config) -> Result<Kept, String> {
        let files = folder.join("files");
        fs::create_dir_all(&files).map_err(|e| e.to_string())?;
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(folder.join("state.redb"));
        let database = database.map_err(|e| e.to_string())?;
        let inner = read(&database)?;
        let kept = Kept {
            folder: folder.to_owned(),
            database,
            limits: Limits {
                file_bytes_max: config.file_bytes_max,
                bytes_max: config.state_bytes_max,
                files_max: config.files_max,
            },
            writing: Mutex::default(),
            inner: Mutex::new(inner),
            arriving: AtomicU64::new(0),
            changed: Notify::new(),
            cancelled: Notify::new(),
        };
        kept.sweep(&files).map_err(|e| e.to_string())?;
        Ok(kept)
    }

    /// Removes uploads that did not come to their end, and files that were to be removed.
    fn sweep(&self, folder: &Path) -> io::Result<()> {
        let inner = self.lock();
        let mut wanted: HashSet<&str> = inner.files.keys().map(String::as_str).collect();
        for batch in inner.batches.values().filter(|batch| !batch.status.is_final()) {
            wanted.extend([batch.output_file_id.as_str(), batch.error_file_id.as_str()]);
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_str().is_none_or(|name| !wanted.contains(name)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Where the bytes of a file are. The id is one of ours, never one that came from a client.
    pub(crate) fn path(&self, id: &str) -> PathBuf {
        self.folder.join("files").join(id)
    }

    /// The files of an owner, the oldest first.
    pub(crate) fn files(&self, owner: u64) -> Vec<FileRecord> {
        self.lock().files.values().filter(|file| file.owner == owner).cloned().collect()
    }

    /// A file of an owner's.
    pub(crate) fn file(&self, owner: u64, id: &str) -> Result<FileRecord, ApiError> {
        let found = self.lock().files.get(id).filter(|file| file.owner == owner).cloned();
        found.ok_or_else(|| no_such("file", id))
    }

    /// The batches of an owner, the oldest first.
    pub(crate) fn batches(&self, owner: u64) -> Vec<BatchRecord> {
        let inner = self.lock();
        inner.batches.values().filter(|batch| batch.owner == owner).map(|batch| inner.shown(batch)).collect()
    }

    /// A batch of an owner's.
    pub(crate) fn batch(&self, owner: u64, id: &str) -> Result<BatchRecord, ApiError> {
        let inner = self.lock();
        let found = inner.batches.get(id).filter(|batch| batch.owner == owner);
        found.map(|batch| inner.shown(batch)).ok_or_else(|| no_such("batch", id))
    }

    /// The batches that are not at their end, the oldest first.
    pub(crate) fn pending(&self) -> Vec<BatchRecord> {
        self.lock().batches.values().filter(|batch| !batch.status.is_final()).cloned().collect()
    }

    /// Removes a file. It blocks.
    pub(crate) fn remove_file(&self, owner: u64, id: &str) -> Result<(), ApiError> {
        let _writing = self.write_lock();
        self.file(owner, id)?;
        if self.pending().iter().any(|batch| batch.input_file_id == id) {
            let message = "a batch that has not ended reads this file: cancel it first";
            return Err(ApiError::invalid(message).with_code("file_in_use"));
        }
        self.commit(&[Change::NoFile(id)])?;
        // What can't be removed now has no record, and goes at the next start.
        let _ = fs::remove_file(self.path(id));
        Ok(())
    }

    /// Takes in a new batch. It blocks.
    pub(crate) fn add_batch(&self, batch: &BatchRecord) -> Result<(), ApiError> {
        let _writing = self.write_lock();
        self.file(batch.owner, &batch.input_file_id)?;
        let forgotten = {
            let inner = self.lock();
            let pending = inner.batches.values().filter(|batch| !batch.status.is_final()).count();
            if pending >= PENDING_MAX {
                let message = format!("{pending} batches wait already; try again later");
                return Err(ApiError::overloaded(message, Duration::from_secs(60)));
            }
            let oldest = inner.batches.values().find(|batch| batch.status.is_final());
            oldest.filter(|_| inner.batches.len() >= BATCHES_MAX).map(|batch| batch.id.clone())
        };
        let forget = forgotten.as_deref().map(Change::NoBatch);
        self.commit(&[Change::Batch(batch)].into_iter().chain(forget).collect::<Vec<_>>())?;
        self.changed.notify_one();
        Ok(())
    }

    /// Changes a batch, with files that come of it. It blocks.
    pub(crate) fn change_batch(
        &self,
        id: &str,
        change: impl FnOnce(&mut BatchRecord) -> Vec<FileRecord>,
    ) -> Result<BatchRecord, ApiError> {
        let _writing = self.write_lock();
        let mut batch = {
            let inner = self.lock();
            let batch = inner.batches.get(id).ok_or_else(|| no_such("batch", id))?;
            inner.shown(batch)
        };
        let files = change(&mut batch);
        let changes: Vec<Change<'_>> =
            files.iter().map(Change::File).chain([Change::Batch(&batch)]).collect();
        self.commit(&changes)?;
        self.changed.notify_one();
        Ok(batch)
    }

    /// Has a batch come to its end before all of it is answered. It blocks.
    pub(crate) fn cancel(&self, id: &str) -> Result<BatchRecord, ApiError> {
        let changed = self.change_batch(id, |batch| {
            if matches!(batch.status, Status::Validating | Status::InProgress) {
                batch.become_now(Status::Cancelling, unix_seconds());
            }
            Vec::new()
        })?;
        self.cancelled.notify_waiters();
        Ok(changed)
    }

    /// Comes to pass when a batch is cancelled.
    pub(crate) async fn cancelled(&self, id: &str) {
        loop {
            // Listening begins before looking.
            let cancelled = self.cancelled.notified();
            let status = self.lock().batches.get(id).map(|batch| batch.status);
            if status.is_none_or(|status| status == Status::Cancelling) {
                return;
            }
            cancelled.await;
        }
    }

    /// Shows how far a batch is, until the guard is dropped.
    pub(crate) fn running(&self, id: &str) -> (Arc<Progress>, Running<'_>) {
        let progress = Arc::new(Progress::default());
        let record = self.lock().batches.get(id).map(|batch| batch.counts);
        progress.set(record.unwrap_or_default());
        self.lock().running.insert(id.to_owned(), Arc::clone(&progress));
        (progress, Running { kept: self, id: id.to_owned() })
    }

    /// Writes changes to the disk, and then to memory: all or none.
    fn commit(&self, changes: &[Change<'_>]) -> Result<(), ApiError> {
        self.store(changes).map_err(|error| {
            tracing::error!(%error, "the state can't be written");
            ApiError::internal("the server can't write down what it is to keep")
                .with_code("state_not_written")
        })?;
        let mut inner = self.lock();
        for change in changes {
            match *change {
                Change::File(file) => drop(inner.files.insert(file.id.clone(), file.clone())),
                Change::NoFile(id) => drop(inner.files.remove(id)),
                Change::Batch(batch) => drop(inner.batches.insert(batch.id.clone(), batch.clone())),
                Change::NoBatch(id) => drop(inner.batches.remove(id)),
            }
        }
        Ok(())
    }

    fn store(&self, changes: &[Change<'_>]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut files = transaction.open_table(FILES)?;
            let mut batches = transaction.open_table(BATCHES)?;
            for change in changes {
                match *change {
                    Change::File(file) => drop(files.insert(file.id.as_str(), &json(file)[..])?),
                    Change::NoFile(id) => drop(files.remove(id)?),
                    Change::Batch(batch) => drop(batches.insert(batch.id.as_str(), &json(batch)[..])?),
                    Change::NoBatch(id) => drop(batches.remove(id)?),
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change leaves it whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that runs.
pub(crate) struct Running<'a> {
    kept: &'a Kept,
    id: String,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.kept.lock().running.remove(&self.id);
    }
}

impl Inner {
    /// A batch as far as it is now.
    fn shown(&self, batch: &BatchRecord) -> BatchRecord {
        let running = self.running.get(&batch.id).map(|progress| progress.counts());
        let more = |counts: &Counts| counts.done() >= batch.counts.done();
        BatchRecord { counts: running.filter(more).unwrap_or(batch.counts), ..batch.clone() }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// An id that comes after all earlier ones, and that nobody guesses.
pub(crate) fn next_id(prefix: &str) -> Result<String, ApiError> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64);
    let later = |last: u64| Some(now.max(last + 1));
    let before = LAST.fetch_update(Relaxed, Relaxed, later).unwrap_or_default();
    let number = now.max(before + 1);
    new_id(&format!("{prefix}{number:014x}"))
}

fn no_such(what: &str, id: &str) -> ApiError {
    let shown: String = id.chars().take(100).collect();
    let error = ApiError::new(
        StatusCode::NOT_FOUND,
        "invalid_request_error",
        format!("there is no {what} {shown:?}"),
    );
    error.with_code("not_found")
}

fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records have string keys and write to memory")
}

fn read(database: &Database) -> Result<Inner, String> {
    fn table<T: DeserializeOwned>(
        database: &Database,
        table: TableDefinition<'_, &str, &[u8]>,
    ) -> Result<BTreeMap<String, T>, String> {
        let fault = |error: redb::Error| error.to_string();
        let reading = database.begin_read().map_err(|e| fault(e.into()))?;
        let table = match reading.open_table(table) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
            Err(error) => return Err(fault(error.into())),
        };
        let mut records = BTreeMap::new();
        for entry in table.iter().map_err(|e| fault(e.into()))? {
            let (id, bytes) = entry.map_err(|e| fault(e.into()))?;
            let record = serde_json::from_slice(bytes.value())
                .map_err(|error| format!("the record {} can't be read: {error}", id.value()))?;
            records.insert(id.value().to_owned(), record);
        }
        Ok(records)
    }
    let (files, batches) = (table(database, FILES)?, table(database, BATCHES)?);
    Ok(Inner { files, batches, running: HashMap::new() })
}
