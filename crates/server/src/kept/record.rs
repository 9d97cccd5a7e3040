//! The records of files and batches, as they are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::batch::{Counts, Fault};

/// A file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    pub(crate) id: String,
    /// The number of the key that it belongs to; 0 without keys.
    pub(crate) owner: u64,
    pub(crate) bytes: u64,
    /// In seconds since 1970, as all times here.
    pub(crate) created_at: u64,
    /// As whoever sent it calls it; it is never a path here.
    pub(crate) filename: String,
    pub(crate) purpose: String,
}

/// A batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BatchRecord {
    pub(crate) id: String,
    pub(crate) owner: u64,
    pub(crate) endpoint: String,
    pub(crate) completion_window: String,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    pub(crate) input_file_id: String,
    /// Chosen when the batch is made. The files are its journal, and become files of the owner's at its end.
    pub(crate) output_file_id: String,
    pub(crate) error_file_id: String,
    pub(crate) has_output: bool,
    pub(crate) has_errors: bool,
    pub(crate) status: Status,
    pub(crate) total: u64,
    pub(crate) counts: Counts,
    /// What is wrong with the input.
    pub(crate) faults: Vec<Fault>,
    pub(crate) created_at: u64,
    pub(crate) expires_at: u64,
    /// When it came to each of its later states.
    pub(crate) times: BTreeMap<Status, u64>,
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BatchStatus)]
pub(crate) enum Status {
    Validating,
    Failed,
    InProgress,
    Finalizing,
    Completed,
    Expired,
    Cancelling,
    Cancelled,
}

impl Status {
    /// Nothing comes after it.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Status::Failed | Status::Completed | Status::Expired | Status::Cancelled)
    }
}

impl BatchRecord {
    /// Comes to a state, now.
    pub(crate) fn become_now(&mut self, status: Status, now: u64) {
        self.status = status;
        self.times.insert(status, now);
    }
}
