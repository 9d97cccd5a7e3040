//! Ctrl-C. It ends the process at once, whatever the other threads are doing; but in a chat it stops the answer,
//! and while a load is measured the measuring, and there a second one within a second ends the process. A server is
//! told and decides itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::failure::{Failure, Kind, Outcome};

/// A second Ctrl-C this soon after the first ends the process in any case.
const SECOND_WITHIN: Duration = Duration::from_secs(1);

/// The process's one handler of Ctrl-C.
#[derive(Debug, Clone)]
pub(crate) struct Interrupts {
    /// Stop the answer or the measuring instead of the process.
    only_stop: Arc<AtomicBool>,
    /// Ctrl-C was pressed since `clear`.
    pressed: Arc<AtomicBool>,
    /// In a server: who is told, instead of all else.
    listener: Arc<OnceLock<UnboundedSender<()>>>,
}

impl Interrupts {
    /// Installs the handler. From now on Ctrl-C exits with 130.
    pub(crate) fn install() -> Outcome<Self> {
        let interrupts = Interrupts {
            only_stop: Arc::new(AtomicBool::new(false)),
            pressed: Arc::new(AtomicBool::new(false)),
            listener: Arc::default(),
        };
        let seen = interrupts.clone();
        let mut last: Option<Instant> = None;
        ctrlc::set_handler(move || {
            // A listener that has gone is a server that has ended.
            if seen.listener.get().is_some_and(|listener| listener.send(()).is_ok()) {
                return;
            }
            let now = Instant::now();
            let second = last.is_some_and(|before| now - before < SECOND_WITHIN);
            last = Some(now);
            if second || !seen.only_stop.load(Ordering::SeqCst) {
                // Not a return through `main`: that thread may be deep in a forward pass or a download.
                // Whatever a download has on disk is resumed by the next one.
                std::process::exit(Kind::Interrupted as i32);
            }
            seen.pressed.store(true, Ordering::SeqCst);
        })
        .map_err(|e| Failure::memory(format!("cannot listen for Ctrl-C: {e}")))?;
        Ok(interrupts)
    }

    /// From now on Ctrl-C only sets a mark (a chat, a load).
    pub(crate) fn only_mark(&self) {
        self.only_stop.store(true, Ordering::SeqCst);
    }

    /// From now on Ctrl-C only sends a word here (a server).
    pub(crate) fn tell(&self, listener: UnboundedSender<()>) {
        // There is one server in a process.
        let _ = self.listener.set(listener);
    }

    /// Forgets an earlier Ctrl-C.
    pub(crate) fn clear(&self) {
        self.pressed.store(false, Ordering::SeqCst);
    }

    /// Was Ctrl-C pressed since `clear`?
    pub(crate) fn pressed(&self) -> bool {
        self.pressed.load(Ordering::SeqCst)
    }
}
