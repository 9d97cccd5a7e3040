//! An answer under way: the client's end and the engine's end of its channel.
//!
//! The channel has no bound of its own, for the engine must never wait for a reader; `max_tokens` and the context
//! bound what can be in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;

use crate::request::{CacheReport, Chunk, FinishReason, Finished};

/// The chunks of one answer: an iterator that waits for the next. The last chunk, and it alone, has `finished` set.
///
/// Dropping it cancels the request: the engine frees its memory before the next step.
#[derive(Debug)]
pub struct Generation {
    chunks: Receiver<Chunk>,
    shared: Arc<Shared>,
    prompt_tokens: usize,
    completion_tokens: usize,
    ended: bool,
}

impl Generation {
    /// Asks the engine to end this request. What it has sent up to then can still be read, and a last chunk says
    /// [`FinishReason::Cancelled`], unless the answer ended by itself in the meantime.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Relaxed);
    }

    /// The next chunk, if it comes within `timeout`. `Disconnected` means that the last one has been read.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Chunk, RecvTimeoutError> {
        if self.ended {
            return Err(RecvTimeoutError::Disconnected);
        }
        match self.chunks.recv_timeout(timeout) {
            Err(RecvTimeoutError::Timeout) => Err(RecvTimeoutError::Timeout),
            received => Ok(self.received(received.ok())),
        }
    }

    /// The next chunk, if it is there. `Disconnected` means that the last one has been read.
    pub fn try_recv(&mut self) -> Result<Chunk, TryRecvError> {
        if self.ended {
            return Err(TryRecvError::Disconnected);
        }
        match self.chunks.try_recv() {
            Err(TryRecvError::Empty) => Err(TryRecvError::Empty),
            received => Ok(self.received(received.ok())),
        }
    }

    /// The next chunk for a client that waits for many things at once: none after the last. The task of `context`
    /// is woken when there is one.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Chunk>> {
        // Registered first: a chunk that comes in between wakes the task.
        self.shared.reader.register(context.waker());
        match self.try_recv() {
            Ok(chunk) => Poll::Ready(Some(chunk)),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
        }
    }

    /// Notes what has arrived. If the engine has gone without a last word, that becomes the last chunk: a reader
    /// can count on one.
    fn received(&mut self, chunk: Option<Chunk>) -> Chunk {
        let chunk = chunk.unwrap_or_else(|| {
            let finished = Finished {
                reason: FinishReason::Error("the engine has stopped".to_owned()),
                stop_token: None,
                prompt_tokens: self.prompt_tokens,
                completion_tokens: self.completion_tokens,
                cache: CacheReport::default(),
                repetition: None,
                queued: Duration::ZERO,
                prompt: Duration::ZERO,
                generation: Duration::ZERO,
            };
            Chunk { finished: Some(finished), ..Chunk::default() }
        });
        self.completion_tokens = self.completion_tokens.saturating_sub(chunk.rewind) + chunk.tokens.len();
        self.ended = chunk.finished.is_some();
        chunk
    }
}

impl Iterator for Generation {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        if self.ended {
            return None;
        }
        let received = self.chunks.recv().ok();
        Some(self.received(received))
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The engine's end of a [`Generation`].
#[derive(Debug)]
pub(crate) struct Sink {
    /// None once it is being dropped.
    chunks: Option<Sender<Chunk>>,
    shared: Arc<Shared>,
}

/// What both ends see.
#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    /// Who waits in `poll_next`.
    reader: AtomicWaker,
}

impl Sink {
    /// Both ends for a request with a prompt of `prompt_tokens`.
    pub(crate) fn new(prompt_tokens: usize) -> (Sink, Generation) {
        let (sender, receiver) = channel();
        let shared = Arc::new(Shared::default());
        let sink = Sink { chunks: Some(sender), shared: Arc::clone(&shared) };
        let generation =
            Generation { chunks: receiver, shared, prompt_tokens, completion_tokens: 0, ended: false };
        (sink, generation)
    }

    /// Whether the client wants no more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Relaxed)
    }

    /// Sends a chunk, if there is still somebody to read it.
    pub(crate) fn send(&self, chunk: Chunk) {
        // Without a reader the request is cancelled already: a Generation says so when it is dropped.
        let _ = self.chunks.as_ref().expect("it is there until the drop").send(chunk);
        self.shared.reader.wake();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // The reader must find the channel closed when it is woken.
        self.chunks = None;
        self.shared.reader.wake();
    }
}
