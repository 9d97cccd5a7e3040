//! Finds the tags of a template and takes them apart into tokens, as far as rewriting and measuring them needs.
//! What is malformed is passed through: minijinja's parser reports it.

/// One `{{ … }}` or `{% … %}`.
pub(super) struct Tag<'source> {
    /// Byte of its opening brace.
    pub(super) start: usize,
    pub(super) statement: bool,
    pub(super) tokens: Vec<Token<'source>>,
}

impl<'source> Tag<'source> {
    /// The word that a `{% … %}` begins with.
    pub(super) fn keyword(&self) -> Option<&'source str> {
        self.tokens.first().filter(|_| self.statement).map(|token| token.text)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    String,
    Operator,
}

#[derive(Clone, Copy)]
pub(super) struct Token<'source> {
    pub(super) kind: Kind,
    pub(super) text: &'source str,
    /// Byte in the source.
    pub(super) start: usize,
    /// Brackets open around it; those themselves are outside.
    pub(super) depth: usize,
}

impl Token<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether an operand can end here, so that a sign that follows is a binary operator.
    pub(super) fn ends_operand(&self) -> bool {
        match self.kind {
            Kind::Number | Kind::String => true,
            Kind::Name => !matches!(self.text, "and" | "or" | "not" | "in" | "is" | "if" | "elif" | "else"),
            Kind::Operator => matches!(self.text, ")" | "]" | "}"),
        }
    }
}

/// The tags of `source` in order, without those in comments and raw blocks.
pub(super) fn tags(source: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(brace) = source[at..].find('{') {
        let start = at + brace;
        at = match source.as_bytes().get(start + 1) {
            Some(b'#') => match source[start + 2..].find("#}") {
                Some(length) => start + 2 + length + 2,
                None => source.len(),
            },
            Some(b'%') | Some(b'{') => {
                let (tag, end) = tag(source, start);
                let raw = tag.keyword() == Some("raw") && tag.tokens.len() == 1;
                tags.push(tag);
                if raw { after_raw(source, end) } else { end }
            }
            _ => start + 1,
        };
    }
    tags
}

/// The tag that opens at `start`, and the byte after it.
fn tag(source: &str, start: usize) -> (Tag<'_>, usize) {
    let statement = source.as_bytes()[start + 1] == b'%';
    let closing = if statement { "%}" } else { "}}" };
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut at = start + 2;
    if source[at..].starts_with(['-', '+']) {
        at += 1;
    }
    loop {
        at = source.len() - source[at..].trim_start().len();
        let rest = &source[at..];
        let closed = rest.strip_prefix(['-', '+']).unwrap_or(rest).starts_with(closing);
        if rest.is_empty() || (depth == 0 && closed) {
            let end = source.len() - rest.find(closing).map_or(0, |to| rest.len() - to - 2);
            return (Tag { start, statement, tokens }, end);
        }
        let (kind, length) = token(rest);
        let text = &rest[..length];
        if matches!(text, ")" | "]" | "}") {
            depth = depth.saturating_sub(1);
        }
        tokens.push(Token { kind, text, start: at, depth });
        if matches!(text, "(" | "[" | "{") {
            depth += 1;
        }
        at += length;
    }
}

/// Kind and length in bytes of the token that `rest`, which is not empty, begins with.
fn token(rest: &str) -> (Kind, usize) {
    let first = rest.chars().next().expect("the caller checked that something is left");
    match first {
        '"' | '\'' => (Kind::String, string_length(rest, first)),
        _ if first.is_ascii_digit() => {
            let number = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let length = rest.find(|c| !number(c)).unwrap_or(rest.len());
            (Kind::Number, length)
        }
        _ if first.is_alphabetic() || first == '_' => {
            let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            (Kind::Name, length.unwrap_or(rest.len()))
        }
        _ => {
            let double = ["**", "//", "==", "!=", "<=", ">="].iter().any(|op| rest.starts_with(op));
            (Kind::Operator, if double { 2 } else { first.len_utf8() })
        }
    }
}

/// The length of a string literal with its quotes; an unterminated one takes the rest.
fn string_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The byte where the `{% endraw %}` of a raw block opened before `from` begins, or the end.
fn after_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(found) = source[at..].find("{%") {
        let inside = source[at + found + 2..].trim_start_matches(['-', '+']).trim_start();
        if inside.starts_with("endraw") {
            return at + found;
        }
        at += found + 2;
    }
    source.len()
}
