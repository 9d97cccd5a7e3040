//! `kun run` with a model of a few kilobytes: where the prompt comes from, where the answer goes, how it ends.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use weights::gguf::Value;

use crate::ctrl_c::ends_with_130;
use crate::kun::{Scratch, end};
use crate::{model, vocabulary};

const GREEDY: [&str; 4] = ["--temperature", "0", "--max-tokens", "5"];

#[test]
fn the_prompt_may_be_an_argument_or_piped_or_both() {
    let scratch = Scratch::new();
    let path = model::write(&scratch, "small.gguf");
    let path = path.to_str().expect("UTF-8");
    let tokens = |words: &[&str], pipe: Option<&str>| {
        let line = [&["run", "--json", "--raw", "--model", path][..], &GREEDY, words].concat();
        let ended = match pipe {
            Some(text) => scratch.run_with(&line, text),
            None => scratch.run(&line),
        };
        ended.json()["prompt_tokens"].as_u64().expect("a number")
    };
    // A token a byte, and one to begin with; merges make "hell" one.
    assert_eq!(tokens(&["abc"], None), 4);
    assert_eq!(tokens(&[], Some("abc")), 4);
    assert_eq!(tokens(&["abc"], Some("def")), 8, "a line break between them");
    assert_eq!(tokens(&["abc"], Some(" \n")), 4);
    assert_eq!(tokens(&["hell"], None), 2);
}

