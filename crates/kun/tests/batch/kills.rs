//! Killed at any moment and started again: every request has one answer, and it is the one of an undisturbed run.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::kun::end;
use crate::{Desk, completion};

const REQUESTS: usize = 400;
const KILLS: u32 = 4;

#[test]
fn every_request_has_one_answer_however_often_the_run_is_killed() {
    let desk = Desk::new();
    let input: String = (0..REQUESTS).map(|n| completion(&format!("id-{n}"), 1 + n % 60)).collect();
    desk.scratch.file("in.jsonl", input);
    let mut answered = Vec::new();
    // Each time a bit later, from before the first answer on.
    for kill in 0..KILLS {
        let mut command = desk.command(&["--concurrency", "8"]);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
        std::thread::sleep(Duration::from_millis(30 + 150 * u64::from(kill)));
        child.kill().expect("it is our child");
        child.wait().expect("it has ended");
        let text = std::fs::read(desk.scratch.path("out.jsonl")).unwrap_or_default();
        answered.push(text.iter().filter(|byte| **byte == b'\n').count());
    }
    assert!(answered.is_sorted(), "what was answered stays: {answered:?}");
    // The last one tore a line, wherever it was.
    let out = desk.scratch.path("out.jsonl");
    let mut text = std::fs::read(&out).expect("there are answers");
    text.truncate(text.len().saturating_sub(7));
    std::fs::write(&out, text).expect("it can be written");

    let ended = end(&mut desk.command(&["--concurrency", "8"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said = |text: &Value| text["response"]["body"]["choices"][0]["text"].clone();
    let answers = desk.answers();
    assert_eq!(answers.len(), REQUESTS);

    std::fs::remove_file(&out).expect("it is there");
    assert_eq!(end(&mut desk.command(&[])).code, Some(0));
    for (id, answer) in desk.answers() {
        assert_eq!(said(&answer), said(&answers[&id]), "{id}");
    }
}

#[test]
fn an_output_has_one_writer() {
    let desk = Desk::new();
    let input: String = (0..REQUESTS).map(|n| completion(&format!("id-{n}"), 200)).collect();
    desk.scratch.file("in.jsonl", input);
    let mut command = desk.command(&[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
    while std::fs::metadata(desk.scratch.path("out.jsonl")).map_or(0, |file| file.len()) == 0 {
        assert!(child.try_wait().expect("it is our child").is_none(), "it ended without an answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    end(&mut desk.command(&[])).fails(4, &["another batch writes"]);
    child.kill().expect("it is our child");
    child.wait().expect("it has ended");
}
