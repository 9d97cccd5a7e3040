//! Calls that are JSON objects: `{"name": "f", "arguments": {…}}`, alone, in lists, or wrapped in others.
//!
//! Arguments are given out as they come if the name came before them. Everything is checked by one [`Scanner`];
//! here it is only seen what belongs to what.

use super::body::{Body, Notation, Sink, Step};
use super::grammar::Lark;
use super::scanner::{Event, Level, Scanner, TextPart, escape};
use super::schema::Tool;

/// A notation of objects.
#[derive(Debug)]
pub(super) struct Objects {
    /// The keys of the name; grammars write the first.
    pub(super) name: &'static [&'static str],
    /// The keys of the arguments; grammars write the first.
    pub(super) arguments: &'static [&'static str],
    /// The keys of the call's id; grammars write the first.
    pub(super) id: &'static [&'static str],
    /// Whether the id comes after the arguments, which then wait for it.
    pub(super) id_last: bool,
    /// Whether the object's one key is the name, and its value the arguments.
    pub(super) name_is_key: bool,
    /// Whether an object with a key that has no meaning here is no call.
    pub(super) strict: bool,
    /// What may stand around the JSON: the beginning of a block of code.
    pub(super) fence: &'static str,
}

/// `{"name": …, "arguments": …}`, as most models have it.
pub(super) const USUAL: Objects = Objects {
    name: &["name"],
    arguments: &["arguments", "parameters", "args"],
    id: &["id", "call_id", "tool_call_id"],
    id_last: false,
    name_is_key: false,
    strict: false,
    fence: "",
};

impl Notation for Objects {
    fn accepts(&self, c: char) -> bool {
        matches!(c, '{' | '[') || (!self.fence.is_empty() && self.fence.starts_with(c))
    }

    fn body(&self) -> Box<dyn Body> {
        // A notation is copied: it is a handful of references, and a body then has no lifetime.
        let notation = Objects { ..*self };
        Box::new(ObjectsBody {
            notation,
            scanner: Scanner::new(),
            fence: String::new(),
            roles: Vec::new(),
            draft: Draft::default(),
            key: String::new(),
            value: String::new(),
            streaming: None,
        })
    }

    fn rule(&self, tool: &Tool, lark: &mut Lark<'_>) -> String {
        if self.name_is_key {
            let key = lark.text(&format!("{{{}: ", super::scanner::quoted(&tool.name)));
            return format!("{key} {} {}", lark.json(&tool.parameters), lark.text("}"));
        }
        let fields = |keys: &[&str]| super::scanner::quoted(keys.first().copied().unwrap_or("name"));
        let name = format!("{}: {}", fields(self.name), super::scanner::quoted(&tool.name));
        let before = lark.text(&format!("{{{name}, {}: ", fields(self.arguments)));
        format!("{before} {} {}", lark.json(&tool.parameters), lark.text("}"))
    }
}

/// What an open object or list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A list of calls.
    List,
    /// A call, or an object around calls.
    Call,
    /// The object with a call's name and arguments, inside of it.
    Function,
    /// Nothing that has a meaning here.
    Other,
}

/// What is known of the call that is being read.
#[derive(Debug, Default)]
struct Draft {
    name: Option<String>,
    id: Option<String>,
    arguments: Option<String>,
    /// Nothing is left to be put out: the call has ended, or the object was only wrapped around others.
    settled: bool,
}

/// Where the arguments go that are being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streaming {
    /// Out, as they come.
    Out,
    /// Into the draft, as the name or the id isn't known yet.
    Draft,
}

#[derive(Debug)]
struct ObjectsBody {
    notation: Objects,
    scanner: Scanner,
    fence: String,    // what was read of the beginning of a block of code
    roles: Vec<Role>, // of what is open; not within arguments
    draft: Draft,
    key: String,   // the last one, as it is written
    value: String, // the text or word that is being read, as it is written
    streaming: Option<Streaming>,
}

impl Body for ObjectsBody {
    fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Step {
        if self.roles.is_empty() && !matches!(c, '{' | '[') {
            if !c.is_whitespace() {
                self.fence.push(c);
            }
            return if self.notation.fence.starts_with(&self.fence) { Step::More } else { Step::fail(c) };
        }
        let Some(event) = self.scanner.push(c) else { return Step::fail(c) };
        let fits = match self.streaming {
            Some(streaming) => self.in_arguments(c, event, streaming, sink),
            None => self.outside(c, event, sink),
        };
        match fits {
            None => Step::fail(c),
            Some(()) if self.roles.is_empty() => Step::Done,
            Some(()) => Step::More,
        }
    }
}

impl ObjectsBody {
    /// A character of arguments.
    fn in_arguments(
        &mut self,
        c: char,
        event: Event,
        streaming: Streaming,
        sink: &mut Sink<'_>,
    ) -> Option<()> {
        let mut json = String::new();
        match event {
            Event::Text { part: TextPart::Inside, .. } if c < ' ' => escape(c, &mut json),
            _ => json.push(c),
        }
        match streaming {
            Streaming::Out => sink.arguments(&json),
            Streaming::Draft => self.draft.arguments.get_or_insert_default().push_str(&json),
        }
        if event == Event::Close && self.scanner.depth() == self.roles.len() {
            self.streaming = None;
            if streaming == Streaming::Out {
                sink.end(true);
                self.draft.settled = true;
            }
        }
        Some(())
    }

