//! Calls in a block of code, whose end belongs to them.

use super::body::{Body, Notation, Sink, Step};
use super::grammar::Lark;
use super::schema::Tool;

/// The end of a block of code.
const END: &str = "```";

/// A notation within a block of code.
#[derive(Debug)]
pub(super) struct Fenced(pub(super) &'static dyn Notation);

impl Notation for Fenced {
    fn accepts(&self, c: char) -> bool {
        self.0.accepts(c)
    }

    fn body(&self) -> Box<dyn Body> {
        Box::new(FencedBody { inside: Some(self.0.body()), end: String::new() })
    }

    fn rule(&self, tool: &Tool, lark: &mut Lark<'_>) -> String {
        self.0.rule(tool, lark)
    }
}

#[derive(Debug)]
struct FencedBody {
    inside: Option<Box<dyn Body>>, // until its last call has ended
    end: String,                   // what was read of the block's end
}

impl Body for FencedBody {
    fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Step {
        if let Some(inside) = &mut self.inside {
            let step = inside.push(c, sink);
            if step != Step::Done {
                return step;
            }
            self.inside = None;
            return Step::More;
        }
        if self.end.is_empty() && c.is_whitespace() {
            return Step::More;
        }
        self.end.push(c);
        match END.strip_prefix(&self.end) {
            Some("") => Step::Done,
            Some(_) => Step::More,
            // The block goes on with something else.
            None => Step::Fail(std::mem::take(&mut self.end)),
        }
    }
}
