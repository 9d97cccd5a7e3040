//! `kun check`: where texts repeat themselves as a model does that has lost its way.
//!
//! It is for whoever cleans data: the detector of the loop guard, over characters instead of tokens, so that no model is
//! needed. A text is read as a stream, and of a file of JSON lines one line at a time, so that files may be of any size.

mod json_lines;
mod text_file;
mod watch;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::failure::{Failure, Outcome, reason};
use crate::output;
use watch::Loop;

/// Bytes that are read from a file at a time.
const BUFFER_BYTES: usize = 256 << 10;

#[derive(Debug, Args)]
#[command(after_help = "\
A loop is a unit of up to 512 characters that stands there word for word several times in a row; the fewer different \
characters it has, the more of it there must be, so that tables, rulers and rows of zeros pass. Files whose name ends \
in .jsonl or .ndjson hold a JSON value in each line, all others are text. The exit code is 1 if there is a loop.")]
pub(crate) struct CheckArgs {
    /// The files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Look at this field of each JSON line only, such as text or message.content [default: every string]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    field: Option<String>,
    /// Read a JSON value from each line, whatever the files are called; --field says so as well
    #[arg(long)]
    jsonl: bool,
    /// Print a JSON object for each loop, one a line
    #[arg(long)]
    json: bool,
}

/// A loop and where it is.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: &'a str,
    /// Counted from 1.
    line: u64,
    /// The field of a JSON line.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// Where it begins, counted from 0: in the file, or in the string of a JSON line.
    byte: u64,
    /// Characters of what is repeated.
    period: usize,
    /// How often it stands there.
    copies: usize,
    /// The beginning of what is repeated.
    excerpt: &'a str,
}

pub(crate) fn run(args: &CheckArgs) -> Outcome {
    let mut found = false;
    for path in &args.files {
        let name = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
        let mut report = |line: u64, field: Option<&str>, looped: &Loop| {
            found = true;
            let Loop { byte, period, copies, excerpt, .. } = looped;
            let report =
                Report { file: &name, line, field, byte: *byte, period: *period, copies: *copies, excerpt };
            tell(&report, args.json)
        };
        let reader = open(path)?;
        let unreadable = |error: &io::Error| match is_stdin(path) {
            true => Failure::io(format!("cannot read standard input: {}", reason(error))),
            false => Failure::file("read", path, error),
        };
        if args.jsonl || args.field.is_some() || has_json_lines(path) {
            json_lines::check(reader, &name, args.field.as_deref(), unreadable, &mut report)?;
        } else {
            text_file::check(reader, unreadable, &mut |looped| report(looped.line, None, looped))?;
        }
    }
    if found { Err(Failure::found()) } else { Ok(()) }
}

fn tell(report: &Report<'_>, json: bool) -> Outcome {
    if json {
        let line = serde_json::to_string(report).expect("its keys are strings");
        return output::write(line + "\n");
    }
    let Report { file, line, field, byte, period, copies, excerpt } = report;
    let field = field.map(|field| format!(" {field}:")).unwrap_or_default();
    output::write(format!(
        "{file}:{line}:{field} byte {byte}: {copies} copies of {period} characters: {excerpt:?}\n"
    ))
}

fn open(path: &Path) -> Outcome<Box<dyn BufRead>> {
    if is_stdin(path) {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin())));
    }
    let file = File::open(path).map_err(|error| Failure::file("open", path, &error))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn has_json_lines(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl" || extension == "ndjson")
}
