//! What a task of the runtime gives to Python, which reads it in a thread that waits or in a loop of asyncio.
//!
//! A reader that may not wait leaves a future behind, which is settled when there is something to read. What piles up is
//! bounded by the answer that it belongs to, and joined where it can be: a reader that is late has fewer pieces to read.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use crate::wakes::{Reader, Wakes};

/// How long a wait may keep Ctrl-C unseen.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// A queue with an end.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    wakes: Arc<Wakes>,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    ended: bool,
    reader: Option<Reader>,
}

/// What can be read from an inbox.
pub(crate) trait Piece: Sized {
    /// Takes over the piece that follows, or gives it back if the two must be read one by one.
    fn join(&mut self, next: Self) -> Option<Self>;
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

impl<T: Piece> Inbox<T> {
    pub(crate) fn new(wakes: &Arc<Wakes>) -> Self {
        let state = State { items: VecDeque::new(), ended: false, reader: None };
        Inbox { state: Mutex::new(state), filled: Condvar::new(), wakes: Arc::clone(wakes) }
    }

    pub(crate) fn push(&self, item: T) {
        self.change(|state| {
            let rest = match state.items.back_mut() {
                Some(last) => last.join(item),
                None => Some(item),
            };
            state.items.extend(rest);
        });
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
        let reader = state.reader.take();
        drop(state);
        self.filled.notify_all();
        if let Some(reader) = reader {
            self.wakes.add(reader);
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

    /// Wakes `reader` when there is something to read, which may be now. One that waits already is woken, as it would be
    /// forgotten.
    pub(crate) fn notify(&self, reader: Reader) {
        let mut state = self.lock();
        let (now, before) = match state.items.is_empty() && !state.ended {
            true => (None, state.reader.replace(reader)),
            false => (Some(reader), None),
        };
        drop(state);
        now.into_iter().chain(before).for_each(|reader| self.wakes.add(reader));
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
pub(crate) struct Ends<T: Piece>(pub(crate) Arc<Inbox<T>>);

impl<T: Piece> Drop for Ends<T> {
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
