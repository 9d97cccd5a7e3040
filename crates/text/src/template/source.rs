//! Prepares the source of a template for minijinja: what jinja2 reads and minijinja does not is rewritten, and what
//! would overflow the stack of its compiler is refused. Lines stay where they are, so that errors name the right one.
//!
//! | in the template                       | for minijinja                    | because                               |
//! |---------------------------------------|----------------------------------|---------------------------------------|
//! | `{% generation %}…{% endgeneration %}` | `{% with %}…{% endwith %}`       | both are a scope; the tag only marks  |
//! | `a % b`                               | `(a)\|python_mod(b)`             | Python's `%` also formats strings     |
//! | `a ~ b`                               | `(a)\|python_str ~ (b)\|python_str` | text of lists is paid for          |
//! | `for x in a`                          | `for x in (a)\|python_iter`      | Python does not iterate over None     |
//! | `a + b`                               | `(a)\|python_add((b))`           | Markup escapes; lists are paid for    |
//! | `+a`                                  | `a`                              | minijinja has no such sign            |
//! | `'\U0001F600'`                        | `'😀'`                           | minijinja has no such escape          |

mod lexer;

use std::borrow::Cow;

use lexer::{Kind, Tag, Token};

use super::TemplateError;

/// Bytes of a template's source. The longest known ones have about 30 KiB.
const SOURCE_BYTES_MAX: usize = 1 << 20;

/// How many links a chain of operators, of `.a.b.c` or of `elif` may have, counted over everything that is open
/// around it: the compiler recurses once for each.
const LINKS_MAX: usize = 400;

/// The source as minijinja should see it.
pub(super) fn prepare(source: &str) -> Result<String, TemplateError> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(TemplateError::Syntax {
            line: 1,
            message: format!("the template is larger than {SOURCE_BYTES_MAX} bytes"),
        });
    }
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut prepared = String::with_capacity(source.len() * 2);
    let mut copied = 0;
    let mut branches = Branches::default();
    for tag in lexer::tags(&source) {
        let links = branches.enter(&tag) + longest_chain(&tag);
        if links > LINKS_MAX {
            return Err(TemplateError::Syntax {
                line: source[..tag.start].matches('\n').count() + 1,
                message: format!("an expression or elif chain has more than {LINKS_MAX} links"),
            });
        }
        for edit in edits(&tag) {
            prepared.push_str(&source[copied..edit.start]);
            prepared.push_str(&edit.text);
            copied = edit.end;
        }
    }
    prepared.push_str(&source[copied..]);
    Ok(prepared)
}

/// The `if` blocks that are open, each with the number of its `elif`s so far.
#[derive(Default)]
struct Branches {
    open: Vec<usize>,
    links: usize, // of all that are open
}

impl Branches {
    /// Takes note of a tag and returns the links of everything that is open.
    fn enter(&mut self, tag: &Tag) -> usize {
        match tag.keyword() {
            Some("if") => self.open.push(0),
            Some("elif") => {
                if let Some(links) = self.open.last_mut() {
                    *links += 1;
                    self.links += 1;
                }
            }
            Some("endif") => self.links -= self.open.pop().unwrap_or(0),
            _ => {}
        }
        self.links
    }
}

/// The links of the longest chain in a tag, with those of the brackets around it.
fn longest_chain(tag: &Tag) -> usize {
    let mut around = Vec::new(); // links of each bracket that is open
    let (mut innermost, mut all, mut longest) = (0, 0, 0);
    for token in &tag.tokens {
        match token.text {
            "," => {
                all -= innermost;
                innermost = 0;
            }
            "(" | "[" | "{" => {
                around.push(innermost + 1);
                all += 1;
                innermost = 0;
            }
            ")" | "]" | "}" if !around.is_empty() => {
                all -= innermost;
                innermost = around.pop().unwrap_or(0);
            }
            "and" | "or" | "not" | "in" | "is" | "if" | "else" => {
                innermost += 1;
                all += 1;
            }
            _ if matches!(token.kind, Kind::Operator | Kind::String) => {
                innermost += 1;
                all += 1;
            }
            _ => {}
        }
        longest = longest.max(all);
    }
    longest
}

/// Replaces the bytes `start..end` of the source.
struct Edit {
    start: usize,
    end: usize,
    text: Cow<'static, str>,
    /// Closings come before openings at the same place, the inner closing before the outer one.
    order: (bool, isize),
}

fn edits(tag: &Tag) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut wrap = |tokens: &[Token], closing: &'static str| {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return;
        };
        let rank = edits.len() as isize;
        edits.push(Edit { start: first.start, end: first.start, text: "(".into(), order: (true, rank) });
        edits.push(Edit { start: last.end(), end: last.end(), text: closing.into(), order: (false, -rank) });
    };
    let tokens = &tag.tokens;
    if tag.keyword() == Some("for") {
        wrap(iterated(tokens), ")|python_iter");
    }
    let mut operators = Vec::new();
    // The last `+` of a chain is the outermost of it.
    for (at, token) in tokens.iter().enumerate().rev() {
        if token.text != "+" {
            continue;
        }
        if at == 0 || !tokens[at - 1].ends_operand() {
            // Behind the bracket that may be put before it.
            operators.push(Edit { order: (true, isize::MAX), ..Edit::replace(token, "") });
            continue;
        }
        let left = &tokens[sum_start(tokens, at)..at];
        let right = &tokens[at + 1..sum_end(tokens, at)];
        if !left.is_empty() && !right.is_empty() {
            wrap(left, ")");
            wrap(right, "))");
            operators.push(Edit::replace(token, "|python_add("));
        }
    }
    for (at, token) in tokens.iter().enumerate() {
        if token.text == "~" {
            for operand in
                [&tokens[operand_start(tokens, at)..at], &tokens[at + 1..operand_end(tokens, at, &[])]]
            {
                if !matches!(operand, [Token { kind: Kind::String, .. }]) {
                    wrap(operand, ")|python_str");
                }
            }
        }
    }
    // The last `%` of a chain is the outermost of it.
    for (at, token) in tokens.iter().enumerate().rev() {
        if token.text == "%" {
            let left = &tokens[operand_start(tokens, at)..at];
            let right = &tokens[at + 1..operand_end(tokens, at, &["*", "/", "//", "%"])];
            if left.is_empty() || right.is_empty() {
                continue;
            }
            wrap(left, ")");
            wrap(right, "))");
            operators.push(Edit::replace(token, "|python_mod("));
        }
    }
    edits.append(&mut operators);
    for token in tokens.iter().filter(|token| token.kind == Kind::String) {
        edits.extend(with_long_escapes(token.text).map(|text| Edit::replace(token, text)));
    }
    match tag.keyword() {
        Some("generation") => edits.push(Edit::replace(&tokens[0], "with")),
        Some("endgeneration") => edits.push(Edit::replace(&tokens[0], "endwith")),
        _ => {}
    }
    edits.sort_by_key(|edit| (edit.start, edit.order));
    edits
}

