//! Calls as Python writes them: `[f(a=1, b="x"), g()]`.

use super::body::{Body, Notation, Sink, Step};
use super::grammar::Lark;
use super::literal::{Dialect, Literal};
use super::scanner::quoted;
use super::schema::Tool;

/// The most characters of a key.
const KEY_MAX: usize = 256;

/// A notation of Python's calls.
#[derive(Debug)]
pub(super) struct Pythonic {
    /// Whether the calls stand in a list; otherwise it is one call.
    pub(super) list: bool,
}

impl Notation for Pythonic {
    fn accepts(&self, c: char) -> bool {
        if self.list { c == '[' } else { c.is_alphabetic() || c == '_' }
    }

    fn body(&self) -> Box<dyn Body> {
        let place = if self.list { Place::Begin } else { Place::Name };
        Box::new(PythonicBody { list: self.list, place, word: String::new(), first: true })
    }

    fn rule(&self, tool: &Tool, lark: &mut Lark<'_>) -> String {
        lark.pythonic(tool)
    }
}

#[derive(Debug)]
enum Place {
    /// Before the list.
    Begin,
    Name,
    /// Before a key or the end of the call.
    Key,
    /// A key has ended, and its `=` is to come.
    Equals,
    Value(Literal),
    /// After a call: a comma or the end of the list.
    After,
}

#[derive(Debug)]
struct PythonicBody {
    list: bool,
    place: Place,
    word: String, // the name or key that is being read
    first: bool,  // whether no argument was read yet
}

impl Body for PythonicBody {
    fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Step {
        let space = c.is_whitespace();
        match &mut self.place {
            Place::Begin if c == '[' => self.go(Place::Name),
            Place::Name if space && self.word.is_empty() => Step::More,
            Place::Name if c == '(' => {
                if !sink.is_tool(&self.word) {
                    return Step::fail(c);
                }
                sink.begin(&self.word, None);
                sink.arguments("{");
                self.first = true;
                self.go(Place::Key)
            }
            Place::Name => {
                sink.again |= self.word.is_empty();
                self.word.push(c);
                if sink.may_be_tool(&self.word) { Step::More } else { Step::fail(c) }
            }
            Place::Key if self.word.is_empty() && space => Step::More,
            Place::Key if self.word.is_empty() && c == ')' => self.end_call(sink),
            Place::Key if c == '=' => self.begin_value(sink),
            Place::Key if space => {
                self.place = Place::Equals;
                Step::More
            }
            Place::Key if (c.is_alphanumeric() || matches!(c, '_' | '-')) && self.word.len() < KEY_MAX => {
                self.word.push(c);
                Step::More
            }
            Place::Equals if space => Step::More,
            Place::Equals if c == '=' => self.begin_value(sink),
            Place::Value(_) => self.in_value(c, sink),
            Place::After if space => Step::More,
            Place::After if c == ',' => self.go(Place::Name),
            Place::After if c == ']' => Step::Done,
            _ => Step::fail(c),
        }
    }
}

impl PythonicBody {
    fn go(&mut self, place: Place) -> Step {
        self.word.clear();
        self.place = place;
        Step::More
    }

    fn begin_value(&mut self, sink: &mut Sink<'_>) -> Step {
        if self.word.is_empty() {
            return Step::fail('=');
        }
        let comma = if std::mem::take(&mut self.first) { "" } else { ", " };
        sink.arguments(&format!("{comma}{}: ", quoted(&self.word)));
        self.go(Place::Value(Literal::new(Dialect::Python)))
    }

    fn in_value(&mut self, c: char, sink: &mut Sink<'_>) -> Step {
        let Place::Value(literal) = &mut self.place else { return Step::fail(c) };
        let mut json = String::new();
        let ends = matches!(c, ',' | ')') && literal.depth() == 0 && !literal.is_in_text();
        let fits = if ends { literal.finish(&mut json) } else { literal.push(c, &mut json).is_some() };
        sink.arguments(&json);
        match (fits, ends) {
            (false, _) => Step::fail(c),
            (true, false) => Step::More,
            (true, true) if c == ',' => self.go(Place::Key),
            (true, true) => self.end_call(sink),
        }
    }

    fn end_call(&mut self, sink: &mut Sink<'_>) -> Step {
        sink.arguments("}");
        sink.end(true);
        if !self.list {
            return Step::Done;
        }
        self.go(Place::After)
    }
}
