//! A server under test: the binary with a small model, its address, and plain requests to it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::kun::Scratch;
use crate::model;

/// A running server; it is ended when the test is over.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) scratch: Scratch,
}

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Server {
    /// Serves the tiny model `small.gguf`, named by its path, with these flags beside.
    pub(crate) fn start(flags: &[&str]) -> Server {
        let scratch = Scratch::new();
        let model = model::write(&scratch, "small.gguf");
        Server::with_models(scratch, &[model.to_str().expect("UTF-8")], flags)
    }

    /// Serves these models, on a port of the system's choice.
    pub(crate) fn with_models(scratch: Scratch, models: &[&str], flags: &[&str]) -> Server {
        Server::prepared(scratch, models, flags, |command| command)
    }

    /// The same with a command that was changed.
    pub(crate) fn prepared(
        scratch: Scratch,
        models: &[&str],
        flags: &[&str],
        prepare: impl FnOnce(Command) -> Command,
    ) -> Server {
        let mut command = scratch.command([&["serve"], models, &["--port", "0"], flags].concat());
        command.stdout(Stdio::null());
        Server::spawn(scratch, prepare(command))
    }

    /// Runs a command that serves something. The address is read from the line that says it.
    pub(crate) fn spawn(scratch: Scratch, mut command: Command) -> Server {
        let log = scratch.path("server.log");
        command.stderr(File::create(&log).expect("the target folder can be written"));
        let child = command.spawn().expect("the binary starts");
        let mut server = Server { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), scratch };
        let started = Instant::now();
        server.address = loop {
            if let Some(address) = address_in(&server.log()) {
                break address;
            }
            if let Some(status) = server.child.try_wait().expect("it is our child") {
                panic!("the server ended with {status}: {}", server.log());
            }
            assert!(started.elapsed() < Duration::from_secs(20), "no address: {}", server.log());
            std::thread::sleep(Duration::from_millis(10));
        };
        server
    }

    /// Kills it, and starts another one with the same folder, the tiny model and these flags.
    pub(crate) fn killed_and_started(mut self, flags: &[&str]) -> Server {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it has ended");
        let scratch = std::mem::replace(&mut self.scratch, Scratch::new());
        let (model, state) = (scratch.path("small.gguf"), scratch.path("state"));
        let flags = [&["--state-dir", state.to_str().expect("UTF-8")], flags].concat();
        Server::with_models(scratch, &[model.to_str().expect("UTF-8")], &flags)
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path("server.log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    /// Its exit code, if it ends in time.
    pub(crate) fn ends_within(&mut self, time: Duration) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < time {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// A connection that gives up after a minute of silence.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_text(path, &body.to_string(), &[])
    }

    /// Posts a body with these headers beside the usual ones.
    pub(crate) fn post_text(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(request(path, body, headers))
    }

    /// Sends bytes and reads what comes back to its end.
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut stream = self.connect();
        stream.write_all(bytes.as_ref()).expect("it reads");
        Reply::read(&mut stream)
    }
}

/// The text of a POST of JSON on a connection of its own.
pub(crate) fn request(path: &str, body: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        if !std::thread::panicking() {
            assert!(!log.contains("panicked"), "{log}");
        } else {
            eprintln!("the server's log:\n{log}");
        }
    }
}

impl Reply {
    /// Reads a response to its end.
    pub(crate) fn read(stream: &mut TcpStream) -> Reply {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("a status line");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).expect("a header");
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut reply = Reply { status, headers, body: Vec::new() };
        if reply.header("transfer-encoding") == Some("chunked") {
            read_chunks(&mut reader, &mut reply.body);
        } else if let Some(length) = reply.header("content-length").and_then(|length| length.parse().ok()) {
            reply.body.resize(length, 0);
            reader.read_exact(&mut reply.body).expect("a whole body");
        } else {
            reader.read_to_end(&mut reply.body).expect("a body up to the end of the connection");
        }
        reply
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("UTF-8")
    }

    /// It has this status: its body as JSON.
    #[track_caller]
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        serde_json::from_str(self.text()).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The data of the server-sent events in it, `[DONE]` included.
    pub(crate) fn events(&self) -> Vec<&str> {
        assert_eq!(self.status, 200, "{}", self.text());
        self.text().lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) {
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a chunk's length");
        let Ok(length) = usize::from_str_radix(line.trim_end(), 16) else { return };
        let begin = body.len();
        // The line's end behind the chunk as well.
        body.resize(begin + length + 2, 0);
        if reader.read_exact(&mut body[begin..]).is_err() || length == 0 {
            body.truncate(begin);
            return;
        }
        body.truncate(begin + length);
    }
}

fn address_in(log: &str) -> Option<SocketAddr> {
    let rest = log.split("http://").nth(1).or_else(|| log.split("https://").nth(1))?;
    let end = rest.find(|c: char| c.is_whitespace() || c == '"')?;
    rest[..end].trim_end_matches('/').parse().ok()
}
