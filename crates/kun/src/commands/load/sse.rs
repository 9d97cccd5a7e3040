//! Server-sent events out of bytes that may be cut anywhere (WHATWG HTML, section 9.2.6).
//!
//! Comments and fields that nobody needs are dropped. A last event without its blank line was cut off and
//! is not told. No line and no event grows beyond a limit.

/// No line and no event of an answer is longer.
const BYTES_MAX: usize = 4 << 20;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Its type; empty for an ordinary message.
    pub(super) name: String,
    /// Its lines of data, joined.
    pub(super) data: Vec<u8>,
}

/// A line or an event that is longer than any answer's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// What was read of an event.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return, so that a line feed would belong to it.
    after_return: bool,
}

impl Parser {
    /// Takes the next bytes and hands on each event that is complete with them.
    pub(super) fn push(&mut self, bytes: &[u8], mut complete: impl FnMut(Event)) -> Result<(), TooLong> {
        for &byte in bytes {
            let ends_a_return = self.after_return && byte == b'\n';
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if ends_a_return => {}
                b'\n' | b'\r' => {
                    if let Some(event) = self.end_line()? {
                        complete(event);
                    }
                }
                _ if self.line.len() == BYTES_MAX => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Event>, TooLong> {
        if self.line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let data = std::mem::take(&mut self.data);
            // An event without data is none.
            return Ok(std::mem::take(&mut self.has_data).then_some(Event { name, data }));
        }
        let line = std::mem::take(&mut self.line);
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (&line[..], &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => self.add(value)?,
            // Not of the standard: older builds of llama-server report errors in a field of this name.
            b"error" => {
                "error".clone_into(&mut self.name);
                self.add(value)?;
            }
            _ => {}
        }
        self.line = line;
        self.line.clear();
        Ok(None)
    }

    fn add(&mut self, value: &[u8]) -> Result<(), TooLong> {
        if self.data.len() + value.len() > BYTES_MAX {
            return Err(TooLong);
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in pieces {
            let take = |e: Event| events.push((e.name, String::from_utf8(e.data).expect("UTF-8")));
            parser.push(piece, take).expect("short");
        }
        events
    }

    #[test]
    fn events_are_the_same_wherever_their_bytes_are_cut() {
        for (stream, expect) in [
            ("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")][..]),
            ("data:a\r\n\r\ndata:  b\r\rdata: é\n\n", &[("", "a"), ("", " b"), ("", "é")]),
            (": ping\n\n:\n\ndata: a\n: between\ndata: b\n\n", &[("", "a\nb")]),
            ("event: error\ndata: {}\n\n", &[("error", "{}")]),
            ("error: {\"code\": 500}\n\n", &[("error", "{\"code\": 500}")]),
            ("id: 7\nretry: 10\ndata: [DONE]\n\n", &[("", "[DONE]")]),
            ("data\n\nevent: x\n\ndata: y\n\n", &[("", ""), ("", "y")]),
            ("data: whole\n\ndata: cut off\n", &[("", "whole")]),
            ("data: {\"a:b\": 1}\n\n", &[("", "{\"a:b\": 1}")]),
        ] {
            let expect: Vec<_> = expect.iter().map(|(n, d)| ((*n).to_owned(), (*d).to_owned())).collect();
            let bytes = stream.as_bytes();
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(events(&single), expect, "{stream:?} byte by byte");
            for cut in 0..=bytes.len() {
                assert_eq!(events(&[&bytes[..cut], &bytes[cut..]]), expect, "{stream:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn no_line_and_no_event_grows_without_bounds() {
        let mut parser = Parser::default();
        let mut push = |bytes: &[u8]| parser.push(bytes, |_| {});
        assert_eq!(push(&vec![b'x'; BYTES_MAX]), Ok(()));
        assert_eq!(push(b"x"), Err(TooLong));
        let mut parser = Parser::default();
        let line = [&b"data: "[..], &vec![b'x'; BYTES_MAX / 2], b"\n"].concat();
        assert_eq!(parser.push(&line, |_| {}), Ok(()));
        assert_eq!(parser.push(&line, |_| {}), Ok(()));
        assert_eq!(parser.push(&line, |_| {}), Err(TooLong));
    }
}
