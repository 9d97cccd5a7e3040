//! Where requests begin and end in the bytes of a connection.
//!
//! [`Framing`] sits between the socket and the HTTP parser: heads are held back until they are whole and checked, bodies
//! pass as they come, chunked ones with their framing checked. So the parser never sees half a head, nor a head that
//! somebody else could read differently, and it is known at any time what the client is in the middle of.

use axum::body::Bytes;
use axum::http::StatusCode;

use super::head::{self, BodyLength, is_text};
use crate::error::ApiError;

/// Bytes of a request's head.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes of a line that says how long a chunk is.
const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Bytes of the headers behind a chunked body.
const TRAILER_BYTES_MAX: usize = 8 << 10;

/// What the client is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing: the last request is whole, and no byte of the next one is here.
    Between,
    Head,
    Body,
}

/// What is wrong with the bytes.
#[derive(Debug)]
pub(super) enum Broken {
    /// No request can be made of them; this is what to answer.
    Head(ApiError),
    /// A request is under way, but its body does not follow.
    Body(&'static str),
}

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    /// Of a head, a chunk's line or a trailer that is not whole yet.
    held: Vec<u8>,
    /// How much of `held` is known not to end it.
    searched: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    Body { left: u64 },
    ChunkLine,
    ChunkData { left: u64 },
    ChunkEnd,
    Trailer { bytes: usize },
}

impl Framing {
    pub(super) fn new() -> Self {
        Framing { state: State::Head, held: Vec::new(), searched: 0 }
    }

    /// What the bytes so far are in the middle of.
    pub(super) fn part(&self) -> Part {
        match self.state {
            State::Head if self.held.is_empty() => Part::Between,
            State::Head => Part::Head,
            _ => Part::Body,
        }
    }

    /// Takes some bytes from the front of `input` and adds to `output` what may go on; it is called until one of them
    /// has what is wanted. Nothing behind a whole head is taken along with it.
    pub(super) fn pass(&mut self, input: &mut Bytes, output: &mut Vec<u8>) -> Result<(), Broken> {
        match self.state {
            State::Head => self.pass_head(input, output),
            State::Body { left } => {
                let left = left - copy(input, output, left);
                self.state = if left == 0 { State::Head } else { State::Body { left } };
                Ok(())
            }
            State::ChunkData { left } => {
                let left = left - copy(input, output, left);
                self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData { left } };
                Ok(())
            }
            State::ChunkLine | State::ChunkEnd | State::Trailer { .. } => self.pass_line(input, output),
        }
    }

    fn pass_head(&mut self, input: &mut Bytes, output: &mut Vec<u8>) -> Result<(), Broken> {
        if self.held.is_empty() {
            // Empty lines before a request are passed over, as RFC 9112 asks for.
            let blank = input.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
            let _ = input.split_to(blank);
        }
        let room = HEAD_BYTES_MAX + 1 - self.held.len();
        let before = self.held.len();
        self.held.extend_from_slice(&input[..input.len().min(room)]);
        let end = self.held[self.searched..].windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end.map(|end| self.searched + end + 4) else {
            let _ = input.split_to(self.held.len() - before);
            if self.held.len() > HEAD_BYTES_MAX {
                let message = format!("the request's head is larger than {HEAD_BYTES_MAX} bytes");
                return Err(Broken::Head(head::too_large(message)));
            }
            // Lines that end otherwise never come to the end that is looked for.
            if let Err(error) = first_line(&self.held[self.searched..]) {
                return Err(Broken::Head(error));
            }
            self.searched = self.held.len().saturating_sub(3);
            return Ok(());
        };
        let _ = input.split_to(end - before);
        self.held.truncate(end);
        self.state = match head::check(&self.held).map_err(Broken::Head)? {
            BodyLength::Known(0) => State::Head,
            BodyLength::Known(left) => State::Body { left },
            BodyLength::Chunked => State::ChunkLine,
        };
        self.release(output);
        Ok(())
    }

    fn pass_line(&mut self, input: &mut Bytes, output: &mut Vec<u8>) -> Result<(), Broken> {
        let max = if matches!(self.state, State::Trailer { .. }) {
            TRAILER_BYTES_MAX
        } else {
            CHUNK_LINE_BYTES_MAX
        };
        while !input.is_empty() {
            let byte = input.split_to(1)[0];
            self.held.push(byte);
            let ends = byte == b'\n';
            if ends != self.held.ends_with(b"\r\n")
                || (!ends && self.held.iter().rev().nth(1) == Some(&b'\r'))
            {
                return Err(Broken::Body("a line of the chunked body does not end in CR LF"));
            }
            if self.held.len() > max {
                return Err(Broken::Body("a line of the chunked body is too long"));
            }
            if ends {
                self.state = self.after_line()?;
                self.release(output);
                return Ok(());
            }
        }
        Ok(())
    }

    /// What follows the line that is held.
    fn after_line(&self) -> Result<State, Broken> {
        let line = &self.held[..self.held.len() - 2];
        Ok(match self.state {
            State::ChunkLine => match chunk_length(line)? {
                0 => State::Trailer { bytes: 0 },
                left => State::ChunkData { left },
            },
            State::ChunkEnd if line.is_empty() => State::ChunkLine,
            State::ChunkEnd => return Err(Broken::Body("a chunk is longer than it says")),
            State::Trailer { .. } if line.is_empty() => State::Head,
            State::Trailer { bytes } if bytes + line.len() <= TRAILER_BYTES_MAX => {
                let named = line.iter().position(|&byte| byte == b':').is_some_and(|colon| {
                    colon > 0
                        && line[..colon].iter().all(|&byte| head::is_token(byte))
                        && line.iter().all(|&byte| is_text(byte))
                });
                if !named {
                    return Err(Broken::Body("a header behind the chunked body is malformed"));
                }
                State::Trailer { bytes: bytes + line.len() }
            }
            _ => return Err(Broken::Body("the headers behind the chunked body are too long")),
        })
    }

    fn release(&mut self, output: &mut Vec<u8>) {
        output.append(&mut self.held);
        self.searched = 0;
    }
}

