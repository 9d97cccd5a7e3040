//! Makes masks beside the forward pass: the forms of the step's sequences go to a thread of their own and come back when
//! the pass is over.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::form::FormState;

/// A form, and the index of the running sequence that it belongs to.
pub(super) type Entry = (usize, Box<FormState>);

/// The thread; it is there from the first form on.
#[derive(Debug, Default)]
pub(super) struct Masks {
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    /// None only while it is being dropped.
    work: Option<SyncSender<Vec<Entry>>>,
    done: Receiver<Vec<Entry>>,
    handle: Option<JoinHandle<()>>,
}

impl Masks {
    /// Makes the masks of `entries` while `pass` runs. Both are given back.
    pub(super) fn beside<T>(&mut self, mut entries: Vec<Entry>, pass: impl FnOnce() -> T) -> (Vec<Entry>, T) {
        if entries.is_empty() {
            return (entries, pass());
        }
        let Some(thread) = self.thread() else {
            make(&mut entries);
            return (entries, pass());
        };
        let work = thread.work.as_ref().expect("it is there until the drop");
        work.send(entries).expect("the thread ends with the sender");
        let passed = pass();
        (thread.done.recv().expect("it gives back what it was given"), passed)
    }

    /// None if the system has no thread to give.
    fn thread(&mut self) -> Option<&Thread> {
        if self.thread.is_none() {
            let (work, entries) = sync_channel::<Vec<Entry>>(1);
            let (back, done) = sync_channel(1);
            let run = move || {
                for mut all in entries {
                    make(&mut all);
                    if back.send(all).is_err() {
                        return;
                    }
                }
            };
            let handle = std::thread::Builder::new().name("masks".to_owned()).spawn(run).ok()?;
            self.thread = Some(Thread { work: Some(work), done, handle: Some(handle) });
        }
        self.thread.as_ref()
    }
}

fn make(entries: &mut [Entry]) {
    // The matcher keeps its panics to itself: they are errors of the one form.
    entries.iter_mut().for_each(|(_, form)| form.make_mask());
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}
