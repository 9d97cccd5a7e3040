//! Steps of a task: each one's name before it and its time after it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The steps taken so far.
pub(crate) struct Steps {
    started: Instant,
}

impl Steps {
    /// None yet.
    pub(crate) fn start() -> Self {
        Steps { started: Instant::now() }
    }

    /// Takes a step; its name goes into its error.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("== {name}");
        let started = Instant::now();
        let result = work().with_context(|| format!("step \"{name}\" failed"));
        let verdict = if result.is_ok() { "done" } else { "FAILED" };
        println!("== {name}: {verdict} in {}", shown(started.elapsed()));
        result
    }

    /// The time since the start.
    pub(crate) fn total(&self) -> String {
        shown(self.started.elapsed())
    }
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02.0} s", seconds as u64 / 60, (seconds as u64 % 60) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_minutes_from_a_minute_on() {
        assert_eq!(shown(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(shown(Duration::from_secs(60)), "1 min 00 s");
        assert_eq!(shown(Duration::from_secs(125)), "2 min 05 s");
    }
}
