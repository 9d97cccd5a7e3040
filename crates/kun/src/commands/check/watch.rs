//! Follows the characters of one text and tells of each loop once, when it is over.
//!
//! Invariant: what is kept is bounded, however long the text and the loops in it are.

use text::repetition::{Finding, Repeated, Repetitions, thresholds};

/// Characters that are kept at least: more than a loop has when it is found.
const KEPT: usize = 4096;
/// Characters of an excerpt.
const EXCERPT_CHARACTERS: usize = 60;

/// A loop in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loop {
    /// The line in which it begins, counted from 1.
    pub(super) line: u64,
    /// The byte at which it begins.
    pub(super) byte: u64,
    /// Characters of the unit.
    pub(super) period: usize,
    pub(super) copies: usize,
    /// The beginning of the unit.
    pub(super) excerpt: String,
}

/// A text on its way.
#[derive(Debug)]
pub(super) struct Watch {
    repetitions: Repetitions,
    /// The last characters, and where each begins: line and byte.
    characters: Vec<u32>,
    places: Vec<(u64, u64)>,
    line: u64,
    byte: u64,
    /// The loop that the text is in.
    current: Option<Loop>,
}

impl Watch {
    /// For the first text.
    pub(super) fn new() -> Self {
        Watch {
            repetitions: Repetitions::new(&thresholds::CHARACTERS),
            characters: Vec::with_capacity(2 * KEPT),
            places: Vec::with_capacity(2 * KEPT),
            line: 1,
            byte: 0,
            current: None,
        }
    }

    /// Takes a character, which has so many bytes in its file. The loop that ended before it, if one did.
    pub(super) fn push(&mut self, character: char, bytes: usize) -> Option<Loop> {
        if self.characters.len() == 2 * KEPT {
            self.characters.drain(..KEPT);
            self.places.drain(..KEPT);
        }
        self.characters.push(u32::from(character));
        self.places.push((self.line, self.byte));
        self.byte += bytes as u64;
        self.line += u64::from(character == '\n');
        match self.repetitions.push(&self.characters) {
            Finding::Loop(repeated) => self.go_on(repeated),
            Finding::None | Finding::Suspicion(_) => self.current.take(),
        }
    }

    /// The end of a text. The loop that it ends with, if it does; the next text begins.
    pub(super) fn finish(&mut self) -> Option<Loop> {
        self.repetitions.restart();
        self.characters.clear();
        self.places.clear();
        (self.line, self.byte) = (1, 0);
        self.current.take()
    }

    /// The text ends in a loop: the one that is known, or another.
    fn go_on(&mut self, repeated: Repeated) -> Option<Loop> {
        if let Some(current) = self.current.as_mut().filter(|current| current.period == repeated.period) {
            current.copies = repeated.copies();
            return None;
        }
        let begin = self.characters.len().saturating_sub(repeated.length);
        let (line, byte) = self.places[begin];
        let unit = self.characters[begin..].iter().take(repeated.period.min(EXCERPT_CHARACTERS));
        let excerpt = unit.filter_map(|&character| char::from_u32(character)).collect();
        self.current.replace(Loop { line, byte, period: repeated.period, copies: repeated.copies(), excerpt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loops(text: &str) -> Vec<(u64, u64, usize, usize)> {
        let mut watch = Watch::new();
        let mut found: Vec<Loop> = text.chars().filter_map(|c| watch.push(c, c.len_utf8())).collect();
        found.extend(watch.finish());
        found.iter().map(|found| (found.line, found.byte, found.period, found.copies)).collect()
    }

    #[test]
    fn each_loop_is_told_once_with_its_place_and_all_copies() {
        let sentence =
            "Die Quadratur des Kreises ist mit Zirkel und Lineal unmöglich, wie Lindemann zeigte. ";
        let (period, bytes) = (sentence.chars().count(), sentence.len());
        assert_eq!(loops(sentence), []);
        let twice = format!("Ä\n{}\nEnd of it.\n{}", sentence.repeat(20), sentence.repeat(9000));
        let second = (3 + 20 * bytes + 12) as u64;
        assert_eq!(loops(&twice), [(2, 3, period, 20), (4, second, period, 9000)]);
    }
}
