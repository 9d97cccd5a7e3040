//! Bytes of tokens to text as they come: a token may end in the middle of a character.

/// Turns the bytes of one token after the other into text.
///
/// Text is given out as soon as it is certain and never taken back. The beginning of a character waits for its rest;
/// bytes that can no longer become a character are U+FFFD, one for each maximal beginning of one, as
/// `String::from_utf8_lossy` has it. So the text does not depend on how the bytes were cut.
#[derive(Debug, Default, Clone)]
pub struct StreamDecoder {
    waiting: Vec<u8>, // at most three bytes between calls
}

impl StreamDecoder {
    /// At the beginning of a text.
    pub fn new() -> StreamDecoder {
        StreamDecoder::default()
    }

    /// Takes the bytes of the next token and gives the text that is certain now.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.waiting.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.waiting.len());
        let mut used = 0;
        loop {
            match str::from_utf8(&self.waiting[used..]) {
                Ok(rest) => {
                    text.push_str(rest);
                    self.waiting.clear();
                    return text;
                }
                Err(error) => {
                    let valid = &self.waiting[used..used + error.valid_up_to()];
                    text.push_str(str::from_utf8(valid).expect("checked just now"));
                    used += valid.len();
                    match error.error_len() {
                        Some(length) => {
                            text.push(char::REPLACEMENT_CHARACTER);
                            used += length;
                        }
                        None => {
                            self.waiting.drain(..used);
                            return text;
                        }
                    }
                }
            }
        }
    }

    /// The end: a character that never got its rest is U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.waiting).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: &str) {
        assert_eq!(String::from_utf8_lossy(bytes), expect);
        for size in 1..=bytes.len().max(1) {
            let mut decoder = StreamDecoder::new();
            let mut text: String = bytes.chunks(size).map(|chunk| decoder.push(chunk)).collect();
            text += &decoder.finish();
            assert_eq!(text, expect, "in pieces of {size}");
        }
    }

    #[test]
    fn the_text_does_not_depend_on_the_cuts() {
        check(b"", "");
        check("aé中🦙.".as_bytes(), "aé中🦙.");
        check(b"\xf0\x9f\xa6", "\u{fffd}");
        check(b"\xf0\x9f\xa6a\xff\x80b", "\u{fffd}a\u{fffd}\u{fffd}b");
        check(b"\xed\xa0\x80\xc0\xaf", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
        check(b"ok\xe4\xb8", "ok\u{fffd}");
    }

    #[test]
    fn a_character_waits_for_its_last_byte() {
        let mut decoder = StreamDecoder::new();
        assert_eq!(decoder.push(b"a\xf0"), "a");
        assert_eq!(decoder.push(b"\x9f\xa6"), "");
        assert_eq!(decoder.push(b"\x99b"), "🦙b");
        assert_eq!(decoder.finish(), "");
    }
}
