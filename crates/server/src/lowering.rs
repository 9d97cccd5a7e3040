//! The slow part of lowering a request: tokenizers and templates, which can take their time on a large body.

use std::sync::Arc;

use crate::error::ApiError;

/// Does the work beside the threads that serve connections.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let wanted = Arc::new(());
    let still_wanted = Arc::downgrade(&wanted);
    let work = move || {
        // A client that has gone while the work waited for a thread gets none of it.
        if still_wanted.strong_count() == 0 { Err(ApiError::internal("the client has gone")) } else { work() }
    };
    let done = tokio::task::spawn_blocking(work).await;
    drop(wanted);
    done.map_err(|_| ApiError::internal("the request could not be made into a prompt"))?
}
