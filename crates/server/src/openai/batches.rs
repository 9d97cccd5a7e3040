//! `/v1/batches`: files of requests that are answered when there is time.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json as Answer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::check_metadata;
use super::files::Page;
use crate::batch::Counts;
use crate::batch::lines::ENDPOINTS;
use crate::body::Json;
use crate::error::ApiError;
use crate::job::Caller;
use crate::kept::{BatchRecord, Status, next_id};
use crate::lowering::beside;
use crate::state::{App, unix_seconds};

/// Items of a list, when nothing is said.
const LIST_USUAL: usize = 20;
/// The longest time that a batch may be given: 30 days.
const WINDOW_SECONDS_MAX: u64 = 30 * 24 * 3600;

/// A request to `POST /v1/batches`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct BatchRequest {
    input_file_id: String,
    /// The route that all lines ask: /v1/chat/completions, /v1/completions, /v1/embeddings or /v1/responses.
    endpoint: String,
    /// When an answer is of no use any more: `24h`, or another time in `s`, `m`, `h` or `d`.
    completion_window: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    output_expires_after: Option<Value>,
}

/// A batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Batch {
    id: String,
    object: &'static str,
    endpoint: String,
    errors: Option<BatchErrors>,
    input_file_id: String,
    completion_window: String,
    /// `validating`, `failed`, `in_progress`, `finalizing`, `completed`, `expired`, `cancelling` or `cancelled`.
    status: Status,
    output_file_id: Option<String>,
    error_file_id: Option<String>,
    created_at: u64,
    in_progress_at: Option<u64>,
    expires_at: u64,
    finalizing_at: Option<u64>,
    completed_at: Option<u64>,
    failed_at: Option<u64>,
    expired_at: Option<u64>,
    cancelling_at: Option<u64>,
    cancelled_at: Option<u64>,
    request_counts: RequestCounts,
    metadata: Option<BTreeMap<String, String>>,
}

/// What is wrong with a batch's input.
#[derive(Debug, Serialize, ToSchema)]
struct BatchErrors {
    object: &'static str,
    data: Vec<BatchFault>,
}

/// What is wrong with a line, or with all of it.
#[derive(Debug, Serialize, ToSchema)]
struct BatchFault {
    code: String,
    message: String,
    param: Option<String>,
    line: Option<u64>,
}

/// How many lines there are, and how many have an answer.
#[derive(Debug, Serialize, ToSchema)]
struct RequestCounts {
    total: u64,
    completed: u64,
    failed: u64,
}

/// Batches.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchList {
    object: &'static str,
    data: Vec<Batch>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

impl From<BatchRecord> for Batch {
    fn from(record: BatchRecord) -> Self {
        let at = |status: Status| record.times.get(&status).copied();
        let fault = |fault: &crate::batch::Fault| BatchFault {
            code: fault.code.clone(),
            message: fault.message.clone(),
            param: None,
            line: fault.line,
        };
        let faults: Vec<BatchFault> = record.faults.iter().map(fault).collect();
        Batch {
            object: "batch",
            errors: (!faults.is_empty()).then_some(BatchErrors { object: "list", data: faults }),
            status: record.status,
            output_file_id: record.has_output.then(|| record.output_file_id.clone()),
            error_file_id: record.has_errors.then(|| record.error_file_id.clone()),
            created_at: record.created_at,
            in_progress_at: at(Status::InProgress),
            expires_at: record.expires_at,
            finalizing_at: at(Status::Finalizing),
            completed_at: at(Status::Completed),
            failed_at: at(Status::Failed),
            expired_at: at(Status::Expired),
            cancelling_at: at(Status::Cancelling),
            cancelled_at: at(Status::Cancelled),
            request_counts: RequestCounts {
                total: record.total,
                completed: record.counts.completed,
                failed: record.counts.failed,
            },
            id: record.id,
            endpoint: record.endpoint,
            input_file_id: record.input_file_id,
            completion_window: record.completion_window,
            metadata: record.metadata,
        }
    }
}

