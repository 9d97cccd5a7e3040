//! What a task of the runtime gives to Python, which reads it in a thread that waits or in a loop of asyncio.
//!
//! A reader that may not wait leaves a function behind; it is called once, from a thread of the runtime, when there is
//! something to read. What piles up is bounded by the answer that it belongs to.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

/// How long a wait may keep Ctrl-C unseen.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// A queue with an end.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    ended: bool,
    waiter: Option<Py<PyAny>>,
}

/// What there is to read.
#[derive(Debug)]
pub(crate) enum Taken<T> {
    Item(T),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        let state = State { items: VecDeque::new(), ended: false, waiter: None };
        Inbox { state: Mutex::new(state), filled: Condvar::new() }
    }

    pub(crate) fn push(&self, item: T) {
        self.change(|state| state.items.push_back(item));
    }

    /// Nothing follows.
    pub(crate) fn end(&self) {
        self.change(|state| state.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut State<T>)) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        change(&mut state);
        let waiter = state.waiter.take();
        drop(state);
        self.filled.notify_all();
        if let Some(waiter) = waiter {
            wake(&waiter);
        }
    }

    /// What there is, without waiting.
    pub(crate) fn take(&self) -> Taken<T> {
        take(&mut self.lock())
    }

    /// The next item; none after the end. Waits without the interpreter.
    pub(crate) fn next(&self, py: Python<'_>) -> PyResult<Option<T>>
    where
        T: Send,
    {
        loop {
            match py.detach(|| self.wait()) {
                Taken::Item(item) => return Ok(Some(item)),
                Taken::End => return Ok(None),
                Taken::Nothing => py.check_signals()?,
            }
        }
    }

    /// Calls `waiter` when there is something to read, at once if there is already. One that waits already is called,
    /// as it would be forgotten.
    pub(crate) fn notify(&self, waiter: Py<PyAny>) {
        let mut state = self.lock();
        let (now, before) = match state.items.is_empty() && !state.ended {
            true => (None, state.waiter.replace(waiter)),
            false => (Some(waiter), None),
        };
        drop(state);
        now.iter().chain(&before).for_each(wake);
    }

    fn wait(&self) -> Taken<T> {
        let empty = |state: &mut State<T>| state.items.is_empty() && !state.ended;
        let waited = self.filled.wait_timeout_while(self.lock(), SIGNALS_EVERY, empty);
        take(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code of others runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends an inbox however the task ends that has this.
pub(crate) struct Ends<T>(pub(crate) Arc<Inbox<T>>);

impl<T> Drop for Ends<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn take<T>(state: &mut State<T>) -> Taken<T> {
    match state.items.pop_front() {
        Some(item) => Taken::Item(item),
        None if state.ended => Taken::End,
        None => Taken::Nothing,
    }
}

/// Calls a function of Python, unless the interpreter is about to end.
fn wake(waiter: &Py<PyAny>) {
    Python::try_attach(|py| {
        if let Err(error) = waiter.call0(py) {
            error.write_unraisable(py, None);
        }
    });
}
