//! A look at a batch's input before any of it is asked: how many lines it has, and what is wrong with them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journal::{Journal, Verdict};
use super::lines::Lines;
use super::{BatchError, Task};

/// Faults that are told one by one.
const FAULTS_MAX: usize = 100;

/// What a file has in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Lines that are not empty.
    pub(crate) lines: u64,
    /// Those of them that can be asked.
    pub(crate) good: u64,
    /// What is wrong with the first bad lines.
    pub(crate) faults: Vec<Fault>,
}

/// What is wrong with a line, or with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// From 1; none if it is the file as a whole.
    pub(crate) line: Option<u64>,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Reads a file through, a line at a time; no further than one line beyond `lines_max`.
pub(crate) fn scan(
    input: &Path,
    endpoint: Option<&str>,
    line_bytes_max: usize,
    lines_max: u64,
) -> Result<Scan, BatchError> {
    let failed = |error| BatchError::File { doing: "read", path: input.to_owned(), error };
    let mut lines = Lines::open(input, line_bytes_max).map_err(failed)?;
    let mut scan = Scan::default();
    while let Some(line) = lines.next().map_err(failed)? {
        scan.lines += 1;
        match line.parse(endpoint, line_bytes_max) {
            Ok(_) => scan.good += 1,
            Err(bad) if scan.faults.len() < FAULTS_MAX => {
                scan.faults.push(Fault {
                    line: Some(line.number),
                    code: bad.code.to_owned(),
                    message: bad.message,
                });
            }
            Err(_) => {}
        }
        if scan.lines > lines_max {
            break;
        }
    }
    Ok(scan)
}

/// What a task has before it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Lines that are not empty.
    pub lines: u64,
    /// Those of them that are to be asked.
    pub left: u64,
    /// The model that the first of these names.
    pub model: Option<String>,
}

/// Reads a task's files through, and mends its output.
///
/// # Errors
/// If they can't be read or written.
pub fn survey(task: &Task) -> Result<Survey, BatchError> {
    let failed = |error| BatchError::File { doing: "read", path: task.input.clone(), error };
    let mut lines = Lines::open(&task.input, task.line_bytes_max).map_err(failed)?;
    let mut journal = Journal::open(&task.output, task.errors.as_deref())?;
    let mut survey = Survey::default();
    while let Some(line) = lines.next().map_err(failed)? {
        survey.lines += 1;
        let parsed = line.parse(task.endpoint.as_deref(), task.line_bytes_max);
        if let Verdict::Ask(ask) = journal.meet(parsed, line.number) {
            if survey.left == 0 {
                survey.model = model(&ask.body);
            }
            survey.left += 1;
        }
    }
    Ok(survey)
}

fn model(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        model: Option<String>,
    }
    serde_json::from_slice::<Body>(body).ok()?.model
}
