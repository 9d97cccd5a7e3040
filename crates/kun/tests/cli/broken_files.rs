//! Model files that can't be used: exit code 3 if the file is no good, 4 if it can't be had.

use std::path::Path;
use std::process::Command;

use weights::gguf::Value;

use crate::kun::{Ended, Scratch};
use crate::vocabulary::{self, text};

/// Every command that reads a model, on this one.
fn all(scratch: &Scratch, model: &Path) -> Vec<Ended> {
    let model = model.to_str().expect("UTF-8");
    let words = scratch.file("words.txt", "some words");
    let messages = scratch.file("messages.json", r#"{"messages": []}"#);
    let (words, messages) = (words.to_str().expect("UTF-8"), messages.to_str().expect("UTF-8"));
    [
        &["run", model, "Hi"][..],
        &["inspect", model],
        &["tokenize", model],
        &["detokenize", model],
        &["template", model, "--messages", messages],
        &["perplexity", model, words],
        &["bench", model],
    ]
    .into_iter()
    .map(|line| scratch.run(line))
    .collect()
}

#[test]
fn files_that_are_no_models_exit_with_3_in_every_command() {
    let scratch = Scratch::new();
    let whole = vocabulary::writer().to_bytes().expect("a file");
    let files = [
        ("empty.gguf", Vec::new(), "not a GGUF file"),
        ("three.gguf", b"GGU".to_vec(), "not a GGUF file"),
        ("version.gguf", [b"GGUF".as_slice(), &99u32.to_le_bytes(), &[0; 16]].concat(), "99"),
        ("cut.gguf", whole[..whole.len() / 2].to_vec(), "cut.gguf"),
        ("counts.gguf", [b"GGUF".as_slice(), &3u32.to_le_bytes(), &[0xff; 16]].concat(), "counts.gguf"),
    ];
    for (name, bytes, part) in files {
        let path = scratch.file(name, bytes);
        for ended in all(&scratch, &path) {
            ended.fails(3, &[name, part]);
        }
    }
}

#[test]
fn a_broken_vocabulary_exits_with_3_and_names_the_key() {
    let scratch = Scratch::new();
    for (key, value) in [
        ("tokenizer.ggml.model", text("telepathy")),
        ("tokenizer.ggml.pre", text("telepathy")),
        ("tokenizer.ggml.tokens", Value::U32(5)),
    ] {
        let path = scratch.path("vocabulary.gguf");
        vocabulary::writer().set(key, value).write_file(&path).expect("written");
        scratch.run_with(["tokenize", path.to_str().expect("UTF-8")], "Hi").fails(3, &[key]);
    }
}

#[test]
fn files_that_cannot_be_had_exit_with_4_each_with_its_own_text() {
    let scratch = Scratch::new();
    let fifo = scratch.path("fifo.gguf");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo is everywhere").success());
    let directory = scratch.path("directory.gguf");
    std::fs::create_dir(&directory).expect("made");
    let below_a_file = scratch.file("file", "").join("model.gguf");
    for (path, part) in [
        (scratch.path("absent.gguf"), "no such file"),
        (directory, "directory"),
        (fifo, "pipe"),
        (below_a_file, "model.gguf"),
    ] {
        for ended in all(&scratch, &path) {
            ended.fails(4, &[path.to_str().expect("UTF-8"), part]);
        }
    }
}

#[test]
fn a_broken_template_is_told_with_its_line_and_leaves_the_vocabulary_usable() {
    let scratch = Scratch::new();
    let path = scratch.path("template.gguf");
    let source = text("fine\n{% if %}");
    vocabulary::writer().set("tokenizer.chat_template", source).write_file(&path).expect("written");
    let path = path.to_str().expect("UTF-8");
    let messages = scratch.file("messages.json", r#"{"messages": []}"#);
    scratch.run(["template", path, "--messages", messages.to_str().expect("UTF-8")]).fails(3, &["line 2"]);
    assert!(scratch.run_with(["tokenize", path], "a").output().starts_with("97\t"));
}

#[test]
fn a_model_that_is_too_large_exits_with_5_before_it_is_loaded() {
    let scratch = Scratch::new();
    let path = scratch.path("large.gguf");
    let f32 = weights::gguf::formats::by_name("F32").expect("every build reads it");
    let mut writer = vocabulary::writer();
    writer.declare("token_embd.weight", &[1 << 20, 1 << 20], f32);
    let mut head = Vec::new();
    // The head is all that is written; the four tebibytes of the tensor are a hole, which takes up no disk.
    let stop = |_: &str, _: &mut dyn std::io::Write| Err(std::io::Error::other("the head is enough"));
    writer.write_with(&mut head, stop).expect_err("it was stopped");
    let file = std::fs::File::create(&path).expect("the target folder can be written");
    std::io::Write::write_all(&mut &file, &head).expect("written");
    file.set_len((4 << 40) + head.len() as u64).expect("holes are possible here");
    let ended = scratch.run(["run", path.to_str().expect("UTF-8"), "Hi"]);
    ended.fails(5, &["large.gguf needs 4.0 TiB", "are free", "--ctx"]);
}
