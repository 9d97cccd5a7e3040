//! A server of models that has no model: each answer is a list of things to write and of pauses between them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Null if there is none.
    pub(crate) body: Json,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    head: String,
    steps: Vec<Step>,
    /// The connection is closed after it, without the end of a chunked body.
    is_cut: bool,
    /// The connection is closed when something else is asked on it.
    is_last: bool,
}

#[derive(Debug, Clone)]
enum Step {
    /// A piece of the body.
    Write(Vec<u8>),
    Pause(Duration),
}

impl Answer {
    /// JSON with a status.
    pub(crate) fn json(status: u16, json: &Json) -> Answer {
        Answer::new(status, "content-type: application/json\r\n", vec![Step::Write(json.to_string().into())])
    }

    /// A stream that begins after a pause, with events that have pauses between them.
    pub(crate) fn stream(events: &[String], pause: Duration) -> Answer {
        let steps = events.iter().flat_map(|event| [Step::Pause(pause), Step::Write(event.clone().into())]);
        Answer::new(200, "content-type: text/event-stream\r\n", steps.collect())
    }

    pub(crate) fn header(mut self, line: &str) -> Answer {
        self.head.push_str(&format!("{line}\r\n"));
        self
    }

    /// The body stops in the middle.
    pub(crate) fn cut(self) -> Answer {
        Answer { is_cut: true, ..self }
    }

    /// The connection looks as if it were kept, but it is not.
    pub(crate) fn last(self) -> Answer {
        Answer { is_last: true, ..self }
    }

    fn new(status: u16, headers: &str, steps: Vec<Step>) -> Answer {
        Answer { head: format!("HTTP/1.1 {status} X\r\n{headers}"), steps, is_cut: false, is_last: false }
    }
}

/// Events of a completion of so many tokens, one a chunk, of a prompt of so many.
pub(crate) fn completion(prompt: usize, cached: usize, tokens: usize) -> Vec<String> {
    let event = |json: Json| format!("data: {json}\n\n");
    let text =
        |n: usize| event(json!({"choices": [{"index": 0, "text": format!(" w{n}"), "finish_reason": null}]}));
    let usage = json!({
        "prompt_tokens": prompt, "completion_tokens": tokens, "prompt_tokens_details": {"cached_tokens": cached}
    });
    let end = [
        event(json!({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]})),
        event(json!({"choices": [], "usage": usage})),
        "data: [DONE]\n\n".to_owned(),
    ];
    (0..tokens).map(text).chain(end).collect()
}

/// A server that runs until the test's process ends.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request for an answer with what `reply` makes of it and its number, from 0. It has one model,
    /// and a vocabulary in which each word is a token.
    pub(crate) fn start(reply: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Server {
        let answered = Mutex::new(0);
        Server::bare(move |asked| match asked.path.as_str() {
            "/v1/models" => Answer::json(200, &json!({"data": [{"id": "tiny"}, {"id": "other"}]})),
            "/tokenize" => {
                let text = asked.body["content"].as_str().expect("a text");
                let ids: Vec<usize> = (1000..).take(text.split(' ').count()).collect();
                Answer::json(200, &json!({ "tokens": ids }))
            }
            "/v1/completions" | "/v1/chat/completions" => {
                let number = {
                    let mut answered = answered.lock().expect("no test panics in the server");
                    *answered += 1;
                    *answered - 1
                };
                reply(asked, number)
            }
            _ => Answer::json(404, &json!({"error": {"message": "no such route"}})),
        })
    }

    /// Answers everything with what `reply` makes of it.
    pub(crate) fn bare(reply: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (reply, seen) = (Arc::new(reply), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (reply, seen) = (Arc::clone(&reply), Arc::clone(&seen));
                // A client that goes away in the middle is part of some tests.
                thread::spawn(move || while serve(&stream, &*reply, &seen) == Some(true) {});
            }
        });
        Server { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that it was asked so far on a path.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().expect("no test panics in the server");
        asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

/// Answers one request; true if the connection may be used for another.
fn serve(
    stream: &TcpStream,
    reply: &(dyn Fn(&Asked) -> Answer + Send + Sync),
    seen: &Mutex<Vec<Asked>>,
) -> Option<bool> {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        (reader.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
    };
    let path = line()?.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|header| header.0 == "content-length");
    let mut body = vec![0; length.map_or(0, |header| header.1.parse().expect("a number"))];
    reader.read_exact(&mut body).ok()?;
    let asked = Asked { path, headers, body: serde_json::from_slice(&body).unwrap_or_default() };
    seen.lock().ok()?.push(asked.clone());
    let answer = reply(&asked);
    let mut stream = stream;
    let head = format!("{}transfer-encoding: chunked\r\n\r\n", answer.head);
    stream.write_all(head.as_bytes()).ok()?;
    for step in answer.steps {
        match step {
            Step::Pause(pause) => thread::sleep(pause),
            Step::Write(bytes) => {
                stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).ok()?;
                stream.write_all(&bytes).and_then(|()| stream.write_all(b"\r\n")).ok()?;
            }
        }
    }
    if answer.is_cut {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return Some(false);
    }
    stream.write_all(b"0\r\n\r\n").ok()?;
    if answer.is_last {
        let _ = stream.read(&mut [0]);
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return Some(false);
    }
    Some(true)
}
