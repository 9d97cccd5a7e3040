//! The vocabularies of llama.cpp's test-suite: each text beside them must become the ids beside them.
//!
//! `KUN_TEST_VOCABULARIES` names the folder `models` of llama.cpp's source tree. A vocabulary `V.gguf` counts if
//! there are texts in `V.gguf.inp` and their ids, a line for each, in `V.gguf.out`.

use std::fs;
use std::path::{Path, PathBuf};

use text::tokenizer::{Specials, Tokenizer};
use weights::gguf::Gguf;

/// The folder.
const FOLDER: &str = "KUN_TEST_VOCABULARIES";
/// Stands between two texts.
const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

/// Those that there are, so that none goes missing without notice: name, kind of tokenizer, rule for words.
const VOCABULARIES: [(&str, &str, &str); 15] = [
    ("bert-bge", "bert", "bert-bge"),
    ("command-r", "gpt2", "command-r"),
    ("deepseek-coder", "gpt2", "deepseek-coder"),
    ("deepseek-llm", "gpt2", "deepseek-llm"),
    ("falcon", "gpt2", "falcon"),
    ("gemma-4", "gemma4", ""),
    ("gpt-2", "gpt2", "gpt-2"),
    ("llama-bpe", "gpt2", "llama-bpe"),
    ("llama-spm", "llama", "default"),
    ("mpt", "gpt2", "mpt"),
    ("phi-3", "llama", "default"),
    ("qwen2", "gpt2", "qwen2"),
    ("qwen35", "gpt2", "qwen35"),
    ("refact", "gpt2", "refact"),
    ("starcoder", "gpt2", "starcoder"),
];

/// The folder, or none if this machine lacks it; that is said aloud, and under CI it is a failure.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    if folder.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{FOLDER} must be set under CI");
        eprintln!("SKIPPED: the vocabularies of llama.cpp's test-suite, because {FOLDER} is not set");
    }
    folder
}

fn open(folder: &Path, name: &str) -> Gguf {
    Gguf::open(&folder.join(format!("ggml-vocab-{name}.gguf"))).expect("the vocabulary can be read")
}

fn tokenizer(gguf: &Gguf) -> Tokenizer {
    let vocabulary = engine::vocabulary::vocabulary(gguf.metadata()).expect("its keys have their types");
    Tokenizer::new(vocabulary).expect("it is a vocabulary that works")
}

/// The texts of a vocabulary, each with its ids.
fn pairs(folder: &Path, name: &str) -> Vec<(String, Vec<u32>)> {
    let read = |ending: &str| {
        fs::read_to_string(folder.join(format!("ggml-vocab-{name}.gguf.{ending}"))).expect("it is text")
    };
    let (texts, lines) = (read("inp"), read("out"));
    // A separator at the very end has no text behind it.
    let texts: Vec<&str> = texts.strip_suffix(SEPARATOR).unwrap_or(&texts).split(SEPARATOR).collect();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(texts.len(), lines.len(), "{name} has a line of ids for each text");
    let ids = |line: &str| line.split_whitespace().map(|id| id.parse().expect("an id")).collect();
    texts.into_iter().map(str::to_owned).zip(lines.into_iter().map(ids)).collect()
}

#[test]
fn the_folder_has_exactly_the_listed_vocabularies() {
    let Some(folder) = folder() else { return };
    let name = |entry: fs::DirEntry| {
        let file = entry.file_name().into_string().expect("a name in ASCII");
        Some(file.strip_prefix("ggml-vocab-")?.strip_suffix(".gguf.out")?.to_owned())
    };
    let entries = fs::read_dir(&folder).expect("the folder can be read");
    let mut found: Vec<String> =
        entries.filter_map(|entry| name(entry.expect("the folder can be read"))).collect();
    found.sort_unstable();
    assert_eq!(found, VOCABULARIES.map(|(name, ..)| name));
}

#[test]
fn every_text_of_every_vocabulary_becomes_its_ids() {
    let Some(folder) = folder() else { return };
    let (mut count, mut failures) = (0, Vec::new());
    for (name, model, pre) in VOCABULARIES {
        let gguf = open(&folder, name);
        let read = engine::vocabulary::vocabulary(gguf.metadata()).expect("its keys have their types");
        assert_eq!((read.model.as_str(), read.pre.as_deref().unwrap_or_default()), (model, pre), "{name}");
        let tokenizer = tokenizer(&gguf);
        let pairs = pairs(&folder, name);
        assert!(pairs.len() >= 40, "{name} has {} texts only", pairs.len());
        count += pairs.len();
        for (text, expect) in pairs {
            let ids = tokenizer.encode(&text, Specials::AsText);
            if ids != expect {
                failures.push(format!("{name}: {text:?}\n  expect {expect:?}\n  found  {ids:?}"));
            }
        }
    }
    println!("{} of {count} texts of {} vocabularies agree", count - failures.len(), VOCABULARIES.len());
    assert!(failures.is_empty(), "{} of {count} texts differ\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn byte_level_and_score_vocabularies_give_the_text_back() {
    let Some(folder) = folder() else { return };
    for (name, model, _) in VOCABULARIES.into_iter().filter(|(_, model, _)| *model != "bert") {
        let tokenizer = tokenizer(&open(&folder, name));
        for (text, _) in pairs(&folder, name) {
            let ids = tokenizer.encode(&text, Specials::AsText);
            let decoded = tokenizer.decode(&ids, true);
            assert_eq!(String::from_utf8_lossy(&decoded), text, "{name} ({model})");
        }
    }
}
