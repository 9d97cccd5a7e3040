//! A text as a stream of characters. Bytes that are no UTF-8 count as a character each, as data to be cleaned has such.

use std::io::{self, BufRead};

use super::watch::{Loop, Watch};
use crate::failure::{Failure, Outcome};

/// Tells of each loop in a text.
pub(super) fn check(
    mut reader: impl BufRead,
    unreadable: impl Fn(&io::Error) -> Failure,
    report: &mut dyn FnMut(&Loop) -> Outcome,
) -> Outcome {
    let mut watch = Watch::new();
    // What was read and not understood yet: less than a character, before the next piece comes.
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let piece = match reader.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(&error)),
        };
        let (len, ends) = (piece.len(), piece.is_empty());
        bytes.extend_from_slice(piece);
        reader.consume(len);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (valid, bad) = match std::str::from_utf8(rest) {
                Ok(text) => (text, 0),
                Err(error) => {
                    let valid =
                        std::str::from_utf8(&rest[..error.valid_up_to()]).expect("it is valid up to there");
                    // The beginning of a character waits for its end.
                    let bad = error.error_len().or(ends.then_some(rest.len() - valid.len())).unwrap_or(0);
                    (valid, bad)
                }
            };
            let valid_bytes = valid.len();
            let characters = valid.chars().map(|c| (c, c.len_utf8()));
            let bad_ones = (0..bad).map(|_| (char::REPLACEMENT_CHARACTER, 1));
            for (character, len) in characters.chain(bad_ones) {
                watch.push(character, len).map_or(Ok(()), |found| report(&found))?;
            }
            rest = &rest[valid_bytes + bad..];
            if bad == 0 {
                break;
            }
        }
        let understood = bytes.len() - rest.len();
        bytes.drain(..understood);
        if ends {
            return watch.finish().map_or(Ok(()), |found| report(&found));
        }
    }
}
