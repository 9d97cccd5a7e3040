//! Reads the text of a grammar. Groups may be nested as deep as the limits say, so recursion is safe.

use super::{Choice, Element, Rule, What, wrong};
use crate::grammar::{GrammarError, GrammarLimits, at_most};

/// The rules of a grammar, in order.
pub(super) fn parse(source: &str, limits: &GrammarLimits) -> Result<Vec<Rule>, GrammarError> {
    let mut parser = Parser { rest: source, line: 1, limits };
    let mut rules = Vec::new();
    parser.skip(true);
    while !parser.rest.is_empty() {
        let name = parser.name()?;
        parser.skip(false);
        parser.expect("::=")?;
        parser.skip(true);
        let body = parser.choice(0)?;
        parser.skip(true);
        rules.push(Rule { name, body });
        at_most("rules", rules.len(), limits.rules)?;
    }
    Ok(rules)
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    limits: &'a GrammarLimits,
}

impl Parser<'_> {
    fn wrong(&self, message: impl std::fmt::Display) -> GrammarError {
        wrong(format!("line {}: {message}", self.line))
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn expect(&mut self, text: &str) -> Result<(), GrammarError> {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.wrong(format!("{text} is missing before {:?}", self.shown()))),
        }
    }

    fn shown(&self) -> String {
        self.rest.chars().take(20).collect()
    }

    /// Skips spaces and comments, and line ends if they mean nothing here.
    fn skip(&mut self, lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => {}
                '\r' | '\n' if lines => {}
                '#' => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                    continue;
                }
                _ => return,
            }
            self.take();
        }
    }

    fn name(&mut self) -> Result<String, GrammarError> {
        let len =
            self.rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
        if len == 0 {
            return Err(self.wrong(format!("a rule's name is missing before {:?}", self.shown())));
        }
        let (name, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(name.to_owned())
    }

    fn choice(&mut self, depth: usize) -> Result<Choice, GrammarError> {
        at_most("groups within each other", depth, self.limits.depth)?;
        let mut choice = vec![self.sequence(depth)?];
        loop {
            // A bar may stand at the beginning of the next line.
            let (rest, line) = (self.rest, self.line);
            self.skip(true);
            if self.peek() != Some('|') {
                if depth == 0 {
                    (self.rest, self.line) = (rest, line);
                }
                return Ok(choice);
            }
            self.take();
            self.skip(true);
            choice.push(self.sequence(depth)?);
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Element>, GrammarError> {
        let mut sequence = Vec::new();
        loop {
            self.skip(depth > 0);
            let what = match self.peek() {
                Some('"') => What::Text(self.text()?),
                Some('[') => What::Class(self.class()?),
                Some('.') => {
                    self.take();
                    What::Class("(?s:.)".to_owned())
                }
                Some('(') => {
                    self.take();
                    self.skip(true);
                    let choice = self.choice(depth + 1)?;
                    self.expect(")")?;
                    What::Group(choice)
                }
                Some(c) if c.is_ascii_alphanumeric() || c == '_' => What::Rule(self.name()?),
                None | Some('|' | ')' | '\r' | '\n') => return Ok(sequence),
                Some(c) => return Err(self.wrong(format!("{c:?} means nothing here"))),
            };
            self.skip(false);
            let (least, most) = self.count()?;
            sequence.push(Element { what, least, most });
        }
    }

    fn count(&mut self) -> Result<(u64, Option<u64>), GrammarError> {
        let count = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.braces(),
            _ => return Ok((1, Some(1))),
        };
        self.take();
        Ok(count)
    }

    fn braces(&mut self) -> Result<(u64, Option<u64>), GrammarError> {
        let end = self.rest.find('}').ok_or_else(|| self.wrong("} is missing"))?;
        let inside = &self.rest[1..end];
        let number = |text: &str| {
            text.trim().parse::<u64>().map_err(|_| self.wrong(format!("{{{inside}}} is no count")))
        };
        let (least, most) = match inside.split_once(',') {
            None => (number(inside)?, Some(number(inside)?)),
            Some((least, "")) => (number(least)?, None),
            Some((least, most)) => (number(least)?, Some(number(most)?)),
        };
        let max = self.limits.repetitions;
        if let Some(large) = [Some(least), most].into_iter().flatten().find(|&count| count > max) {
            return Err(GrammarError::TooLarge { what: "repetitions", found: large, max });
        }
        if most.is_some_and(|most| most < least) {
            return Err(self.wrong(format!("{{{inside}}} has more at least than at most")));
        }
        self.rest = &self.rest[end + 1..];
        Ok((least, most))
    }

    fn text(&mut self) -> Result<String, GrammarError> {
        self.take();
        let mut text = String::new();
        loop {
            match self.take() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                None | Some('\n') => return Err(self.wrong("the text's closing quote is missing")),
                Some(c) => text.push(c),
            }
        }
    }

    /// A class as a regular expression.
    fn class(&mut self) -> Result<String, GrammarError> {
        self.take();
        let mut class = String::from("[");
        if self.peek() == Some('^') {
            self.take();
            class.push('^');
        }
        let empty = class.len();
        loop {
            match self.peek() {
                Some(']') => break,
                None | Some('\n') => return Err(self.wrong("the class's ] is missing")),
                Some(_) => {}
            }
            let from = self.character()?;
            push_escaped(&mut class, from);
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.take();
                let to = self.character()?;
                if to < from {
                    return Err(self.wrong(format!("the range {from:?} to {to:?} goes down")));
                }
                class.push('-');
                push_escaped(&mut class, to);
            }
        }
        self.take();
        if class.len() == empty {
            return Err(self.wrong("the class [] has no characters"));
        }
        class.push(']');
        Ok(class)
    }

    fn character(&mut self) -> Result<char, GrammarError> {
        match self.take() {
            Some('\\') => self.escape(),
            Some(c) => Ok(c),
            None => Err(self.wrong("the grammar ends within a class")),
        }
    }

    fn escape(&mut self) -> Result<char, GrammarError> {
        let digits = match self.take() {
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some(c @ ('\\' | '"' | '[' | ']' | '-' | '^' | '/' | '\'')) => return Ok(c),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            other => return Err(self.wrong(format!("the escape \\{} is unknown", other.unwrap_or(' ')))),
        };
        let code = self.rest.get(..digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let c = code.and_then(char::from_u32);
        let c = c.ok_or_else(|| {
            self.wrong(format!("an escape needs {digits} hexadecimal digits of a character"))
        })?;
        self.rest = &self.rest[digits..];
        Ok(c)
    }
}

/// A character as a class of a regular expression has it; the expression stands between slashes.
fn push_escaped(class: &mut String, c: char) {
    use std::fmt::Write;
    if c.is_ascii_alphanumeric() {
        class.push(c);
    } else {
        write!(class, "\\u{{{:X}}}", u32::from(c)).expect("a string takes everything");
    }
}