impl Edit {
    fn replace(token: &Token, text: impl Into<Cow<'static, str>>) -> Edit {
        Edit { start: token.start, end: token.end(), text: text.into(), order: (true, 0) }
    }
}

/// A string literal with the characters that `\U0001F600` and its like stand for; none if there is none in it.
fn with_long_escapes(literal: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = literal;
    let mut copied = literal;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        let digits = escape.strip_prefix('U').and_then(|digits| digits.get(..8));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match code.and_then(char::from_u32) {
            Some(c) => {
                text.push_str(&copied[..copied.len() - rest.len() + at]);
                match c {
                    '"' | '\'' | '\\' => text.extend(['\\', c]),
                    c => text.push(c),
                }
                rest = &escape[9..];
                copied = rest;
            }
            _ => rest = escape.get(escape.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default(),
        }
    }
    (copied.len() < literal.len()).then(|| text + copied)
}

/// What a `for` tag iterates over: from its `in` to its `if`, its `recursive` or its end.
fn iterated<'a, 'source>(tokens: &'a [Token<'source>]) -> &'a [Token<'source>] {
    let outer = |text: &str| {
        let text = text.to_owned();
        move |token: &Token| token.depth == 0 && token.text == text
    };
    let Some(start) = tokens.iter().position(outer("in")) else {
        return &[];
    };
    let iterated = &tokens[start + 1..];
    let end = iterated
        .iter()
        .position(|token| outer("if")(token) || outer("recursive")(token))
        .unwrap_or(iterated.len());
    &iterated[..end]
}

/// Where the left operand of the operator at `at` begins: `*`, `/`, `%` and tighter operators belong to it.
fn operand_start(tokens: &[Token], at: usize) -> usize {
    let depth = tokens[at].depth;
    (0..at)
        .rev()
        .find(|&i| tokens[i].depth < depth || (tokens[i].depth == depth && is_boundary(tokens, i)))
        .map_or(0, |boundary| boundary + 1)
}

/// Where the right operand of the operator at `at` ends; `stops` are operators that end it, too.
fn operand_end(tokens: &[Token], at: usize, stops: &[&str]) -> usize {
    let depth = tokens[at].depth;
    (at + 1..tokens.len())
        .find(|&i| {
            tokens[i].depth < depth
                || (tokens[i].depth == depth && (is_boundary(tokens, i) || stops.contains(&tokens[i].text)))
        })
        .unwrap_or(tokens.len())
}

/// Where the left operand of the `+` at `at` begins: sums before it and tighter operators belong to it.
fn sum_start(tokens: &[Token], at: usize) -> usize {
    let depth = tokens[at].depth;
    (0..at)
        .rev()
        .find(|&i| tokens[i].depth < depth || (tokens[i].depth == depth && ends_sum(tokens, i)))
        .map_or(0, |boundary| boundary + 1)
}

/// Where the right operand of the `+` at `at` ends: at the next `+` or `-` at the latest.
fn sum_end(tokens: &[Token], at: usize) -> usize {
    let depth = tokens[at].depth;
    let ends = |i: usize| is_boundary(tokens, i) && tokens[i].text != "~";
    (at + 1..tokens.len())
        .find(|&i| tokens[i].depth < depth || (tokens[i].depth == depth && ends(i)))
        .unwrap_or(tokens.len())
}

/// Whether the token binds more loosely than `+`.
fn ends_sum(tokens: &[Token], at: usize) -> bool {
    !matches!(tokens[at].text, "~" | "+" | "-") && is_boundary(tokens, at)
}

/// Whether the token ends an operand of `~` or of the multiplicative operators: it binds as loosely or more so.
fn is_boundary(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| tokens[before].text);
    match tokens[at].text {
        "~" | "==" | "!=" | "<" | ">" | "<=" | ">=" | "," | ":" | "=" => true,
        // A sign after an operand is an operator, after an operator it belongs to its number.
        "+" | "-" => before.is_some_and(|_| tokens[at - 1].ends_operand()),
        _ if tokens[at].kind != Kind::Name => false,
        // In `x is not none` and `x is in y` the word belongs to the test, which binds tightly.
        "not" => before != Some("is"),
        "in" => {
            let negated = before == Some("not") && at >= 2 && tokens[at - 2].text == "is";
            before != Some("is") && !negated
        }
        // `x.if` would be an attribute, but no name may be a keyword.
        "and" | "or" | "if" | "elif" | "else" => true,
        _ => false,
    }
}
