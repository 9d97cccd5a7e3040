//! Model files that are broken in one place each, through the real binary: exit code 3, a message of at most three
//! lines with the file, the place and a way out, and no more memory than a small model takes.
//!
//! A test binary of its own, because the system counts the memory of all children of a process together.

mod cases;
#[path = "../cli/kun.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod kun;
#[path = "../cli/model.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod model;
#[path = "../cli/vocabulary.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod vocabulary;

use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};

use cases::Case;
use kun::{Ended, Scratch};

const MEMORY_KIB_MAX: i64 = 64 << 10;

/// A message that says what to do has one of these words.
const WAYS_OUT: [&str; 11] = [
    "download",
    "convert",
    "fetch",
    "git lfs",
    "take a",
    "keep all",
    "name a",
    "try",
    "set the",
    "this build runs",
    "use",
];

fn answer(scratch: &Scratch, model: &Path) -> Ended {
    let model = model.to_str().expect("UTF-8");
    scratch.run(["run", "--model", model, "--max-tokens", "4", "--temperature", "0", "hello"])
}

#[test]
fn every_broken_model_exits_with_3_says_where_and_takes_little_memory() {
    let scratch = Scratch::new();
    let whole = model::write(&scratch, "whole.gguf");
    let ended = answer(&scratch, &whole);
    assert_eq!(ended.code, Some(0), "the unbroken model must answer: {ended:?}");
    assert!(memory_kib() > 1 << 10, "a process takes more than {} KiB", memory_kib());

    let cases = cases::all();
    assert!(cases.len() >= 120, "{} cases", cases.len());
    let mut failures = Vec::new();
    for Case { name, bytes, expect } in cases {
        let path = scratch.file("broken.gguf", bytes);
        let before = memory_kib();
        let ended = answer(&scratch, &path);
        let mut wrong = |what: &str| failures.push(format!("{name}: {what}: {ended:?}"));
        if ended.code != Some(3) || !ended.stdout.is_empty() {
            wrong("should exit with 3");
        }
        if !(1..=3).contains(&ended.stderr.lines().count()) || ended.stderr.len() > 1500 {
            wrong("should say it in three lines");
        }
        if ended.stderr.contains(|c: char| c.is_control() && c != '\n') {
            wrong("lets the file command the terminal");
        }
        for part in ["broken.gguf: ", expect.as_str()] {
            if !ended.stderr.contains(part) {
                wrong(&format!("should say {part:?}"));
            }
        }
        if !WAYS_OUT.iter().any(|way| ended.stderr.contains(way)) {
            wrong("should say what to do");
        }
        // The count is of the largest child so far.
        if memory_kib() > MEMORY_KIB_MAX.max(before) {
            wrong(&format!("took {} KiB", memory_kib()));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn parts_that_do_not_make_a_model_exit_with_3() {
    let scratch = Scratch::new();
    for (name, files, expect) in cases::splits() {
        for (file, bytes) in files {
            scratch.file(file, bytes);
        }
        let ended = answer(&scratch, &scratch.path("m-00001-of-00002.gguf"));
        assert_eq!(ended.code, Some(if expect.is_empty() { 0 } else { 3 }), "{name}: {ended:?}");
        assert!(ended.stderr.contains(expect), "{name}: {ended:?}");
        assert!(ended.stderr.lines().count() <= 3, "{name}: {ended:?}");
        for part in ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"] {
            // A part that the next case lacks must not be left.
            let _ = std::fs::remove_file(scratch.path(part));
        }
    }
}

#[test]
fn odd_vocabularies_are_lived_with() {
    let scratch = Scratch::new();
    for (name, bytes) in cases::odd_vocabularies() {
        let path = scratch.file("odd.gguf", bytes);
        let ended = answer(&scratch, &path);
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
    }
}

/// The peak memory of the largest child that has ended.
fn memory_kib() -> i64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).expect("it takes no arguments that could be wrong").max_rss()
}
