//! Clients that go away, hang up halfway, dawdle or speak an older HTTP, at every stage of an answer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::api::{Api, GENERATING};
use super::case::Case;
use super::exchange::{Got, exchange, read};
use crate::measure::{gauge, reset, wait_for};
use crate::metrics;
use crate::server::{Server, request};

/// What an abandoned request may take to free its pages. The promise is 100 ms; the machine of a test is busy with others.
const FREED: Duration = Duration::from_millis(1500);

/// When a client goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
    Sent,
    FirstBytes,
    Later,
    Done,
}

/// How it goes.
#[derive(Debug, Clone, Copy)]
enum Leave {
    /// It crashes: a reset.
    Reset,
    /// It closes, which a server can't tell from a client that has said all and listens.
    Close,
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for api in GENERATING {
        for stage in [Stage::Head, Stage::Body, Stage::Sent, Stage::FirstBytes, Stage::Later, Stage::Done] {
            let act = move |server: &Server| goes(server, api, true, stage, Leave::Reset);
            cases.push(Case::does(65, format!("{}: a client of a stream crashes: {stage:?}", api.path), act));
        }
        for leave in [Leave::Reset, Leave::Close] {
            let streamed = move |server: &Server| goes(server, api, true, Stage::Later, leave);
            cases.push(Case::does(
                65,
                format!("{}: a client of a stream goes: {leave:?}", api.path),
                streamed,
            ));
            let whole = move |server: &Server| goes(server, api, false, Stage::Sent, leave);
            cases.push(Case::does(
                66,
                format!("{}: a client of a whole answer goes: {leave:?}", api.path),
                whole,
            ));
        }
        for stream in [false, true] {
            let what = format!("{}: a client says that it has said all, stream: {stream}", api.path);
            cases.push(Case::does(68, what, move |server| half_closes(server, api, stream)));
            let what = format!("{}: a request byte by byte, stream: {stream}", api.path);
            cases.push(Case::does(71, what, move |server| byte_by_byte(server, api, stream)));
            let what = format!("{}: a client of HTTP/1.0, stream: {stream}", api.path);
            cases.push(Case::does(71, what, move |server| older_http(server, api, stream)));
        }
    }
    cases
}

/// A request whose answer takes a while.
fn long(api: Api, stream: bool) -> String {
    let mut body: serde_json::Value = serde_json::from_str(api.good).expect("JSON");
    body["stream"] = stream.into();
    match api.path {
        "/v1/responses" => body["max_output_tokens"] = 4000.into(),
        "/api/chat" | "/api/generate" => body["options"]["num_predict"] = 4000.into(),
        _ => body["max_tokens"] = 4000.into(),
    }
    body.to_string()
}

/// The good request, streamed or not.
fn short(api: Api, stream: bool) -> String {
    let mut body: serde_json::Value = serde_json::from_str(api.good).expect("JSON");
    body["stream"] = stream.into();
    body.to_string()
}

fn goes(server: &Server, api: Api, stream: bool, stage: Stage, leave: Leave) -> Result<(), String> {
    let cancelled = metrics::sum(server, "kun_cancelled_total");
    let text =
        request(api.path, &if stage == Stage::Done { short(api, stream) } else { long(api, stream) }, &[]);
    let head = text.find("\r\n\r\n").expect("a head") + 4;
    let mut connection = server.connect();
    let sent = match stage {
        Stage::Head => head - 10,
        Stage::Body => head + 5,
        _ => text.len(),
    };
    connection.write_all(&text.as_bytes()[..sent]).map_err(|e| e.to_string())?;
    match stage {
        // The request must have been taken, or there is nothing to go away from.
        Stage::Sent => {
            wait_for(FREED, || gauge(server, "kun_kv_pages_used") > 0.0);
        }
        Stage::FirstBytes => receive(&mut connection, 1)?,
        Stage::Later => receive(&mut connection, 2000)?,
        Stage::Done => drop(read(&connection)?),
        Stage::Head | Stage::Body => {}
    }
    match leave {
        Leave::Reset => reset(connection),
        Leave::Close => drop(connection),
    }
    let freed = wait_for(FREED, || {
        gauge(server, "kun_kv_pages_used") == 0.0 && gauge(server, "kun_requests_waiting") == 0.0
    });
    if freed.is_none() {
        return Err(format!("pages are still used after {FREED:?}"));
    }
    let counted = metrics::sum(server, "kun_cancelled_total") - cancelled;
    match stage {
        Stage::Head | Stage::Body | Stage::Done if counted != 0.0 => {
            Err(format!("{counted} were counted as cancelled"))
        }
        // It may have ended just before.
        Stage::Later | Stage::FirstBytes | Stage::Sent if counted > 1.0 => {
            Err(format!("{counted} were counted"))
        }
        _ => Ok(()),
    }
}

