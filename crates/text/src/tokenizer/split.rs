//! Cutting text into words before BPE: the rules that tokenizers write as regular expressions, as data for a
//! matcher that looks at each character a bounded number of times.
//!
//! A regular-expression engine would do, but not for hostile text: the look-ahead in `\s+(?!\S)` needs a
//! backtracking one, which gives up on a megabyte of spaces.

use std::ops::Range;

use super::characters::{SPACE, Set};

/// One pass over all words: each is cut into what the rules match and what lies between the matches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    /// Alternatives, the first that matches at a position wins.
    Rules(&'static [Rule]),
    /// `\s+$`
    TrailingSpaces,
}

/// One alternative of a regular expression.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// `lead? set{least,most} tail*`
    Run(Run),
    /// `'s|'t|'re|'ve|'m|'ll|'d`
    Contraction {
        /// Whether capital letters match too.
        any_case: bool,
    },
    /// A word that may begin with capitals, by the case of its letters.
    Cased(Cased),
    /// `\s*[\r\n]+`
    Newlines,
    /// `\s+(?!\S)`: all white space but the last, which belongs to the word that follows; all of it at the end.
    SpacesBeforeWord,
    /// `\s+`
    Spaces,
}

/// A repeated set with what may stand around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// One character before the run.
    pub(crate) lead: Lead,
    /// The characters of the run.
    pub(crate) set: Set,
    /// The fewest characters of the run.
    pub(crate) least: usize,
    /// The most characters of the run.
    pub(crate) most: usize,
    /// Characters that may follow the run.
    pub(crate) tail: Option<Set>,
}

/// The character before a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lead {
    /// None.
    None,
    /// One of the set, if there is one.
    Optional(Set),
    /// One of the set.
    Required(Set),
}

/// `lead? first* last+` or `lead? first+ last*`, then a contraction. The sets overlap in letters without case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cased {
    /// One character before the word, if there is one.
    pub(crate) lead: Set,
    /// Capitals and letters without case.
    pub(crate) first: Set,
    /// Small letters and letters without case.
    pub(crate) last: Set,
    /// Whether the form is `first+ last*`.
    pub(crate) needs_first: bool,
    /// Whether `'s` and its like belong to the word.
    pub(crate) contraction: bool,
}

impl Run {
    /// `set+`
    pub(crate) const fn of(set: Set) -> Run {
        Run { lead: Lead::None, set, least: 1, most: usize::MAX, tail: None }
    }

    /// The same after an optional character of `lead`.
    pub(crate) const fn after(self, lead: Set) -> Run {
        Run { lead: Lead::Optional(lead), ..self }
    }

    /// The same after a character of `lead`.
    pub(crate) const fn only_after(self, lead: Set) -> Run {
        Run { lead: Lead::Required(lead), ..self }
    }

    /// The same with `least` to `most` characters.
    pub(crate) const fn times(self, least: usize, most: usize) -> Run {
        Run { least, most, ..self }
    }

    /// The same with any number of characters of `tail` after it.
    pub(crate) const fn then(self, tail: Set) -> Run {
        Run { tail: Some(tail), ..self }
    }

    /// As an alternative.
    pub(crate) const fn rule(self) -> Rule {
        Rule::Run(self)
    }
}

/// The words of `text`, in order and without gaps.
pub(crate) fn words(text: &str, stages: &[Stage]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    if !text.is_empty() {
        words.push(0..text.len());
    }
    for stage in stages {
        let mut cut = Vec::with_capacity(words.len());
        for word in words {
            match stage {
                Stage::Rules(rules) => cut_by_rules(&text[word.clone()], rules, word.start, &mut cut),
                Stage::TrailingSpaces => {
                    let kept = text[word.clone()].trim_end().len();
                    push(word.start..word.start + kept, &mut cut);
                    push(word.start + kept..word.end, &mut cut);
                }
            }
        }
        words = cut;
    }
    words
}

