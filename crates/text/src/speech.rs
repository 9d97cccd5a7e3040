//! How models speak: answers taken apart into content, reasoning and tool calls, and grammars for forced calls.
//!
//! Every family of models has its own [`Format`]: a table of data, with a file for each. What an answer is made of
//! is found by its chat template's source or by name. Nothing of an answer is lost: what can't be a call, or is one
//! of a tool that wasn't offered, is content. Pure text: the caller sees to it that the markers of [`Format::markers`]
//! are in the text even where they are special tokens.

mod body;
mod dict;
mod fenced;
mod flow;
mod formats;
mod grammar;
mod headers;
mod literal;
mod marks;
mod named;
mod nested;
mod objects;
mod pythonic;
mod reader;
mod scanner;
mod schema;
mod spec;
mod tags;
mod watch;

use std::fmt;

pub use body::Part;
pub use grammar::{Forced, SpecialToken};
pub use reader::Reader;
pub use schema::Tool;

use grammar::Lark;
use headers::{Meaning, ThinkingMessage};
use spec::Spec;

/// How a family of models writes reasoning and calls.
#[derive(Clone, Copy)]
pub struct Format(&'static Spec);

/// The texts around a model's thoughts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinkingMarks {
    /// What begins them, where the prompt does not.
    pub begin: &'static str,
    /// What ends them.
    pub end: &'static str,
    /// What ends them where they are broken off, and begins the answer.
    pub close: String,
}

/// Where an answer begins, which its prompt decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At its own beginning.
    Answer,
    /// In reasoning: the prompt ended with the marker that begins it.
    Thinking,
    /// In content: the prompt ended with the content's beginning.
    Content,
}

impl Format {
    /// The format of models with this chat template. There is one for every template: the last of the table reads
    /// what models write that were only told about tools.
    pub fn of_template(source: &str) -> Format {
        let of = formats::FORMATS.iter().find(|spec| (spec.is_of)(source));
        Format(of.expect("the last format is of every template"))
    }

    /// The format of this name.
    pub fn by_name(name: &str) -> Option<Format> {
        formats::FORMATS.iter().find(|spec| spec.name == name).map(|spec| Format(spec))
    }

    /// The names of all formats.
    pub fn names() -> impl Iterator<Item = &'static str> {
        formats::FORMATS.iter().map(|spec| spec.name)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The texts that have to be shown to a [`Reader`] even though they are special tokens of the vocabulary.
    pub fn markers(&self) -> &'static [&'static str] {
        self.0.tokens
    }

    /// Where the answer to a rendered prompt begins.
    pub fn begin_after(&self, prompt: &str) -> Begin {
        let end = prompt.trim_end();
        if self.0.thinking.iter().any(|thinking| end.ends_with(thinking.open.trim_end())) {
            return Begin::Thinking;
        }
        let Some(headers) = &self.0.headers else { return Begin::Answer };
        let header = prompt.strip_suffix(headers.end);
        let start = headers.start.first().copied().unwrap_or("");
        match header.and_then(|header| header.rfind(start).map(|at| (headers.meaning)(&header[at..]))) {
            Some(Meaning::Reasoning) => Begin::Thinking,
            Some(Meaning::Content) => Begin::Content,
            Some(Meaning::Call(_)) | None => Begin::Answer,
        }
    }

    /// The marker that ends the reasoning in which the answer to a rendered prompt begins; none if it begins in none, or
    /// if headers end it.
    pub fn end_of_begun_thinking(&self, prompt: &str) -> Option<&'static str> {
        let end = prompt.trim_end();
        let begun = self.0.thinking.iter().find(|thinking| end.ends_with(thinking.open.trim_end()));
        begun.and_then(|thinking| thinking.close.first().copied())
    }

    /// How thoughts are marked in the answer to a rendered prompt; none if that is not known of the format.
    pub fn thinking_marks(&self, prompt: &str) -> Option<ThinkingMarks> {
        if let Some(messages) = self.0.headers.as_ref().and_then(|headers| headers.thinking.as_ref()) {
            let ThinkingMessage { begin, end, next } = *messages;
            return Some(ThinkingMarks { begin, end, close: format!("{end}{next}") });
        }
        let text = prompt.trim_end();
        let begun = self.0.thinking.iter().find(|thinking| text.ends_with(thinking.open.trim_end()));
        // The format's own come behind those that all have.
        let thinking = begun.or(self.0.thinking.last())?;
        let end = thinking.close.first().copied()?;
        Some(ThinkingMarks { begin: thinking.open, end, close: format!("\n{end}\n\n") })
    }

    /// The grammar of an answer that has to be calls of some of these tools, for llguidance, in Lark. `special` tells
    /// which token a marker is, if it is a single special one. `None` without tools.
    ///
    /// Where arguments are JSON, they satisfy the tool's schema. Where they are not, required parameters come first,
    /// and each has a value as its schema asks for, with these exceptions: text may be any text, lists and objects
    /// of Gemma may be any, and those that MiniMax M3 nests in tags may be any text. Reasoning before the calls
    /// is not part of the grammar.
    pub fn call_grammar(&self, tools: &[Tool], how: Forced, special: SpecialToken<'_>) -> Option<String> {
        if tools.is_empty() {
            return None;
        }
        let mut lark = Lark::new(special, self.0.tokens);
        Some(grammar::grammar(&self.0.calls, tools, how, &mut lark))
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Format({})", self.name())
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Format) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Format {}
