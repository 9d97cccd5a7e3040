//! Answers that are broken in random ways.

use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use text::speech::{Begin, Format, Part, Reader, Tool};

use super::{Answer, Random, answers, message, parts_however_cut};

/// How often each answer is broken.
const ROUNDS: usize = 40;

/// The bytes of a long answer.
const LONG: usize = 60_000;

/// What may be missing from what is said: markers of reasoning and around content, and whitespace.
const SILENT: &[&str] = &[
    "<think>",
    "</think>",
    "<seed:think>",
    "</seed:think>",
    "<mm:think>",
    "</mm:think>",
    "[THINK]",
    "[/THINK]",
    "<|START_THINKING|>",
    "<|END_THINKING|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<|START_TEXT|>",
    "<|END_TEXT|>",
    "<|CHATBOT_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|inner_prefix|>",
    "<|inner_suffix|>",
    "<|channel>",
    "<channel|>",
    "thought",
    "<turn|>",
    "Here are my reasoning steps:",
    "[BEGIN FINAL RESPONSE]",
    "[END FINAL RESPONSE]",
    "<|end|>",
    "<|role_end|>",
    "<|open|>think<|sep|>",
    "<|close|>think<|sep|>",
    "<|open|>response<|sep|>",
    "<|close|>response<|sep|>",
    "<|close|>message<|sep|>",
];

/// Checks that what was said is all of the text but for markers, of an answer without calls and headers.
pub(super) fn check_nothing_is_lost(answer: &Answer, parts: &[Part]) {
    if matches!(answer.format.name(), "harmony" | "muse" | "functionary_v3") {
        return;
    }
    let mut silent = answer.input.clone();
    let mut said = String::new();
    for part in parts {
        match part {
            Part::Content(text) | Part::Reasoning(text) => said.push_str(text),
            other => panic!("{other:?} of {:?}", answer.input),
        }
    }
    let strip = |text: &mut String| {
        for mark in SILENT {
            *text = text.replace(mark, "");
        }
        text.retain(|c| !c.is_whitespace());
    };
    strip(&mut silent);
    strip(&mut said);
    assert_eq!(said, silent, "{:?}: {:?}", answer.format, answer.input);
}

/// Deletes, doubles and moves pieces of a text, or puts in one of another text.
fn broken(text: &str, other: &str, random: &mut Random) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let other: Vec<char> = other.chars().collect();
    for _ in 0..1 + random.below(3) {
        let from = random.below(chars.len() + 1);
        let to = (from + random.below(12)).min(chars.len());
        let at = random.below(chars.len() + 1);
        match random.below(5) {
            0 => drop(chars.drain(from..to)),
            1 => {
                let piece: Vec<char> = chars[from..to].to_vec();
                chars.splice(at..at, piece);
            }
            2 => {
                let begin = random.below(other.len() + 1);
                let end = (begin + random.below(40)).min(other.len());
                chars.splice(at..at, other[begin..end].iter().copied());
            }
            3 => chars.truncate(at),
            _ => chars.insert(at, ['<', '"', '{', '}', '[', '\\', '\n', '中', '\'', ','][random.below(10)]),
        }
    }
    chars.into_iter().collect()
}

/// Calls begin and end in order, and a complete one has an object for its arguments.
fn check_calls(answer: &Answer, parts: &[Part]) {
    let message = message(parts);
    let mut open = None;
    for part in parts {
        match part {
            Part::CallBegun { index, name, .. } => {
                assert_eq!(open, None, "{:?}", answer.input);
                assert!(answer.tools.iter().any(|tool| tool.name == *name), "{:?}", answer.input);
                open = Some(*index);
            }
            Part::CallArguments { index, .. } => assert_eq!(open, Some(*index), "{:?}", answer.input),
            Part::CallEnded { index, complete } => {
                assert_eq!(open.take(), Some(*index), "{:?}", answer.input);
                let json = &message.calls[*index].2;
                let is_object = json.starts_with('{') && serde_json::from_str::<IgnoredAny>(json).is_ok();
                assert!(is_object || !complete, "{json:?} of {:?}", answer.input);
            }
            Part::Content(text) | Part::Reasoning(text) => {
                assert_eq!(open, None, "{:?}", answer.input);
                assert!(!text.is_empty());
            }
        }
    }
    assert_eq!(open, None, "{:?}", answer.input);
}

#[test]
fn broken_answers_lose_nothing_and_never_panic() {
    let originals = answers();
    let mut random = Random(0x5eed);
    let mut complete = 0;
    for at in 0..originals.len() {
        for _ in 0..ROUNDS {
            let original = &originals[at];
            let other = &originals[random.below(originals.len())].input;
            let input = broken(&original.input, other, &mut random);
            let (template, tools) = (original.template.clone(), original.tools.clone());
            let answer = Answer { input, tools, template, expected: original.expected.clone(), ..*original };
            let parts = parts_however_cut(&answer, true, &mut random);
            check_calls(&answer, &parts);
            if message(&parts).calls.is_empty() {
                check_nothing_is_lost(&answer, &parts);
            }
            complete +=
                parts.iter().filter(|part| matches!(part, Part::CallEnded { complete: true, .. })).count();
        }
    }
    assert!(complete > originals.len(), "many calls survive: {complete}");
}

#[test]
fn long_and_repetitive_answers_take_linear_time() {
    let tools = [Tool { name: "f".to_owned(), parameters: serde_json::json!({"type": "object"}) }];
    let begun = [
        "<tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"",
        "<tool_call><function=f><parameter=a>",
        "<function=f",
        "[f(a=[",
        "[f(a='",
        "{\"name\": \"f\", \"arguments\": {\"a\": ",
        "[TOOL_CALLS]f[ARGS]{\"a\":",
        "<|channel|>commentary to=functions.f<|message|>{\"a\":",
        "<|tool_call>call:f{a:<|\"|>",
        "<think>",
        "]<]minimax[>[<invoke name=\"f\">]<]minimax[>[<a>",
        "<",
        "\n",
        "```json",
    ];
    for name in Format::names() {
        let format = Format::by_name(name).expect("it is one of the names");
        for piece in begun {
            for begin in [Begin::Answer, Begin::Thinking] {
                let text = piece.repeat(LONG / piece.len());
                let started = Instant::now();
                let mut reader = Reader::new(format, &tools, begin);
                let mut parts = Vec::new();
                reader.push(&text, &mut parts);
                reader.finish(&mut parts);
                // It is a tenth of that on a slow machine that does other things as well.
                assert!(started.elapsed() < Duration::from_secs(3), "{name}: {piece}");
            }
        }
    }
}
