//! What a batch has answered so far: its output file, and the errors' file if there is one.
//!
//! A line is appended with one write, so that a process that is killed leaves whole lines and at most one that is torn. On
//! opening the torn one is cut off, and what the others answer is known again.
//!
//! Invariant: an answer is in a file or its line is asked again; nothing is written for a line that has one.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::lines::{Ask, Bad};
use super::{BatchError, Counts};

/// How each line of ours begins; a file that begins otherwise is not cut.
const BEGIN: &str = "{\"id\":\"batch_req_";

/// The files of one batch.
pub(super) struct Journal {
    output: Part,
    errors: Option<Part>,
    /// What is answered, and whether its line was met in the input of this run.
    known: HashMap<Name, bool>,
    pub(super) counts: Counts,
}

struct Part {
    path: PathBuf,
    file: File,
    /// Up to the end of the last whole line.
    bytes: u64,
}

/// A line by its name, or by its number if it has none: a hash is all that is kept of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name(u128);

impl Name {
    fn of(custom_id: Option<&str>, number: u64) -> Name {
        let hash = match custom_id {
            Some(id) => Sha256::new().chain_update(b"id ").chain_update(id),
            None => Sha256::new().chain_update(b"line ").chain_update(number.to_le_bytes()),
        };
        let hash: [u8; 32] = hash.finalize().into();
        Name(u128::from_le_bytes(hash[..16].try_into().expect("half of it")))
    }
}

/// What is to be done about a line.
pub(super) enum Verdict {
    Ask(Ask),
    Refuse(Bad),
    /// It is answered already.
    Skip,
}

/// A line of the output as it is written.
#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    custom_id: Option<&'a str>,
    response: Option<Response<'a>>,
    error: Option<Error<'a>>,
}

#[derive(Serialize)]
struct Response<'a> {
    status_code: u16,
    request_id: &'a str,
    body: &'a RawValue,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

/// The answer to a line.
pub(super) struct Answer {
    pub(super) custom_id: String,
    pub(super) request_id: String,
    pub(super) status: u16,
    pub(super) body: Box<RawValue>,
    /// The error's code and message, if it is one.
    pub(super) error: Option<(String, String)>,
}

impl Journal {
    /// Opens or makes the files, mends them and reads what is in them.
    pub(super) fn open(output: &Path, errors: Option<&Path>) -> Result<Journal, BatchError> {
        let mut known = HashMap::new();
        let mut counts = Counts::default();
        let output = Part::open(output, &mut known, &mut counts)?;
        let errors = errors.map(|path| Part::open(path, &mut known, &mut counts)).transpose()?;
        Ok(Journal { output, errors, known, counts })
    }

    /// Decides about a line of the input, each of which comes here once.
    pub(super) fn meet(&mut self, parsed: Result<Ask, Bad>, number: u64) -> Verdict {
        let custom_id = match &parsed {
            Ok(ask) => Some(ask.custom_id.as_str()),
            Err(bad) => bad.custom_id.as_deref(),
        };
        let twice = custom_id.filter(|id| self.known.get(&Name::of(Some(id), number)) == Some(&true));
        let parsed = match twice {
            // It has no name of its own, so that the answer to the first one is the only one by that name.
            Some(id) => Err(Bad {
                custom_id: None,
                code: "duplicate_custom_id",
                message: format!("line {number}: an earlier line has the custom_id {id:?}"),
            }),
            None => parsed,
        };
        let custom_id = match &parsed {
            Ok(ask) => Some(ask.custom_id.as_str()),
            Err(bad) => bad.custom_id.as_deref(),
        };
        if self.known.insert(Name::of(custom_id, number), true).is_some() {
            return Verdict::Skip;
        }
        match parsed {
            Ok(ask) => Verdict::Ask(ask),
            Err(bad) => Verdict::Refuse(bad),
        }
    }

