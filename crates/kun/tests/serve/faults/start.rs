//! A server that can't start says why in three lines, with the exit code of its kind of failure; one that has odd
//! surroundings works.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::broken;
use crate::ctrl_c::ends_with_130;
use crate::kun::Scratch;
use crate::measure::wait_for;
use crate::model;
use crate::real;
use crate::server::Server;

/// A server that is not up by then waits for something that never comes.
const TIME: Duration = Duration::from_secs(20);

/// How a start ended.
#[derive(Debug)]
struct Start {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Starts it, and ends it if it does not end by itself.
fn start(command: &mut Command) -> Start {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            break status.code();
        }
        if begun.elapsed() > TIME {
            child.kill().expect("it runs");
            child.wait().expect("it is our child");
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let read = |mut pipe: Box<dyn Read>| {
        let mut text = String::new();
        let _ = pipe.read_to_string(&mut text);
        text
    };
    let stdout = read(Box::new(child.stdout.take().expect("a pipe")));
    let stderr = read(Box::new(child.stderr.take().expect("a pipe")));
    Start { code, stdout, stderr }
}

/// What is wrong with a start that should fail.
fn wrong(start: &Start, code: i32, parts: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    if start.code != Some(code) {
        wrong.push(format!("should exit with {code}"));
    }
    if !(1..=3).contains(&start.stderr.lines().count())
        || start.stderr.len() > 1500
        || !start.stdout.is_empty()
    {
        wrong.push("should say it in three lines of standard error".to_owned());
    }
    if start.stderr.contains("panicked") || start.stderr.contains(|c: char| c.is_control() && c != '\n') {
        wrong.push("panics or commands the terminal".to_owned());
    }
    wrong.extend(
        parts.iter().filter(|part| !start.stderr.contains(*part)).map(|part| format!("should say {part:?}")),
    );
    wrong
}

/// Row, arguments, exit code and parts of the message. `MODEL` stands for a good model, `SCRATCH` for a folder.
const STARTS: &[(u16, &[&str], i32, &[&str])] = &[
    (23, &["MODEL", "--memory", "1MB"], 5, &["needs", "budget", "--memory"]),
    (26, &["MODEL", "--kv-tokens", "1"], 2, &["--kv-tokens", "16 to"]),
    (24, &["MODEL", "--prot", "1"], 2, &["'--port'", "see kun serve --help"]),
    (24, &["MODEL", "--hostt", "::1"], 2, &["'--host'"]),
    (24, &["MODEL", "--nonsense"], 2, &["--nonsense"]),
    (25, &["MODEL", "--port", "70000"], 2, &["--port", "65535"]),
    (25, &["MODEL", "--port", "-1"], 2, &["--port"]),
    (25, &["MODEL", "--port", "http"], 2, &["--port"]),
    (25, &["MODEL", "--port", ""], 2, &["--port"]),
    (26, &["MODEL", "--ctx", "0"], 2, &["--ctx", "16 to 1048576"]),
    (26, &["MODEL", "--ctx", "-1"], 2, &["--ctx", "16 to 1048576"]),
    (26, &["MODEL", "--ctx", "1000000000000"], 2, &["--ctx", "16 to 1048576"]),
    (26, &["MODEL", "--threads", "0"], 2, &["--threads", "1 to 512"]),
    (26, &["MODEL", "--max-queue", "0"], 2, &["--max-queue", "1 to 65536"]),
    (26, &["MODEL", "--max-sequences", "5000"], 2, &["--max-sequences", "1 to 4096"]),
    (26, &["MODEL", "--body-limit", "x"], 2, &["--body-limit"]),
    (26, &["MODEL", "--memory", "0%"], 2, &["--memory"]),
    (26, &["MODEL", "--drain-timeout=-1s"], 2, &["--drain-timeout"]),
    (26, &["MODEL", "--request-timeout", "soon"], 2, &["--request-timeout"]),
    (26, &["MODEL", "--keep-alive", "0s"], 2, &["--keep-alive"]),
    (26, &["MODEL", "--log-format", "xml"], 2, &["--log-format"]),
    (26, &["MODEL", "--alias", "x"], 2, &["--alias", "NAME=MODEL"]),
    (26, &["MODEL", "--alias", "x=nope"], 2, &["nope"]),
    (26, &["MODEL", "--pin", "nope"], 2, &["nope"]),
    (27, &["SCRATCH/absent.gguf"], 4, &["absent.gguf"]),
    (27, &["SCRATCH/folder"], 4, &["folder"]),
    (27, &["SCRATCH/fifo"], 4, &["fifo"]),
    (27, &["SCRATCH/absent/absent.gguf"], 4, &["absent.gguf"]),
    (27, &["smollm2:135m"], 4, &["smollm2:135m"]),
    (90, &["smollm2:136m"], 2, &["smollm2:136m", "smollm2:135m"]),
    (90, &["hf:../../etc"], 2, &["hf:../../etc"]),
    (90, &[""], 2, &[]),
    (31, &["MODEL", "--config", "SCRATCH/absent.toml"], 4, &["absent.toml"]),
    (31, &["MODEL", "--config", "SCRATCH/bad.toml"], 2, &["bad.toml", "2:"]),
    (31, &["MODEL", "--config", "SCRATCH/unknown.toml"], 2, &["unknown.toml", "2:1", "port"]),
    (31, &["MODEL", "--config", "SCRATCH/twice.toml"], 2, &["twice.toml", "2:"]),
    (31, &["MODEL", "--config", "SCRATCH/kind.toml"], 2, &["kind.toml", "port"]),
    (31, &["MODEL", "--config", "SCRATCH/range.toml"], 2, &["range.toml", "port"]),
    (31, &["MODEL", "--config", "SCRATCH/bytes.toml"], 2, &["bytes.toml"]),
    (61, &["MODEL", "--keys", "SCRATCH/absent.keys"], 4, &["absent.keys"]),
    (61, &["MODEL", "--keys", "SCRATCH/bytes.toml"], 2, &["bytes.toml"]),
    (93, &["MODEL", "--tls-cert", "SCRATCH/absent.pem"], 2, &["--tls-key"]),
    (
        93,
        &["MODEL", "--tls-cert", "SCRATCH/absent.pem", "--tls-key", "SCRATCH/absent.pem"],
        4,
        &["absent.pem"],
    ),
    (93, &["MODEL", "--tls-cert", "SCRATCH/bad.toml", "--tls-key", "SCRATCH/bad.toml"], 2, &["bad.toml"]),
    (95, &["MODEL", "--host", "nonsense"], 2, &["--host"]),
    (95, &["MODEL", "--host", ""], 2, &["--host"]),
    (95, &["MODEL", "--host", "203.0.113.7"], 4, &["203.0.113.7"]),
];

/// Files that the starts name.
const FILES: &[(&str, &[u8])] = &[
    ("bad.toml", b"port = 0\nhost = = 1\n"),
    ("unknown.toml", b"host = \"127.0.0.1\"\nprot = 0\n"),
    ("twice.toml", b"port = 0\nport = 1\n"),
    ("kind.toml", b"port = [1]\n"),
    ("range.toml", b"port = 70000\n"),
    ("bytes.toml", b"\xff\xfe\x00"),
];

fn scratch() -> (Scratch, String) {
    let scratch = Scratch::new();
    let model = model::write(&scratch, "small.gguf").to_str().expect("UTF-8").to_owned();
    (scratch, model)
}

#[test]
fn a_server_that_cannot_start_says_why_with_the_exit_code_of_its_kind() {
    let (scratch, model) = self::scratch();
    fs::create_dir(scratch.path("folder")).expect("the target folder can be written");
    mkfifo(&scratch.path("fifo"), Mode::S_IRUSR).expect("the target folder can be written");
    for (name, content) in FILES {
        scratch.file(name, content);
    }
    let folder = scratch.path("").to_str().expect("UTF-8").trim_end_matches('/').to_owned();
    let mut failures = Vec::new();
    for (row, arguments, code, parts) in STARTS {
        let filled = arguments.iter().map(|word| word.replace("MODEL", &model).replace("SCRATCH", &folder));
        let mut line = vec!["serve".to_owned()];
        line.extend(filled);
        if !arguments.contains(&"--port") && !arguments.contains(&"--config") {
            line.extend(["--port".to_owned(), "0".to_owned()]);
        }
        let started = start(&mut scratch.command(&line));
        let what = wrong(&started, *code, parts);
        failures
            .extend(what.into_iter().map(|what| format!("row {row}: {arguments:?}: {what}: {started:?}")));
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let started = start(&mut scratch.command(["serve", &model, "--port", &port]));
    let pid = format!("by pid {}", std::process::id());
    failures.extend(
        wrong(&started, 4, &["address in use", &pid])
            .into_iter()
            .map(|what| format!("row 25: {what}: {started:?}")),
    );
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// Row 30: Ctrl-C while a model is loaded, once or twice. (While prompts and answers are computed it is tested with the
/// command line and with the drain.)
#[test]
fn ctrl_c_while_a_model_is_loaded_ends_at_once() {
    let Some(model) = real::model() else { return };
    let scratch = Scratch::new();
    let name = model.file_name().expect("a file").to_str().expect("UTF-8");
    let commands = [vec!["serve", "--port", "0"], vec!["run", "--raw", "hello", "--model"], vec!["bench"]];
    for (command, times) in commands.iter().flat_map(|command| [(command, 1), (command, 2)]) {
        let mut child = scratch
            .command(command)
            .arg(&model)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let maps = format!("/proc/{}/maps", child.id());
        let mapped = wait_for(TIME, || fs::read_to_string(&maps).is_ok_and(|maps| maps.contains(name)));
        assert!(mapped.is_some(), "row 30: {command:?} opens its model");
        ends_with_130(&mut child, times);
    }
}

/// Rows 1 to 21: whatever `kun run` says of a broken file, `kun serve` says as well.
#[test]
fn no_broken_model_is_served() {
    let scratch = Scratch::new();
    let cases = broken::all();
    assert!(cases.len() >= 120, "{} cases", cases.len());
    let mut failures = Vec::new();
    let mut check = |name: &str, path: &Path, parts: &[&str]| {
        let started = start(scratch.command(["serve"]).arg(path).args(["--port", "0"]));
        failures
            .extend(wrong(&started, 3, parts).into_iter().map(|what| format!("{name}: {what}: {started:?}")));
    };
    // A server lives with a template that it can't use: completions need none.
    for broken::Case { name, bytes, expect } in
        cases.into_iter().filter(|case| !case.expect.starts_with("chat template"))
    {
        let path = scratch.file("broken.gguf", bytes);
        check(&name, &path, &["broken.gguf: ", &expect]);
    }
    for (name, files, expect) in broken::splits().into_iter().filter(|(_, _, expect)| !expect.is_empty()) {
        for (file, bytes) in files {
            scratch.file(file, bytes);
        }
        check(name, &scratch.path("m-00001-of-00002.gguf"), &[expect]);
        for part in ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"] {
            let _ = fs::remove_file(scratch.path(part));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn odd_surroundings_keep_no_server_from_working() {
    let answers = |row: u16, what: &str, server: &Server| {
        let reply = server.get("/v1/models");
        assert_eq!(reply.status, 200, "row {row}: {what}: {}", reply.text());
    };
    // Row 32: a path that is no UTF-8.
    let scratch = Scratch::new();
    let odd = scratch.path(OsStr::from_bytes(b"odd-\xff.gguf"));
    fs::rename(model::write(&scratch, "small.gguf"), &odd).expect("renamed");
    let mut command = scratch.command(["serve", "--port", "0"]);
    command.arg(&odd);
    answers(32, "a path that is no UTF-8", &Server::spawn(scratch, command));
    // Row 32: no home, or one that can't be written.
    for (what, change) in [
        ("no home", (|command| command.env_remove("KUN_HOME")) as fn(&mut Command) -> &mut Command),
        ("a home in a folder that nobody can write", |command| command.env("KUN_HOME", "/proc/kun")),
        ("a home that is a file", |command| command.env("KUN_HOME", "/dev/null")),
    ] {
        let (scratch, model) = self::scratch();
        let mut command = scratch.command(["serve", &model, "--port", "0"]);
        change(&mut command);
        answers(32, what, &Server::spawn(scratch, command));
    }
    // Row 33: a terminal of one column, or none.
    for (name, value) in
        [("COLUMNS", "1"), ("COLUMNS", "0"), ("COLUMNS", "x"), ("NO_COLOR", "1"), ("TERM", "dumb")]
    {
        let (scratch, model) = self::scratch();
        let mut command = scratch.command(["serve", &model, "--port", "0"]);
        command.env(name, value);
        let server = Server::spawn(scratch, command);
        answers(33, name, &server);
        assert!(!server.log().contains('\u{1b}'), "row 33: {name}: {}", server.log());
    }
    // Row 28: closed streams, and a standard output that is full. Nothing depends on it.
    let (scratch, model) = self::scratch();
    let mut command = scratch.command(["serve", &model, "--port", "0"]);
    command.stdout(OpenOptions::new().write(true).open("/dev/full").expect("Linux has it"));
    answers(28, "a full disk", &Server::spawn(scratch, command));
    for closed in ["<&-", ">&-", "<&- >&-"] {
        let (scratch, model) = self::scratch();
        let script = format!(r#"exec "$0" serve "$1" --port 0 {closed}"#);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_kun"), &model]).env_clear();
        command.env("KUN_HOME", scratch.path("home")).env("HF_HUB_OFFLINE", "1").env("PATH", "/usr/bin:/bin");
        answers(28, closed, &Server::spawn(scratch, command));
    }
    // Row 95: every address of this machine, if it has the other kind of addresses.
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "::1", "[::1]", "::"] {
        if host.contains(':') && TcpListener::bind("[::1]:0").is_err() {
            eprintln!("SKIPPED: this machine has no IPv6");
            continue;
        }
        let (scratch, model) = self::scratch();
        let command = scratch.command(["serve", &model, "--port", "0", "--host", host]);
        answers(95, host, &Server::spawn(scratch, command));
    }
}
