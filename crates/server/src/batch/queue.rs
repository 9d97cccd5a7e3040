//! Runs the batches that clients have sent: the oldest of each owner, a few owners at a time, below everybody who waits for
//! an answer.
//!
//! ```text
//! validating ─► in_progress ─► finalizing ─► completed      expired: its time was up
//!      └─► failed     └─► cancelling ─► cancelled
//! ```
//!
//! A batch goes on from the state that its record has; what that state had done before is in the batch's files.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::scan::scan;
use super::{BatchError, Ended, Fault, Progress, Runner, Task};
use crate::error::ApiError;
use crate::kept::{BatchRecord, FileRecord, Kept, Status};
use crate::state::{App, unix_seconds};

/// Batches that run at a time, one for each owner.
const RUNNING_MAX: usize = 8;
/// After a fault of the disk, the time before another try.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// The last moment at which something is noticed that nobody tells.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Runs batches until the server drains. What is asked then is asked again after the next start.
pub(crate) async fn work(app: Arc<App>) {
    let Some(kept) = app.kept.clone() else { return };
    let runner = Arc::new(Runner::of(Arc::clone(&app)));
    let mut running = JoinSet::new();
    let mut owners: HashMap<tokio::task::Id, u64> = HashMap::new();
    while !app.front.is_draining() {
        for batch in kept.pending() {
            if owners.len() < RUNNING_MAX && owners.values().all(|owner| *owner != batch.owner) {
                let owner = batch.owner;
                let one = One { app: Arc::clone(&app), kept: Arc::clone(&kept), runner: Arc::clone(&runner) };
                owners.insert(running.spawn(one.go_on(batch)).id(), owner);
            }
        }
        tokio::select! {
            () = kept.changed.notified() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = app.front.drains() => {}
            Some(ended) = running.join_next_with_id() => {
                let id = ended.map_or_else(|panicked| panicked.id(), |(id, ())| id);
                owners.remove(&id);
            }
        }
    }
    while running.join_next().await.is_some() {}
}

/// What a batch runs with.
struct One {
    app: Arc<App>,
    kept: Arc<Kept>,
    runner: Arc<Runner>,
}

/// Why a batch does not go on now.
enum Halt {
    /// Its record can't be written.
    Unwritten,
    /// The server ends, or the models have.
    Draining,
}

impl From<ApiError> for Halt {
    fn from(_: ApiError) -> Self {
        Halt::Unwritten
    }
}

impl One {
    async fn go_on(self, batch: BatchRecord) {
        let halted = match batch.status {
            Status::Validating => match self.validate(&batch).await {
                Ok(true) => self.run(&batch).await,
                Ok(false) => Ok(()),
                Err(halt) => Err(halt),
            },
            Status::InProgress => self.run(&batch).await,
            Status::Cancelling => self.close(&batch, Status::Cancelled).await,
            Status::Finalizing => self.close(&batch, Status::Completed).await,
            Status::Failed | Status::Completed | Status::Expired | Status::Cancelled => Ok(()),
        };
        if matches!(halted, Err(Halt::Unwritten)) {
            tokio::select! {
                () = tokio::time::sleep(TRY_AGAIN) => {}
                () = self.app.front.drains() => {}
            }
        }
    }

    /// Looks at the input. A file without a line that could be asked is a failed batch.
    async fn validate(&self, batch: &BatchRecord) -> Result<bool, Halt> {
        let (line_bytes_max, lines_max) = (self.app.config.body_bytes_max, self.app.config.batch_lines_max);
        let (path, endpoint) = (self.kept.path(&batch.input_file_id), batch.endpoint.clone());
        let scanned =
            tokio::task::spawn_blocking(move || scan(&path, Some(&endpoint), line_bytes_max, lines_max))
                .await;
        let fault = |code: &str, message: String| Fault { line: None, code: code.to_owned(), message };
        let (total, faults) = match scanned {
            Ok(Ok(scan)) if scan.lines > lines_max => {
                let message = format!("the file has more than the limit of {lines_max} lines");
                (0, vec![fault("too_many_lines", message)])
            }
            Ok(Ok(scan)) if scan.lines == 0 => {
                (0, vec![fault("empty_file", "the file has no lines".to_owned())])
            }
            // Lines that can't be asked are errors of their own beside those that can.
            Ok(Ok(scan)) if scan.good == 0 => (0, scan.faults),
            Ok(Ok(scan)) => (scan.lines, scan.faults),
            Ok(Err(error)) => (0, vec![fault("file_not_read", told(&error))]),
            Err(_) => (0, vec![fault("internal_error", "the file could not be looked at".to_owned())]),
        };
        let changed = self
            .change(batch, move |batch| {
                if batch.status != Status::Validating {
                    return Vec::new();
                }
                (batch.total, batch.faults) = (total, faults);
                let next = if total == 0 { Status::Failed } else { Status::InProgress };
                batch.become_now(next, unix_seconds());
                Vec::new()
            })
            .await?;
        match changed.status {
            Status::InProgress => Ok(true),
            Status::Cancelling => self.close(batch, Status::Cancelled).await.map(|()| false),
            _ => Ok(false),
        }
    }

