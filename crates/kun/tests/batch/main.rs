//! `kun batch` through the real binary: what it writes, what it does with inputs of all kinds, and that it goes on after
//! it was killed.

#[path = "../cli/kun.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod kun;
#[path = "../cli/model.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod model;
#[path = "../cli/vocabulary.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod vocabulary;

mod inputs;
mod kills;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use kun::{Ended, Scratch, end};

/// A folder with a model and whatever else a batch needs.
struct Desk {
    scratch: Scratch,
    model: PathBuf,
}

impl Desk {
    fn new() -> Desk {
        let scratch = Scratch::new();
        let model = model::write(&scratch, "small.gguf");
        Desk { scratch, model }
    }

    /// `kun batch in.jsonl out.jsonl MODEL` with these flags.
    fn command(&self, flags: &[&str]) -> Command {
        let mut command = self.scratch.command(["batch"]);
        command.arg(self.scratch.path("in.jsonl")).arg(self.scratch.path("out.jsonl")).arg(&self.model);
        command.args(["--memory", "256MiB"]).args(flags);
        command
    }

    fn run(&self, input: impl AsRef<[u8]>, flags: &[&str]) -> Ended {
        self.scratch.file("in.jsonl", input);
        end(&mut self.command(flags))
    }

    /// The lines of a file.
    fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.scratch.path(name)).expect("it was written");
        assert!(text.is_empty() || text.ends_with('\n'), "a whole last line: {text}");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The answers by their names; each has one.
    fn answers(&self) -> BTreeMap<String, Value> {
        let lines = self.lines("out.jsonl");
        let named = |line: &Value| (line["custom_id"].as_str().expect("a name").to_owned(), line.clone());
        let answers: BTreeMap<String, Value> = lines.iter().map(named).collect();
        assert_eq!(answers.len(), lines.len(), "a name stands there twice");
        answers
    }
}

/// A request as a line of a file.
fn line(id: &str, url: &str, body: &Value) -> String {
    json!({"custom_id": id, "method": "POST", "url": url, "body": body}).to_string() + "\n"
}

/// A text to be continued by a few tokens.
fn completion(id: &str, max_tokens: usize) -> String {
    let body = json!({"prompt": format!("hello {id}"), "max_tokens": max_tokens, "temperature": 0});
    line(id, "/v1/completions", &body)
}
