//! The repetition detector on documents in the tokens of a real vocabulary: what loops is found, what only repeats itself
//! is left alone. `KUN_TEST_MODELS` names the folder that has the default model's file.

#[path = "../../../text/tests/repetition/corpus.rs"]
mod corpus;

use std::path::PathBuf;

use text::repetition::{Finding, Repeated, Repetitions, thresholds};
use text::tokenizer::{Specials, Tokenizer};
use weights::catalogue::Catalogue;
use weights::gguf::Gguf;

/// The default model's vocabulary, or a loud line that it isn't there.
fn tokenizer() -> Option<Tokenizer> {
    let catalogue = Catalogue::builtin();
    let path = std::env::var_os("KUN_TEST_MODELS")
        .map(|folder| PathBuf::from(folder).join(&catalogue.default_model().file))
        .filter(|path| path.is_file());
    let Some(path) = path else {
        let what = "KUN_TEST_MODELS names no folder with the default model";
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what}, and CI must not skip this");
        eprintln!("SKIPPED: {what}");
        return None;
    };
    let gguf = Gguf::open(&path).expect("it can be read");
    let vocabulary = engine::vocabulary::vocabulary(gguf.metadata()).expect("its keys have their types");
    Some(Tokenizer::new(vocabulary).expect("it is a vocabulary that works"))
}

/// The first loop in an answer of these tokens, and how many of them had come by then.
fn first_loop(tokens: &[u32]) -> Option<(usize, Repeated)> {
    let mut repetitions = Repetitions::new(&thresholds::TOKENS);
    (1..=tokens.len()).find_map(|end| match repetitions.push(&tokens[..end]) {
        Finding::Loop(repeated) => Some((end, repeated)),
        Finding::None | Finding::Suspicion(_) => None,
    })
}

#[test]
fn a_degenerate_article_is_caught_within_four_copies() {
    let Some(tokenizer) = tokenizer() else { return };
    let article = include_str!("../../../text/tests/repetition/degenerate-zh.txt");
    let sentence = "随着大模型的规模不断扩大，它们已经成为了人工智能领域中的重要组成部分。";
    let tokens = tokenizer.encode(article, Specials::AsText);
    let first = article.find(sentence).expect("the sentence");
    let before = tokenizer.encode(&article[..first], Specials::AsText).len();
    let period = tokenizer.encode(sentence, Specials::AsText).len();
    let (end, repeated) = first_loop(&tokens).expect("it loops");
    assert_eq!(repeated.period, period);
    assert!(end <= before + 4 * period, "{end} tokens are more than {before} and 4 copies of {period}");
}

#[test]
fn legitimate_repetition_is_no_loop() {
    let Some(tokenizer) = tokenizer() else { return };
    for (name, text) in corpus::documents() {
        let tokens = tokenizer.encode(&text, Specials::AsText);
        assert_eq!(first_loop(&tokens), None, "{name}: {text}");
    }
}

#[test]
fn what_never_ends_is_a_loop_in_the_end() {
    let Some(tokenizer) = tokenizer() else { return };
    for (unit, at_most) in [
        ("0", 512),
        (" ha", 512),
        ("0, ", 512),
        ("---\n", 512),
        ("| | | | |\n", 512),
        ("{\"x\": 0, \"y\": 0}, ", 384),
        ("I am a language model, and I can't help you. ", 384),
        (
            "The capital of France is Paris, a city on the river Seine that has many museums, old streets and bridges, \
          where people from all over the world meet. ",
            256,
        ),
    ] {
        let tokens = tokenizer.encode(&unit.repeat(1000), Specials::AsText);
        let (end, repeated) = first_loop(&tokens).expect(unit);
        // The unit may begin a token later than the text.
        assert!(end <= at_most + repeated.period, "{unit:?} after {end}: {repeated:?}");
    }
}
