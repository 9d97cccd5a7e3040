//! A case: what is done to a server, and what the answer must be.

use serde_json::Value;

use super::api::Dialect;
use super::exchange::{Got, exchange};
use crate::server::{Reply, Server};

/// A row of the table.
pub(super) struct Case {
    /// The number in the project's list of faults.
    pub(super) row: u16,
    pub(super) name: String,
    pub(super) act: Act,
}

/// Something done to a server, and what was wrong.
pub(super) type Doing = dyn Fn(&Server) -> Result<(), String>;

/// What a case does.
pub(super) enum Act {
    /// Sends these bytes on a connection of its own.
    Send { bytes: Vec<u8>, dialect: Dialect, expect: Expect },
    /// Does something else, and tells what was wrong.
    Do(Box<Doing>),
}

/// What a reply must be.
#[derive(Debug, Clone, Default)]
pub(super) struct Expect {
    /// One of these.
    pub(super) status: Vec<u16>,
    pub(super) code: Option<&'static str>,
    /// The field that is at fault. Dialects without a place for it must name it in their message.
    pub(super) param: Option<String>,
    /// Parts of the message.
    pub(super) parts: Vec<String>,
    /// The connection ends after it, although the request did not ask for that.
    pub(super) closes: bool,
}

impl Expect {
    pub(super) fn status(status: &[u16]) -> Self {
        Expect { status: status.to_vec(), ..Expect::default() }
    }

    /// 400 with a field at fault.
    pub(super) fn field(param: impl Into<String>) -> Self {
        Expect { param: Some(param.into()), ..Expect::status(&[400]) }
    }

    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(super) fn says(mut self, part: impl Into<String>) -> Self {
        self.parts.push(part.into());
        self
    }
}

impl Case {
    pub(super) fn sends(
        row: u16,
        name: impl Into<String>,
        dialect: Dialect,
        bytes: impl Into<Vec<u8>>,
        expect: Expect,
    ) -> Self {
        Case { row, name: name.into(), act: Act::Send { bytes: bytes.into(), dialect, expect } }
    }

    pub(super) fn does(
        row: u16,
        name: impl Into<String>,
        act: impl Fn(&Server) -> Result<(), String> + 'static,
    ) -> Self {
        Case { row, name: name.into(), act: Act::Do(Box::new(act)) }
    }

    /// What was wrong with the answer.
    pub(super) fn run(&self, server: &Server) -> Vec<String> {
        match &self.act {
            Act::Do(act) => act(server).err().into_iter().collect(),
            Act::Send { bytes, dialect, expect } => match exchange(server, bytes) {
                Ok(got) => wrong(server, &got, *dialect, expect),
                Err(what) => vec![what],
            },
        }
    }
}

/// What is wrong with a reply.
pub(super) fn wrong(server: &Server, got: &Got, dialect: Dialect, expect: &Expect) -> Vec<String> {
    let reply = &got.reply;
    let text = String::from_utf8_lossy(&reply.body);
    let shown: String = text.chars().take(300).collect();
    let mut wrong = Vec::new();
    if !expect.status.contains(&reply.status) {
        wrong.push(format!("{} and not {:?}: {shown}", reply.status, expect.status));
        return wrong;
    }
    if expect.closes && !got.closed {
        wrong.push("the connection stays open".to_owned());
    }
    if reply.status < 400 {
        return wrong;
    }
    wrong.extend(indiscretions(server, &text));
    // A request line that makes no sense is of no dialect, and need not get a body.
    if dialect == Dialect::None {
        return wrong;
    }
    match error_of(reply, dialect) {
        Err(what) => wrong.push(format!("{what}: {shown}")),
        Ok(error) => {
            let named = expect.param.as_deref().is_none_or(|param| match dialect {
                Dialect::OpenAi => error.param.as_deref() == Some(param),
                _ => error.message.contains(param),
            });
            if !named {
                wrong.push(format!("does not name {:?}: {shown}", expect.param));
            }
            if dialect == Dialect::OpenAi && expect.code.is_some() && error.code.as_deref() != expect.code {
                wrong.push(format!("has not the code {:?}: {shown}", expect.code));
            }
            for part in expect.parts.iter().filter(|part| !error.message.contains(*part)) {
                wrong.push(format!("does not say {part:?}: {shown}"));
            }
        }
    }
    wrong
}

/// An error as any dialect tells it.
struct Told {
    message: String,
    param: Option<String>,
    code: Option<String>,
}

/// The error in a reply, whose shape is its dialect's to the letter.
fn error_of(reply: &Reply, dialect: Dialect) -> Result<Told, String> {
    if reply.header("content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
        return Err(format!("an error of type {:?}", reply.header("content-type")));
    }
    let body: Value =
        serde_json::from_slice(&reply.body).map_err(|e| format!("an error that is no JSON: {e}"))?;
    let text = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    let keys =
        |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let error = &body["error"];
    let told = match dialect {
        Dialect::OpenAi => {
            let all = ["message", "type", "param", "code"];
            let has_type = error["type"].is_string();
            if keys(&body) != ["error"] || !has_type || all.iter().any(|name| error.get(name).is_none()) {
                return Err("not an error of the OpenAI style".to_owned());
            }
            Told {
                message: text(error, "message").unwrap_or_default(),
                param: text(error, "param"),
                code: text(error, "code"),
            }
        }
        Dialect::Anthropic => {
            if body["type"] != "error" || !error["type"].is_string() {
                return Err("not an error of the Anthropic style".to_owned());
            }
            Told { message: text(error, "message").unwrap_or_default(), param: None, code: None }
        }
        Dialect::Ollama => {
            if keys(&body) != ["error"] {
                return Err("not an error of Ollama's style".to_owned());
            }
            Told { message: text(&body, "error").unwrap_or_default(), param: None, code: None }
        }
        Dialect::None => Told { message: String::new(), param: None, code: None },
    };
    if told.message.is_empty() || told.message.chars().count() > 1000 {
        return Err(format!("a message of {} characters", told.message.chars().count()));
    }
    Ok(told)
}

/// What an error text must not tell: folders, places in the source, addresses.
fn indiscretions(server: &Server, text: &str) -> Option<String> {
    let folder = server.scratch.path("");
    let secrets = [
        folder.to_str().expect("UTF-8").trim_end_matches('/').to_owned(),
        env!("CARGO_MANIFEST_DIR").to_owned(),
        server.address.to_string(),
        ".rs:".to_owned(),
        "0x".to_owned(),
        "panicked".to_owned(),
    ];
    secrets.into_iter().find(|secret| text.contains(secret)).map(|secret| format!("tells {secret:?}: {text}"))
}
