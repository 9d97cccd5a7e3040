//! Stop strings: text that ends an answer and is not part of it.

/// The most stop strings that a request may have.
pub const STOP_STRINGS_MAX: usize = 16;

/// Why stop strings are refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StopStringsError {
    /// There are too many.
    #[error("{0} stop strings, at most {STOP_STRINGS_MAX} are possible")]
    TooMany(usize),
    /// One is empty and would end every answer at once.
    #[error("stop string {0} is empty")]
    Empty(usize),
}

/// Watches a text as it comes for the first stop string in it.
///
/// The string whose end comes first counts, and of several that end together the longest, so that the result
/// does not depend on how the text was cut. Held back is only what could still become a stop string.
#[derive(Debug, Clone)]
pub struct StopStrings {
    watched: Vec<Watched>,
    held: String, // what may be the beginning of a stop string
    stopped: bool,
}

/// A stop string with the automaton of Knuth, Morris and Pratt.
#[derive(Debug, Clone)]
struct Watched {
    text: String,
    borders: Vec<usize>, // for each byte, how much of the beginning of `text` ends there besides all of it
    matched: usize,      // bytes of `text` that what was seen ends with
}

impl StopStrings {
    /// Watches for these strings.
    pub fn new(stops: &[String]) -> Result<StopStrings, StopStringsError> {
        if stops.len() > STOP_STRINGS_MAX {
            return Err(StopStringsError::TooMany(stops.len()));
        }
        if let Some(index) = stops.iter().position(String::is_empty) {
            return Err(StopStringsError::Empty(index));
        }
        let watched = stops.iter().map(|text| Watched::new(text.clone())).collect();
        Ok(StopStrings { watched, held: String::new(), stopped: false })
    }

    /// Takes more text. Gives the text that can be shown and, once, the stop string that was found. After that,
    /// text is ignored.
    pub fn push(&mut self, text: &str) -> (String, Option<&str>) {
        if self.stopped {
            return (String::new(), None);
        }
        let mut seen = self.held.len();
        self.held.push_str(text);
        for byte in text.bytes() {
            seen += 1;
            self.watched.iter_mut().for_each(|watched| watched.push(byte));
            let complete = (0..self.watched.len()).filter(|&index| self.watched[index].is_complete());
            if let Some(index) = complete.max_by_key(|&index| self.watched[index].text.len()) {
                let stop = &self.watched[index].text;
                self.stopped = true;
                self.held.truncate(seen - stop.len());
                return (std::mem::take(&mut self.held), Some(stop));
            }
        }
        let held = self.watched.iter().map(|watched| watched.matched).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - held);
        (std::mem::replace(&mut self.held, rest), None)
    }

    /// The end of the text: what was held back, as no stop string came of it.
    pub fn finish(self) -> String {
        self.held
    }
}

impl Watched {
    fn new(text: String) -> Watched {
        let bytes = text.as_bytes();
        let mut borders: Vec<usize> = vec![0; bytes.len()];
        for end in 1..bytes.len() {
            let mut border = borders[end - 1];
            while border > 0 && bytes[border] != bytes[end] {
                border = borders[border - 1];
            }
            borders[end] = border + usize::from(bytes[border] == bytes[end]);
        }
        Watched { text, borders, matched: 0 }
    }

    fn is_complete(&self) -> bool {
        self.matched == self.text.len()
    }

    /// Takes a byte. Not to be called once the whole text is matched.
    fn push(&mut self, byte: u8) {
        let bytes = self.text.as_bytes();
        while self.matched > 0 && bytes[self.matched] != byte {
            self.matched = self.borders[self.matched - 1];
        }
        self.matched += usize::from(bytes[self.matched] == byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of every size; the result must be the same.
    fn check(stops: &[&str], text: &str, shown: &str, stop: Option<&str>) {
        let stops: Vec<String> = stops.iter().map(|s| s.to_string()).collect();
        let chars: Vec<char> = text.chars().collect();
        for size in 1..=chars.len().max(1) {
            let mut watch = StopStrings::new(&stops).expect("few and not empty");
            let (mut out, mut found) = (String::new(), None);
            for piece in chars.chunks(size) {
                let (text, hit) = watch.push(&piece.iter().collect::<String>());
                out += &text;
                found = found.or(hit.map(str::to_string));
            }
            out += &watch.finish();
            assert_eq!(
                (out.as_str(), found.as_deref()),
                (shown, stop),
                "{stops:?} {text:?} in pieces of {size}"
            );
        }
    }

    #[test]
    fn the_first_stop_string_ends_the_text() {
        check(&[], "any text", "any text", None);
        check(&["END"], "text END more", "text ", Some("END"));
        check(&["END"], "text EN", "text EN", None);
        check(&["END"], "ENEND", "EN", Some("END"));
        check(&["abab"], "abaabab", "aba", Some("abab"));
        check(&["中文"], "a中b中文c", "a中b", Some("中文"));
        // Both begin with the same byte and differ within the character.
        check(&["中"], "丮丮中", "丮丮", Some("中"));
    }

    #[test]
    fn of_several_the_one_that_ends_first_counts_and_then_the_longest() {
        check(&["abcd", "bc"], "xabcd", "xa", Some("bc"));
        check(&["d", "abcd"], "xabcd", "x", Some("abcd"));
        check(&["\n\n", "\n"], "a\n\nb", "a", Some("\n"));
    }

    #[test]
    fn only_a_possible_beginning_is_held_back() {
        let mut watch = StopStrings::new(&["</end>".to_string()]).expect("one");
        assert_eq!(watch.push("a <"), ("a ".to_string(), None));
        assert_eq!(watch.push("/e"), (String::new(), None));
        assert_eq!(watch.push("x<"), ("</ex".to_string(), None));
        assert_eq!(watch.push("/end> tail"), (String::new(), Some("</end>")));
        assert_eq!(watch.push("more"), (String::new(), None));
        assert_eq!(watch.finish(), "");
    }

    #[test]
    fn too_many_and_empty_ones_are_refused() {
        let stops = vec!["x".to_string(); 17];
        assert_eq!(StopStrings::new(&stops).err(), Some(StopStringsError::TooMany(17)));
        assert!(StopStrings::new(&stops[1..]).is_ok());
        let stops = ["x".to_string(), String::new()];
        assert_eq!(StopStrings::new(&stops).err(), Some(StopStringsError::Empty(1)));
    }
}
