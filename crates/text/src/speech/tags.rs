//! Calls whose arguments stand between tags: `<function=f><parameter=k>v</parameter></function>`.
//!
//! What a value is, its tool's schema says. Text is given out as it comes, other values when they are complete.

use std::borrow::Cow;

use super::body::{Body, Notation, Sink, Step};
use super::grammar::Lark;
use super::nested;
use super::scanner::{escape, quoted};
use super::schema::{Tool, Types};
use super::watch::Watch;

/// The most characters of a name, of a key, or of the attributes after one.
const NAME_MAX: usize = 256;

const CDATA: &str = "<![CDATA[";
const CDATA_END: &str = "]]>";

/// A notation of tags.
#[derive(Debug)]
pub(super) struct Tags {
    /// What can end the name; `parameter` and `end` may be among it.
    pub(super) name_ends: &'static [&'static str],
    /// Ends the tag after a name or key with its attributes; empty if there are none.
    pub(super) tag_end: &'static str,
    /// Begins a parameter.
    pub(super) parameter: &'static str,
    /// Ends the key.
    pub(super) key_end: &'static str,
    /// Begins the value, where the end of the key doesn't.
    pub(super) value: &'static str,
    /// Ends the value. Where the key is the tag, its end is made of `parameter` and the key.
    pub(super) value_end: &'static str,
    /// Ends the value if it began with the end of a line.
    pub(super) value_end_line: &'static str,
    /// Ends the call.
    pub(super) end: &'static str,
    /// Whether the text between `parameter` and `key_end` is the name of a tag, so that values may nest.
    pub(super) key_is_tag: bool,
    /// Whether values may be CDATA.
    pub(super) cdata: bool,
    /// Attributes that grammars write after names, keys of text, and keys of other values.
    pub(super) attributes: [&'static str; 3],
    /// What grammars write between tags.
    pub(super) gap: &'static str,
}

/// `<function=f><parameter=k>…</parameter></function>`, from the name on.
pub(super) const FUNCTION: Tags = Tags {
    name_ends: &[">"],
    tag_end: "",
    parameter: "<parameter=",
    key_end: ">",
    value: "",
    value_end: "</parameter>",
    value_end_line: "\n</parameter>",
    end: "</function>",
    key_is_tag: false,
    cdata: false,
    attributes: ["", "", ""],
    gap: "\n",
};

impl Notation for Tags {
    fn accepts(&self, c: char) -> bool {
        !matches!(c, '{' | '[' | '<')
    }

    fn body(&self) -> Box<dyn Body> {
        let name_ends = self.name_ends.iter().map(|end| ((*end).into(), self.mark(end))).collect();
        Box::new(TagsBody {
            notation: Tags { ..*self },
            place: Place::Name(Watch::new(name_ends)),
            name: String::new(),
            key: String::new(),
            attributes: String::new(),
            begun: false,
        })
    }

    fn rule(&self, tool: &Tool, lark: &mut Lark<'_>) -> String {
        lark.tags(self, tool)
    }
}