fn receive(connection: &mut TcpStream, bytes: usize) -> Result<(), String> {
    let mut buffer = vec![0; bytes];
    connection.read_exact(&mut buffer).map_err(|e| format!("no {bytes} bytes: {e}"))
}

/// The text of an answer, without what differs from one to the next.
fn text_of(got: &Got) -> Result<String, String> {
    if got.reply.status != 200 {
        return Err(format!("{}: {}", got.reply.status, got.reply.text()));
    }
    let mut text = String::new();
    for line in got.reply.text().lines() {
        let line = line.strip_prefix("data: ").unwrap_or(line);
        let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let pieces = [
            "/choices/0/message/content",
            "/choices/0/delta/content",
            "/choices/0/text",
            "/message/content",
            "/response",
            "/delta",
            "/delta/text",
            "/content/0/text",
            "/output/0/content/0/text",
        ];
        // The last events of some streams have the whole text again.
        let is_again =
            value["type"].as_str().is_some_and(|kind| !kind.ends_with("delta") && kind != "message")
                && value.get("object").is_none();
        if is_again {
            continue;
        }
        text.extend(pieces.into_iter().filter_map(|piece| value.pointer(piece)?.as_str()));
    }
    Ok(text)
}

fn usual(server: &Server, api: Api, stream: bool) -> Result<String, String> {
    let text = text_of(&exchange(server, request(api.path, &short(api, stream), &[]).as_bytes())?)?;
    if text.is_empty() { Err("the usual answer has no text".to_owned()) } else { Ok(text) }
}

fn same(usual: &str, got: &Got) -> Result<(), String> {
    let text = text_of(got)?;
    if text == usual { Ok(()) } else { Err(format!("{text:?} and not {usual:?}")) }
}

fn half_closes(server: &Server, api: Api, stream: bool) -> Result<(), String> {
    let usual = usual(server, api, stream)?;
    let mut connection = server.connect();
    connection
        .write_all(request(api.path, &short(api, stream), &[]).as_bytes())
        .map_err(|e| e.to_string())?;
    connection.shutdown(Shutdown::Write).map_err(|e| e.to_string())?;
    same(&usual, &read(&connection)?)
}

fn byte_by_byte(server: &Server, api: Api, stream: bool) -> Result<(), String> {
    let usual = usual(server, api, stream)?;
    let mut connection = server.connect();
    connection.set_nodelay(true).map_err(|e| e.to_string())?;
    for byte in request(api.path, &short(api, stream), &[]).bytes() {
        connection.write_all(&[byte]).map_err(|e| e.to_string())?;
    }
    same(&usual, &read(&connection)?)
}

fn older_http(server: &Server, api: Api, stream: bool) -> Result<(), String> {
    let usual = usual(server, api, stream)?;
    let text = request(api.path, &short(api, stream), &[])
        .replace("HTTP/1.1", "HTTP/1.0")
        .replace("Connection: close\r\n", "");
    let got = exchange(server, text.as_bytes())?;
    if got.reply.header("transfer-encoding").is_some() || !got.closed {
        return Err(format!("not ended by the connection's end: {:?}", got.reply.headers));
    }
    same(&usual, &got)
}
