//! Bodies that are no JSON, too deep, too large or of another kind, on every route that takes one.

use std::io::Write;

use super::api::{ALL, Api, CHAT, Dialect, GENERATING};
use super::case::{Case, Expect, wrong};
use super::exchange::{exchange, read};
use crate::server::{Server, request};

/// What is no JSON at all: the text, and the byte that the message names.
const NOT_JSON: &[(&str, Option<usize>)] = &[
    ("", Some(0)),
    (" ", None),
    ("not json", None),
    ("{", None),
    (r#"{"messages": ["#, None),
    ("{'model': 1}", Some(1)),
    (r#"{"model" "x"}"#, None),
    (r#"{"model": "\x"}"#, None),
    (r#"{"model": "\ud800"}"#, None),
    ("{\"model\": \"a\nb\"}", None),
    ("\u{feff}{}", Some(0)),
    ("<xml/>", Some(0)),
    ("a=b&c=d", Some(0)),
];

/// JSON that is no object.
const NO_OBJECT: &[&str] =
    &["[]", "null", "5", "\"x\"", "true", "[[{\"role\": \"user\", \"content\": \"hi\"}]]", "[\"hi\"]"];

/// Kinds of bodies that are not taken.
const HEADERS: &[(&str, &str)] = &[
    ("Content-Type", "text/plain"),
    ("Content-Type", "multipart/form-data; boundary=x"),
    ("Content-Type", "application/xml"),
    ("Content-Type", "application/json; charset=utf-16"),
    ("Content-Type", "application/json; charset=latin1"),
    ("Content-Type", "application/jsonx"),
    ("Content-Type", "json"),
    ("Content-Type", ""),
    ("Content-Encoding", "gzip"),
    ("Content-Encoding", "br"),
    ("Content-Encoding", "identity, gzip"),
];

pub(super) fn cases() -> Vec<Case> {
    ALL.into_iter().flat_map(of).chain(GENERATING.into_iter().map(|api| api.path).flat_map(endless)).collect()
}

fn of(api: Api) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |row: u16, name: &str, bytes: Vec<u8>, expect: Expect| {
        cases.push(Case::sends(row, format!("{} with {name}", api.path), api.dialect, bytes, expect));
    };
    for (text, byte) in NOT_JSON {
        let says = byte.map_or(" at byte ".to_owned(), |byte| format!(" at byte {byte}"));
        add(34, &format!("{text:?}"), api.post(text), Expect::status(&[400]).code("invalid_json").says(says));
    }
    let unfinished = api.good.strip_suffix('}').expect("an object");
    for text in [
        format!("{} x", api.good),
        format!("{}{}", api.good, api.good),
        format!("{unfinished},}}"),
        format!("{}\0", api.good),
    ] {
        add(34, &text, api.post(&text), Expect::status(&[400]).code("invalid_json").says(" at byte "));
    }
    for text in NO_OBJECT {
        add(34, text, api.post(text), Expect::status(&[400]));
    }
    let raw = |body: &[u8]| {
        let mut bytes = request(api.path, &" ".repeat(body.len()), &[]).into_bytes();
        let start = bytes.len() - body.len();
        bytes[start..].copy_from_slice(body);
        bytes
    };
    add(34, "bytes that are no UTF-8", raw(b"{\"model\": \"\xff\xfe\"}"), Expect::status(&[400]));
    add(34, "zero bytes", raw(&[0; 64]), Expect::status(&[400]));
    let utf_16: Vec<u8> = "{\"model\": 1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    add(34, "UTF-16", raw(&utf_16), Expect::status(&[400]));
    let twice = api.good.replacen('{', r#"{"model": null, "model": null, "#, 1);
    add(34, "a field twice", api.post(&twice), Expect::status(&[400]));

    for (name, open, close) in [("lists", "[", "]"), ("objects", "{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        add(35, &format!("100,000 {name} within each other"), api.post(&deep), Expect::status(&[400]));
        add(
            35,
            &format!("100,000 {name} never closed"),
            api.post(&open.repeat(100_000)),
            Expect::status(&[400]),
        );
        let within = api.with(api.input, &deep);
        add(35, &format!("100,000 {name} in {}", api.input), api.post(&within), Expect::status(&[400]));
        // A field that is not known is skipped, but not to any depth.
        let unknown = api.good.replacen('{', &format!("{{\"unknown\": {deep}, "), 1);
        add(35, &format!("100,000 {name} in an unknown field"), api.post(&unknown), Expect::status(&[400]));
    }

    let declared = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n{{",
        api.path
    );
    let too_large = || Expect { closes: true, ..Expect::status(&[413]).code("request_too_large") };
    add(36, "1 GiB declared", declared.into_bytes(), too_large());
    let large = format!("{{\"unknown\": \"{}\"}}", "x".repeat(17 << 20));
    add(36, "17 MiB", api.post(&large), Expect::status(&[413]).code("request_too_large"));

    for (name, value) in HEADERS {
        let bytes = with_header(&api, name, value);
        add(37, &format!("{name}: {value}"), bytes, Expect::status(&[415]).code("unsupported_media_type"));
    }
    for value in [
        "application/json;charset=UTF-8",
        "APPLICATION/JSON",
        "application/vnd.api+json",
        "application/json;",
    ] {
        add(
            37,
            &format!("Content-Type: {value}"),
            with_header(&api, "Content-Type", value),
            Expect::status(&[200]),
        );
    }
    let form = |origin: &str| {
        format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n{origin}\
             Content-Length: {}\r\nConnection: close\r\n\r\n{}",
            api.path,
            api.good.len(),
            api.good
        )
    };
    // A page of another site can send a form without asking.
    add(
        37,
        "a form of a page",
        form("Origin: http://evil.example\r\n").into_bytes(),
        Expect::status(&[403, 415]),
    );
    add(37, "what curl sends", form("").into_bytes(), Expect::status(&[200]));
    cases
}

fn with_header(api: &Api, name: &str, value: &str) -> Vec<u8> {
    let text = String::from_utf8(api.post(api.good)).expect("UTF-8");
    let other = "Content-Type: application/json\r\n";
    let text = if name == "Content-Type" {
        text.replace(other, &format!("{name}: {value}\r\n"))
    } else {
        text.replace(other, &format!("{other}{name}: {value}\r\n"))
    };
    text.into_bytes()
}

/// A body in chunks without an end: the server must not read on for long.
fn endless(path: &'static str) -> Vec<Case> {
    const MOST: usize = 256 << 20;
    let act = move |server: &Server| {
        let stream = server.connect();
        let mut writer = stream.try_clone().map_err(|e| e.to_string())?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || {
                let mut sent = 0;
                if writer.write_all(head.as_bytes()).is_err() {
                    return sent;
                }
                while sent < MOST && writer.write_all(&chunk).is_ok() {
                    sent += chunk.len();
                }
                sent
            });
            let got = read(&stream);
            let _ = stream.shutdown(std::net::Shutdown::Both);
            let sent = sender.join().map_err(|_| "the sender panicked".to_owned())?;
            let got = got?;
            let expect = Expect { closes: true, ..Expect::status(&[413]).code("request_too_large") };
            let dialect =
                ALL.into_iter().find(|api| api.path == path).map_or(Dialect::OpenAi, |api| api.dialect);
            let mut what = wrong(server, &got, dialect, &expect);
            if sent >= MOST {
                what.push(format!("{sent} bytes were read"));
            }
            if what.is_empty() { Ok(()) } else { Err(what.join("; ")) }
        })
    };
    let mut cases = vec![Case::does(36, format!("{path} with chunks without an end"), act)];
    if path == CHAT.path {
        cases.push(Case::does(36, "a body that is announced and asked for first", expects_continue));
    }
    cases
}

/// `Expect: 100-continue` for a body that is too large is refused before any of it is sent.
fn expects_continue(server: &Server) -> Result<(), String> {
    let bytes = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Expect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n";
    let got = exchange(server, bytes.as_bytes())?;
    let what = wrong(server, &got, Dialect::OpenAi, &Expect::status(&[413]).code("request_too_large"));
    if what.is_empty() { Ok(()) } else { Err(what.join("; ")) }
}
