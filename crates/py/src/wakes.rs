//! Waking readers in asyncio: those whose pieces come together are woken together.
//!
//! A step of the engine gives a token to each of its streams. To wake their readers one by one would take the interpreter, and
//! interrupt the loop, as many times.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::runtime::Handle;

/// A reader that waits: a future, and the loop that it belongs to.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) event_loop: Py<PyAny>,
    pub(crate) future: Py<PyAny>,
}

/// Readers that are about to be woken, by a task of the runtime.
#[derive(Debug)]
pub(crate) struct Wakes {
    runtime: Handle,
    readers: Mutex<Vec<Reader>>,
}

impl Wakes {
    pub(crate) fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Wakes { runtime, readers: Mutex::default() })
    }

    /// Wakes a reader when the tasks have run that are ready now.
    pub(crate) fn add(self: &Arc<Self>, reader: Reader) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.push(reader);
        if readers.len() == 1 {
            drop(readers);
            let wake = WakeAll(Arc::clone(self));
            self.runtime.spawn(async move {
                tokio::task::yield_now().await;
                drop(wake);
            });
        }
    }
}

/// Wakes them when it is dropped: also by a runtime that has ended and runs no tasks any more.
struct WakeAll(Arc<Wakes>);

impl Drop for WakeAll {
    fn drop(&mut self) {
        let readers = std::mem::take(&mut *self.0.readers.lock().unwrap_or_else(PoisonError::into_inner));
        // None if the interpreter is about to end.
        Python::try_attach(|py| {
            if let Err(error) = settle(py, readers) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// Has each loop settle its futures.
fn settle(py: Python<'_>, mut readers: Vec<Reader>) -> PyResult<()> {
    let settle = py.import("kun.streams")?.getattr("settle")?;
    while let Some(Reader { event_loop, .. }) = readers.first() {
        let event_loop = event_loop.clone_ref(py);
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            readers.into_iter().partition(|reader| reader.event_loop.is(&event_loop));
        readers = elsewhere;
        let futures = PyList::new(py, here.into_iter().map(|reader| reader.future))?;
        match event_loop.call_method1(py, "call_soon_threadsafe", (&settle, futures)) {
            // The loop is closed, and with it the readers.
            Err(error) if error.is_instance_of::<PyRuntimeError>(py) => {}
            called => drop(called?),
        }
    }
    Ok(())
}
