//! How the service starts: settings from flags, variables and files, what is refused and how, and what it says.

use std::ffi::OsString;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::ffi::OsStringExt;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::kun::{Scratch, end};
use crate::server::Server;
use crate::{model, vocabulary};

#[test]
fn mistakes_exit_with_2_and_say_what_works() {
    let scratch = Scratch::new();
    let small = model::write(&scratch, "small.gguf");
    let small = small.to_str().expect("UTF-8");
    for (line, parts) in [
        (&["--prot", "1"][..], &["'--prot'", "'--port'", "see kun serve --help"][..]),
        (&["--port", "70000"], &["70000", "--port", "0 to 65535"]),
        (&["--port", "-1"], &["--port", "0 to 65535"]),
        (&["--port", "http"], &["--port", "0 to 65535"]),
        (&["--host", "example.com"], &["--host", "127.0.0.1"]),
        (&["--ctx", "0"], &["--ctx", "16 to 1048576"]),
        (&["--ctx", "-1"], &["--ctx", "16 to 1048576"]),
        (&["--ctx", "1000000000000"], &["--ctx", "16 to 1048576"]),
        (&["--ctx", "8192"], &["--ctx 8192", "4096"]),
        (&["--memory", "much"], &["--memory", "8GiB", "60%"]),
        (&["--memory", "0%"], &["--memory", "60%"]),
        (&["--max-queue", "0"], &["--max-queue", "1 to 65536"]),
        (&["--max-sequences", "0"], &["--max-sequences", "1 to 4096"]),
        (&["--max-choices", "many"], &["--max-choices", "1 to 4096"]),
        (&["--request-timeout", "0"], &["--request-timeout", "none"]),
        (&["--drain-timeout", "1 year"], &["--drain-timeout", "30s"]),
        (&["--keep-alive", "0"], &["--keep-alive", "more than 0"]),
        (&["--body-limit", "0"], &["--body-limit", "8GiB"]),
        (&["--log-format", "xml"], &["--log-format", "json"]),
        (&["--threads", "100000"], &["--threads", "1 to 512"]),
        (&["--alias", "fast"], &["--alias", "NAME=MODEL"]),
        (&["--alias", "fast=smal"], &["--alias", "no model smal is served", "did you mean small?"]),
        (&["--alias", "small=small"], &["--alias", "small is the name of a model already"]),
        (&["--pin", "big"], &["--pin", "no model big is served", "served are: small"]),
        (&["--pin", "a b"], &["--pin", "without blanks"]),
        (&[small], &["two models are called small"]),
    ] {
        scratch.run([&["serve", small][..], line].concat()).fails(2, parts);
    }
    scratch.run(["serve", "smollm2:136m"]).fails(2, &["smollm2:136m", "smollm2:135m"]);
}

#[test]
fn a_broken_file_of_settings_exits_with_2_and_line_and_column() {
    let scratch = Scratch::new();
    for (text, parts) in [
        ("port = 1\nprot = 2\n", &["kun.toml:2:1: \"prot\" is no setting", "did you mean port?"][..]),
        ("port = 1\nport = 2\n", &["kun.toml:2:1:", "duplicate key"]),
        ("port = \n", &["kun.toml:1:"]),
        ("\nhost 1\n", &["kun.toml:2:"]),
        ("port = 70000", &["kun.toml:1:8: port: it must be a number from 0 to 65535"]),
        ("ctx = [1, 2]", &["kun.toml:1:7: ctx: it must be one value"]),
        ("[server]\nport = 1", &["kun.toml:1:2: \"server\" is no setting"]),
        ("alias = ['a=b', 5]", &["kun.toml:1:17: alias: it must be NAME=MODEL"]),
    ] {
        let path = scratch.file("kun.toml", text);
        end(scratch.command(["serve", "--config"]).arg(path)).fails(2, parts);
    }
    let path = scratch.file("kun.toml", [b'#', 0xff, b'\n']);
    end(scratch.command(["serve", "--config"]).arg(path)).fails(2, &["byte 1 is not UTF-8"]);
    scratch.run(["serve", "--config", "absent.toml"]).fails(4, &["absent.toml", "No such file"]);
}

#[test]
fn variables_are_settings_too_and_are_named_when_they_are_wrong() {
    let scratch = Scratch::new();
    for (name, value, parts) in [
        ("KUN_SERVE_PORT", "tcp://10.0.0.1:80", &["KUN_SERVE_PORT", "tcp://10.0.0.1:80", "0 to 65535"][..]),
        ("KUN_SERVE_PROT", "80", &["KUN_SERVE_PROT is no setting", "KUN_SERVE_PORT"]),
    ] {
        end(scratch.command(["serve"]).env(name, value)).fails(2, parts);
    }
}

