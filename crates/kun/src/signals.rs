//! The signals of a server: to end, to end at once, to read its files again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::failure::{Failure, Kind, Outcome};
use crate::interrupt::Interrupts;

/// What a server is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// SIGTERM, as service managers send it.
    Terminate,
    /// Ctrl-C.
    Interrupt,
    /// SIGHUP: the files have changed.
    Reload,
}

/// The signals, from the moment at which they are listened to.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: UnboundedReceiver<()>,
}

impl Signals {
    /// From now on the process does not end by itself.
    pub(crate) fn listen(interrupts: &Interrupts) -> Outcome<Self> {
        let failed = |e| Failure::io(format!("cannot listen for signals: {e}"));
        let (sender, interrupt) = unbounded_channel();
        let signals = Signals {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            hang_up: signal(SignalKind::hangup()).map_err(failed)?,
            interrupt,
        };
        interrupts.tell(sender);
        Ok(signals)
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Told {
        tokio::select! {
            Some(()) = self.terminate.recv() => Told::Terminate,
            Some(()) = self.interrupt.recv() => Told::Interrupt,
            Some(()) = self.hang_up.recv() => Told::Reload,
            else => std::future::pending().await,
        }
    }
}

impl Told {
    /// Ends the process: it was told a second time.
    pub(crate) fn end_at_once(self) -> ! {
        let code = if self == Told::Interrupt { Kind::Interrupted as i32 } else { 0 };
        std::process::exit(code)
    }
}
