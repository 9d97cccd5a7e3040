//! Calls whose name stands before a JSON object of arguments: `f[ARGS]{…}`.

use super::body::{Body, Notation, Sink, Step};
use super::grammar::Lark;
use super::scanner::{Event, Scanner, TextPart, escape};
use super::schema::Tool;
use super::watch::Watch;

/// The most characters of a name with what belongs to it, beyond the name.
const NAME_EXTRA_MAX: usize = 64;

/// A notation of names and objects.
#[derive(Debug)]
pub(super) struct Named {
    /// What stands before the name and is no part of it.
    pub(super) prefix: &'static str,
    /// A word that stands in the name's place, with the name after the mark that ends it.
    pub(super) kind: &'static str,
    /// Begins the id, after the name.
    pub(super) id: &'static str,
    /// Ends the name and the id.
    pub(super) end: &'static str,
    /// Whether the name is followed by `:` and a number, the whole being the id.
    pub(super) counted: bool,
    /// What may stand before the JSON: the beginning of a block of code.
    pub(super) fence: &'static str,
}

/// Nothing but a name.
pub(super) const PLAIN: Named = Named { prefix: "", kind: "", id: "", end: "", counted: false, fence: "" };

impl Notation for Named {
    fn accepts(&self, c: char) -> bool {
        !matches!(c, '{' | '[')
    }

    fn body(&self) -> Box<dyn Body> {
        Box::new(self.named_body())
    }

    fn rule(&self, tool: &Tool, lark: &mut Lark<'_>) -> String {
        let kind = if self.kind.is_empty() { String::new() } else { format!("{}{}", self.kind, self.end) };
        let end = if self.kind.is_empty() { self.end } else { "\n" };
        let fence = if self.fence.is_empty() { String::new() } else { format!("{}\n", self.fence) };
        let arguments = lark.json(&tool.parameters);
        if self.counted {
            let name = lark.text(&format!("{}{}:", self.prefix, tool.name));
            return format!("{name} /[0-9]{{1,3}}/ {} {arguments}", lark.text(end));
        }
        if !self.id.is_empty() {
            let name = lark.text(&format!("{}{}", tool.name, self.id));
            return format!("{name} /[a-zA-Z0-9]{{9}}/ {} {arguments}", lark.text(end));
        }
        let name = format!("{kind}{}{}{end}{fence}", self.prefix, tool.name);
        let after = if self.fence.is_empty() { String::new() } else { format!(" {}", lark.text("\n```")) };
        format!("{} {arguments}{after}", lark.text(&name))
    }
}

impl Named {
    fn named_body(&self) -> NamedBody {
        let notation = Named { ..*self };
        let watch = Watch::new(vec![(self.id.into(), Mark::Id), (self.end.into(), Mark::End)]);
        NamedBody { notation, watch, place: Place::Name, name: String::new(), id: String::new(), length: 0 }
    }

    /// Reads the arguments of a call whose name was given elsewhere.
    pub(super) fn arguments_of(&self, name: &str) -> Box<dyn Body> {
        let place = Place::Before(String::new());
        Box::new(NamedBody { name: name.to_owned(), place, ..self.named_body() })
    }
}

#[derive(Debug, Clone, Copy)]
enum Mark {
    Id,
    End,
}

#[derive(Debug)]
enum Place {
    Name,
    Id,
    /// After a word in the name's place: the name comes, up to the end of the line, or arguments do.
    Second(String),
    /// Before the arguments, with what was read of the beginning of a block of code.
    Before(String),
    Arguments(Scanner),
}

#[derive(Debug)]
struct NamedBody {
    notation: Named,
    watch: Watch<Mark>,
    place: Place,
    name: String,
    id: String,
    length: usize, // characters before the arguments
}

