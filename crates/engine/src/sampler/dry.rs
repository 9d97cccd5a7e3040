//! Which tokens would prolong a repetition, and by how long it is already.
//!
//! The end of the history is compared with every place before it: where it stood before, the token that followed there
//! would prolong the repetition if it came again. How far the end reaches back at each place is the Z function of the
//! reversed window, which takes time in proportion to the window whatever stands in it.

use crate::request::{Breaker, Dry, Lz, TokenId};

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// How many of the last tokens are looked at.
    pub(super) window: usize,
    /// From how many tokens on a repetition counts.
    pub(super) least: usize,
    /// What it does not reach over.
    pub(super) breakers: &'a [Breaker],
}

/// The buffers. They carry nothing from one search to the next.
#[derive(Debug, Default)]
pub(super) struct Prolonging {
    reach: Vec<u32>, // [window]
    found: Vec<(TokenId, u32)>,
}

impl Dry {
    /// What a token loses that prolongs a repetition of this length.
    pub(super) fn penalty(&self, length: usize) -> f32 {
        let exponent = length.saturating_sub(self.allowed_length);
        let penalty = self.multiplier * self.base.powi(exponent.min(i32::MAX as usize) as i32);
        // An infinite one would make every token impossible that a lesser one makes the last choice.
        penalty.min(1e30)
    }

    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted { window: self.window, least: self.allowed_length, breakers: &self.breakers }
    }
}

impl Lz {
    /// What a token loses that goes on with a copy of this length, in a vocabulary of this size.
    pub(super) fn penalty(&self, length: usize, vocabulary: usize) -> f32 {
        let saved = (vocabulary as f64).ln() - (1.0 + 1.0 / length as f64).ln();
        self.strength * saved.max(0.0) as f32
    }

    pub(super) fn wanted(&self) -> Wanted<'static> {
        Wanted { window: self.window, least: self.buffer, breakers: &[] }
    }
}

impl Prolonging {
    /// The tokens that would prolong a repetition which is long enough to cost something, each once, with the length of
    /// the longest one that it would prolong.
    pub(super) fn find(&mut self, history: &[TokenId], wanted: Wanted<'_>) -> &[(TokenId, u32)] {
        self.found.clear();
        let Wanted { least, breakers, .. } = wanted;
        let window = &history[history.len().saturating_sub(wanted.window)..];
        let limit = since_breaker(window, breakers);
        if limit < least || window.len() < 2 {
            return &self.found;
        }
        self.measure(window);
        for back in 1..window.len() {
            let length = (self.reach[back] as usize).min(limit);
            // What is not repeated at all is not prolonged, even if nothing is allowed.
            if length >= least.max(1) {
                self.found.push((window[window.len() - back], length as u32));
            }
        }
        // The longest of each token comes first and stays.
        self.found.sort_unstable_by_key(|&(token, length)| (token, std::cmp::Reverse(length)));
        self.found.dedup_by_key(|&mut (token, _)| token);
        &self.found
    }

    /// For each distance from the end, how many symbols before that place equal those before the end.
    fn measure(&mut self, window: &[TokenId]) {
        let len = window.len();
        // Rounded up, so that a window that grows with the answer seldom needs new memory.
        self.reach.reserve(len.next_power_of_two());
        self.found.reserve(len.next_power_of_two());
        self.reach.clear();
        self.reach.resize(len, 0);
        let at = |i: usize| window[len - 1 - i];
        let (mut left, mut right) = (0, 0);
        for i in 1..len {
            let mut reach = if i < right { (self.reach[i - left] as usize).min(right - i) } else { 0 };
            while i + reach < len && at(reach) == at(i + reach) {
                reach += 1;
            }
            self.reach[i] = reach as u32;
            if i + reach > right {
                (left, right) = (i, i + reach);
            }
        }
    }
}

/// How many tokens stand behind the last breaker; all of them without one.
fn since_breaker(window: &[TokenId], breakers: &[Breaker]) -> usize {
    // From the end, so that what is found first is the last.
    let ends_here = |end: &usize| breakers.iter().any(|breaker| breaker.ends(&window[..*end]));
    let last = (1..=window.len()).rev().find(ends_here);
    last.map_or(window.len(), |end| window.len() - end)
}

