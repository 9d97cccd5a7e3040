//! A file on its way in: written as it comes, and nobody's until it is whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::http::StatusCode;

use super::{Change, FileRecord, Kept, next_id};
use crate::error::ApiError;
use crate::state::unix_seconds;

/// An upload. What has come of it is removed if it is dropped before its end.
pub(crate) struct Upload {
    kept: Arc<Kept>,
    id: String,
    part: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl Upload {
    /// Begins; refused if the owner has as many files as may be.
    pub(crate) fn begin(kept: &Arc<Kept>, owner: u64) -> Result<Upload, ApiError> {
        let most = kept.limits.files_max;
        if kept.files(owner).len() >= most {
            let message = format!("there are {most} files already, which is the limit: delete some");
            return Err(ApiError::invalid(message).with_code("too_many_files"));
        }
        let id = next_id("file-")?;
        let part = kept.path(&format!("{id}.part"));
        let file = File::create_new(&part).map_err(|e| unwritten(&e))?;
        Ok(Upload { kept: Arc::clone(kept), id, part, file: Some(file), bytes: 0 })
    }

    /// Takes the next bytes. It blocks, as what follows does.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        let limits = self.kept.limits;
        let more = bytes.len() as u64;
        if self.bytes + more > limits.file_bytes_max {
            let message = format!("the file is larger than the limit of {} bytes", limits.file_bytes_max);
            return Err(too_large(message));
        }
        let kept: u64 = self.kept.lock().files.values().map(|file| file.bytes).sum();
        let arriving = self.kept.arriving.fetch_add(more, Relaxed) + more;
        self.bytes += more;
        if kept.saturating_add(arriving) > limits.bytes_max {
            let message =
                format!("all files together would be larger than {} bytes: delete some", limits.bytes_max);
            return Err(too_large(message));
        }
        self.file.as_mut().expect("it is open until the end").write_all(bytes).map_err(|e| unwritten(&e))
    }

    /// The file is whole: it is on the disk, and it has a record, when this returns.
    pub(crate) fn finish(
        mut self,
        owner: u64,
        filename: String,
        purpose: String,
    ) -> Result<FileRecord, ApiError> {
        let file = self.file.take().expect("it is open until the end");
        let path = self.kept.path(&self.id);
        file.sync_all().and_then(|()| fs::rename(&self.part, &path)).map_err(|e| unwritten(&e))?;
        let record = FileRecord {
            id: self.id.clone(),
            owner,
            bytes: self.bytes,
            created_at: unix_seconds(),
            filename,
            purpose,
        };
        let _writing = self.kept.write_lock();
        self.kept.commit(&[Change::File(&record)])?;
        Ok(record)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.kept.arriving.fetch_sub(self.bytes, Relaxed);
        // It is not there any more if it was finished.
        let _ = fs::remove_file(&self.part);
    }
}

fn too_large(message: String) -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message).with_code("file_too_large")
}

fn unwritten(error: &std::io::Error) -> ApiError {
    tracing::error!(%error, "an upload can't be written");
    ApiError::internal("the server can't write the file down").with_code("state_not_written")
}
