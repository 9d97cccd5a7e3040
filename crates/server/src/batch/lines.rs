//! The lines of a batch's input: read one at a time, however long the file is, and checked by themselves.
//!
//! A line is a request with a name of its own: `{"custom_id", "method", "url", "body"}`. What is wrong with one is an error
//! of that line alone.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The routes that lines may ask.
pub(crate) const ENDPOINTS: [&str; 4] =
    ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"];
/// Characters of a name.
const ID_CHARACTERS_MAX: usize = 512;

/// A file's lines.
pub(super) struct Lines {
    reader: BufReader<File>,
    line_bytes_max: usize,
    number: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

/// A line that is not empty.
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u64,
    /// None if it is longer than it may be.
    pub(super) text: Option<&'a [u8]>,
}

/// A line that can be answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) custom_id: String,
    pub(super) url: &'static str,
    pub(super) body: Vec<u8>,
}

/// A line that can't be, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bad {
    /// Its name, if it has one.
    pub(super) custom_id: Option<String>,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Lines {
    pub(super) fn open(path: &Path, line_bytes_max: usize) -> io::Result<Lines> {
        let reader = BufReader::with_capacity(64 << 10, File::open(path)?);
        Ok(Lines { reader, line_bytes_max, number: 0, bytes: 0, buffer: Vec::new() })
    }

    /// Bytes that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line that is not empty.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut long;
        loop {
            self.buffer.clear();
            // Memory that one long line took is not kept for all that follow.
            self.buffer.shrink_to(1 << 20);
            let mut most = (&mut self.reader).take(self.line_bytes_max as u64 + 1);
            let read = most.read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += read as u64;
            let whole = self.buffer.last() == Some(&b'\n');
            long = !whole && read > self.line_bytes_max;
            if long {
                self.bytes += skip_line(&mut self.reader)?;
                break;
            }
            if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let text = if long { None } else { Some(self.buffer.trim_ascii()) };
        Ok(Some(Line { number: self.number, text }))
    }
}

/// Goes on to the next line without keeping what it passes.
fn skip_line(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(skipped);
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(used);
        skipped += used as u64;
        if end.is_some() {
            return Ok(skipped);
        }
    }
}

