//! A JSON text, checked character by character as it comes, without recursion.
//!
//! What it has let pass is the beginning of a valid JSON text that nests at most [`DEPTH_MAX`] deep.

/// How deeply values may nest, as much as serde_json reads.
pub(super) const DEPTH_MAX: usize = 120;

/// What a character was to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Whitespace between other things.
    Space,
    /// `{` or `[`.
    Open(Level),
    /// `}` or `]`.
    Close,
    /// `:` or `,`.
    Separator,
    /// A character of a string, its quotes among them.
    Text {
        /// Whether the string is a key.
        key: bool,
        /// Where in the string it is.
        part: TextPart,
    },
    /// A character of a number, or of true, false or null.
    Scalar,
}

/// A character's place in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextPart {
    /// The opening quote.
    Begin,
    /// Anything between the quotes, escapes as they are written.
    Inside,
    /// The closing quote.
    End,
}

/// What contains other values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Keys with values.
    Object,
    /// Values.
    Array,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    FirstItem,
    FirstKey,
    Key,
    Colon,
    /// A comma or the end of what contains the value.
    After,
    Text {
        key: bool,
        escape: Escape,
    },
    Number(Number),
    /// The rest of true, false or null.
    Word(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    /// So many hexadecimal digits are still to come.
    Digits(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// Checks one JSON value.
#[derive(Debug, Clone)]
pub(super) struct Scanner {
    levels: Vec<Level>,
    expect: Expect,
}

impl Scanner {
    /// At the beginning of a value.
    pub(super) fn new() -> Scanner {
        Scanner { levels: Vec::new(), expect: Expect::Value }
    }

    /// How many objects and arrays are open.
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Whether a key has to come next, or may.
    pub(super) fn expects_key(&self) -> bool {
        matches!(self.expect, Expect::FirstKey | Expect::Key)
    }

    /// Whether the value may end here.
    pub(super) fn is_complete(&self) -> bool {
        let ended = match self.expect {
            Expect::After => true,
            Expect::Number(number) => number.is_complete(),
            _ => false,
        };
        ended && self.levels.is_empty()
    }

    /// Takes the next character, or gives `None` if no JSON text goes on with it.
    pub(super) fn push(&mut self, c: char) -> Option<Event> {
        match self.expect {
            Expect::Text { key, escape } => self.in_text(c, key, escape),
            Expect::Number(number) => match number.next(c) {
                Some(next) => self.stay(Expect::Number(next), Event::Scalar),
                None if number.is_complete() => {
                    self.expect = Expect::After;
                    self.push(c)
                }
                None => None,
            },
            Expect::Word(rest) => {
                let rest = rest.strip_prefix(c)?;
                let next = if rest.is_empty() { Expect::After } else { Expect::Word(rest) };
                self.stay(next, Event::Scalar)
            }
            _ if matches!(c, ' ' | '\t' | '\n' | '\r') => Some(Event::Space),
            Expect::Value => self.value(c),
            Expect::FirstItem if c == ']' => self.close(Level::Array),
            Expect::FirstItem => self.value(c),
            Expect::FirstKey if c == '}' => self.close(Level::Object),
            Expect::FirstKey | Expect::Key if c == '"' => self.begin_text(true),
            Expect::Colon if c == ':' => self.stay(Expect::Value, Event::Separator),
            Expect::After => match (c, self.levels.last()?) {
                (',', Level::Object) => self.stay(Expect::Key, Event::Separator),
                (',', Level::Array) => self.stay(Expect::Value, Event::Separator),
                ('}', Level::Object) => self.close(Level::Object),
                (']', Level::Array) => self.close(Level::Array),
                _ => None,
            },
            _ => None,
        }
    }

    fn stay(&mut self, expect: Expect, event: Event) -> Option<Event> {
        self.expect = expect;
        Some(event)
    }

    fn value(&mut self, c: char) -> Option<Event> {
        match c {
            '{' => self.open(Level::Object, Expect::FirstKey),
            '[' => self.open(Level::Array, Expect::FirstItem),
            '"' => self.begin_text(false),
            '-' => self.stay(Expect::Number(Number::Minus), Event::Scalar),
            '0' => self.stay(Expect::Number(Number::Zero), Event::Scalar),
            '1'..='9' => self.stay(Expect::Number(Number::Whole), Event::Scalar),
            't' => self.stay(Expect::Word("rue"), Event::Scalar),
            'f' => self.stay(Expect::Word("alse"), Event::Scalar),
            'n' => self.stay(Expect::Word("ull"), Event::Scalar),
            _ => None,
        }
    }

    fn open(&mut self, level: Level, expect: Expect) -> Option<Event> {
        if self.levels.len() == DEPTH_MAX {
            return None;
        }
        self.levels.push(level);
        self.stay(expect, Event::Open(level))
    }

    fn close(&mut self, level: Level) -> Option<Event> {
        let closed = self.levels.pop()?;
        debug_assert_eq!(closed, level);
        self.stay(Expect::After, Event::Close)
    }

    fn begin_text(&mut self, key: bool) -> Option<Event> {
        let part = TextPart::Begin;
        self.stay(Expect::Text { key, escape: Escape::None }, Event::Text { key, part })
    }

    fn in_text(&mut self, c: char, key: bool, escape: Escape) -> Option<Event> {
        let (escape, part) = match (escape, c) {
            (Escape::None, '"') => {
                let expect = if key { Expect::Colon } else { Expect::After };
                return self.stay(expect, Event::Text { key, part: TextPart::End });
            }
            (Escape::None, '\\') => (Escape::Begun, TextPart::Inside),
            (Escape::None, _) => (Escape::None, TextPart::Inside),
            (Escape::Begun, 'u') => (Escape::Digits(4), TextPart::Inside),
            (Escape::Begun, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {
                (Escape::None, TextPart::Inside)
            }
            (Escape::Digits(left), _) if c.is_ascii_hexdigit() => {
                (if left == 1 { Escape::None } else { Escape::Digits(left - 1) }, TextPart::Inside)
            }
            _ => return None,
        };
        self.stay(Expect::Text { key, escape }, Event::Text { key, part })
    }
}

impl Number {
    fn is_complete(self) -> bool {
        matches!(self, Number::Zero | Number::Whole | Number::Fraction | Number::ExponentDigits)
    }

    fn next(self, c: char) -> Option<Number> {
        Some(match (self, c) {
            (Number::Minus, '0') => Number::Zero,
            (Number::Minus, '1'..='9') | (Number::Whole, '0'..='9') => Number::Whole,
            (Number::Zero | Number::Whole, '.') => Number::Point,
            (Number::Point | Number::Fraction, '0'..='9') => Number::Fraction,
            (Number::Zero | Number::Whole | Number::Fraction, 'e' | 'E') => Number::Exponent,
            (Number::Exponent, '+' | '-') => Number::ExponentSign,
            (Number::Exponent | Number::ExponentSign | Number::ExponentDigits, '0'..='9') => {
                Number::ExponentDigits
            }
            _ => return None,
        })
    }
}

/// Writes a character as it has to stand in a JSON string.
pub(super) fn escape(c: char, json: &mut String) {
    match c {
        '"' => json.push_str("\\\""),
        '\\' => json.push_str("\\\\"),
        '\n' => json.push_str("\\n"),
        '\r' => json.push_str("\\r"),
        '\t' => json.push_str("\\t"),
        c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => json.push(c),
    }
}

/// A whole text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    text.chars().for_each(|c| escape(c, &mut json));
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `valid` bytes of the text can be the beginning of a JSON text; it is one when `complete`.
    fn check(text: &str, valid: usize, complete: bool) {
        let mut scanner = Scanner::new();
        let wrong = text.char_indices().find(|(_, c)| scanner.push(*c).is_none());
        assert_eq!(wrong.map_or(text.len(), |(at, _)| at), valid, "{text}");
        assert_eq!(wrong.is_none() && scanner.is_complete(), complete, "{text}");
    }

    #[test]
    fn texts_are_json_or_not_from_a_character_on() {
        for text in [
            r#"{"a": [1, -0.5e+10, true, false, null, "x\n\u00e9\"", {}], "b": []}"#,
            " [ ] ",
            "0",
            "-1.5",
            r#""""#,
            r#"{"é": "中"}"#,
        ] {
            check(text, text.len(), true);
        }
        check("{", 1, false);
        check("{a}", 1, false);
        check("{,}", 1, false);
        check(r#"{"a",}"#, 4, false);
        check(r#"{"a": 1,}"#, 8, false);
        check("[1,]", 3, false);
        check("[1}", 2, false);
        check("01", 1, false);
        check("1.", 2, false);
        check("1.e", 2, false);
        check("-", 1, false);
        check("nul", 3, false);
        check("nulL", 3, false);
        check(r#""\x""#, 2, false);
        check(r#""\u12g""#, 5, false);
        check("{} x", 3, false);
        check("}", 0, false);
    }

    #[test]
    fn nesting_is_bounded() {
        check(&"[".repeat(DEPTH_MAX), DEPTH_MAX, false);
        check(&"[".repeat(DEPTH_MAX + 1), DEPTH_MAX, false);
        check(&"{\"a\":".repeat(DEPTH_MAX + 1), DEPTH_MAX * 5, false);
    }

    #[test]
    fn text_is_quoted_so_that_it_can_be_read_back() {
        for text in ["", "a\"b\\c\nd\te\r\u{1}\u{1f}é中🦙\u{7f}"] {
            assert_eq!(serde_json::from_str::<String>(&quoted(text)).expect("it is JSON"), text);
        }
    }
}
