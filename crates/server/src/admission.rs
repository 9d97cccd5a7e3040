//! The door: how many requests are turned into tokens at a time, and who is turned away before that work is done.
//!
//! Rendering a template and cutting its text into tokens takes milliseconds. At several times the load that can be served
//! that is what would keep the threads busy, so a request that will find the queue full is told so first; and few are
//! worked on at a time, so that there is a thread left for those who read their answers.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::ApiError;
use crate::model::ServedModel;

/// Requests that are turned into tokens at a time. Each may hold its body and what was parsed of it.
const LOWERING_MAX: usize = 2;

/// Who is on the way in.
#[derive(Debug)]
pub(crate) struct Admission {
    lowering: Semaphore,
    /// Requests that wait for their turn to be turned into tokens, or are, of all models.
    entering: AtomicUsize,
}

/// A place on the way in, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    _entering: Entering<'a>,
    _lowering: SemaphorePermit<'a>,
}

#[derive(Debug)]
struct Entering<'a>(&'a AtomicUsize);

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Admission {
    pub(crate) fn new() -> Self {
        Admission { lowering: Semaphore::new(LOWERING_MAX), entering: AtomicUsize::new(0) }
    }

    /// Waits for a turn, unless the queue is full or will be when all have entered that are before this one.
    pub(crate) async fn enter(&self, model: &ServedModel) -> Result<Place<'_>, ApiError> {
        let before = self.entering.fetch_add(1, Relaxed);
        let entering = Entering(&self.entering);
        model.check_queue(before)?;
        let lowering = self.lowering.acquire().await.expect("the semaphore is never closed");
        // It may have filled up meanwhile.
        model.check_queue(0)?;
        Ok(Place { _entering: entering, _lowering: lowering })
    }
}