/// The length that a chunk's line says; what extensions it has is of no interest.
fn chunk_length(line: &[u8]) -> Result<u64, Broken> {
    let broken = Broken::Body("a chunk of the body does not begin with its length");
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let extension_is_plain = match &line[digits..] {
        [] => true,
        [b';', rest @ ..] => rest.iter().all(|&byte| is_text(byte)),
        _ => false,
    };
    // Fifteen digits are less than any counter's end.
    if !(1..=15).contains(&digits) || !extension_is_plain {
        return Err(broken);
    }
    str::from_utf8(&line[..digits]).ok().and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(broken)
}

/// Refuses a line end that is no CR LF as soon as it is there.
fn first_line(bytes: &[u8]) -> Result<(), ApiError> {
    let bare = bytes.iter().enumerate().any(|(at, &byte)| byte == b'\n' && at > 0 && bytes[at - 1] != b'\r');
    if bare {
        return Err(ApiError::invalid("a line of the request's head does not end in CR LF")
            .with_code("malformed_request"));
    }
    Ok(())
}

/// The answer to a client that takes too long to say what it wants.
pub(crate) fn too_slow() -> ApiError {
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "the request did not arrive in time")
        .with_code("request_timeout")
}

/// Moves up to `most` bytes and tells how many.
fn copy(input: &mut Bytes, output: &mut Vec<u8>, most: u64) -> u64 {
    let count = input.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    output.extend_from_slice(&input.split_to(count));
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes bytes in pieces of this size and gives what came out, or what was wrong.
    fn pass(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Part), String> {
        let mut framing = Framing::new();
        let mut output = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut input = Bytes::copy_from_slice(piece);
            while !input.is_empty() {
                framing.pass(&mut input, &mut output).map_err(|broken| match broken {
                    Broken::Head(error) => error.message,
                    Broken::Body(message) => message.to_owned(),
                })?;
            }
        }
        Ok((output, framing.part()))
    }

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn requests_pass_unchanged_however_they_are_cut() {
        let bodies =
            ["0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "a;x=\"y\"\r\n0123456789\r\n00\r\nX: y\r\n\r\n"];
        for body in bodies {
            let bytes = format!("{HEAD}{body}GET / HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\nok");
            for piece in [1, 2, 3, 7, 1000] {
                let passed = pass(bytes.as_bytes(), piece);
                assert_eq!(passed, Ok((bytes.clone().into_bytes(), Part::Between)), "{bytes:?} by {piece}");
            }
        }
    }

    #[test]
    fn it_is_known_what_a_client_is_in_the_middle_of() {
        let head = "GET / HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\n";
        for (bytes, part) in [
            (String::new(), Part::Between),
            ("\r\n".to_owned(), Part::Between),
            ("G".to_owned(), Part::Head),
            (head.to_owned(), Part::Body),
            (format!("{head}a"), Part::Body),
            (format!("{head}ab"), Part::Between),
            (format!("{HEAD}3\r\nab"), Part::Body),
            (format!("{HEAD}3\r\nabc\r\n0\r\n"), Part::Body),
        ] {
            assert_eq!(pass(bytes.as_bytes(), 1).map(|(_, part)| part), Ok(part), "{bytes:?}");
        }
    }

    #[test]
    fn broken_framing_is_named() {
        for (bytes, part) in [
            (format!("{HEAD}x\r\n"), "begin with its length"),
            (format!("{HEAD}-1\r\n"), "begin with its length"),
            (format!("{HEAD}1 \r\n"), "begin with its length"),
            (format!("{HEAD}0000000000000001\r\n"), "begin with its length"),
            (format!("{HEAD}1\nx\r\n"), "CR LF"),
            (format!("{HEAD}1\rx"), "CR LF"),
            (format!("{HEAD}1;\x01\r\n"), "begin with its length"),
            (format!("{HEAD}1;{}\r\n", "x".repeat(300)), "too long"),
            (format!("{HEAD}1\r\nab\r\n"), "longer than it says"),
            (format!("{HEAD}0\r\nno colon\r\n\r\n"), "malformed"),
            (format!("{HEAD}0\r\n{}\r\n", "x: y\r\n".repeat(3000)), "too long"),
            (format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(70 << 10)), "larger than 65536"),
            ("GET / HTTP/1.1\nHost: a".to_owned(), "CR LF"),
        ] {
            for piece in [1, 3, 100_000] {
                let message = pass(bytes.as_bytes(), piece).expect_err("it is broken");
                assert!(message.contains(part), "{message}: {:?} by {piece}", &bytes[..bytes.len().min(80)]);
            }
        }
    }
}
