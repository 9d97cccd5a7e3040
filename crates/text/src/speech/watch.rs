//! Finds markers in a text that comes character by character.
//!
//! Held back is only what could still become one of the markers. No marker is the beginning of another one of the
//! same watch, so the first that is complete is the one that was meant.

use std::borrow::Cow;

/// Markers that are waited for, each with what it means.
#[derive(Debug, Clone)]
pub(super) struct Watch<K> {
    marks: Vec<(Cow<'static, str>, K)>,
    held: String, // the beginning of one of the marks
}

impl<K: Copy> Watch<K> {
    /// Waits for these markers; an empty one is never found.
    pub(super) fn new(marks: Vec<(Cow<'static, str>, K)>) -> Watch<K> {
        let marks = marks.into_iter().filter(|(mark, _)| !mark.is_empty()).collect();
        Watch { marks, held: String::new() }
    }

    /// Takes a character. What turns out to be no part of a marker goes to `free`; a marker that is complete is
    /// given back and forgotten.
    pub(super) fn push(&mut self, c: char, free: &mut String) -> Option<K> {
        self.held.push(c);
        loop {
            if let Some((_, kind)) = self.marks.iter().find(|(mark, _)| *mark == self.held) {
                self.held.clear();
                return Some(*kind);
            }
            if self.held.is_empty() || self.marks.iter().any(|(mark, _)| mark.starts_with(&self.held)) {
                return None;
            }
            free.push(self.held.remove(0));
        }
    }

    /// What may be the beginning of a marker.
    pub(super) fn held(&self) -> &str {
        &self.held
    }

    /// The same, to be taken for plain text.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(marks: &[&'static str], text: &str, expect: &str) {
        let marks = marks.iter().enumerate().map(|(index, mark)| (Cow::Borrowed(*mark), index)).collect();
        let mut watch: Watch<usize> = Watch::new(marks);
        let mut seen = String::new();
        for c in text.chars() {
            if let Some(index) = watch.push(c, &mut seen) {
                seen += &format!("({index})");
            }
        }
        assert_eq!(format!("{seen}|{}", watch.held()), expect, "{text}");
    }

    #[test]
    fn markers_are_found_and_their_beginnings_held_back() {
        check(&["<a>", "<b>"], "x<a>y<b>z", "x(0)y(1)z|");
        check(&["<a>"], "<<a>", "<(0)|");
        check(&["<a>"], "1 < 2 <", "1 < 2 |<");
        check(&["abab"], "abaabab", "aba(0)|");
        check(&["\n</p>", "</p>"], "a\n\n</p>b</p>", "a\n(0)b(1)|");
        check(&["<｜x｜>"], "<｜<｜x｜", "<｜|<｜x｜");
        check(&[""], "abc", "abc|");
    }
}
