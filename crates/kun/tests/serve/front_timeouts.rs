//! Clients that are slow, idle or too many, while others are served all the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::kun::Scratch;
use crate::metrics::open_files;
use crate::model;
use crate::server::{Reply, Server};

#[track_caller]
fn is_well(server: &Server) {
    let started = Instant::now();
    assert_eq!(server.get("/health").status, 200);
    let answer = server.post("/v1/completions", &json!({"prompt": "hello", "max_tokens": 2}));
    assert_eq!(answer.status, 200);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    let server = Server::start(&["--head-timeout", "0.5"]);
    let mut slow: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for _ in 0..4 {
        for stream in &mut slow {
            stream.write_all(b"G").expect("it reads");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    is_well(&server);
    for mut stream in slow {
        assert_eq!(Reply::read(&mut stream).json(408)["error"]["code"], "request_timeout");
        assert_eq!(stream.read(&mut [0; 1]).expect("the connection ends"), 0);
    }
    // One that sends nothing at all is let go without a word.
    let mut silent = server.connect();
    assert_eq!(silent.read(&mut [0; 1]).expect("the connection ends"), 0);
}

#[test]
fn a_body_that_does_not_come_is_given_up_however_steadily_it_drips() {
    let server = Server::start(&["--body-timeout", "0.5"]);
    let head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 1000\r\n\r\n";
    let mut slow: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(head.as_bytes()).expect("it reads"));
    for _ in 0..5 {
        for stream in &mut slow {
            // Those that are given up already take no more.
            let _ = stream.write_all(b" ");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    is_well(&server);
    for mut stream in slow {
        assert_eq!(Reply::read(&mut stream).json(408)["error"]["code"], "request_timeout");
    }
}

#[test]
fn a_connection_that_asks_nothing_more_is_closed() {
    let server = Server::start(&["--idle-timeout", "0.4", "--head-timeout", "5"]);
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
        assert_eq!(Reply::read(&mut stream).status, 200);
        std::thread::sleep(Duration::from_millis(100));
    }
    let started = Instant::now();
    assert_eq!(stream.read(&mut [0; 1]).expect("the connection ends"), 0);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn idle_connections_make_room_for_others() {
    let server = Server::start(&["--connections-max", "20"]);
    let idle: Vec<TcpStream> = (0..60).map(|_| server.connect()).collect();
    for _ in 0..5 {
        is_well(&server);
    }
    assert!(server.log().contains("as many connections as may be"), "{}", server.log());
    assert!(open_files(&server) < 60, "{}", open_files(&server));
    drop(idle);
}

#[test]
fn a_server_without_files_to_open_goes_on_and_says_so_once() {
    let scratch = Scratch::new();
    let model = model::write(&scratch, "small.gguf");
    let model = model.to_str().expect("UTF-8").to_owned();
    let server = Server::prepared(scratch, &[&model], &[], |command| {
        let mut limited = std::process::Command::new("sh");
        limited
            .stdin(std::process::Stdio::null())
            .arg("-c")
            .arg("ulimit -n 64; exec \"$0\" \"$@\"")
            .arg(command.get_program());
        limited.args(command.get_args());
        limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        limited
    });
    let idle: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
    for _ in 0..5 {
        is_well(&server);
    }
    let before = cpu_ticks(&server);
    std::thread::sleep(Duration::from_millis(500));
    assert!(cpu_ticks(&server) - before < 25, "it spins");
    let log = server.log();
    assert_eq!(log.matches("allow more open files").count(), 1, "{log}");
    drop(idle);
}

/// Processor time of the server in hundredths of a second.
fn cpu_ticks(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("it is our child");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    [11, 12].map(|field| fields[field].parse::<u64>().expect("a number")).iter().sum()
}
