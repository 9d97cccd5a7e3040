//! `/v1/files`: the inputs and outputs of batches.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::{Extension, Json as Answer};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;
use crate::job::Caller;
use crate::kept::{FileRecord, Kept, Upload};
use crate::lowering::beside;
use crate::state::App;

/// What a file that is sent may be for.
const PURPOSE: &str = "batch";
/// Bytes of a field that is no file.
const FIELD_BYTES_MAX: usize = 1024;
/// Characters of a file's name that are kept.
const FILENAME_CHARACTERS_MAX: usize = 255;
/// Bytes of a file that are read at a time.
const READ_BYTES: usize = 256 << 10;
/// Items of a list, when nothing is said.
const LIST_USUAL: usize = 10_000;

/// A file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = File)]
pub(crate) struct FileObject {
    id: String,
    object: &'static str,
    bytes: u64,
    created_at: u64,
    filename: String,
    purpose: String,
    status: &'static str,
}

/// Files.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileList {
    object: &'static str,
    data: Vec<FileObject>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

/// That a file is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileDeleted {
    id: String,
    object: &'static str,
    deleted: bool,
}

/// A file that is sent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
pub(crate) struct FileUpload {
    /// `batch`.
    purpose: String,
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// What comes behind this id.
    #[serde(default)]
    pub(crate) after: Option<String>,
    /// So many, 1 to 10000.
    #[serde(default)]
    #[param(minimum = 1, maximum = 10000)]
    pub(crate) limit: Option<String>,
    /// `desc`, the newest first, or `asc`.
    #[serde(default)]
    order: Option<String>,
    /// Files for this only.
    #[serde(default)]
    purpose: Option<String>,
}

impl From<FileRecord> for FileObject {
    fn from(record: FileRecord) -> Self {
        let FileRecord { id, bytes, created_at, filename, purpose, .. } = record;
        FileObject { id, object: "file", bytes, created_at, filename, purpose, status: "processed" }
    }
}

/// Takes a file in.
#[utoipa::path(
    post,
    path = "/v1/files",
    tag = "files",
    request_body(content = FileUpload, content_type = "multipart/form-data"),
    responses((status = 200, body = FileObject))
)]
pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Answer<FileObject>, ApiError> {
    let kept = app.kept()?;
    let mut form = Multipart::from_request(request, &()).await.map_err(|rejection| {
        let message = format!(
            "the body must be a form: send Content-Type: multipart/form-data; {}",
            rejection.body_text()
        );
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", message)
            .with_code("unsupported_media_type")
    })?;
    let (mut purpose, mut sent) = (None, None);
    while let Some(field) = form.next_field().await.map_err(broken)? {
        match field.name() {
            Some("file") if sent.is_none() => {
                let filename: String =
                    field.file_name().unwrap_or("file").chars().take(FILENAME_CHARACTERS_MAX).collect();
                sent = Some((receive(&kept, caller.owner, field).await?, filename));
            }
            Some("file") => return Err(ApiError::field("file", "file: only one can be sent at a time")),
            Some("purpose") => purpose = Some(text(field).await?),
            Some(name) if name.starts_with("expires_after") => {
                let message = "expires_after can't be honoured: files are kept until they are deleted";
                return Err(ApiError::unsupported("expires_after", message));
            }
            _ => {}
        }
    }
    let Some((upload, filename)) = sent else {
        return Err(ApiError::field("file", "file: the form has none"));
    };
    match purpose.as_deref() {
        Some(PURPOSE) => {}
        None => return Err(ApiError::field("purpose", "purpose: the form has none; it must be batch")),
        Some(_) => {
            return Err(ApiError::field("purpose", "purpose must be batch: files are of no other use here"));
        }
    }
    let owner = caller.owner;
    let record = beside(move || upload.finish(owner, filename, PURPOSE.to_owned())).await?;
    Ok(Answer(record.into()))
}

/// Writes a file down as it comes.
async fn receive(kept: &Arc<Kept>, owner: u64, mut field: Field<'_>) -> Result<Upload, ApiError> {
    let kept = Arc::clone(kept);
    let mut upload = beside(move || Upload::begin(&kept, owner)).await?;
    while let Some(bytes) = field.chunk().await.map_err(broken)? {
        upload = beside(move || upload.write(&bytes).map(|()| upload)).await?;
    }
    Ok(upload)
}