#[test]
fn what_is_set_is_printed_as_a_file_that_sets_the_same() {
    let scratch = Scratch::new();
    let file = scratch.file("kun.toml", "port = 9000\nmemory = '1GiB'\nctx = 64\n");
    let mut command = scratch.command(["serve", "--print-config", "--max-queue", "7", "--pin", "quo\"ted"]);
    command.arg("--config").arg(file).env("KUN_SERVE_MEMORY", "2GiB").env("KUN_SERVE_ALIAS", "x=a,y=a");
    let first = end(&mut command).output();
    for (start, origin) in [
        ("max-queue = 7 ", "# --max-queue"),
        ("memory = \"2GiB\" ", "# KUN_SERVE_MEMORY"),
        ("alias = [\"x=a\", \"y=a\"] ", "# KUN_SERVE_ALIAS"),
        ("port = 9000 ", "kun.toml"),
        ("host = \"127.0.0.1\" ", "# default"),
        ("# threads is not set ", "# default"),
    ] {
        let line = first.lines().find(|line| line.starts_with(start));
        assert!(line.is_some_and(|line| line.ends_with(origin)), "{start}{origin}: {first}");
    }
    let again = scratch.file("again.toml", &first);
    let second = end(scratch.command(["serve", "--print-config", "--config"]).arg(again)).output();
    let values = |text: &str| {
        let bare = |line: &str| line.rsplit_once('#').map_or(line, |(value, _)| value).trim().to_owned();
        text.lines().map(bare).collect::<Vec<_>>()
    };
    assert_eq!(values(&second), values(&first));
}

#[test]
fn an_address_that_is_taken_exits_with_4_and_says_by_whom() {
    let scratch = Scratch::new();
    let small = model::write(&scratch, "small.gguf");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let by_us = format!("address in use by pid {}", std::process::id());
    let mut command = scratch.command(["serve", "--port", &port]);
    end(command.arg(&small)).fails(4, &[&format!("127.0.0.1:{port}"), &by_us, "--port"]);
    end(scratch.command(["serve", "--host", "192.0.2.1"]).arg(&small)).fails(4, &["192.0.2.1", "--host"]);
}

#[test]
fn a_model_that_cannot_be_opened_exits_as_everywhere() {
    let scratch = Scratch::new();
    let text = scratch.file("text.gguf", "no model");
    let fifo = scratch.path("pipe.gguf");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
    let bare = vocabulary::write(&scratch, "vocabulary.gguf");
    let folder = scratch.path("folder.gguf");
    std::fs::create_dir(&folder).expect("a folder");
    for (path, code, part) in [
        (scratch.path("absent.gguf"), 4, "no such file"),
        (folder, 4, "is a directory"),
        (fifo, 4, "is a pipe"),
        (text, 3, "not a GGUF file"),
        (bare, 3, "feed_forward_length"),
    ] {
        end(scratch.command(["serve", "--port", "0"]).arg(path)).fails(code, &[part]);
    }
    end(scratch.command(["serve"]).env_remove("KUN_HOME")).fails(4, &["KUN_HOME", "HOME"]);
}

#[test]
fn a_budget_that_is_too_small_exits_with_5_before_anything_is_loaded() {
    let scratch = Scratch::new();
    let small = model::write(&scratch, "small.gguf");
    let mut command = scratch.command(["serve", "--port", "0", "--memory", "20MiB"]);
    end(command.arg(&small)).fails(5, &["small needs", "the budget is 20.0 MiB", "--memory"]);
}

#[test]
fn it_says_where_it_is_what_it_serves_and_what_it_keeps_within() {
    let server = Server::start(&["--memory", "300MiB", "--max-queue", "9", "--max-sequences", "5"]);
    let log = server.log();
    assert!(log.lines().count() <= 10, "{log}");
    for part in [
        "http://127.0.0.1:",
        "small, llama",
        "context of 4096",
        "300.0 MiB",
        "KV cache",
        "5 answers at a time, 9 waiting",
        "curl",
    ] {
        assert!(log.contains(part), "no {part}: {log}");
    }
    let server = Server::start(&["--log-format", "json", "--host", "::1"]);
    let log = server.log();
    let ready = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ready = ready.into_iter().find(|line| line["message"] == "ready").expect("a line of JSON");
    assert_eq!(ready["models"][0]["name"], json!("small"));
    assert!(server.address.is_ipv6());
    server.get("/v1/models").json(200);
}

#[test]
fn odd_paths_and_closed_streams_do_no_harm() {
    let scratch = Scratch::new();
    let small = model::write(&scratch, "small.gguf");
    let script = r#""$0" serve --port 0 "$1" 2>&- & pid=$!; sleep 2; kill -TERM $pid; wait $pid"#;
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_kun")]).arg(&small).env_clear();
    command.env("KUN_HOME", scratch.path("home")).env("PATH", "/usr/bin:/bin");
    assert_eq!(end(&mut command).code, Some(0));

    let odd = scratch.path(OsString::from_vec(b"odd-\xff.gguf".to_vec()));
    std::fs::rename(&small, &odd).expect("renamed");
    let mut command = scratch.command(["serve", "--port", "0"]);
    let mut child = command.arg(odd).stderr(Stdio::piped()).spawn().expect("it starts");
    std::thread::sleep(Duration::from_secs(2));
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it runs");
    let mut text = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut text).expect("UTF-8");
    assert_eq!(child.wait().expect("our child").code(), Some(0), "{text}");
    assert!(text.contains("odd-\u{fffd}"), "{text}");
}
