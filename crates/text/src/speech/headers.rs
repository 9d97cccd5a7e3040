//! Answers that consist of messages, each with a header that says to whom it goes.

use super::named::Named;

/// How messages are marked.
#[derive(Debug)]
pub(super) struct Headers {
    /// What the header of an answer's first message can begin with, besides the name of a tool if `names` is set.
    pub(super) begins: &'static [&'static str],
    /// Whether a header may be nothing but the name of a tool.
    pub(super) names: bool,
    /// What begins the header of a further message.
    pub(super) start: &'static [&'static str],
    /// Ends the header.
    pub(super) end: &'static str,
    /// Ends a message without beginning another.
    pub(super) message_ends: &'static [&'static str],
    /// What a header says.
    pub(super) meaning: fn(header: &str) -> Meaning<'_>,
    /// How a message of thoughts is written and what follows it.
    pub(super) thinking: Option<ThinkingMessage>,
    /// How the arguments of a call are written whose name stands in the header.
    pub(super) arguments: Arguments,
}

/// The texts around a message of thoughts.
#[derive(Debug)]
pub(super) struct ThinkingMessage {
    /// Its header, with which an answer begins.
    pub(super) begin: &'static str,
    /// What ends it.
    pub(super) end: &'static str,
    /// The header of the message to the user that comes next.
    pub(super) next: &'static str,
}

/// What comes after a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// Text for the user.
    Content,
    /// Text that is thought aloud.
    Reasoning,
    /// A call of the tool of this name.
    Call(&'a str),
}

/// How arguments are written after a header.
#[derive(Debug)]
pub(super) enum Arguments {
    /// As an object.
    Object(&'static Named),
    /// As a whole call with the markers of one.
    Call,
}
