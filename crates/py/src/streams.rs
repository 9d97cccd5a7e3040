//! Answers that come piece by piece: of token ids from the engine, and of bytes from the routes.
//!
//! Each has a task that takes over what comes. Dropping the stream ends the task, and with it the request.

use std::future::poll_fn;
use std::sync::Arc;

use engine::engine::Generation;
use engine::request::{Chunk, FinishReason, Finished, TokenId, TokenLogprobs};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use server::{Answer, InProcess};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::errors;
use crate::inbox::{Ends, Inbox, Piece, Taken};
use crate::wakes::{Reader, Wakes};

/// A task that ends when this is dropped.
pub(crate) struct Task(pub(crate) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer of token ids, as dicts. Python's `kun.TokenStream` stands around it.
#[pyclass(frozen, module = "kun._kun")]
pub(crate) struct TokenStream {
    inbox: Arc<Inbox<Chunk>>,
    cancel: Arc<Notify>,
    _task: Task,
}

impl Piece for Chunk {
    fn join(&mut self, next: Self) -> Option<Self> {
        let Chunk { rewind, tokens, logprobs, prompt_logprobs, embedding, finished } = next;
        // What is taken back may be more than is here.
        if rewind > 0 {
            return Some(Chunk { rewind, tokens, logprobs, prompt_logprobs, embedding, finished });
        }
        self.tokens.extend(tokens);
        self.logprobs.extend(logprobs);
        self.prompt_logprobs.extend(prompt_logprobs);
        self.embedding.extend(embedding);
        self.finished = finished;
        None
    }
}

impl TokenStream {
    pub(crate) fn new(mut generation: Generation, runtime: &Handle, wakes: &Arc<Wakes>) -> Self {
        let (inbox, cancel) = (Arc::new(Inbox::new(wakes)), Arc::new(Notify::new()));
        let (to, cancelled) = (Arc::clone(&inbox), Arc::clone(&cancel));
        let task = runtime.spawn(async move {
            let _ends = Ends(Arc::clone(&to));
            loop {
                let chunk = tokio::select! {
                    chunk = poll_fn(|context| generation.poll_next(context)) => chunk,
                    () = cancelled.notified() => {
                        generation.cancel();
                        continue;
                    }
                };
                match chunk {
                    Some(chunk) => to.push(chunk),
                    None => return,
                }
            }
        });
        TokenStream { inbox, cancel, _task: Task(task) }
    }
}

#[pymethods]
impl TokenStream {
    /// The next piece; None after the last.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        self.inbox.next(py)?.map(|chunk| piece(py, &chunk)).transpose()
    }

    /// The next piece if there is one, None if not yet; raises StopAsyncIteration after the last.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        match self.inbox.take() {
            Taken::Item(chunk) => piece(py, &chunk).map(Some),
            Taken::Nothing => Ok(None),
            Taken::End => Err(pyo3::exceptions::PyStopAsyncIteration::new_err(())),
        }
    }

    /// Settles `future`, which belongs to `event_loop`, when `take` has something to say.
    fn notify(&self, event_loop: Py<PyAny>, future: Py<PyAny>) {
        self.inbox.notify(Reader { event_loop, future });
    }

    /// Asks the engine to end this answer; its last piece says that it was cancelled.
    fn cancel(&self) {
        self.cancel.notify_one();
    }
}

/// An answer of the routes: first its status, then its bytes as they come.
#[pyclass(frozen, module = "kun._kun")]
pub(crate) struct ByteStream {
    inbox: Arc<Inbox<Part>>,
    task: Task,
}

enum Part {
    Status(u16),
    Bytes(Vec<u8>),
    Broken(String),
}

impl Piece for Part {
    fn join(&mut self, next: Self) -> Option<Self> {
        match (self, next) {
            (Part::Bytes(bytes), Part::Bytes(next)) => {
                bytes.extend_from_slice(&next);
                None
            }
            (_, next) => Some(next),
        }
    }
}

impl ByteStream {
    pub(crate) fn new(
        service: InProcess,
        path: String,
        body: Vec<u8>,
        runtime: &Handle,
        wakes: &Arc<Wakes>,
    ) -> Self {
        let inbox = Arc::new(Inbox::new(wakes));
        let to = Arc::clone(&inbox);
        let task = runtime.spawn(async move {
            let _ends = Ends(Arc::clone(&to));
            let Answer { status, mut body } = service.call(post(), &path, body).await;
            to.push(Part::Status(status.as_u16()));
            while let Some(bytes) = body.next().await {
                match bytes {
                    Ok(bytes) => to.push(Part::Bytes(bytes.into())),
                    Err(why) => return to.push(Part::Broken(why)),
                }
            }
        });
        ByteStream { inbox, task: Task(task) }
    }
}