fn cut_by_rules(word: &str, rules: &[Rule], base: usize, cut: &mut Vec<Range<usize>>) {
    let mut at = 0;
    let mut gap = 0; // where the text since the last match begins
    while let Some(c) = word[at..].chars().next() {
        match rules.iter().find_map(|rule| rule.end(&word[at..])) {
            Some(length) => {
                push(base + gap..base + at, cut);
                push(base + at..base + at + length, cut);
                at += length;
                gap = at;
            }
            None => at += c.len_utf8(),
        }
    }
    push(base + gap..base + word.len(), cut);
}

fn push(range: Range<usize>, cut: &mut Vec<Range<usize>>) {
    if !range.is_empty() {
        cut.push(range);
    }
}

impl Rule {
    /// How many bytes at the beginning of `text` the rule matches, at least one.
    fn end(&self, text: &str) -> Option<usize> {
        match self {
            Rule::Run(run) => run.end(text),
            Rule::Contraction { any_case } => contraction(text, *any_case),
            Rule::Cased(cased) => cased.end(text),
            Rule::Newlines => text[..spaces(text)].rfind(['\r', '\n']).map(|last| last + 1),
            Rule::Spaces => Some(spaces(text)).filter(|&length| length > 0),
            Rule::SpacesBeforeWord => {
                let length = spaces(text);
                let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
                let end = if length == text.len() { length } else { length - last };
                Some(end).filter(|&end| end > 0)
            }
        }
    }
}

impl Run {
    fn end(&self, text: &str) -> Option<usize> {
        let (lead, required) = match self.lead {
            Lead::None => return self.end_after(text, 0),
            Lead::Optional(set) => (set, false),
            Lead::Required(set) => (set, true),
        };
        let first = text.chars().next().filter(|&c| lead.has(c));
        // A character that could be either is the lead if the run can do without it.
        let with_lead = first.and_then(|c| self.end_after(text, c.len_utf8()));
        with_lead.or_else(|| if required { None } else { self.end_after(text, 0) })
    }

    fn end_after(&self, text: &str, start: usize) -> Option<usize> {
        let mut end = start;
        let mut count = 0;
        for c in text[start..].chars().take(self.most).take_while(|&c| self.set.has(c)) {
            end += c.len_utf8();
            count += 1;
        }
        let tail = |tail: Set| prefix(&text[end..], tail);
        (count >= self.least).then(|| end + self.tail.map_or(0, tail))
    }
}

impl Cased {
    fn end(&self, text: &str) -> Option<usize> {
        let lead = text.chars().next().filter(|&c| self.lead.has(c));
        let end =
            lead.and_then(|c| self.end_after(text, c.len_utf8())).or_else(|| self.end_after(text, 0))?;
        let tail = if self.contraction { contraction(&text[end..], true) } else { None };
        Some(end + tail.unwrap_or(0))
    }

    fn end_after(&self, text: &str, start: usize) -> Option<usize> {
        let firsts = start + prefix(&text[start..], self.first);
        let lasts = prefix(&text[firsts..], self.last);
        if self.needs_first {
            return (firsts > start).then_some(firsts + lasts);
        }
        if lasts > 0 {
            return Some(firsts + lasts);
        }
        // The first set took all; it gives back characters until one is of the last set, too.
        let given_back = text[start..firsts].char_indices().rev().find(|&(_, c)| self.last.has(c));
        given_back.map(|(at, c)| start + at + c.len_utf8())
    }
}

/// The length of the white space that `text` begins with.
fn spaces(text: &str) -> usize {
    prefix(text, Set::of(SPACE))
}

/// The length of the longest beginning of `text` that has only characters of `set`.
fn prefix(text: &str, set: Set) -> usize {
    text.find(|c| !set.has(c)).unwrap_or(text.len())
}

/// The length of the contraction that `text` begins with.
fn contraction(text: &str, any_case: bool) -> Option<usize> {
    let rest = text.strip_prefix('\'')?.as_bytes();
    let letter = |at: usize| rest.get(at).map(|b| if any_case { b.to_ascii_lowercase() } else { *b });
    match (letter(0)?, letter(1)) {
        (b's' | b't' | b'm' | b'd', _) => Some(2),
        (b'r' | b'v', Some(b'e')) | (b'l', Some(b'l')) => Some(3),
        _ => None,
    }
}
