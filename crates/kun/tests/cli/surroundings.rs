//! Closed pipes, full disks, missing folders, odd paths, Ctrl-C: works or a message, never a panic.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ctrl_c::ends_with_130;
use crate::kun::{Scratch, end};
use crate::{model, vocabulary};

/// The binary started by a shell, which can close what Rust's own `Command` can't.
fn through_shell(scratch: &Scratch, script: &str) -> Command {
    let model = model::write(scratch, "small.gguf");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_kun")]).arg(model).env_clear();
    command.env("KUN_HOME", scratch.path("home")).env("HF_HUB_OFFLINE", "1").env("PATH", "/usr/bin:/bin");
    command
}

#[test]
fn closed_standard_streams_end_no_command_in_a_panic() {
    let scratch = Scratch::new();
    for (script, code) in [
        (r#""$0" inspect "$1" >&-"#, 0),
        (r#""$0" inspect "$1" 2>&-"#, 0),
        (r#""$0" tokenize "$1" <&-"#, 0),
        (r#""$0" inspect "$1" <&- >&- 2>&-"#, 0),
        (r#""$0" inspect absent.gguf 2>&-"#, 4),
        (r#""$0" run --model "$1" <&-"#, 2),
    ] {
        let ended = end(&mut through_shell(&scratch, script));
        assert_eq!(ended.code, Some(code), "{script}: {ended:?}");
    }
}

#[test]
fn memory_that_the_system_does_not_give_exits_with_5() {
    let scratch = Scratch::new();
    // From too little to begin with to enough: on the way something else is missing each time.
    let (mut refused, mut worked) = (0, 0);
    for kilobytes in (10_000..400_000).step_by(1_000) {
        if worked == 3 {
            break;
        }
        let script = format!(r#"ulimit -v {kilobytes}; "$0" run --model "$1" --raw --max-tokens 3 a"#);
        let ended = end(&mut through_shell(&scratch, &script));
        match ended.code {
            Some(0) => worked += 1,
            Some(5) => {
                refused += 1;
                assert!((1..=3).contains(&ended.stderr.lines().count()), "{kilobytes} kB: {ended:?}");
                assert!(ended.stderr.starts_with("kun: "), "{kilobytes} kB: {ended:?}");
            }
            // The program itself has no room: it is the system that says so.
            _ if refused + worked == 0 => {}
            _ => panic!("{kilobytes} kB: {ended:?}"),
        }
    }
    assert!(refused >= 3 && worked == 3, "{refused} refused, {worked} worked");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let scratch = Scratch::new();
    // The first to write has no reader: `true` ends at once, and the sleep gives it the time to.
    let script = r#"( sleep 0.3; "$0" inspect "$1"; echo "code $?" >&2 ) | true"#;
    let ended = end(&mut through_shell(&scratch, script));
    assert_eq!(ended.stderr, "code 0\n", "{ended:?}");
    let ended = end(&mut through_shell(&scratch, r#"( sleep 0.3; "$0" --help; echo "code $?" >&2 ) | true"#));
    assert_eq!(ended.stderr, "code 0\n", "{ended:?}");
}

#[test]
fn a_full_disk_exits_with_4() {
    let scratch = Scratch::new();
    let model = vocabulary::write(&scratch, "small.gguf");
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let mut command = scratch.command(["inspect"]);
    end(command.arg(model).stdout(full)).fails(4, &["standard output", "No space left"]);
}

#[test]
fn a_path_needs_no_folder_for_models_and_a_name_says_that_there_is_none() {
    let scratch = Scratch::new();
    let model = vocabulary::write(&scratch, "small.gguf");
    let mut command = scratch.command(["inspect"]);
    assert_eq!(end(command.arg(model).env_remove("KUN_HOME")).code, Some(0));
    let mut command = scratch.command(["inspect", "smollm2:135m"]);
    end(command.env_remove("KUN_HOME")).fails(4, &["KUN_HOME", "HOME"]);
    let mut command = scratch.command(["models"]);
    end(command.env_remove("KUN_HOME")).fails(4, &["KUN_HOME"]);
}

#[test]
fn a_folder_that_cannot_be_written_exits_with_4() {
    let scratch = Scratch::new();
    let mut command = scratch.command(["pull", "smollm2:135m"]);
    // Nobody can make a folder there, not even root. The hub is never asked: the folder comes first.
    command
        .env("KUN_HOME", "/proc/kun")
        .env_remove("HF_HUB_OFFLINE")
        .env("HF_ENDPOINT", "http://127.0.0.1:9");
    end(&mut command).fails(4, &["/proc/kun"]);
    let file = scratch.file("file", "");
    let mut command = scratch.command(["models"]);
    end(command.env("KUN_HOME", file)).fails(4, &["file"]);
}

#[test]
fn a_path_that_is_not_utf_8_works() {
    let scratch = Scratch::new();
    let odd: OsString = OsStr::from_bytes(b"odd-\xff.gguf").to_owned();
    fs::rename(vocabulary::write(&scratch, "small.gguf"), scratch.path(&odd)).expect("renamed");
    let path = scratch.path(&odd);
    for command in ["inspect", "tokenize"] {
        assert_eq!(scratch.run([OsStr::new(command), path.as_os_str()]).code, Some(0), "{command}");
    }
    let ended =
        scratch.run([OsStr::new("inspect"), scratch.path(OsStr::from_bytes(b"no-\xff.gguf")).as_os_str()]);
    ended.fails(4, &["no-\u{fffd}.gguf"]);
}

#[test]
fn output_without_a_terminal_has_no_control_characters() {
    let scratch = Scratch::new();
    let model = vocabulary::write(&scratch, "small.gguf");
    for variables in [&[("NO_COLOR", "1")][..], &[("COLUMNS", "1")], &[("TERM", "dumb")], &[]] {
        for line in [&["--help"][..], &["run", "--help"], &["run", "--ctx", "0"], &["inspect"]] {
            let mut command = scratch.command(line);
            command.envs(variables.iter().copied());
            if line == ["inspect"] {
                command.arg(&model);
            }
            let ended = end(&mut command);
            let text = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!text.contains('\u{1b}') && !text.is_empty(), "{variables:?} {line:?}: {text:?}");
        }
    }
}

#[test]
fn ctrl_c_exits_with_130_at_once() {
    for times in [1, 2] {
        let scratch = Scratch::new();
        let model = vocabulary::write(&scratch, "small.gguf");
        let mut command = scratch.command(["tokenize"]);
        let mut child =
            command.arg(model).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        // It waits for its standard input, which stays open.
        std::thread::sleep(Duration::from_millis(500));
        ends_with_130(&mut child, times);
        let mut text = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut text).expect("UTF-8");
        assert_eq!(text, "");
    }
}
