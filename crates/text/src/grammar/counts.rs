//! How often the counts of an expression or a grammar repeat each other's insides: `(a{100}){100}` is 10,000 times an `a`.
//!
//! The matcher builds such things up piece by piece, and each of the first few steps would take it seconds; so what
//! comes to more than it can take is refused before. This reads just enough of the syntax to find groups and counts, and
//! leaves it to the matcher to say what is wrong.

use std::collections::HashMap;

/// The largest product of counts that stand within each other in a regular expression.
pub(super) fn of_expression(pattern: &str) -> u64 {
    Scan::new(pattern, Syntax::Expression).run(&mut |_| 1)
}

/// The same of a grammar in Lark, through its rules.
pub(super) fn of_lark(grammar: &str) -> u64 {
    let mut bodies: HashMap<&str, String> = HashMap::new();
    let mut current = "";
    for line in grammar.lines() {
        let name = line.trim_start_matches(['?', '!']);
        let len = name.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (name, rest) = name.split_at(len);
        match rest.find(':').filter(|_| len > 0 && !rest.trim_start().starts_with(['|', '"', '/'])) {
            Some(colon) => {
                current = name;
                bodies.entry(name).or_default().push_str(&rest[colon + 1..]);
            }
            None => bodies.entry(current).or_default().push_str(line),
        }
    }
    let mut known = HashMap::new();
    bodies.keys().map(|name| of_rule(name, &bodies, &mut known, 0)).max().unwrap_or(1)
}

/// Of one rule; a rule within itself counts once.
fn of_rule<'a>(
    name: &'a str,
    bodies: &'a HashMap<&str, String>,
    known: &mut HashMap<&'a str, u64>,
    depth: usize,
) -> u64 {
    const DEPTH_MAX: usize = 200;
    if let Some(&product) = known.get(name) {
        return product;
    }
    let Some((name, body)) = bodies.get_key_value(name).filter(|_| depth < DEPTH_MAX) else { return 1 };
    known.insert(name, 1);
    let mut names = Vec::new();
    Scan::new(body, Syntax::Lark).run(&mut |name| {
        names.push(name.to_owned());
        1
    });
    for inner in names {
        if let Some((inner, _)) = bodies.get_key_value(inner.as_str()) {
            of_rule(inner, bodies, known, depth + 1);
        }
    }
    let product = Scan::new(body, Syntax::Lark).run(&mut |name| known.get(name).copied().unwrap_or(1));
    known.insert(name, product);
    product
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Expression,
    Lark,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    syntax: Syntax,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str, syntax: Syntax) -> Self {
        Scan { text, at: 0, syntax }
    }

    fn run(mut self, product_of: &mut dyn FnMut(&str) -> u64) -> u64 {
        // For each open group the largest product in it so far; and of what stands before the place.
        let mut groups = vec![1u64];
        let mut last = 1u64;
        while let Some(byte) = self.text.as_bytes().get(self.at).copied() {
            self.at += 1;
            match byte {
                b'\\' => {
                    self.escape();
                    last = 1;
                }
                b'[' if self.syntax == Syntax::Expression => {
                    self.skip_to(b']');
                    last = 1;
                }
                b'"' if self.syntax == Syntax::Lark => {
                    self.skip_to(b'"');
                    last = 1;
                }
                b'/' if self.syntax == Syntax::Lark => {
                    let begin = self.at;
                    self.skip_to(b'/');
                    last = of_expression(self.text.get(begin..self.at - 1).unwrap_or_default());
                }
                b'(' | b'[' => {
                    groups.push(1);
                    last = 1;
                }
                b')' | b']' if groups.len() > 1 => last = groups.pop().expect("there is more than one"),
                b'{' => last = last.saturating_mul(self.count()),
                b'*' | b'+' | b'?' | b' ' => {}
                b if self.syntax == Syntax::Lark && (b.is_ascii_alphabetic() || b == b'_') => {
                    let begin = self.at - 1;
                    let rest = self.text[begin..].bytes();
                    self.at = begin + rest.take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
                    last = product_of(&self.text[begin..self.at]);
                }
                _ => last = 1,
            }
            let inner = groups.last_mut().expect("the outermost is never closed");
            *inner = (*inner).max(last);
        }
        groups.into_iter().max().unwrap_or(1)
    }

    /// Behind a backslash: `\p{L}` has braces that are no count.
    fn escape(&mut self) {
        let escaped = self.text[self.at..].chars().next();
        self.at += escaped.map_or(0, char::len_utf8);
        if matches!(escaped, Some('p' | 'P' | 'x' | 'u' | 'U')) && self.text[self.at..].starts_with('{') {
            self.skip_to(b'}');
        }
    }

    fn skip_to(&mut self, end: u8) {
        let mut escaped = false;
        for byte in self.text.as_bytes()[self.at..].iter().copied() {
            self.at += 1;
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                byte if byte == end => return,
                _ => {}
            }
        }
    }

    /// The larger number of a count that has just been opened.
    fn count(&mut self) -> u64 {
        let rest = &self.text[self.at..];
        let inside = &rest[..rest.find('}').unwrap_or(rest.len())];
        self.at += inside.len();
        inside.split(',').filter_map(|number| number.trim().parse::<u64>().ok()).max().unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_within_each_other_are_multiplied() {
        for (pattern, expect) in [
            ("abc", 1),
            ("a{7}", 7),
            ("a{2,9}b{3}", 9),
            ("(a{10}b){20}", 200),
            ("((a{10}){10}|b{3}){10}", 1000),
            ("[{}9]{4}\\{5\\}", 4),
            ("\\p{L}{1000}", 1000),
            ("(?:x{3}){4,}", 12),
            ("(.*a){30}", 30),
            ("λ{5", 5),
            (")){3}", 3),
            ("(((", 1),
        ] {
            assert_eq!(of_expression(pattern), expect, "{pattern}");
        }
        for (grammar, expect) in [
            ("start: a{5}\na: \"x\"{6} /y{7}/{2}", 70),
            ("start: R3\nR3: R2{1000}\nR2: R1{1000}\nR1: \"a\"{1000}", 1_000_000_000),
            ("start: start{5} | \"{9}\"", 5),
            ("start: %json {\"a\": 1}", 1),
        ] {
            assert_eq!(of_lark(grammar), expect, "{grammar}");
        }
    }
}
