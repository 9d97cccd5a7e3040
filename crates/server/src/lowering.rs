//! The slow part of lowering a request: tokenizers and templates, which can take their time on a large body.

use crate::error::ApiError;

/// Does the work beside the threads that serve connections.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ApiError::internal("the request could not be made into a prompt"))?
}