/// Has a file of requests answered.
#[utoipa::path(post, path = "/v1/batches", tag = "batches", request_body = BatchRequest, responses((status = 200, body = Batch)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<BatchRequest>,
) -> Result<Answer<Batch>, ApiError> {
    let kept = app.kept()?;
    let BatchRequest { input_file_id, endpoint, completion_window, metadata, output_expires_after } = request;
    if !ENDPOINTS.contains(&endpoint.as_str()) {
        let message = format!("endpoint must be one of {}", ENDPOINTS.join(", "));
        return Err(ApiError::field("endpoint", message));
    }
    let seconds = window(&completion_window)?;
    check_metadata(metadata.as_ref())?;
    if output_expires_after.is_some() {
        let message = "output_expires_after can't be honoured: files are kept until they are deleted";
        return Err(ApiError::unsupported("output_expires_after", message));
    }
    let input = kept.file(caller.owner, &input_file_id).map_err(|error| error.with_param("input_file_id"))?;
    if input.purpose != "batch" {
        return Err(ApiError::field("input_file_id", "input_file_id: the file was not sent for a batch"));
    }
    let now = unix_seconds();
    let batch = BatchRecord {
        id: next_id("batch_")?,
        owner: caller.owner,
        endpoint,
        completion_window,
        metadata,
        input_file_id,
        output_file_id: next_id("file-")?,
        error_file_id: next_id("file-")?,
        has_output: false,
        has_errors: false,
        status: Status::Validating,
        total: 0,
        counts: Counts::default(),
        faults: Vec::new(),
        created_at: now,
        expires_at: now + seconds,
        times: BTreeMap::new(),
    };
    let batch = beside(move || kept.add_batch(&batch).map(|()| batch)).await?;
    Ok(Answer(batch.into()))
}

/// A time such as `24h`, in seconds.
fn window(text: &str) -> Result<u64, ApiError> {
    let unit = |unit: char| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(24 * 3600),
        _ => None,
    };
    let seconds = text.char_indices().last().and_then(|(at, last)| {
        let number = text[..at].parse::<u64>().ok()?;
        number.checked_mul(unit(last)?)
    });
    seconds.filter(|seconds| (1..=WINDOW_SECONDS_MAX).contains(seconds)).ok_or_else(|| {
        let message = "completion_window must be a time such as 24h, at most 30d";
        ApiError::field("completion_window", message)
    })
}

/// Lists batches.
#[utoipa::path(get, path = "/v1/batches", tag = "batches", params(Page), responses((status = 200, body = BatchList)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Answer<BatchList>, ApiError> {
    let kept = app.kept()?;
    let Query(page) = page.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let (batches, has_more) = page.cut(kept.batches(caller.owner), LIST_USUAL, |batch| &batch.id)?;
    let data: Vec<Batch> = batches.into_iter().map(Batch::from).collect();
    let id = |batch: Option<&Batch>| batch.map(|batch| batch.id.clone());
    let (first_id, last_id) = (id(data.first()), id(data.last()));
    Ok(Answer(BatchList { object: "list", first_id, last_id, data, has_more }))
}

/// Shows how far a batch is.
#[utoipa::path(get, path = "/v1/batches/{id}", tag = "batches", params(("id" = String, Path)), responses((status = 200, body = Batch)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Answer<Batch>, ApiError> {
    Ok(Answer(app.kept()?.batch(caller.owner, &id)?.into()))
}

/// Ends a batch. What is answered until then stays.
#[utoipa::path(post, path = "/v1/batches/{id}/cancel", tag = "batches", params(("id" = String, Path)), responses((status = 200, body = Batch)))]
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Answer<Batch>, ApiError> {
    let kept = app.kept()?;
    let batch = kept.batch(caller.owner, &id)?;
    if batch.status.is_final() || batch.status == Status::Finalizing {
        return Err(
            ApiError::invalid("the batch has ended: there is nothing to cancel").with_code("batch_ended")
        );
    }
    let changed = beside(move || kept.cancel(&id)).await?;
    Ok(Answer(changed.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_time_of_a_second_to_thirty_days() {
        for (text, expect) in [
            ("24h", Some(24 * 3600)),
            ("1s", Some(1)),
            ("30d", Some(WINDOW_SECONDS_MAX)),
            ("90m", Some(5400)),
            ("31d", None),
            ("0h", None),
            ("h", None),
            ("", None),
            ("-1h", None),
            ("24", None),
            ("24 h", None),
            ("99999999999999999999d", None),
            ("9999999999999999999d", None),
            ("24€", None),
        ] {
            assert_eq!(window(text).ok(), expect, "{text}");
        }
    }
}