    async fn run(&self, batch: &BatchRecord) -> Result<(), Halt> {
        let task = Task {
            input: self.kept.path(&batch.input_file_id),
            output: self.kept.path(&batch.output_file_id),
            errors: Some(self.kept.path(&batch.error_file_id)),
            concurrency: self.app.config.batch_concurrency,
            line_bytes_max: self.app.config.body_bytes_max,
            endpoint: Some(batch.endpoint.clone()),
            owner: batch.owner,
            idle: true,
        };
        let (progress, _running) = self.kept.running(&batch.id);
        let ended = self.runner.run(&task, &progress, self.stop(batch)).await;
        match ended {
            Ok(Ended::Done(_)) => {
                self.change(batch, move |batch| {
                    // One that was cancelled too late is answered all the same.
                    batch.become_now(Status::Finalizing, unix_seconds());
                    Vec::new()
                })
                .await?;
                self.close(batch, Status::Completed).await
            }
            Ok(Ended::Stopped(_)) if self.app.front.is_draining() => Err(Halt::Draining),
            Ok(Ended::Stopped(_)) if self.is_cancelled(batch) => self.close(batch, Status::Cancelled).await,
            Ok(Ended::Stopped(_)) => self.expire(batch, task, progress).await,
            Err(BatchError::Stopped) => Err(Halt::Draining),
            Err(error) => {
                tracing::error!(%error, batch = batch.id, "a batch can't go on");
                let message = told(&error);
                self.change(batch, move |batch| {
                    batch.faults.push(Fault { line: None, code: "file_not_written".to_owned(), message });
                    Vec::new()
                })
                .await?;
                self.close(batch, Status::Failed).await
            }
        }
    }

    /// Comes to pass when a batch is not to go on.
    async fn stop(&self, batch: &BatchRecord) {
        let left = Duration::from_secs(batch.expires_at.saturating_sub(unix_seconds()));
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            () = self.app.front.drains() => {}
            () = self.kept.cancelled(&batch.id) => {}
        }
    }

    fn is_cancelled(&self, batch: &BatchRecord) -> bool {
        self.kept.batch(batch.owner, &batch.id).is_ok_and(|batch| batch.status == Status::Cancelling)
    }

    /// Says of each line that is left that the time was up.
    async fn expire(&self, batch: &BatchRecord, task: Task, progress: Arc<Progress>) -> Result<(), Halt> {
        const MESSAGE: &str = "This request could not be executed before the completion window expired.";
        let runner = Arc::clone(&self.runner);
        let refused = tokio::task::spawn_blocking(move || {
            runner.refuse_rest(&task, &progress, "batch_expired", MESSAGE).map(drop)
        });
        if let Ok(Err(error)) = refused.await {
            tracing::error!(%error, batch = batch.id, "what is left of a batch can't be told");
        }
        self.close(batch, Status::Expired).await
    }

    /// The end: the files become the owner's, and the record says so, both at once.
    async fn close(&self, batch: &BatchRecord, status: Status) -> Result<(), Halt> {
        let file = |id: &str, name: &str| {
            let bytes = fs::metadata(self.kept.path(id)).map_or(0, |metadata| metadata.len());
            (bytes > 0).then(|| FileRecord {
                id: id.to_owned(),
                owner: batch.owner,
                bytes,
                created_at: unix_seconds(),
                filename: format!("{}_{name}.jsonl", batch.id),
                purpose: "batch_output".to_owned(),
            })
        };
        let (output, errors) = (file(&batch.output_file_id, "output"), file(&batch.error_file_id, "error"));
        for (id, file) in [(&batch.output_file_id, &output), (&batch.error_file_id, &errors)] {
            if file.is_none() {
                let _ = fs::remove_file(self.kept.path(id));
            }
        }
        let changed = self
            .change(batch, move |batch| {
                (batch.has_output, batch.has_errors) = (output.is_some(), errors.is_some());
                batch.become_now(status, unix_seconds());
                output.into_iter().chain(errors).collect()
            })
            .await?;
        let (completed, failed) = (changed.counts.completed, changed.counts.failed);
        tracing::info!(batch = batch.id, ?status, completed, failed, "a batch has ended");
        Ok(())
    }

    async fn change(
        &self,
        batch: &BatchRecord,
        change: impl FnOnce(&mut BatchRecord) -> Vec<FileRecord> + Send + 'static,
    ) -> Result<BatchRecord, Halt> {
        let (kept, id) = (Arc::clone(&self.kept), batch.id.clone());
        let changed = tokio::task::spawn_blocking(move || kept.change_batch(&id, change)).await;
        changed.map_err(|_| Halt::Unwritten)?.map_err(Halt::from)
    }
}

/// What a client is told of a fault: no paths.
fn told(error: &BatchError) -> String {
    match error {
        BatchError::File { doing, error, .. } => {
            format!("the server can't {doing} a file of the batch: {}", error.kind())
        }
        BatchError::Locked(_) | BatchError::Foreign { .. } => "a file of the batch was changed".to_owned(),
        BatchError::Stopped => error.to_string(),
    }
}
