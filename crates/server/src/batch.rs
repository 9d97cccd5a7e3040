//! Requests in a file, answered into a file: what `kun batch` and `/v1/batches` have in common.
//!
//! ```text
//! input ─► line ─► known already? ─► asked through the routes, in process ─► appended to the output
//!                       └─ yes: passed over          (so many at a time)        (in the order in which they end)
//! ```
//!
//! Invariant: whatever process is killed when, the next run over the same files goes on with the lines that have no answer
//! yet, and no line has two. What a file holds is never in memory as a whole: of a line that is answered a hash is kept.

mod asker;
mod journal;
pub(crate) mod lines;
pub(crate) mod queue;
mod run;
mod scan;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::registry::Registry;
use crate::state::App;

use asker::Asker;
pub use run::Ended;
pub(crate) use scan::Fault;
pub use scan::{Survey, survey};

/// Answers files of requests.
#[derive(Debug)]
pub struct Runner {
    asker: Asker,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Task {
    /// A line each: `{"custom_id", "method", "url", "body"}`.
    pub input: PathBuf,
    /// Where answers are appended.
    pub output: PathBuf,
    /// Where errors are; among the answers, if it is none.
    pub errors: Option<PathBuf>,
    /// Lines that are asked at a time.
    pub concurrency: usize,
    /// Bytes of a line.
    pub line_bytes_max: usize,
    /// The route that all lines must ask; any that may stand in a batch, if it is none.
    pub endpoint: Option<String>,
    /// On whose account it is.
    pub(crate) owner: u64,
    /// Ranks below everybody who waits for an answer.
    pub(crate) idle: bool,
}

impl Task {
    /// A task of nobody's in particular.
    pub fn new(input: PathBuf, output: PathBuf, concurrency: usize, line_bytes_max: usize) -> Self {
        let (errors, endpoint) = (None, None);
        Task { input, output, errors, concurrency, line_bytes_max, endpoint, owner: 0, idle: false }
    }
}

/// How far a task has come, for whoever looks meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    input_bytes: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
}

impl Progress {
    /// Lines that are answered, in earlier runs as well.
    pub fn counts(&self) -> Counts {
        Counts { completed: self.completed.load(Relaxed), failed: self.failed.load(Relaxed) }
    }

    /// Bytes of the input that were read.
    pub fn input_bytes(&self) -> u64 {
        self.input_bytes.load(Relaxed)
    }

    /// Tokens of prompts and of answers in this run.
    pub fn tokens(&self) -> (u64, u64) {
        (self.prompt_tokens.load(Relaxed), self.completion_tokens.load(Relaxed))
    }

    pub(crate) fn set(&self, counts: Counts) {
        self.completed.store(counts.completed, Relaxed);
        self.failed.store(counts.failed, Relaxed);
    }
}

/// How many lines are answered, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// With status 200.
    pub completed: u64,
    /// With an error.
    pub failed: u64,
}

impl Counts {
    /// All that are answered.
    pub fn done(&self) -> u64 {
        self.completed + self.failed
    }

    fn add(&mut self, failed: bool) {
        *(if failed { &mut self.failed } else { &mut self.completed }) += 1;
    }
}

/// Why a task can't go on. The next run goes on where it stood.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// A file can't be used.
    #[error("cannot {doing} {}: {error}", path.display())]
    File {
        /// "read", "write", "lock".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// Another process writes the same output.
    #[error("another batch writes {}", .0.display())]
    Locked(PathBuf),
    /// The output has lines that no batch wrote.
    #[error("{}: line {line} was not written by a batch: name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// The models are gone.
    #[error("the models were shut down")]
    Stopped,
}

impl Runner {
    /// A runner with models of its own.
    pub fn new(config: Config, models: Arc<Registry>) -> Self {
        Runner::of(Arc::new(App::new(config, models)))
    }

    /// A runner with a server's models.
    pub(crate) fn of(app: Arc<App>) -> Self {
        Runner { asker: Asker::new(app) }
    }
}