async fn text(mut field: Field<'_>) -> Result<String, ApiError> {
    let mut text = Vec::new();
    while let Some(bytes) = field.chunk().await.map_err(broken)? {
        text.extend_from_slice(&bytes);
        if text.len() > FIELD_BYTES_MAX {
            return Err(ApiError::invalid(format!(
                "a field of the form is longer than {FIELD_BYTES_MAX} bytes"
            )));
        }
    }
    String::from_utf8(text).map_err(|_| ApiError::invalid("a field of the form is not UTF-8"))
}

fn broken(error: MultipartError) -> ApiError {
    ApiError::invalid(format!("the form is broken: {}", error.body_text())).with_code("malformed_request")
}

/// Lists files.
#[utoipa::path(get, path = "/v1/files", tag = "files", params(Page), responses((status = 200, body = FileList)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Result<Answer<FileList>, ApiError> {
    let kept = app.kept()?;
    let Query(page) = page.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let mut files = kept.files(caller.owner);
    if let Some(purpose) = &page.purpose {
        files.retain(|file| file.purpose == *purpose);
    }
    let (files, has_more) = page.cut(files, LIST_USUAL, |file| &file.id)?;
    let data: Vec<FileObject> = files.into_iter().map(FileObject::from).collect();
    let id = |file: Option<&FileObject>| file.map(|file| file.id.clone());
    let (first_id, last_id) = (id(data.first()), id(data.last()));
    Ok(Answer(FileList { object: "list", first_id, last_id, data, has_more }))
}

impl Page {
    /// The items that are wanted of all, which are the oldest first, and whether there are more.
    pub(crate) fn cut<T>(
        &self,
        mut all: Vec<T>,
        usual: usize,
        id: impl Fn(&T) -> &str,
    ) -> Result<(Vec<T>, bool), ApiError> {
        match self.order.as_deref() {
            None | Some("desc") => all.reverse(),
            Some("asc") => {}
            Some(_) => return Err(ApiError::field("order", "order must be asc or desc")),
        }
        let limit = match self.limit.as_deref().map(str::parse::<usize>) {
            None => usual,
            Some(Ok(limit @ 1..=LIST_USUAL)) => limit,
            Some(_) => {
                return Err(ApiError::field(
                    "limit",
                    format!("limit must be a number from 1 to {LIST_USUAL}"),
                ));
            }
        };
        if let Some(after) = &self.after {
            let at = all.iter().position(|item| id(item) == after);
            let at = at.ok_or_else(|| ApiError::field("after", "after: there is no such id in the list"))?;
            all.drain(..=at);
        }
        let has_more = all.len() > limit;
        all.truncate(limit);
        Ok((all, has_more))
    }
}

/// Shows what a file is.
#[utoipa::path(get, path = "/v1/files/{id}", tag = "files", params(("id" = String, Path)), responses((status = 200, body = FileObject)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Answer<FileObject>, ApiError> {
    Ok(Answer(app.kept()?.file(caller.owner, &id)?.into()))
}

/// Removes a file.
#[utoipa::path(delete, path = "/v1/files/{id}", tag = "files", params(("id" = String, Path)), responses((status = 200, body = FileDeleted)))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Answer<FileDeleted>, ApiError> {
    let (kept, removed) = (app.kept()?, id.clone());
    beside(move || kept.remove_file(caller.owner, &removed)).await?;
    Ok(Answer(FileDeleted { id, object: "file", deleted: true }))
}

/// Gives a file's bytes.
#[utoipa::path(
    get,
    path = "/v1/files/{id}/content",
    tag = "files",
    params(("id" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream", body = String))
)]
pub(crate) async fn content(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response<Body>, ApiError> {
    let kept = app.kept()?;
    let record = kept.file(caller.owner, &id)?;
    let path = kept.path(&record.id);
    let file =
        beside(move || File::open(path).map_err(|_| ApiError::internal("the file can't be read"))).await?;
    let pieces = futures_util::stream::try_unfold(file, |mut file| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; READ_BYTES];
            let count = file.read(&mut bytes)?;
            bytes.truncate(count);
            Ok::<_, std::io::Error>((bytes, file))
        });
        let (bytes, file) = read.await.map_err(std::io::Error::other)??;
        Ok::<_, std::io::Error>((!bytes.is_empty()).then(|| (Bytes::from(bytes), file)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(record.bytes));
    Ok(response)
}
