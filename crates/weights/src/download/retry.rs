//! When to ask again. Faults that pass are waited out with growing pauses, a bounded number of times; a host that
//! cannot be reached at all is given up at once, so that the next source gets its turn.

use std::thread;
use std::time::Duration;

use super::{Meter, Progress};
use crate::store::StoreError;

/// Faults in a row, without a new byte between them, after which a source is given up.
const FRUITLESS_MAX: u32 = 5;
/// Faults in one download after which a source is given up even if bytes trickle in.
const FAULTS_MAX: u32 = 100;
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A server that asks for a longer pause than this is given up.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What one attempt ran into.
pub(crate) enum Fault {
    /// No connection came about, or nobody answered over it.
    Connect(String),
    /// It may work in a moment; the server may have said when.
    Passing { why: String, pause: Option<Duration> },
    /// Asking again is no use.
    Final(StoreError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Final(error)
    }
}

/// Counts the faults of one download.
pub(crate) struct Retry<'a> {
    host: &'a str,
    backoff: Duration,
    /// Whether the host has ever answered.
    answered: bool,
    fruitless: u32,
    faults: u32,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(host: &'a str, backoff: Duration) -> Retry<'a> {
        Retry { host, backoff, answered: false, fruitless: 0, faults: 0 }
    }

    /// Waits until the next attempt, or says that there should be none. `gained` is whether the last attempt
    /// brought bytes.
    pub(crate) fn pause(&mut self, fault: Fault, gained: bool, meter: &mut Meter) -> Result<(), StoreError> {
        if gained {
            self.answered = true;
            self.fruitless = 0;
        }
        let host = self.host.to_owned();
        let (why, asked) = match fault {
            Fault::Final(error) => return Err(error),
            Fault::Connect(why) if !self.answered => return Err(StoreError::Unreachable { host, why }),
            Fault::Connect(why) => (why, None),
            Fault::Passing { why, pause } => {
                self.answered = true;
                (why, pause)
            }
        };
        self.fruitless += 1;
        self.faults += 1;
        if self.fruitless >= FRUITLESS_MAX || self.faults >= FAULTS_MAX {
            let why = format!("{why}; given up after {} attempts", self.faults);
            return Err(StoreError::Refused { host, why });
        }
        if let Some(asked) = asked.filter(|asked| *asked > PAUSE_MAX) {
            let why = format!("{why} and asks to wait {} s; try again then", asked.as_secs());
            return Err(StoreError::Refused { host, why });
        }
        let own = self.backoff.saturating_mul(1 << (self.fruitless - 1)).min(BACKOFF_MAX);
        let after = asked.map_or(own, |asked| asked.max(own));
        (meter.progress)(Progress::Retrying { why: format!("{host} {why}"), after });
        thread::sleep(after);
        Ok(())
    }
}
