//! The catalogue's default model through the real binary: fetched, asked, talked to. `KUN_TEST_MODELS` names the
//! folder that has its file; a server of this machine plays the hub.

#[path = "../cli/kun.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod kun;
#[path = "../../../weights/tests/store/server.rs"]
#[allow(dead_code, reason = "shared with the tests of the store")]
mod server;
#[path = "../cli/terminal.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod terminal;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use kun::{Scratch, end};
use server::{Reply, Server};
use terminal::Terminal;
use weights::catalogue::Catalogue;

/// The file of the default model, or a loud line that it isn't there.
fn model() -> Option<PathBuf> {
    let catalogue = Catalogue::builtin();
    let path = std::env::var_os("KUN_TEST_MODELS")
        .map(|folder| PathBuf::from(folder).join(&catalogue.default_model().file))
        .filter(|path| path.is_file());
    if path.is_none() {
        let what = "KUN_TEST_MODELS names no folder with the default model";
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what}, and CI must not skip this");
        eprintln!("SKIPPED: {what}");
    }
    path
}

/// The binary with the default model in its store.
struct Fetched {
    scratch: Scratch,
}

impl Fetched {
    fn new() -> Option<Fetched> {
        let file = fs::read(model()?).expect("it can be read");
        let scratch = Scratch::new();
        let server = Server::start(move |request, number| match number {
            // Cut once, as networks do.
            0 => Reply::file(request, &file).cut(file.len() / 2),
            _ => Reply::file(request, &file),
        });
        let mut command = scratch.command(["pull", "smollm2:135m"]);
        let ended = end(command.env("HF_ENDPOINT", server.endpoint()).env_remove("HF_HUB_OFFLINE"));
        assert!(ended.stderr.contains("trying again"), "{ended:?}");
        assert_eq!((ended.code, server.asked().len()), (Some(0), 2), "{ended:?}");
        Some(Fetched { scratch })
    }

    /// Offline: what is fetched needs no network.
    fn run(&self, line: &[&str]) -> Command {
        self.scratch.command([&["run", "--temperature", "0"][..], line].concat())
    }
}

#[test]
fn the_default_model_knows_the_capital_of_france_and_a_chat_keeps_its_context() {
    let Some(fetched) = Fetched::new() else { return };
    let answer = end(&mut fetched.run(&["What is the capital of France?"])).output();
    assert!(answer.contains("Paris"), "{answer}");

    // The catalogue's system message gives way to the user's, even to an empty one.
    let json = |flags: &[&str]| {
        let line = [&["--json", "--max-tokens", "1", "Hi"][..], flags].concat();
        end(&mut fetched.run(&line)).json()["prompt_tokens"].as_u64().expect("a number")
    };
    let (default, empty) = (json(&[]), json(&["--system", ""]));
    assert_eq!(json(&["--system", "You are a helpful AI assistant."]), default);
    assert_eq!(default - empty, 7, "the tokens of the message");

    let mut terminal = Terminal::start(&mut fetched.run(&[]), 80);
    for (line, answer) in
        [("My dog is called Rex.", ""), ("Name a fruit.", "fruit"), ("What is my dog called?", "Rex")]
    {
        terminal.line(line);
        // The line itself is shown as it is typed; the answer begins below it.
        terminal.wait_for("\n");
        let text = terminal.wait_for("prompt: ");
        assert!(text.contains(answer), "{line}: {text}");
        assert!(!text.contains("\n\r\n\r\n"), "{text:?}");
    }
    terminal.line("/exit");
    assert_eq!(terminal.end(), Some(0));
}