#[test]
fn an_answer_can_have_a_form() {
    let scratch = Scratch::new();
    let path = model::write(&scratch, "small.gguf");
    let path = path.to_str().expect("UTF-8");
    let file = |name: &str, text: &str| scratch.file(name, text).to_str().expect("UTF-8").to_owned();
    let schema = file(
        "schema.json",
        r#"{"type": "object", "properties": {"a": {"enum": [1, 22]}}, "required": ["a"]}"#,
    );
    let grammar = file("list.gbnf", "root ::= \"<\" [xy] \">\"");
    let answer = |flags: &[&str]| {
        let line = [&["run", "--json", "--seed", "5", "--model", path, "hello"][..], flags].concat();
        let json = scratch.run(&line).json();
        assert_eq!(json["finish_reason"], "stop", "{json}");
        json["text"].as_str().expect("text").to_owned()
    };
    assert!(["{\"a\": 1}", "{\"a\": 22}"].contains(&answer(&["--json-schema", &schema]).as_str()));
    assert!(["<x>", "<y>"].contains(&answer(&["--grammar", &grammar]).as_str()));
    let digits = answer(&["--regex", "[0-9]{3}"]);
    assert!(digits.len() == 3 && digits.bytes().all(|digit| digit.is_ascii_digit()), "{digits}");
    let wrong = file("wrong.json", r#"{"items": {"not": {}}}"#);
    for (flags, code, says) in [
        (&["--json-schema", &wrong][..], 2, "/items/not"),
        (&["--json-schema", "nowhere.json"], 4, "nowhere.json"),
        (&["--json-schema", &grammar], 2, "is no JSON"),
        (&["--regex", "("], 2, "--regex"),
        (&["--regex", "a", "--grammar", &grammar], 2, "cannot be used with"),
    ] {
        let ended = scratch.run([&["run", "--model", path, "hello"][..], flags].concat());
        assert_eq!(ended.code, Some(code), "{flags:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{flags:?}: {ended:?}");
    }
}

#[test]
fn json_is_one_object_with_these_keys() {
    let scratch = Scratch::new();
    let path = model::write(&scratch, "small.gguf");
    let line = [&["run", "--json", path.to_str().expect("UTF-8"), "hello"][..], &GREEDY].concat();
    let ended = scratch.run(&line);
    assert_eq!(ended.stderr, "");
    let json = ended.json();
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!(keys(&json), ["text", "prompt_tokens", "completion_tokens", "finish_reason", "timings"]);
    let timings = ["load_s", "prompt_tokens_per_second", "generation_tokens_per_second"];
    assert_eq!(keys(&json["timings"]), timings);
    assert!(timings.iter().all(|key| json["timings"][key].as_f64().expect("a number") > 0.0), "{json}");
    assert_eq!((&json["completion_tokens"], &json["finish_reason"]), (&5.into(), &"length".into()));
    assert!(!json["text"].as_str().expect("text").is_empty());
    // The same answer, as text.
    let plain: Vec<&str> = line.iter().copied().filter(|word| *word != "--json").collect();
    let ended = scratch.run(plain);
    assert!(ended.stderr.contains("answer: 5 tokens") && ended.stderr.contains("cut short"), "{ended:?}");
    assert_eq!(
        ended.output().trim_end_matches('\n'),
        json["text"].as_str().expect("text").trim_end_matches('\n')
    );
}

#[test]
fn a_broken_template_stops_a_chat_and_not_a_raw_prompt() {
    let scratch = Scratch::new();
    let path = scratch.path("template.gguf");
    let mut header = model::header();
    header.set("tokenizer.chat_template", vocabulary::text("fine\n{% if %}"));
    model::with_tensors(header, &model::TENSORS).write_file(&path).expect("written");
    let path = path.to_str().expect("UTF-8");
    scratch.run(["run", path, "hello"]).fails(3, &["template.gguf", "line 2", "--raw"]);
    assert_eq!(scratch.run(["run", "--raw", path, "hello"]).code, Some(0));
}

#[test]
fn an_empty_system_message_is_one_and_none_is_none() {
    let scratch = Scratch::new();
    let path = model::write(&scratch, "small.gguf");
    let path = path.to_str().expect("UTF-8");
    let tokens = |system: &[&str]| {
        let line = [&["run", "--json", path, "hello"][..], &GREEDY, system].concat();
        scratch.run(line).json()["prompt_tokens"].as_u64().expect("a number")
    };
    // The template puts "[system] " and an end of text around it.
    assert_eq!(tokens(&["--system", ""]), tokens(&[]) + 10);
    assert_eq!(tokens(&["--system", "abc"]), tokens(&[]) + 13);
}

#[test]
fn a_prompt_that_the_context_has_no_room_for_is_refused_with_both_numbers() {
    let scratch = Scratch::new();
    let path = model::write(&scratch, "small.gguf");
    let path = path.to_str().expect("UTF-8");
    let long = "a".repeat(1000);
    for raw in [&["--raw"][..], &[]] {
        let line = [&["run", "--model", path, "--ctx", "256", &long][..], raw].concat();
        scratch.run(line).fails(2, &["the context has room for 224", "--ctx"]);
    }
    scratch.run(["run", path, "--ctx", "4097", "Hi"]).fails(2, &["--ctx 4097", "at most 4096"]);
}

#[test]
fn an_answer_to_a_full_disk_or_to_nobody_ends_in_order() {
    let scratch = Scratch::new();
    let path = model::write(&scratch, "small.gguf");
    for json in [&["--json"][..], &[]] {
        let command =
            || scratch.command([&["run", path.to_str().expect("UTF-8"), "hello"][..], json].concat());
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        end(command().stdout(full)).fails(4, &["standard output", "No space left"]);
        let mut child = command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let ended = crate::kun::Ended::new(child.wait_with_output().expect("it ends"));
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[test]
fn ctrl_c_ends_prefill_and_generation_at_once() {
    let scratch = Scratch::new();
    let path = scratch.path("endless.gguf");
    let mut header = model::header();
    // Nothing ends an answer but the context, which is far away.
    header.set("llama.context_length", Value::U32(1 << 20));
    model::with_tensors(header, &model::TENSORS).write_file(&path).expect("written");
    let generating = ["--max-tokens", "1000000", "--ctx", "1000000"];
    for times in [1, 2] {
        let mut child = start(&scratch, &path, &generating);
        child.stdin.take().expect("a pipe").write_all(b"hello").expect("it reads");
        // The first bytes of the answer show that it is generating.
        child.stdout.as_mut().expect("a pipe").read_exact(&mut [0; 8]).expect("an answer");
        ends_with_130(&mut child, times);
    }
    let mut child = start(&scratch, &path, &generating);
    let text = "a".repeat(800_000);
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    std::thread::sleep(Duration::from_millis(700));
    ends_with_130(&mut child, 1);
}

fn start(scratch: &Scratch, model: &Path, flags: &[&str]) -> Child {
    let mut command =
        scratch.command([&["run", "--raw", "--model", model.to_str().expect("UTF-8")][..], flags].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
}
