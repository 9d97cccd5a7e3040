//! The merging that BPE and SentencePiece share: neighbours become one symbol, the best pair first, of equal
//! pairs the leftmost, until no pair is left.
//!
//! Symbols form a linked list and candidate pairs a heap, so that n characters cost O(n log n), however long
//! the word is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The id of a symbol that the vocabulary does not know. It never merges.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// No neighbour.
const NONE: usize = usize::MAX;

/// A piece of the text that is being merged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Symbol {
    /// Where it begins, in bytes.
    pub(crate) start: usize,
    /// Its length in bytes; 0 once its left neighbour has swallowed it.
    pub(crate) len: usize,
    /// What it is, or [`UNKNOWN`].
    pub(crate) id: u32,
    prev: usize,
    next: usize,
}

/// A pair that may merge. It is stale once one of the two has merged with another symbol, which shows in
/// their lengths.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<P> {
    priority: P,
    left: Reverse<usize>,
    right: usize,
    len: usize,
    id: u32,
}

/// Symbols and candidates, kept between words to keep their memory.
#[derive(Debug)]
pub(crate) struct Merger<P> {
    symbols: Vec<Symbol>,
    candidates: BinaryHeap<Candidate<P>>,
}

impl<P: Ord> Merger<P> {
    /// Without any symbols.
    pub(crate) fn new() -> Merger<P> {
        Merger { symbols: Vec::new(), candidates: BinaryHeap::new() }
    }

    /// Removes all symbols.
    pub(crate) fn clear(&mut self) {
        self.symbols.clear();
    }

    /// Appends a symbol of `len` bytes, at least one.
    pub(crate) fn push(&mut self, len: usize, id: u32) {
        let index = self.symbols.len();
        let (start, prev) = match self.symbols.last_mut() {
            Some(last) => {
                last.next = index;
                (last.start + last.len, index - 1)
            }
            None => (0, NONE),
        };
        self.symbols.push(Symbol { start, len, id, prev, next: NONE });
    }

    /// Merges what can be merged. `pair` gives the priority of two neighbours and what they become.
    pub(crate) fn merge(&mut self, pair: impl Fn(&Symbol, &Symbol) -> Option<(P, u32)>) {
        self.candidates.clear();
        for right in 1..self.symbols.len() {
            self.consider(right - 1, right, &pair);
        }
        while let Some(Candidate { left: Reverse(left), right, len, id, .. }) = self.candidates.pop() {
            let (left_len, right_len) = (self.symbols[left].len, self.symbols[right].len);
            if left_len == 0 || right_len == 0 || left_len + right_len != len {
                continue;
            }
            let next = self.symbols[right].next;
            self.symbols[right].len = 0;
            let merged = &mut self.symbols[left];
            (merged.len, merged.id, merged.next) = (len, id, next);
            let prev = merged.prev;
            if next != NONE {
                self.symbols[next].prev = left;
                self.consider(left, next, &pair);
            }
            if prev != NONE {
                self.consider(prev, left, &pair);
            }
        }
    }

    /// What is left, in order.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter().filter(|symbol| symbol.len > 0)
    }

    fn consider(&mut self, left: usize, right: usize, pair: &impl Fn(&Symbol, &Symbol) -> Option<(P, u32)>) {
        let (l, r) = (&self.symbols[left], &self.symbols[right]);
        if l.id == UNKNOWN || r.id == UNKNOWN {
            return;
        }
        if let Some((priority, id)) = pair(l, r) {
            let len = l.len + r.len;
            self.candidates.push(Candidate { priority, left: Reverse(left), right, len, id });
        }
    }
}
