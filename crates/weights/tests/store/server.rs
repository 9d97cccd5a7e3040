//! A small HTTP server of this machine, which a test can make as unlucky as it likes: it may cut connections, forget
//! ranges, and answer with any status. It keeps what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// The connection is cut after so many bytes of the body.
    pub(crate) cut: Option<usize>,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    pub(crate) fn ok(body: &[u8]) -> Reply {
        Reply { status: 200, body: body.to_vec(), ..Reply::default() }
    }

    /// The file, or the rest of it if that was asked for.
    pub(crate) fn file(request: &Request, file: &[u8]) -> Reply {
        let Some(start) = request.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-'))
        else {
            return Reply::ok(file);
        };
        let start: usize = start.parse().expect("a number");
        let range = format!("content-range: bytes {start}-{}/{}", file.len() - 1, file.len());
        Reply { status: 206, headers: vec![range], body: file[start..].to_vec(), cut: None }
    }

    pub(crate) fn cut(self, bytes: usize) -> Reply {
        Reply { cut: Some(bytes), ..self }
    }

    pub(crate) fn header(mut self, line: impl Into<String>) -> Reply {
        self.headers.push(line.into());
        self
    }
}

/// A server that runs until the test's process ends.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request with what `reply` makes of it and of its number, from 0.
    pub(crate) fn start(reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (reply, seen) = (Arc::new(reply), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (reply, seen) = (Arc::clone(&reply), Arc::clone(&seen));
                // A client that goes away in the middle is part of some tests.
                thread::spawn(move || serve(stream, &*reply, &seen));
            }
        });
        Server { address, asked }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().expect("no test panics in the server").clone()
    }
}

fn serve(
    stream: TcpStream,
    reply: &(dyn Fn(&Request, usize) -> Reply + Send + Sync),
    asked: &Mutex<Vec<Request>>,
) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let line = lines.next()?.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let request = Request { path, headers };
    let number = {
        let mut asked = asked.lock().ok()?;
        asked.push(request.clone());
        asked.len() - 1
    };
    let Reply { status, headers, body, cut } = reply(&request, number);
    let mut stream = stream;
    let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    headers.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body[..cut.unwrap_or(body.len())]).ok()
}
