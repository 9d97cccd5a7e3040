//! Calls with an object of bare keys: `call:f{k:<|"|>text<|"|>,n:1}`.

use super::body::{Body, Notation, Sink, Step};
use super::grammar::Lark;
use super::literal::{Dialect, Literal};
use super::schema::Tool;

/// A notation of objects with bare keys.
#[derive(Debug)]
pub(super) struct Dict {
    /// What stands before the name.
    pub(super) prefix: &'static str,
    /// What text stands between.
    pub(super) quote: &'static str,
}

impl Notation for Dict {
    fn accepts(&self, c: char) -> bool {
        self.prefix.starts_with(c)
    }

    fn body(&self) -> Box<dyn Body> {
        Box::new(DictBody { prefix: self.prefix, quote: self.quote, name: String::new(), arguments: None })
    }

    fn rule(&self, tool: &Tool, lark: &mut Lark<'_>) -> String {
        lark.dict(self, tool)
    }
}

#[derive(Debug)]
struct DictBody {
    prefix: &'static str,
    quote: &'static str,
    name: String, // with the prefix
    arguments: Option<Literal>,
}

impl Body for DictBody {
    fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Step {
        if self.arguments.is_none() && c != '{' {
            self.name.push(c);
            let fits = match self.name.strip_prefix(self.prefix) {
                Some(name) => sink.may_be_tool(name),
                None => self.prefix.starts_with(&self.name),
            };
            return if fits { Step::More } else { Step::fail(c) };
        }
        if self.arguments.is_none() {
            match self.name.strip_prefix(self.prefix) {
                Some(name) if sink.is_tool(name) => sink.begin(name, None),
                _ => return Step::fail(c),
            }
        }
        let quote = self.quote;
        let literal = self.arguments.get_or_insert_with(|| Literal::new(Dialect::Marked(quote)));
        let mut json = String::new();
        let fits = literal.push(c, &mut json).is_some();
        sink.arguments(&json);
        match fits {
            false => Step::fail(c),
            true if literal.depth() == 0 => {
                sink.end(true);
                Step::Done
            }
            true => Step::More,
        }
    }
}