impl Line<'_> {
    /// What it asks. With an `endpoint`, all lines must ask that one.
    pub(super) fn parse(&self, endpoint: Option<&str>, line_bytes_max: usize) -> Result<Ask, Bad> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(default, borrow)]
            custom_id: Option<&'a RawValue>,
            #[serde(default, borrow)]
            method: Option<Cow<'a, str>>,
            #[serde(default, borrow)]
            url: Option<Cow<'a, str>>,
            #[serde(default, borrow)]
            body: Option<&'a RawValue>,
        }
        let number = self.number;
        let bad = |custom_id: Option<&str>, code, message: String| Bad {
            custom_id: custom_id.map(str::to_owned),
            code,
            message: format!("line {number}: {message}"),
        };
        let Some(text) = self.text else {
            let message = format!("it is longer than {line_bytes_max} bytes");
            return Err(bad(None, "line_too_long", message));
        };
        if text.first() != Some(&b'{') {
            return Err(bad(None, "invalid_json_line", "it is no JSON object".to_owned()));
        }
        let wire: Wire<'_> = serde_json::from_slice(text).map_err(|error| {
            // There is one line, so the parser's column is the place in it.
            let said = error.to_string();
            let said = said.split(" at line ").next().unwrap_or_default();
            let message =
                format!("it is no JSON request: {said} at byte {}", error.column().saturating_sub(1));
            bad(None, "invalid_json_line", message)
        })?;
        let id: Option<String> = wire.custom_id.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let id = id.filter(|id| (1..=ID_CHARACTERS_MAX).contains(&id.chars().count()));
        let Some(id) = id else {
            let message = format!("custom_id must be a text of 1 to {ID_CHARACTERS_MAX} characters");
            return Err(bad(None, "missing_custom_id", message));
        };
        let of_it = |code, message: &str| bad(Some(&id), code, message.to_owned());
        if wire.method.is_some_and(|method| !method.eq_ignore_ascii_case("POST")) {
            return Err(of_it("invalid_method", "method must be POST"));
        }
        let url = wire.url.unwrap_or_default();
        let Some(url) = ENDPOINTS.into_iter().find(|known| **known == *url) else {
            return Err(of_it("invalid_url", &format!("url must be one of {}", ENDPOINTS.join(", "))));
        };
        if let Some(endpoint) = endpoint.filter(|endpoint| *endpoint != url) {
            return Err(of_it(
                "mismatched_endpoint",
                &format!("url is {url}, and the batch's endpoint {endpoint}"),
            ));
        }
        let Some(body) = wire.body.filter(|body| body.get().starts_with('{')) else {
            return Err(of_it("invalid_body", "body must be an object"));
        };
        Ok(Ask { custom_id: id, url, body: body.get().into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of each line of a file, in a word or two.
    fn read(text: &[u8], line_bytes_max: usize) -> Vec<(u64, String)> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kun-lines-{}-{number}", std::process::id()));
        std::fs::write(&path, text).expect("the folder can be written");
        let mut lines = Lines::open(&path, line_bytes_max).expect("it is there");
        let mut found = Vec::new();
        while let Some(line) = lines.next().expect("it can be read") {
            let said = match line.parse(Some("/v1/completions"), line_bytes_max) {
                Ok(ask) => ask.custom_id,
                Err(bad) => {
                    format!("{}{}", bad.code, bad.custom_id.map(|id| format!(" {id}")).unwrap_or_default())
                }
            };
            found.push((line.number, said));
        }
        assert_eq!(lines.bytes(), text.len() as u64);
        std::fs::remove_file(&path).expect("it is there");
        found
    }

    #[track_caller]
    fn check(text: &[u8], expect: &[(u64, &str)]) {
        let expect: Vec<(u64, String)> = expect.iter().map(|(n, said)| (*n, (*said).to_owned())).collect();
        assert_eq!(read(text, 200), expect, "{}", String::from_utf8_lossy(text));
    }

    fn good(id: &str) -> String {
        format!(
            r#"{{"custom_id": "{id}", "method": "POST", "url": "/v1/completions", "body": {{"prompt": "x"}}}}"#
        )
    }

    #[test]
    fn lines_are_read_whatever_ends_them() {
        let (a, b) = (good("a"), good("b"));
        check(b"", &[]);
        check(b"\n\r\n  \n", &[]);
        check(format!("{a}\n{b}\n").as_bytes(), &[(1, "a"), (2, "b")]);
        check(format!("{a}\r\n\r\n{b}").as_bytes(), &[(1, "a"), (3, "b")]);
        check(format!("\u{feff}{a}").as_bytes(), &[(1, "a")]);
    }

    #[test]
    fn a_line_that_is_wrong_is_told_and_the_next_one_is_read() {
        let after = good("after");
        let long = good(&"x".repeat(200));
        let broken = [
            ("{", "invalid_json_line"),
            ("[]", "invalid_json_line"),
            ("null", "invalid_json_line"),
            ("{} x", "invalid_json_line"),
            ("{}", "missing_custom_id"),
            (r#"{"custom_id": 5}"#, "missing_custom_id"),
            (r#"{"custom_id": ""}"#, "missing_custom_id"),
            (r#"{"custom_id": "a", "method": "GET"}"#, "invalid_method a"),
            (r#"{"custom_id": "a"}"#, "invalid_url a"),
            (r#"{"custom_id": "a", "url": "/v1/models"}"#, "invalid_url a"),
            (r#"{"custom_id": "a", "url": "/v1/embeddings"}"#, "mismatched_endpoint a"),
            (r#"{"custom_id": "a", "url": "/v1/completions", "body": "x"}"#, "invalid_body a"),
            (&long, "line_too_long"),
        ];
        for (line, said) in broken {
            check(format!("{line}\n{after}\n").as_bytes(), &[(1, said), (2, "after")]);
        }
        check(b"{\"custom_id\": \"\xff\"}", &[(1, "invalid_json_line")]);
    }
}