    /// Writes an answer down.
    pub(super) fn answered(&mut self, id: &str, answer: &Answer) -> Result<(), BatchError> {
        let Answer { custom_id, request_id, status, body, error } = answer;
        let error = error.as_ref().map(|(code, message)| Error { code, message, line: None });
        let failed = error.is_some();
        let response = Some(Response { status_code: *status, request_id, body });
        self.write(&Written { id, custom_id: Some(custom_id), response, error }, failed)
    }

    /// Writes down why a line is not answered.
    pub(super) fn refused(&mut self, id: &str, number: u64, bad: &Bad) -> Result<(), BatchError> {
        let error = Some(Error { code: bad.code, message: &bad.message, line: Some(number) });
        let custom_id = bad.custom_id.as_deref();
        self.write(&Written { id, custom_id, response: None, error }, true)
    }

    fn write(&mut self, written: &Written<'_>, failed: bool) -> Result<(), BatchError> {
        let mut line = serde_json::to_vec(written).expect("it has string keys and writes to memory");
        line.push(b'\n');
        match &mut self.errors {
            Some(errors) if failed => errors.append(&line)?,
            _ => self.output.append(&line)?,
        }
        self.counts.add(failed);
        Ok(())
    }

    /// Waits until all of it is on the disk.
    pub(super) fn sync(&self) -> Result<(), BatchError> {
        for part in std::iter::once(&self.output).chain(&self.errors) {
            part.file.sync_all().map_err(|error| part.failed("write", error))?;
        }
        Ok(())
    }
}

