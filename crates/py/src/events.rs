//! What changes in the prefix cache, told to a function of Python by a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use engine::kv_events::{KvEvent, KvEvents};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::errors;

/// How long a subscription that was closed may go on waiting.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A function that is told; it ends when this is closed or dropped, or with the engine.
#[pyclass(frozen, module = "kun._kun")]
pub(crate) struct KvSubscription {
    closed: Arc<AtomicBool>,
}

impl KvSubscription {
    pub(crate) fn start(events: KvEvents, told: Py<PyAny>) -> PyResult<Self> {
        let closed = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&closed);
        let follow = move || {
            while !ends.load(Relaxed) {
                match events.recv_timeout(LOOK_EVERY) {
                    Ok(events) => tell(&told, &events),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("kun-kv-events".to_owned());
        thread.spawn(follow).map_err(errors::internal)?;
        Ok(KvSubscription { closed })
    }
}

#[pymethods]
impl KvSubscription {
    /// Tells nothing more.
    fn close(&self) {
        self.closed.store(true, Relaxed);
    }
}

impl Drop for KvSubscription {
    fn drop(&mut self) {
        self.close();
    }
}

fn tell(told: &Py<PyAny>, events: &[KvEvent]) {
    Python::try_attach(|py| {
        let list: PyResult<Vec<_>> = events.iter().map(|event| told_of(py, event)).collect();
        let called = list.and_then(|list| told.call1(py, (PyList::new(py, list)?,)));
        if let Err(error) = called {
            error.write_unraisable(py, None);
        }
    });
}

fn told_of<'py>(py: Python<'py>, event: &KvEvent) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    match event {
        KvEvent::Stored { parent, hash, tokens } => {
            dict.set_item("type", "stored")?;
            dict.set_item("hash", hash)?;
            dict.set_item("parent", parent)?;
            dict.set_item("token_ids", tokens.to_vec())?;
        }
        KvEvent::Removed { hash } => {
            dict.set_item("type", "removed")?;
            dict.set_item("hash", hash)?;
        }
        KvEvent::Cleared => dict.set_item("type", "cleared")?,
    }
    Ok(dict)
}
