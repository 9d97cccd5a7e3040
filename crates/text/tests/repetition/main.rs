//! The repetition detector on whole documents, character by character: what loops is found, what only repeats itself
//! is left alone. The same documents in tokens are a matter of a vocabulary, which the engine's tests have.

mod corpus;

use text::repetition::{Finding, Repeated, Repetitions, thresholds};

/// The first loop in a text and the character behind it, with the thresholds for characters.
fn first_loop(text: &str) -> Option<(usize, Repeated)> {
    let characters: Vec<u32> = text.chars().map(u32::from).collect();
    let mut repetitions = Repetitions::new(&thresholds::CHARACTERS);
    (1..=characters.len()).find_map(|end| match repetitions.push(&characters[..end]) {
        Finding::Loop(repeated) => Some((end, repeated)),
        Finding::None | Finding::Suspicion(_) => None,
    })
}

/// An article that a model has written; from its second sentence on it is one sentence.
const DEGENERATE: &str = include_str!("degenerate-zh.txt");

#[test]
fn a_degenerate_article_is_caught_within_four_copies() {
    let sentence = "随着大模型的规模不断扩大，它们已经成为了人工智能领域中的重要组成部分。";
    let first = DEGENERATE.find(sentence).expect("the sentence");
    let before = DEGENERATE[..first].chars().count();
    let period = sentence.chars().count();
    let (end, repeated) = first_loop(DEGENERATE).expect("it loops");
    assert_eq!(repeated.period, period);
    assert!(end <= before + 4 * period, "{end} characters are more than {before} and 4 copies of {period}");
}

#[test]
fn legitimate_repetition_is_no_loop() {
    let documents = corpus::documents();
    assert!(documents.len() >= 90, "only {} documents", documents.len());
    for (name, text) in documents {
        assert_eq!(first_loop(&text), None, "{name}: {text}");
    }
}

#[test]
fn what_never_ends_is_a_loop_in_the_end() {
    for (unit, at_most) in [
        ("0", 2048),
        ("0,", 2048),
        ("---\n", 2048),
        ("| | | | |\n", 2048),
        ("{\"x\": 0, \"y\": 0}, ", 1536),
        ("    print(\"Hello, world!\")\n", 1024),
        ("I am a language model, and I can't help you. ", 512),
        (
            "The capital of France is Paris, which is the capital of France, and the city of Paris has many people. ",
            512,
        ),
    ] {
        let (end, repeated) = first_loop(&unit.repeat(4096 / unit.len())).expect(unit);
        assert!(
            end <= at_most && unit.len().is_multiple_of(repeated.period),
            "{unit:?} after {end}: {repeated:?}"
        );
    }
}
