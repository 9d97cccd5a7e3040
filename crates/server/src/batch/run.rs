//! The loop over a file's lines.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;

use super::journal::{Answer, Journal, Verdict};
use super::lines::{Ask, Bad, Lines};
use super::{BatchError, Counts, Progress, Runner, Task};
use crate::openai::new_id;

/// Bytes of lines that are asked at a time; one line in any case.
const ASKED_BYTES_MAX: usize = 32 << 20;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every line is answered.
    Done(Counts),
    /// It was stopped before.
    Stopped(Counts),
}

/// The input and the output of a run.
struct Run<'a> {
    runner: &'a Runner,
    task: &'a Task,
    progress: &'a Progress,
    lines: Lines,
    journal: Journal,
}

impl Runner {
    /// Asks every line that has no answer yet, until `stop` comes to pass. What is asked then is asked again in the next
    /// run.
    ///
    /// # Errors
    /// If a file can't be read or written; a line that can't be answered is an error in the output.
    pub async fn run(
        &self,
        task: &Task,
        progress: &Progress,
        stop: impl Future<Output = ()>,
    ) -> Result<Ended, BatchError> {
        let mut run = Run::open(self, task, progress)?;
        let mut stop = pin!(stop);
        let mut asked = FuturesUnordered::new();
        let (mut asked_bytes, mut ended) = (0, false);
        loop {
            let room = |asked: usize, bytes: usize| {
                asked == 0 || (asked < task.concurrency && bytes < ASKED_BYTES_MAX)
            };
            while !ended && room(asked.len(), asked_bytes) {
                match run.next()? {
                    Some(ask) => {
                        let bytes = ask.body.len();
                        asked_bytes += bytes;
                        let answer = self.asker.ask(ask, task, progress);
                        asked.push(async move { (answer.await, bytes) });
                    }
                    None => ended = true,
                }
            }
            if asked.is_empty() {
                return run.end(Ended::Done);
            }
            match select(asked.next(), stop.as_mut()).await {
                Either::Left((answered, _)) => {
                    let (answer, bytes) = answered.expect("one is asked");
                    asked_bytes -= bytes;
                    run.write(&answer?)?;
                }
                Either::Right(((), _)) => {
                    drop(asked);
                    return run.end(Ended::Stopped);
                }
            }
        }
    }

    /// Answers every line that has no answer yet with the same error.
    pub(crate) fn refuse_rest(
        &self,
        task: &Task,
        progress: &Progress,
        code: &'static str,
        message: &str,
    ) -> Result<Counts, BatchError> {
        let mut run = Run::open(self, task, progress)?;
        while let Some(ask) = run.next()? {
            let custom_id = Some(ask.custom_id);
            run.refuse(0, &Bad { custom_id, code, message: message.to_owned() })?;
        }
        run.journal.sync()?;
        Ok(run.journal.counts)
    }
}

impl<'a> Run<'a> {
    fn open(runner: &'a Runner, task: &'a Task, progress: &'a Progress) -> Result<Run<'a>, BatchError> {
        let lines = Lines::open(&task.input, task.line_bytes_max);
        let lines = lines.map_err(|error| unread(&task.input, error))?;
        let journal = Journal::open(&task.output, task.errors.as_deref())?;
        progress.set(journal.counts);
        Ok(Run { runner, task, progress, lines, journal })
    }

    /// The next line to ask. Those that can't be asked are answered on the way.
    fn next(&mut self) -> Result<Option<Ask>, BatchError> {
        loop {
            let line = self.lines.next().map_err(|error| unread(&self.task.input, error))?;
            let Some(line) = line else { return Ok(None) };
            let number = line.number;
            let parsed = line.parse(self.task.endpoint.as_deref(), self.task.line_bytes_max);
            let verdict = self.journal.meet(parsed, number);
            self.progress.input_bytes.store(self.lines.bytes(), Relaxed);
            match verdict {
                Verdict::Ask(ask) => return Ok(Some(ask)),
                Verdict::Refuse(bad) => self.refuse(number, &bad)?,
                Verdict::Skip => {}
            }
        }
    }

    fn refuse(&mut self, number: u64, bad: &Bad) -> Result<(), BatchError> {
        self.journal.refused(&new_line_id(), number, bad)?;
        self.runner.asker.app.front.metrics.batch_line(false);
        self.progress.set(self.journal.counts);
        Ok(())
    }

    fn write(&mut self, answer: &Answer) -> Result<(), BatchError> {
        self.journal.answered(&new_line_id(), answer)?;
        self.progress.set(self.journal.counts);
        Ok(())
    }

    fn end(self, ended: impl Fn(Counts) -> Ended) -> Result<Ended, BatchError> {
        self.journal.sync()?;
        Ok(ended(self.journal.counts))
    }
}

/// The name of a line of the output.
fn new_line_id() -> String {
    new_id("batch_req_").unwrap_or_else(|_| "batch_req_".to_owned())
}

fn unread(path: &Path, error: std::io::Error) -> BatchError {
    BatchError::File { doing: "read", path: path.to_owned(), error }
}
