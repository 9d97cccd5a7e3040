//! The memory of all requests' bodies together: what has arrived and is not yet understood stays within one limit,
//! however many clients send at a time. A body that would go beyond it is refused; a client that sends slowly holds no
//! more than what it has sent.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};

use crate::error::ApiError;

/// Bytes that are left for bodies.
#[derive(Debug, Clone)]
pub(crate) struct BodyMemory {
    left: Arc<AtomicUsize>,
}

/// What one request holds of it; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    left: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

/// A body whose bytes are counted as they come.
pub(crate) struct Counted {
    body: Body,
    left: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

/// There is no memory left for more of a body.
#[derive(Debug)]
pub(crate) struct Crowded;

impl BodyMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        BodyMemory { left: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// For one request, of which nothing has arrived yet.
    pub(crate) fn hold(&self) -> Held {
        Held { left: Arc::clone(&self.left), bytes: Arc::default() }
    }
}

impl Held {
    /// The request's body, counted.
    pub(crate) fn count(&self, body: Body) -> Counted {
        Counted { body, left: Arc::clone(&self.left), bytes: Arc::clone(&self.bytes) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.left.fetch_add(self.bytes.load(Relaxed), Relaxed);
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let polled = hyper::body::Body::poll_frame(Pin::new(&mut self.body), context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let less = |left: usize| left.checked_sub(data.len());
            if self.left.fetch_update(Relaxed, Relaxed, less).is_err() {
                return Poll::Ready(Some(Err(Box::new(Crowded))));
            }
            self.bytes.fetch_add(data.len(), Relaxed);
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        hyper::body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        hyper::body::Body::size_hint(&self.body)
    }
}

impl Crowded {
    pub(crate) fn refusal() -> ApiError {
        ApiError::overloaded(
            "too many large requests arrive at the same time; try again later",
            Duration::from_secs(1),
        )
    }
}

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no memory left for bodies")
    }
}

impl std::error::Error for Crowded {}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn bodies_beyond_the_limit_are_refused_and_what_they_held_is_given_back() {
        let memory = BodyMemory::new(10);
        let read = |held: &Held, bytes: &'static [u8]| held.count(Body::from(bytes)).collect();
        let first = memory.hold();
        assert!(read(&first, b"1234567").await.is_ok());
        let second = memory.hold();
        assert!(read(&second, b"1234").await.is_err_and(|error| error.is::<Crowded>()));
        assert!(read(&second, b"123").await.is_ok());
        drop((first, second));
        assert!(read(&memory.hold(), b"1234567890").await.is_ok());
    }
}