#[pymethods]
impl ByteStream {
    /// The next part; None after the last.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.inbox.next(py)?.map(|part| part.tell(py)).transpose()
    }

    /// The next part if there is one, None if not yet; raises StopAsyncIteration after the last.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.inbox.take() {
            Taken::Item(part) => part.tell(py).map(Some),
            Taken::Nothing => Ok(None),
            Taken::End => Err(pyo3::exceptions::PyStopAsyncIteration::new_err(())),
        }
    }

    /// Settles `future`, which belongs to `event_loop`, when `take` has something to say.
    fn notify(&self, event_loop: Py<PyAny>, future: Py<PyAny>) {
        self.inbox.notify(Reader { event_loop, future });
    }

    /// Ends the answer; nothing more comes.
    fn cancel(&self) {
        self.task.0.abort();
    }
}

impl Part {
    fn tell(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Part::Status(status) => Ok(status.into_pyobject(py)?.into_any()),
            Part::Bytes(bytes) => Ok(PyBytes::new(py, &bytes).into_any()),
            Part::Broken(why) => Err(errors::internal(why)),
        }
    }
}

/// The method of everything that is asked of the routes with a body.
pub(crate) fn post<T: std::str::FromStr>() -> T
where
    T::Err: std::fmt::Debug,
{
    "POST".parse().expect("it is a method")
}

/// A chunk as Python has it.
fn piece<'py>(py: Python<'py>, chunk: &Chunk) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("token_ids", &chunk.tokens)?;
    if chunk.rewind > 0 {
        dict.set_item("rewind", chunk.rewind)?;
    }
    if !chunk.logprobs.is_empty() {
        let each = chunk.tokens.iter().zip(&chunk.logprobs);
        let list = each.map(|(token, logprobs)| beside(py, Some(*token), logprobs));
        dict.set_item("logprobs", PyList::new(py, list.collect::<PyResult<Vec<_>>>()?)?)?;
    }
    if !chunk.prompt_logprobs.is_empty() {
        let list = chunk.prompt_logprobs.iter().map(|logprobs| beside(py, None, logprobs));
        dict.set_item("prompt_logprobs", PyList::new(py, list.collect::<PyResult<Vec<_>>>()?)?)?;
    }
    let reason = chunk.finished.as_ref().map(|finished| reason(&finished.reason));
    dict.set_item("finish_reason", reason)?;
    if let Some(finished) = &chunk.finished {
        end(py, &dict, finished)?;
    }
    Ok(dict)
}

fn beside<'py>(
    py: Python<'py>,
    token: Option<TokenId>,
    logprobs: &TokenLogprobs,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    if let Some(token) = token {
        dict.set_item("token_id", token)?;
    }
    dict.set_item("logprob", logprobs.logprob)?;
    dict.set_item("top", &logprobs.top)?;
    Ok(dict)
}

fn end(py: Python<'_>, dict: &Bound<'_, PyDict>, finished: &Finished) -> PyResult<()> {
    if let Some(token) = finished.stop_token {
        dict.set_item("stop_token", token)?;
    }
    if let FinishReason::Impossible(why) | FinishReason::Error(why) = &finished.reason {
        dict.set_item("error", why)?;
    }
    if let Some(found) = &finished.repetition {
        let repetition = PyDict::new(py);
        repetition.set_item("period_tokens", found.period_tokens)?;
        repetition.set_item("repeats", found.repeats)?;
        repetition.set_item("tokens_trimmed", found.tokens_trimmed)?;
        repetition.set_item("recovered", found.recovered)?;
        dict.set_item("repetition", repetition)?;
    }
    let usage = PyDict::new(py);
    usage.set_item("prompt_tokens", finished.prompt_tokens)?;
    usage.set_item("completion_tokens", finished.completion_tokens)?;
    usage.set_item("cached_tokens", finished.cache.cached_tokens)?;
    dict.set_item("usage", usage)
}

fn reason(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Repetition => "repetition",
        FinishReason::Cancelled => "cancelled",
        FinishReason::TimedOut => "timeout",
        FinishReason::Impossible(_) | FinishReason::Error(_) => "error",
    }
}