impl Breaker {
    /// Whether these tokens end with it.
    fn ends(&self, tokens: &[TokenId]) -> bool {
        let Some(before) = tokens.strip_suffix(self.tail.as_slice()) else { return false };
        before.last().is_some_and(|head| self.heads.binary_search(head).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in words: x prolongs a repetition of length n if the last n tokens stand before it somewhere else.
    fn expect(history: &[TokenId], dry: &Dry) -> Vec<(TokenId, u32)> {
        let window = &history[history.len() - history.len().min(dry.window)..];
        let longest = |token: TokenId| {
            (1..window.len())
                .filter(|&length| {
                    let end = &window[window.len() - length..];
                    let stands = (0..window.len() - length)
                        .any(|at| &window[at..at + length] == end && window[at + length] == token);
                    stands && !has_breaker_end(window, length, &dry.breakers)
                })
                .max()
        };
        let mut tokens = window.to_vec();
        tokens.sort_unstable();
        tokens.dedup();
        let long_enough = |length: &usize| *length >= dry.allowed_length;
        let with_length = |token| Some((token, longest(token).filter(long_enough)? as u32));
        tokens.into_iter().filter_map(with_length).collect()
    }

    /// Whether a breaker ends among the last tokens of a window.
    fn has_breaker_end(window: &[TokenId], length: usize, breakers: &[Breaker]) -> bool {
        breakers.iter().any(|breaker| {
            let texts = breaker.heads.iter().map(|&head| [&[head], breaker.tail.as_slice()].concat());
            let mut ends = texts.flat_map(|text| {
                let starts = 0..(window.len() + 1).saturating_sub(text.len());
                starts
                    .filter(|&at| window[at..].starts_with(&text))
                    .map(|at| at + text.len())
                    .collect::<Vec<_>>()
            });
            ends.any(|end| end > window.len() - length)
        })
    }

    #[test]
    fn what_prolongs_a_repetition_follows_the_definition() {
        let mut state = 7u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        let mut prolonging = Prolonging::default();
        for round in 0..600 {
            let history: Vec<TokenId> = (0..random(60)).map(|_| random(1 + round % 4)).collect();
            let breaker =
                |heads: &[TokenId], tail: &[TokenId]| Breaker { heads: heads.into(), tail: tail.into() };
            let breakers = [
                vec![],
                vec![breaker(&[0], &[])],
                vec![breaker(&[1, 2], &[])],
                vec![breaker(&[0, 1], &[1, 0])],
                vec![breaker(&[3], &[]), breaker(&[2], &[1])],
            ][round as usize % 5]
                .clone();
            let (allowed_length, window) = (1 + random(4) as usize, [10, 30, 1000][random(3) as usize]);
            let dry = Dry { multiplier: 1.0, base: 2.0, allowed_length, window, breakers };
            assert_eq!(
                prolonging.find(&history, dry.wanted()),
                expect(&history, &dry),
                "{history:?} with {dry:?}"
            );
        }
    }

    #[test]
    fn the_penalty_grows_with_the_length() {
        let dry = Dry { multiplier: 0.5, base: 2.0, allowed_length: 3, window: 100, breakers: Vec::new() };
        for (length, expect) in [(3, 0.5), (4, 1.0), (8, 16.0), (100_000, 1e30)] {
            assert_eq!(dry.penalty(length), expect, "{length}");
        }
    }

    #[test]
    fn a_copy_costs_less_the_longer_it_is() {
        let lz = Lz { strength: 0.5, window: 100, buffer: 1 };
        // ln 100 − ln 2, ln 100 − ln 1.1, and all of ln 100 in the end.
        for (length, expect) in [(1, 1.956_011_5), (10, 2.254_93), (1_000_000, std::f32::consts::LN_10)] {
            assert!((lz.penalty(length, 100) - expect).abs() < 1e-5, "{length}: {}", lz.penalty(length, 100));
        }
        // Where a token says so little that a copy saves nothing, nothing is taken.
        assert_eq!(lz.penalty(1, 2), 0.0);
        assert_eq!(lz.penalty(1, 1), 0.0);
    }
}