impl Body for NamedBody {
    fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Step {
        if !matches!(self.place, Place::Arguments(_)) {
            let longest = sink.tools.iter().map(|tool| tool.name.chars().count()).max().unwrap_or(0);
            self.length += 1;
            if self.length > 2 * longest + NAME_EXTRA_MAX {
                return Step::fail(c);
            }
        }
        match &mut self.place {
            Place::Name | Place::Id => self.name_or_id(c, sink),
            Place::Second(_) => self.second(c, sink),
            Place::Before(_) => self.before(c, sink),
            Place::Arguments(scanner) => {
                let Some(event) = scanner.push(c) else { return Step::fail(c) };
                let mut json = String::new();
                match event {
                    Event::Text { part: TextPart::Inside, .. } if c < ' ' => escape(c, &mut json),
                    _ => json.push(c),
                }
                sink.arguments(&json);
                if event == Event::Close && scanner.depth() == 0 {
                    sink.end(true);
                    return Step::Done;
                }
                Step::More
            }
        }
    }
}

impl NamedBody {
    fn name_or_id(&mut self, c: char, sink: &Sink<'_>) -> Step {
        let mut more = String::new();
        let mark = self.watch.push(c, &mut more);
        let into = if matches!(self.place, Place::Name) { &mut self.name } else { &mut self.id };
        into.push_str(&more);
        match mark {
            Some(Mark::Id) if matches!(self.place, Place::Name) => {
                self.place = Place::Id;
                return self.check_name(c, sink);
            }
            Some(Mark::Id) => return Step::fail(c),
            Some(Mark::End) if !self.notation.kind.is_empty() && self.name.trim() == self.notation.kind => {
                self.place = Place::Second(String::new());
                return Step::More;
            }
            Some(Mark::End) => {
                self.place = Place::Before(String::new());
                return self.check_name(c, sink);
            }
            None => {}
        }
        if !more.is_empty() && matches!(self.place, Place::Name) && !self.may_be_name(sink) {
            return Step::Fail(more + &self.watch.take());
        }
        Step::More
    }

    /// Whether what was read so far can be the beginning of a name.
    fn may_be_name(&self, sink: &Sink<'_>) -> bool {
        let name = self.name.trim_start();
        if self.notation.prefix.starts_with(name) || self.notation.kind.starts_with(name) {
            return true;
        }
        let name = name.strip_prefix(self.notation.prefix).unwrap_or(name);
        let uncounted = name.rsplit_once(':').map_or(name, |(name, _)| name);
        sink.may_be_tool(name.trim_end()) || (self.notation.counted && sink.is_tool(uncounted))
    }

    /// The name is complete: with all that belongs to it in this notation, it is a tool's, or this is no call.
    fn check_name(&mut self, c: char, sink: &Sink<'_>) -> Step {
        let written = self.name.trim().to_owned();
        let name = written.strip_prefix(self.notation.prefix).unwrap_or(&written);
        self.name = match name.rsplit_once(':') {
            Some((name, _)) if self.notation.counted => {
                self.id.clone_from(&written);
                name.to_owned()
            }
            _ => name.to_owned(),
        };
        if sink.is_tool(&self.name) { Step::More } else { Step::fail(c) }
    }

    fn second(&mut self, c: char, sink: &mut Sink<'_>) -> Step {
        let Place::Second(name) = &mut self.place else { return Step::fail(c) };
        if c == '{' && name.trim().is_empty() {
            self.place = Place::Before(String::new());
            return match self.check_name(c, sink) {
                Step::More => self.before(c, sink),
                failed => failed,
            };
        }
        if c == '\n' && !name.trim().is_empty() {
            self.name = std::mem::take(name);
            self.place = Place::Before(String::new());
            return self.check_name(c, sink);
        }
        name.push(c);
        let name = name.trim_start();
        if name.is_empty() || sink.may_be_tool(name) { Step::More } else { Step::fail(c) }
    }

    fn before(&mut self, c: char, sink: &mut Sink<'_>) -> Step {
        let Place::Before(fence) = &mut self.place else { return Step::fail(c) };
        if c != '{' {
            if !c.is_whitespace() {
                fence.push(c);
            }
            let fits = self.notation.fence.starts_with(fence.as_str());
            return if fits { Step::More } else { Step::fail(c) };
        }
        let id = self.id.trim();
        sink.begin(&self.name, (!id.is_empty()).then(|| id.to_owned()));
        sink.arguments("{");
        let mut scanner = Scanner::new();
        scanner.push(c).expect("a JSON text can begin with a brace");
        self.place = Place::Arguments(scanner);
        Step::More
    }
}