impl Part {
    fn open(path: &Path, known: &mut HashMap<Name, bool>, counts: &mut Counts) -> Result<Part, BatchError> {
        let failed = |doing, error| BatchError::File { doing, path: path.to_owned(), error };
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(|error| failed("write", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BatchError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
        }
        let mut part = Part { path: path.to_owned(), file, bytes: 0 };
        part.read(known, counts)?;
        Ok(part)
    }

    /// Learns what is answered, and cuts off the line that was not written to its end.
    fn read(&mut self, known: &mut HashMap<Name, bool>, counts: &mut Counts) -> Result<(), BatchError> {
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        reader.seek(SeekFrom::Start(0)).map_err(|error| self.failed("read", error))?;
        // Of somebody else's file no line is read, which may be of any length.
        let begin = reader.fill_buf().map_err(|error| self.failed("read", error))?;
        if !begin.iter().zip(BEGIN.as_bytes()).all(|(a, b)| a == b) {
            return Err(BatchError::Foreign { path: self.path.clone(), line: 1 });
        }
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|error| self.failed("read", error))?;
            if read == 0 {
                return Ok(());
            }
            number += 1;
            let foreign = || BatchError::Foreign { path: self.path.clone(), line: number };
            if line.last() != Some(&b'\n') {
                let begin = BEGIN.as_bytes();
                if !line.starts_with(&begin[..begin.len().min(line.len())]) {
                    return Err(foreign());
                }
                return self.cut();
            }
            let (name, failed) = answered_by(&line).ok_or_else(foreign)?;
            known.insert(name, false);
            counts.add(failed);
            self.bytes += read as u64;
        }
    }

    fn append(&mut self, line: &[u8]) -> Result<(), BatchError> {
        if let Err(error) = self.file.write_all(line) {
            // A full disk may have taken a part of it. If that can't be undone, the next run does it.
            let _ = self.file.set_len(self.bytes);
            return Err(self.failed("write", error));
        }
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn cut(&self) -> Result<(), BatchError> {
        self.file.set_len(self.bytes).map_err(|error| self.failed("write", error))
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> BatchError {
        BatchError::File { doing, path: self.path.clone(), error }
    }
}

/// Which line of the input a line of the output answers, and whether with an error; none if it is no line of ours.
fn answered_by(line: &[u8]) -> Option<(Name, bool)> {
    #[derive(Deserialize)]
    struct Answered {
        custom_id: Option<String>,
        error: Option<Place>,
    }
    #[derive(Deserialize)]
    struct Place {
        #[serde(default)]
        line: Option<u64>,
    }
    if !line.starts_with(BEGIN.as_bytes()) {
        return None;
    }
    let Answered { custom_id, error } = serde_json::from_slice(line).ok()?;
    let failed = error.is_some();
    let number = match &custom_id {
        Some(_) => 0,
        None => error?.line?,
    };
    Some((Name::of(custom_id.as_deref(), number), failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("kun-journal-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).expect("the folder can be written");
            Folder(path)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn ask(id: &str) -> Result<Ask, Bad> {
        Ok(Ask { custom_id: id.to_owned(), url: "/v1/completions", body: Vec::new() })
    }

    fn answer(id: &str) -> Answer {
        let body = RawValue::from_string("{\"a\":1}".to_owned()).expect("JSON");
        Answer { custom_id: id.to_owned(), request_id: "req_1".to_owned(), status: 200, body, error: None }
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_mended_and_only_what_is_missing_is_asked() {
        let folder = Folder::new("cut");
        let path = folder.path("whole");
        let bad = Bad { custom_id: None, code: "invalid_json_line", message: "line 2: broken".to_owned() };
        let write = |path: &Path| {
            let mut journal = Journal::open(path, None).expect("it can be written");
            let mut asked = Vec::new();
            for number in 1..=4 {
                let parsed = match number {
                    2 => Err(Bad { custom_id: None, code: bad.code, message: bad.message.clone() }),
                    4 => ask("1"),
                    _ => ask(&number.to_string()),
                };
                match journal.meet(parsed, number) {
                    Verdict::Ask(ask) => {
                        journal.answered("batch_req_a", &answer(&ask.custom_id)).expect("written");
                        asked.push(number);
                    }
                    Verdict::Refuse(bad) => {
                        journal.refused("batch_req_b", number, &bad).expect("written");
                        asked.push(number);
                    }
                    Verdict::Skip => {}
                }
            }
            (asked, journal.counts)
        };
        let (asked, counts) = write(&path);
        assert_eq!((asked, counts.completed, counts.failed), (vec![1, 2, 3, 4], 2, 2));
        let whole = std::fs::read(&path).expect("written");
        assert_eq!(
            String::from_utf8_lossy(&whole).matches("\"custom_id\":\"1\"").count(),
            1,
            "the double has no name"
        );
        let ends: Vec<usize> =
            whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
        for cut in 0..=whole.len() {
            let path = folder.path("cut");
            std::fs::write(&path, &whole[..cut]).expect("written");
            let kept = ends.iter().filter(|end| **end <= cut).count() as u64;
            let (asked, _) = write(&path);
            assert_eq!(asked, (kept + 1..=4).collect::<Vec<_>>(), "cut at {cut}");
            assert_eq!(std::fs::read(&path).expect("written"), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_file_of_somebody_elses_is_left_as_it_is() {
        let folder = Folder::new("foreign");
        for (text, line) in [
            ("notes", 1),
            ("notes\n", 1),
            ("{\"id\":\"batch_req_a\",\"custom_id\":\"a\",\"response\":null,\"error\":null}\nnotes\n", 2),
            ("{\"id\":\"batch_req_a\",\"custom_id\":null,\"response\":null,\"error\":null}\n", 1),
        ] {
            let path = folder.path("file");
            std::fs::write(&path, text).expect("written");
            match Journal::open(&path, None).err() {
                Some(BatchError::Foreign { line: found, .. }) => assert_eq!(found, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), text);
        }
    }

    #[test]
    fn two_at_a_time_do_not_write_one_file() {
        let folder = Folder::new("locked");
        let path = folder.path("file");
        let _first = Journal::open(&path, None).expect("it can be written");
        assert!(matches!(Journal::open(&path, None).err(), Some(BatchError::Locked(_))));
    }
}