impl Tags {
    fn mark(&self, text: &str) -> Mark {
        match text {
            _ if text == self.parameter => Mark::Parameter,
            _ if text == self.end => Mark::End,
            _ => Mark::Other,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Parameter,
    End,
    Other,
}

#[derive(Debug)]
enum Place {
    Name(Watch<Mark>),
    NameAttributes(Watch<Mark>),
    /// Before a parameter or the end.
    Between(Watch<Mark>),
    Key(Watch<Mark>),
    KeyAttributes(Watch<Mark>),
    /// Between the key and the value, where a tag of its own begins the value.
    BeforeValue(Watch<Mark>),
    /// At the value's first characters, on which its end depends.
    ValueBegins(String),
    /// In a value that is text: it goes out as it comes.
    Text(Watch<Mark>),
    /// In another value.
    Value(Watch<Mark>, String),
}

#[derive(Debug)]
struct TagsBody {
    notation: Tags,
    place: Place,
    name: String,
    key: String,
    attributes: String,
    begun: bool, // whether the call was given out
}

fn watch(marks: Vec<(Cow<'static, str>, Mark)>) -> Watch<Mark> {
    Watch::new(marks)
}

impl Body for TagsBody {
    fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Step {
        let mut free = String::new();
        match &mut self.place {
            Place::Name(watch) => match watch.push(c, &mut self.name) {
                Some(mark) => self.after_name(mark, c, sink),
                None if sink.may_be_tool(self.name.trim()) => Step::More,
                None => Step::Fail(self.name.pop().map(String::from).unwrap_or_default() + &watch.take()),
            },
            Place::NameAttributes(watch) => match watch.push(c, &mut self.attributes) {
                Some(_) => self.between(),
                None => self.bounded(c),
            },
            Place::Between(watch) => match watch.push(c, &mut free) {
                _ if !free.trim().is_empty() => Step::Fail(free.trim_start().to_owned() + &watch.take()),
                Some(mark) => self.parameter_or_end(mark, sink),
                None => Step::More,
            },
            Place::Key(watch) => match watch.push(c, &mut self.key) {
                Some(_) => self.after_key(sink),
                None => self.bounded(c),
            },
            Place::KeyAttributes(watch) => match watch.push(c, &mut self.attributes) {
                Some(_) => self.value_begins(),
                None => self.bounded(c),
            },
            Place::BeforeValue(watch) => match watch.push(c, &mut free) {
                _ if !free.trim().is_empty() => Step::Fail(free.trim_start().to_owned() + &watch.take()),
                Some(_) => self.value_begins(),
                None => Step::More,
            },
            Place::ValueBegins(_) => self.value_first(c, sink),
            Place::Text(watch) => {
                let ended = watch.push(c, &mut free).is_some();
                let mut json = String::new();
                free.chars().for_each(|c| escape(c, &mut json));
                sink.arguments(&json);
                if !ended {
                    return Step::More;
                }
                sink.arguments("\"");
                self.between()
            }
            Place::Value(watch, text) => {
                if watch.push(c, text).is_none() {
                    return Step::More;
                }
                let text = std::mem::take(text);
                self.value(&text, sink);
                self.between()
            }
        }
    }
}

impl TagsBody {
    fn bounded(&self, c: char) -> Step {
        let longest = self.key.len().max(self.attributes.len());
        if longest > NAME_MAX { Step::fail(c) } else { Step::More }
    }

    fn after_name(&mut self, mark: Mark, c: char, sink: &mut Sink<'_>) -> Step {
        self.name = self.name.trim().to_owned();
        if !sink.is_tool(&self.name) {
            return Step::fail(c);
        }
        match mark {
            Mark::Other if self.notation.tag_end.is_empty() => self.between(),
            Mark::Other => {
                let end = vec![(self.notation.tag_end.into(), Mark::Other)];
                self.place = Place::NameAttributes(watch(end));
                Step::More
            }
            mark => self.parameter_or_end(mark, sink),
        }
    }

    fn between(&mut self) -> Step {
        let Tags { parameter, end, key_is_tag, .. } = self.notation;
        // Where the key is the tag, the end is one of the tags.
        let end = if key_is_tag { "" } else { end };
        self.place =
            Place::Between(watch(vec![(parameter.into(), Mark::Parameter), (end.into(), Mark::End)]));
        Step::More
    }

    fn parameter_or_end(&mut self, mark: Mark, sink: &mut Sink<'_>) -> Step {
        if mark == Mark::End {
            return self.end(sink);
        }
        self.key.clear();
        self.attributes.clear();
        self.place = Place::Key(watch(vec![(self.notation.key_end.into(), Mark::Other)]));
        Step::More
    }

    fn begin(&mut self, sink: &mut Sink<'_>) {
        if !self.begun {
            self.begun = true;
            sink.begin(&self.name, None);
            sink.arguments("{");
        }
    }

    fn end(&mut self, sink: &mut Sink<'_>) -> Step {
        self.begin(sink);
        sink.arguments("}");
        sink.end(true);
        Step::Done
    }

    fn after_key(&mut self, sink: &mut Sink<'_>) -> Step {
        if self.notation.key_is_tag && self.key.starts_with('/') {
            let end = format!("{}{}{}", self.notation.parameter, self.key, self.notation.key_end);
            return if end == self.notation.end { self.end(sink) } else { Step::Fail(end) };
        }
        let first = !self.begun;
        self.begin(sink);
        let comma = if first { "" } else { ", " };
        sink.arguments(&format!("{comma}{}: ", quoted(self.key.trim())));
        if !self.notation.tag_end.is_empty() {
            let end = vec![(self.notation.tag_end.into(), Mark::Other)];
            self.place = Place::KeyAttributes(watch(end));
            return Step::More;
        }
        if !self.notation.value.is_empty() {
            let begin = vec![(self.notation.value.into(), Mark::Other)];
            self.place = Place::BeforeValue(watch(begin));
            return Step::More;
        }
        self.value_begins()
    }

    fn value_begins(&mut self) -> Step {
        self.place = Place::ValueBegins(String::new());
        Step::More
    }

    /// The types that the value may have, by what its tag says or else by the schema.
    fn types(&self, sink: &Sink<'_>) -> Types {
        let says = |attribute: &str| self.attributes.contains(attribute);
        if says("string=\"true\"") || says("type=\"string\"") {
            return Types::STRING;
        }
        let types = sink.tool(&self.name).map_or(Types::ALL, |tool| tool.types(self.key.trim()));
        if types == Types::STRING && (says("string=\"false\"") || says("type=\"")) {
            Types::ALL
        } else {
            types
        }
    }

    /// One of the first characters of the value: the end of a line before it, or the beginning of CDATA.
    fn value_first(&mut self, c: char, sink: &mut Sink<'_>) -> Step {
        let Place::ValueBegins(begun) = &mut self.place else { return Step::fail(c) };
        begun.push(c);
        let begun = begun.clone();
        if self.notation.cdata && CDATA.starts_with(&begun) && begun != CDATA {
            return Step::More;
        }
        let Tags { value_end, value_end_line, parameter, key_end, .. } = self.notation;
        let mut ends = vec![(Cow::Borrowed(value_end), Mark::Other)];
        let mut rest = begun.as_str();
        if self.notation.key_is_tag {
            ends = vec![(Cow::Owned(format!("{parameter}/{}{key_end}", self.key)), Mark::Other)];
        } else if self.notation.cdata && begun == CDATA {
            ends = vec![(Cow::Owned(format!("{CDATA_END}{value_end}")), Mark::Other)];
            rest = "";
        } else if !value_end_line.is_empty() && begun == "\n" {
            ends.push((Cow::Borrowed(value_end_line), Mark::Other));
            rest = "";
        }
        if self.types(sink).is_text_only() {
            sink.arguments("\"");
            self.place = Place::Text(watch(ends));
        } else {
            self.place = Place::Value(watch(ends), String::new());
        }
        for c in rest.chars() {
            // Less than a marker, so that at most the place changes, and with the last character.
            if self.push(c, sink) != Step::More {
                return Step::fail(c);
            }
        }
        Step::More
    }

    /// A value that isn't plain text is complete.
    fn value(&self, text: &str, sink: &mut Sink<'_>) {
        let types = self.types(sink);
        let tool = sink.tool(&self.name);
        let json = match tool {
            Some(tool) if self.notation.key_is_tag => {
                let schema = tool.schema(self.key.trim());
                nested::json_of(text, schema, &tool.parameters, self.notation.parameter)
            }
            _ => types.json_of(text),
        };
        sink.arguments(&json);
    }
}
