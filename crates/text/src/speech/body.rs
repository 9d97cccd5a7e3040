//! What reads the calls of one notation, and where it puts them.
//!
//! A body takes one character after the other from where its marker ended. It never takes back what it has told the
//! sink, and until it has begun a call the reader keeps the raw text, which comes back if the body fails.

use std::fmt;

use super::grammar::Lark;
use super::schema::Tool;

/// A piece of an answer that was taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text for the user.
    Content(String),
    /// Text that the model thought aloud.
    Reasoning(String),
    /// A call's name is known, and its arguments have begun.
    CallBegun {
        /// Which call of the answer it is, from 0.
        index: usize,
        /// What the model calls it, where the format has such a thing.
        id: Option<String>,
        /// A name of one of the tools.
        name: String,
    },
    /// The next piece of a call's arguments. All pieces of a complete call together are a JSON object.
    CallArguments {
        /// Which call of the answer it is.
        index: usize,
        /// Part of a JSON text, which may end within a character's escape.
        json: String,
    },
    /// Nothing more comes for this call.
    CallEnded {
        /// Which call of the answer it is.
        index: usize,
        /// False if the text ended within the arguments, or went on with what can't be arguments.
        complete: bool,
    },
}

/// How calls may be written: a row of a format.
pub(super) trait Notation: Sync + fmt::Debug {
    /// Whether a call can begin with this character, which isn't whitespace.
    fn accepts(&self, c: char) -> bool;

    /// Reads the calls that come now.
    fn body(&self) -> Box<dyn Body>;

    /// A rule for one call of this tool, from the marker on, that is to be read by `body`.
    fn rule(&self, tool: &Tool, lark: &mut Lark<'_>) -> String;
}

/// Reads calls.
pub(super) trait Body: Send + fmt::Debug {
    /// Takes a character.
    fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Step;
}

/// What a character led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// More characters are needed.
    More,
    /// The last call ended with this character.
    Done,
    /// This is no call, or the call can't go on. The text, which ends with the last character, is to be read again
    /// as what follows; it is at most as long as a marker.
    Fail(String),
}

impl Step {
    /// Fails because of one character.
    pub(super) fn fail(c: char) -> Step {
        Step::Fail(c.to_string())
    }
}

/// Where a body puts calls.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    pub(super) tools: &'a [Tool],
    pub(super) parts: &'a mut Vec<Part>,
    /// How many calls have begun.
    pub(super) calls: &'a mut usize,
    /// Whether the last one hasn't ended.
    pub(super) open: &'a mut bool,
    /// Something was put out for the raw text so far.
    pub(super) used: bool,
    /// With this character the next call may have begun, so that its raw text is to be kept.
    pub(super) again: bool,
}

impl Sink<'_> {
    /// Whether there is a tool of this name.
    pub(super) fn is_tool(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name == name)
    }

    /// Whether the name of a tool begins like this.
    pub(super) fn may_be_tool(&self, beginning: &str) -> bool {
        self.tools.iter().any(|tool| tool.name.starts_with(beginning))
    }

    /// The tool of this name.
    pub(super) fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// A call begins.
    pub(super) fn begin(&mut self, name: &str, id: Option<String>) {
        debug_assert!(!*self.open, "a call has ended before the next one begins");
        let (index, name) = (*self.calls, name.to_owned());
        self.parts.push(Part::CallBegun { index, id, name });
        *self.calls += 1;
        *self.open = true;
        self.used = true;
    }

    /// More of the call's arguments.
    pub(super) fn arguments(&mut self, more: &str) {
        debug_assert!(*self.open, "a call has begun");
        if more.is_empty() {
            return;
        }
        let at = *self.calls - 1;
        match self.parts.last_mut() {
            Some(Part::CallArguments { index, json }) if *index == at => json.push_str(more),
            _ => self.parts.push(Part::CallArguments { index: at, json: more.to_owned() }),
        }
    }

    /// The call ends.
    pub(super) fn end(&mut self, complete: bool) {
        debug_assert!(*self.open, "a call has begun");
        self.parts.push(Part::CallEnded { index: *self.calls - 1, complete });
        *self.open = false;
        self.used = true;
    }

    /// A whole call at once.
    pub(super) fn call(&mut self, name: &str, id: Option<String>, arguments: &str) {
        self.begin(name, id);
        self.arguments(arguments);
        self.end(true);
    }

    /// Text for the user that was wrapped as calls are.
    pub(super) fn content(&mut self, text: &str) {
        say(self.parts, false, text);
        self.used = true;
    }
}

/// Adds text to the parts, to the last one if that is of the same kind.
pub(super) fn say(parts: &mut Vec<Part>, reasoning: bool, text: &str) {
    if text.is_empty() {
        return;
    }
    match (parts.last_mut(), reasoning) {
        (Some(Part::Reasoning(last)), true) | (Some(Part::Content(last)), false) => last.push_str(text),
        (_, true) => parts.push(Part::Reasoning(text.to_owned())),
        (_, false) => parts.push(Part::Content(text.to_owned())),
    }
}
