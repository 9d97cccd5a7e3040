//! The JSON-Schema-Test-Suite (draft 2020-12) against the forms of answers: what is taken of it, what is refused, and
//! whether what is taken lets only through what the suite calls valid.
//!
//! `KUN_TEST_SCHEMAS` names the folder `tests/draft2020-12` of the suite, which `cargo xtask test` fetches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use text::grammar::{GrammarLimits, GrammarSource, Grammars, is_allowed};
use text::tokenizer::Tokenizer;
use text::vocabulary::{TokenKind, Vocabulary};

const SPACE: u32 = 257;
const END: u32 = 258;

/// What came of the schemas and instances of one file.
#[derive(Default, Debug)]
struct Counts {
    taken: usize,
    refused: usize,
    right: usize,
    /// Valid, but not the way answers are written: other orders of properties, other spellings of numbers, and objects that
    /// are put together.
    narrower: usize,
    wrong: usize,
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("KUN_TEST_SCHEMAS").map(PathBuf::from);
    if folder.is_none() {
        let what = "KUN_TEST_SCHEMAS names no folder with the JSON-Schema-Test-Suite";
        assert!(std::env::var_os("CI").is_none(), "{what}");
        eprintln!("SKIPPED: {what}: `cargo xtask test` fetches it");
    }
    folder
}

/// A token for each byte.
fn grammars() -> Grammars {
    let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| format!("<0x{byte:02X}>").into_bytes()).collect();
    tokens.extend(["<unk>", "▁", "<end>"].map(Vec::from));
    let mut kinds = vec![TokenKind::Byte; 256];
    kinds.extend([TokenKind::Unknown, TokenKind::Normal, TokenKind::Control]);
    let vocabulary = Vocabulary {
        model: "llama".to_owned(),
        scores: vec![0.0; tokens.len()],
        tokens,
        kinds,
        unk: Some(256),
        bos: Some(END),
        eos: Some(END),
        add_space_prefix: Some(false),
        ..Vocabulary::default()
    };
    let tokenizer = Arc::new(Tokenizer::new(vocabulary).expect("a vocabulary"));
    Grammars::new(tokenizer, GrammarLimits::default()).expect("it has an end")
}

/// An instance as answers are written.
fn written(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| {
                format!("{}: {}", Value::from(key.as_str()), written(value))
            };
            format!("{{{}}}", map.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}

fn is_let_through(start: &text::grammar::Constraint, text: &str) -> bool {
    let mut constraint = start.fresh();
    let mut mask = Vec::new();
    for byte in text.bytes() {
        let token = if byte == b' ' { SPACE } else { u32::from(byte) };
        if constraint.is_complete() || constraint.mask(&mut mask).is_err() || !is_allowed(&mask, token) {
            return false;
        }
        constraint.commit(token).expect("the mask has it");
    }
    constraint.is_complete() || (constraint.mask(&mut mask).is_ok() && is_allowed(&mask, END))
}

#[test]
fn what_is_let_through_is_valid() {
    let Some(folder) = folder() else { return };
    let grammars = grammars();
    let mut report: BTreeMap<String, Counts> = BTreeMap::new();
    let mut wrong = Vec::new();
    for path in files(&folder) {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a file");
        let groups: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        let counts = report.entry(name.clone()).or_default();
        for group in groups {
            let Ok(start) = grammars.compile(&GrammarSource::JsonSchema(group["schema"].clone())) else {
                counts.refused += 1;
                continue;
            };
            counts.taken += 1;
            for test in group["tests"].as_array().expect("a list") {
                let valid = test["valid"].as_bool().expect("a truth value");
                match (is_let_through(&start, &written(&test["data"])), valid) {
                    (true, false) => {
                        counts.wrong += 1;
                        wrong.push(format!("{name}: {}: {}", group["description"], test["description"]));
                    }
                    (false, true) => counts.narrower += 1,
                    _ => counts.right += 1,
                }
            }
        }
    }
    let mut all = Counts::default();
    for (name, counts) in &report {
        println!(
            "{name:40} schemas: {:3} taken, {:3} refused; instances: {:4} right, {:3} narrower, {} wrong",
            counts.taken, counts.refused, counts.right, counts.narrower, counts.wrong
        );
        all.taken += counts.taken;
        all.refused += counts.refused;
        all.right += counts.right;
        all.narrower += counts.narrower;
    }
    println!("{all:?}");
    assert!(wrong.is_empty(), "{} are let through and not valid:\n{}", wrong.len(), wrong.join("\n"));
    assert!(all.taken >= 100 && all.right >= 300, "{all:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}
