//! The chat in a terminal, with a model of a few kilobytes that talks nonsense.

use std::fs;

use weights::gguf::Value;

use crate::kun::Scratch;
use crate::model;
use crate::terminal::Terminal;

/// A chat with answers of so many tokens.
fn chat(scratch: &Scratch, flags: &[&str], columns: u16) -> Terminal {
    let path = scratch.path("small.gguf");
    let mut header = model::header();
    header.set("llama.context_length", Value::U32(1 << 20));
    model::with_tensors(header, &model::TENSORS).write_file(&path).expect("written");
    let line = [&["run", path.to_str().expect("UTF-8"), "--temperature", "0"][..], flags].concat();
    Terminal::start(&mut scratch.command(line), columns)
}

const SHORT: [&str; 2] = ["--max-tokens", "5"];

/// The number of tokens of the next answer's prompt.
fn prompt_tokens(terminal: &mut Terminal) -> usize {
    terminal.wait_for("prompt: ");
    terminal.wait_for(" tokens").parse().expect("a number")
}

#[test]
fn turns_are_kept_until_they_are_cleared() {
    let scratch = Scratch::new();
    let mut terminal = chat(&scratch, &SHORT, 80);
    let mut tokens = Vec::new();
    for _ in 0..3 {
        terminal.line("abc");
        tokens.push(prompt_tokens(&mut terminal));
    }
    assert!(tokens[0] < tokens[1] && tokens[1] < tokens[2], "{tokens:?}");
    terminal.line("/clear");
    terminal.wait_for("the conversation is forgotten");
    terminal.line("abc");
    assert_eq!(prompt_tokens(&mut terminal), tokens[0]);
    terminal.line("/system be good");
    terminal.wait_for("the system message is set");
    terminal.line("/clear");
    terminal.line("abc");
    // "[system] be good" and an end of text.
    assert_eq!(prompt_tokens(&mut terminal), tokens[0] + 9 + 7 + 1);
    terminal.line("/exit");
    assert_eq!(terminal.end(), Some(0));
    let history = fs::read_to_string(scratch.path("home/history.txt")).expect("it was written");
    assert!(history.contains("/system be good"), "{history}");
}

#[test]
fn commands_do_what_they_say_or_say_what_works() {
    let scratch = Scratch::new();
    let mut terminal = chat(&scratch, &SHORT, 80);
    for (line, answer) in [
        ("/help", "/set NAME VALUE"),
        ("/set temperature 0.2", "temperature = 0.2"),
        ("/set temperature 9", "temperature: it must be a number from 0 to 5"),
        ("/set temperature", "/set needs a name and a value"),
        ("/set heat 1", "no parameter heat: there are temperature"),
        ("/set ctx 100", "ctx is fixed"),
        ("/show", "temperature     0.2"),
        ("/nonsense", "no command /nonsense: /help lists them"),
        ("", ">>> "),
    ] {
        terminal.line(line);
        terminal.wait_for(answer);
    }
    // A message of several lines is one turn.
    terminal.line("\"\"\"one");
    terminal.line("two\"\"\"");
    prompt_tokens(&mut terminal);
    terminal.line("/show");
    terminal.wait_for("turns so far    1");
    terminal.line("\u{4}");
    assert_eq!(terminal.end(), Some(0));
    assert!(!terminal.shown().contains("\n\r\n\r\n"), "{}", terminal.shown());
}

#[test]
fn ctrl_c_stops_the_answer_and_then_leaves() {
    let scratch = Scratch::new();
    let mut terminal = chat(&scratch, &["--max-tokens", "1000000", "--ctx", "1000000"], 80);
    terminal.line("abc");
    let shown = terminal.shown().len();
    while terminal.shown().len() < shown + 200 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    terminal.interrupt();
    terminal.wait_for("(stopped)");
    terminal.line("/show");
    terminal.wait_for("turns so far    1");
    // While a line is edited, Ctrl-C is a key.
    terminal.line("begun and \u{3}");
    terminal.wait_for("Ctrl-C again");
    terminal.wait_for("\u{1b}[4C");
    terminal.keys("\u{3}");
    assert_eq!(terminal.end(), Some(130));
}

#[test]
fn a_full_context_forgets_the_oldest_turns_and_says_so() {
    let scratch = Scratch::new();
    let mut terminal = chat(&scratch, &["--ctx", "128", "--max-tokens", "5"], 80);
    for _ in 0..5 {
        terminal.line("abcdefghij");
        assert!(prompt_tokens(&mut terminal) <= 112);
    }
    let shown = terminal.shown();
    assert!(
        shown.contains("(the context is full: the oldest turn of the conversation is forgotten)"),
        "{shown}"
    );
    // A message that can never fit is told, and the chat goes on without it.
    terminal.line(&"x".repeat(200));
    terminal.wait_for("the context has room for 112");
    // It cost the others nothing.
    terminal.line("/show");
    terminal.wait_for("turns so far    ");
    assert_ne!(terminal.wait_for("\r\n"), "0");
    terminal.line("abc");
    prompt_tokens(&mut terminal);
    terminal.line("/exit");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn a_terminal_of_one_column_is_a_terminal() {
    for columns in [0, 1, 2] {
        let scratch = Scratch::new();
        let mut terminal = chat(&scratch, &SHORT, columns);
        terminal.wait_for(">");
        terminal.keys("abc\r");
        prompt_tokens(&mut terminal);
        terminal.keys("/exit\r");
        assert_eq!(terminal.end(), Some(0));
    }
}
