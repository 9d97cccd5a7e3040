//! The prompts: made of random words, or taken from a file. The prompt of a number is always the same.
//!
//! Made prompts begin with what their group has in common, a part of one long text of the group, and go on with
//! what no other prompt has, so that a cache finds the shared part and nothing else.

mod file;
mod words;

pub(super) use file::{Line, read};
pub(super) use words::WORDS;

use serde::Serialize;
use serde_json::Value as Json;

use super::arguments::Span;
use super::plan;
use super::random::{Draw, For};

/// A prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Prompt {
    Ids(Vec<u32>),
    Text(String),
    /// A list of messages.
    Messages(Json),
}

/// Prompts that are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) tokens: Span,
    /// The fraction of a prompt that its group has in common.
    pub(super) shared: f64,
    pub(super) groups: u64,
    pub(super) seed: u64,
}

/// How many tokens words become on the way to the model, learnt from two requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Calibration {
    /// Tokens that are there without any word: of the template and the beginning of a text.
    pub(super) overhead: f64,
    pub(super) tokens_per_word: f64,
}

/// Where prompts come from.
#[derive(Debug)]
pub(super) enum Prompts {
    /// Token ids of words, drawn from these: as long as was asked for, to the token.
    Ids { pool: Vec<u32>, shape: Shape },
    /// Words: about as long.
    Words { calibration: Calibration, shape: Shape },
    /// Lines of a file, in turn.
    Lines(Vec<Line>),
}

impl Prompts {
    /// The prompt of a request; and the tokens of its answer, if the file says.
    pub(super) fn at(&self, number: u64) -> (Prompt, Option<u32>) {
        match self {
            Prompts::Ids { pool, shape } => {
                let ids = shape.places(number, |tokens| tokens as usize).map(|draw| pick(pool, draw));
                (Prompt::Ids(ids.collect()), None)
            }
            Prompts::Words { calibration, shape } => {
                let places = shape.places(number, |tokens| calibration.words(tokens));
                (Prompt::Text(text(places)), None)
            }
            Prompts::Lines(lines) => {
                let line = &lines[(number % lines.len() as u64) as usize];
                (line.prompt.clone(), line.max_tokens)
            }
        }
    }

    /// Their lengths, if they are made.
    pub(super) fn tokens(&self) -> Option<Span> {
        match self {
            Prompts::Ids { shape, .. } | Prompts::Words { shape, .. } => Some(shape.tokens),
            Prompts::Lines(_) => None,
        }
    }

    /// What they are made of, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Prompts::Ids { .. } => "token ids",
            Prompts::Words { .. } => "words",
            Prompts::Lines(_) => "file",
        }
    }
}

impl Shape {
    /// The draws of a prompt's places, as many as `places_of` makes of its tokens.
    fn places(self, number: u64, places_of: impl Fn(u32) -> usize) -> impl Iterator<Item = Draw> {
        let count = places_of(plan::length(self.tokens, self.seed, For::PromptLengths, number));
        let shared = ((count as f64 * self.shared).round() as usize).min(count);
        let prefix = Draw::new(self.seed, For::Prefixes).at(number % self.groups);
        let own = Draw::new(self.seed, For::Prompts).at(number);
        (0..count).map(move |place| if place < shared { prefix } else { own }.at(place as u64))
    }
}

impl Calibration {
    /// Words that become so many tokens; one at least.
    fn words(self, tokens: u32) -> usize {
        ((f64::from(tokens) - self.overhead) / self.tokens_per_word).round().max(1.0) as usize
    }
}

/// A text of so many words that is in no prompt.
pub(super) fn calibration_text(seed: u64, words: usize) -> String {
    let draw = Draw::new(seed, For::Calibration).at(words as u64);
    text((0..words as u64).map(|place| draw.at(place)))
}

fn text(places: impl Iterator<Item = Draw>) -> String {
    places.map(|draw| pick(WORDS, draw)).collect::<Vec<_>>().join(" ")
}

fn pick<T: Copy>(from: &[T], draw: Draw) -> T {
    from[draw.below(from.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(min: u32, max: u32, shared: f64, groups: u64) -> Shape {
        Shape { tokens: Span { min, max }, shared, groups, seed: 1 }
    }

    fn ids(shape: Shape, number: u64) -> Vec<u32> {
        match (Prompts::Ids { pool: (1000..1400).collect(), shape }).at(number) {
            (Prompt::Ids(ids), None) => ids,
            other => panic!("not ids: {other:?}"),
        }
    }

    fn in_common(a: &[u32], b: &[u32]) -> usize {
        a.iter().zip(b).take_while(|(a, b)| a == b).count()
    }

    #[test]
    fn a_prompt_is_a_function_of_seed_and_number() {
        let it = shape(10, 200, 0.5, 3);
        // Backwards, because threads ask in any order.
        let backwards: Vec<_> = (0..50).rev().map(|n| ids(it, n)).collect();
        let mut forwards: Vec<_> = (0..50).map(|n| ids(it, n)).collect();
        forwards.reverse();
        assert_eq!(backwards, forwards);
        assert_ne!(ids(it, 4), ids(Shape { seed: 2, ..it }, 4));
        assert!(backwards.iter().all(|ids| (10..=200).contains(&ids.len())));
    }

    #[test]
    fn prompts_have_their_prefix_in_common_and_nothing_else() {
        for (shared, groups, pair, expect) in [
            (0.0, 1, (0, 1), 0..=3),
            (0.25, 1, (0, 1), 250..=253),
            (0.25, 4, (0, 4), 250..=253),
            (0.25, 4, (0, 1), 0..=3),
            (1.0, 1, (0, 1), 1000..=1000),
        ] {
            let it = shape(1000, 1000, shared, groups);
            let common = in_common(&ids(it, pair.0), &ids(it, pair.1));
            assert!(expect.contains(&common), "{shared} of {groups} groups, {pair:?}: {common}");
        }
        // A shorter prompt of the group begins as a longer one does.
        let it = shape(100, 1000, 1.0, 1);
        let (a, b) = (ids(it, 0), ids(it, 1));
        assert_eq!(in_common(&a, &b), a.len().min(b.len()));
    }

    #[test]
    fn words_are_as_many_as_the_calibration_says() {
        let calibration = Calibration { overhead: 30.0, tokens_per_word: 1.25 };
        for (tokens, words) in [(130, 80), (31, 1), (10, 1)] {
            let prompts = Prompts::Words { calibration, shape: shape(tokens, tokens, 0.0, 1) };
            let (Prompt::Text(text), None) = prompts.at(0) else { panic!("no text") };
            assert_eq!(text.split(' ').count(), words, "{tokens}: {text}");
        }
    }

    #[test]
    fn lines_are_taken_in_turn() {
        let line = |text: &str, max_tokens| Line { prompt: Prompt::Text(text.to_owned()), max_tokens };
        let prompts = Prompts::Lines(vec![line("a", None), line("b", Some(7))]);
        let expect = (Prompt::Text("b".to_owned()), Some(7));
        assert_eq!((prompts.at(1), prompts.at(3)), (expect.clone(), expect));
    }

    #[test]
    fn every_word_is_another() {
        let mut words = WORDS.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), WORDS.len());
        assert!(WORDS.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
    }
}