    /// A character that is not of arguments. `None` if this can be no call.
    fn outside(&mut self, c: char, event: Event, sink: &mut Sink<'_>) -> Option<()> {
        match event {
            Event::Space => Some(()),
            Event::Open(level) => self.open(level, sink),
            Event::Text { key: true, part } => {
                match part {
                    TextPart::Begin => self.key.clear(),
                    TextPart::Inside => self.key.push(c),
                    TextPart::End => return self.check_key(),
                }
                Some(())
            }
            Event::Text { key: false, part } => {
                match part {
                    TextPart::Begin => self.value.clear(),
                    TextPart::Inside if c < ' ' => escape(c, &mut self.value),
                    TextPart::Inside => self.value.push(c),
                    TextPart::End => {
                        let text = serde_json::from_str::<String>(&format!("\"{}\"", self.value)).ok()?;
                        self.value.clear();
                        return self.text(text, sink);
                    }
                }
                Some(())
            }
            Event::Scalar => {
                self.value.push(c);
                Some(())
            }
            Event::Separator => self.word(),
            Event::Close => {
                self.word()?;
                self.close(sink)
            }
        }
    }

    fn role(&self) -> Role {
        self.roles.last().copied().unwrap_or(Role::Other)
    }

    fn is_call(&self) -> bool {
        matches!(self.role(), Role::Call | Role::Function)
    }

    fn check_key(&mut self) -> Option<()> {
        let known = [self.notation.name, self.notation.arguments, self.notation.id]
            .iter()
            .any(|keys| keys.contains(&self.key.as_str()))
            || matches!(self.key.as_str(), "type" | "function" | "tool_call" | "tool_calls" | "response");
        (known || !self.notation.strict || !self.is_call()).then_some(())
    }

    fn open(&mut self, level: Level, sink: &mut Sink<'_>) -> Option<()> {
        let role = match (self.roles.last(), level) {
            (None, Level::Array) => Role::List,
            (None, Level::Object) => Role::Call,
            (Some(Role::List), Level::Object) => {
                sink.again = true;
                self.draft = Draft::default();
                Role::Call
            }
            (Some(Role::Call | Role::Function), level) => match (self.key.as_str(), level) {
                ("function", Level::Object) => Role::Function,
                ("tool_calls", Level::Array) => {
                    self.draft.settled = true;
                    Role::List
                }
                ("tool_call", Level::Object) => Role::Function,
                (key, Level::Object) if self.notation.name_is_key => {
                    let name = serde_json::from_str(&format!("\"{key}\"")).ok()?;
                    self.name(name, sink)?;
                    return self.begin_arguments(sink);
                }
                (key, Level::Object) if self.notation.arguments.contains(&key) => {
                    return self.begin_arguments(sink);
                }
                (key, Level::Array) if self.notation.arguments.contains(&key) => return None,
                _ => Role::Other,
            },
            _ => Role::Other,
        };
        self.roles.push(role);
        Some(())
    }

    fn begin_arguments(&mut self, sink: &mut Sink<'_>) -> Option<()> {
        if self.draft.arguments.is_some() || self.draft.settled {
            return None;
        }
        match &self.draft.name {
            Some(name) if !self.notation.id_last => {
                sink.begin(name, self.draft.id.take());
                sink.arguments("{");
                self.streaming = Some(Streaming::Out);
            }
            _ => {
                self.draft.arguments = Some("{".to_owned());
                self.streaming = Some(Streaming::Draft);
            }
        }
        Some(())
    }

    fn name(&mut self, name: String, sink: &Sink<'_>) -> Option<()> {
        if !sink.is_tool(&name) || self.draft.name.is_some() {
            return None;
        }
        self.draft.name = Some(name);
        Some(())
    }

    /// A string that is complete.
    fn text(&mut self, text: String, sink: &mut Sink<'_>) -> Option<()> {
        if !self.is_call() {
            return Some(());
        }
        let key = self.key.as_str();
        if self.notation.name.contains(&key) {
            return self.name(text, sink);
        }
        if self.notation.id.contains(&key) {
            self.draft.id = Some(text).filter(|id| !id.is_empty());
        } else if self.notation.arguments.contains(&key) && self.draft.arguments.is_none() {
            // JSON in a string, as clients get it and some models write it.
            let json = if text.trim().is_empty() { "{}" } else { text.trim() };
            let is_object = json.starts_with('{') && serde_json::from_str::<serde_json::Value>(json).is_ok();
            self.draft.arguments = Some(is_object.then(|| json.to_owned())?);
        } else if key == "response" && self.roles.len() == 1 && self.notation.strict {
            sink.content(&text);
            self.draft.settled = true;
        }
        Some(())
    }

    /// A number, or true, false or null, is complete if one was begun.
    fn word(&mut self) -> Option<()> {
        let word = std::mem::take(&mut self.value);
        if word.is_empty() || !self.is_call() {
            return Some(());
        }
        let key = self.key.as_str();
        if self.notation.id.contains(&key) && word != "null" {
            self.draft.id = Some(word);
        } else if self.notation.arguments.contains(&key) && word != "null" {
            return None;
        }
        Some(())
    }

    fn close(&mut self, sink: &mut Sink<'_>) -> Option<()> {
        if self.roles.pop() != Some(Role::Call) || self.draft.settled {
            return Some(());
        }
        let draft = std::mem::take(&mut self.draft);
        sink.call(&draft.name?, draft.id, draft.arguments.as_deref().unwrap_or("{}"));
        // An object around this one is no call itself.
        self.draft.settled = true;
        Some(())
    }
}
