//! Values that are nearly JSON, turned into JSON as they come: Python's literals, and Gemma's objects with bare keys.
//!
//! What it writes is checked by a [`Scanner`], so that whatever comes in, what comes out is JSON or the beginning of it.

use super::scanner::{Scanner, escape};
use super::watch::Watch;

/// The most characters of a word: a number, a literal or a bare key.
const WORD_MAX: usize = 256;

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Quotes of both kinds, escapes, True, False, None, tuples.
    Python,
    /// Bare keys and this mark as the quote, without escapes.
    Marked(&'static str),
}

#[derive(Debug, Clone)]
enum State {
    Between,
    Word(String),
    /// Within quotes of Python: the quote, and what was begun with a backslash.
    Quoted(char, Option<String>),
    /// Within marks.
    Marked(Watch<()>),
    /// The beginning of a mark that opens text.
    Opening(Watch<()>),
}

/// Turns one value into JSON.
#[derive(Debug, Clone)]
pub(super) struct Literal {
    dialect: Dialect,
    scanner: Scanner,
    state: State,
    comma: bool, // one that is written once it is known that a value follows
}

impl Literal {
    /// At the beginning of a value.
    pub(super) fn new(dialect: Dialect) -> Literal {
        Literal { dialect, scanner: Scanner::new(), state: State::Between, comma: false }
    }

    /// Whether a character is text within quotes now.
    pub(super) fn is_in_text(&self) -> bool {
        matches!(self.state, State::Quoted(..) | State::Marked(_) | State::Opening(_))
    }

    /// How many objects and lists are open.
    pub(super) fn depth(&self) -> usize {
        self.scanner.depth()
    }

    /// Takes the next character and writes what is certain by now. `None` if no value goes on like this.
    pub(super) fn push(&mut self, c: char, json: &mut String) -> Option<()> {
        match &mut self.state {
            State::Between => self.between(c, json),
            State::Word(word) if is_word(c) && word.len() < WORD_MAX => {
                word.push(c);
                Some(())
            }
            State::Word(word) => {
                let word = std::mem::take(word);
                self.state = State::Between;
                self.word(&word, json)?;
                self.between(c, json)
            }
            State::Quoted(..) => self.quoted(c, json),
            State::Marked(watch) => {
                let mut free = String::new();
                let ended = watch.push(c, &mut free).is_some();
                self.text(&free, json)?;
                if ended {
                    self.state = State::Between;
                    self.write("\"", json)?;
                }
                Some(())
            }
            State::Opening(watch) => {
                let mut free = String::new();
                if watch.push(c, &mut free).is_some() {
                    self.state = State::Marked(watch.clone());
                    return self.begin_text(json);
                }
                free.is_empty().then_some(())
            }
        }
    }

    /// The end of the text: whether the value is complete with what this writes.
    pub(super) fn finish(&mut self, json: &mut String) -> bool {
        if let State::Word(word) = &mut self.state {
            let word = std::mem::take(word);
            self.state = State::Between;
            if self.word(&word, json).is_none() {
                return false;
            }
        }
        matches!(self.state, State::Between) && !self.comma && self.scanner.is_complete()
    }

    fn between(&mut self, c: char, json: &mut String) -> Option<()> {
        match (c, self.dialect) {
            (' ' | '\t' | '\n' | '\r', _) => Some(()),
            (',', _) if !self.comma && self.scanner.depth() > 0 => {
                self.comma = true;
                Some(())
            }
            (']' | '}', _) => self.close(c, json),
            (')', Dialect::Python) => self.close(']', json),
            ('(', Dialect::Python) => self.open("[", json),
            ('[' | '{', _) => self.open(c.encode_utf8(&mut [0; 4]), json),
            (':', _) => self.write(": ", json),
            ('"' | '\'', Dialect::Python) | ('"', Dialect::Marked(_)) => {
                self.state = State::Quoted(c, None);
                self.begin_text(json)
            }
            (_, Dialect::Marked(mark)) if mark.starts_with(c) => {
                let mut watch = Watch::new(vec![(mark.into(), ())]);
                watch.push(c, &mut String::new());
                self.state = State::Opening(watch);
                Some(())
            }
            _ if is_word(c) => {
                self.state = State::Word(c.to_string());
                Some(())
            }
            _ => None,
        }
    }

    fn close(&mut self, c: char, json: &mut String) -> Option<()> {
        // Python allows a comma after the last value.
        self.comma = false;
        self.write(c.encode_utf8(&mut [0; 4]), json)
    }

    fn open(&mut self, bracket: &str, json: &mut String) -> Option<()> {
        self.comma(json)?;
        self.write(bracket, json)
    }

    fn begin_text(&mut self, json: &mut String) -> Option<()> {
        self.comma(json)?;
        self.write("\"", json)
    }

    fn comma(&mut self, json: &mut String) -> Option<()> {
        if std::mem::take(&mut self.comma) { self.write(", ", json) } else { Some(()) }
    }

    /// A word that is complete. At the place of a key it is one.
    fn word(&mut self, word: &str, json: &mut String) -> Option<()> {
        self.comma(json)?;
        if self.scanner.expects_key() {
            return self.write(&super::scanner::quoted(word), json);
        }
        let value = match (word, self.dialect) {
            ("True", _) => "true",
            ("False", _) => "false",
            ("None", _) => "null",
            ("true" | "false" | "null", _) => word,
            _ if word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => word,
            (_, Dialect::Marked(_)) => return self.write(&super::scanner::quoted(word), json),
            _ => return None,
        };
        self.write(value, json)
    }

    /// A character within quotes of Python.
    fn quoted(&mut self, c: char, json: &mut String) -> Option<()> {
        let State::Quoted(quote, escaped) = &mut self.state else { return None };
        let Some(begun) = escaped else {
            if c == '\\' {
                *escaped = Some(String::new());
                return Some(());
            }
            if c == *quote {
                self.state = State::Between;
                return self.write("\"", json);
            }
            return self.text(c.encode_utf8(&mut [0; 4]), json);
        };
        begun.push(c);
        let digits = match begun.chars().next() {
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => 0,
        };
        let is_digit = begun.len() == 1 || c.is_ascii_hexdigit();
        if begun.chars().count() <= digits && is_digit {
            return Some(());
        }
        let mut begun = std::mem::take(begun);
        *escaped = None;
        if digits > 0 && !is_digit {
            // Too few digits: no escape, and the character may be the closing quote.
            begun.pop();
            self.text(&format!("\\{begun}"), json)?;
            return self.quoted(c, json);
        }
        self.text(&unescaped(&begun), json)
    }

    /// Text for within a string.
    fn text(&mut self, text: &str, json: &mut String) -> Option<()> {
        let mut escaped = String::new();
        text.chars().for_each(|c| escape(c, &mut escaped));
        self.write(&escaped, json)
    }

    fn write(&mut self, more: &str, json: &mut String) -> Option<()> {
        for c in more.chars() {
            self.scanner.push(c)?;
            json.push(c);
        }
        Some(())
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.' | '$')
}

/// What Python means by what follows a backslash.
fn unescaped(escape: &str) -> String {
    let code = |digits: &str| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    let mut chars = escape.chars();
    let (first, rest) = (chars.next(), chars.as_str());
    match first {
        Some('n') => "\n".to_owned(),
        Some('t') => "\t".to_owned(),
        Some('r') => "\r".to_owned(),
        Some('b') => "\u{8}".to_owned(),
        Some('f') => "\u{c}".to_owned(),
        Some('0') => "\0".to_owned(),
        Some('\n') => String::new(),
        Some(c @ ('\\' | '\'' | '"' | '/')) => c.to_string(),
        Some('x' | 'u' | 'U') => code(rest).map_or_else(|| format!("\\{escape}"), String::from),
        _ => format!("\\{escape}"),
    }
}

/// A whole literal of Python as JSON, if it is one.
pub(super) fn python_to_json(text: &str) -> Option<String> {
    let mut literal = Literal::new(Dialect::Python);
    let mut json = String::new();
    for c in text.chars() {
        literal.push(c, &mut json)?;
    }
    literal.finish(&mut json).then_some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: Dialect, text: &str, expect: Option<&str>) {
        let mut literal = Literal::new(dialect);
        let mut json = String::new();
        let fits = text.chars().all(|c| literal.push(c, &mut json).is_some());
        let complete = fits && literal.finish(&mut json);
        assert_eq!(complete.then_some(json.as_str()), expect, "{text}");
        if complete {
            serde_json::from_str::<serde_json::Value>(&json).expect("it is JSON");
        }
    }

    #[test]
    fn pythons_literals_become_json() {
        let check = |text, expect| check(Dialect::Python, text, expect);
        check("1", Some("1"));
        check("-1.5e3", Some("-1.5e3"));
        check("True", Some("true"));
        check("false", Some("false"));
        check("None", Some("null"));
        check("'it''s'", None);
        check(r#"'say "hi"'"#, Some(r#""say \"hi\"""#));
        check(r#""a\n\t\\\'\"\x41\u00e9\d\0""#, Some(r#""a\n\t\\'\"Aé\\d\u0000""#));
        check(r"'\u00g'", Some(r#""\\u00g""#));
        check(r"'\x4'", Some(r#""\\x4""#));
        check("'\n'", Some(r#""\n""#));
        check("[1, 'a', [True, None], ]", Some(r#"[1, "a", [true, null]]"#));
        check("(1, 2)", Some("[1, 2]"));
        check("{'a': {'b': (1,)}, 3: 4}", Some(r#"{"a": {"b": [1]}, "3": 4}"#));
        check("{}", Some("{}"));
        check("f(1)", None);
        check("[1", None);
        check("[1,,2]", None);
        check("]", None);
        check("01", None);
        check("word", None);
        check("", None);
    }

    #[test]
    fn objects_with_bare_keys_become_json() {
        let check = |text, expect| check(Dialect::Marked("<|\"|>"), text, expect);
        check(r#"{city:<|"|>San "F"<|"|>,n:-7}"#, Some(r#"{"city": "San \"F\"", "n": -7}"#));
        check(
            r#"{a:[<|"|>x<|"|>,true,null,{b:1.5e10}],c:{}}"#,
            Some(r#"{"a": ["x", true, null, {"b": 1.5e10}], "c": {}}"#),
        );
        check(r#"{a:<|"|>1 <|b<|"|>}"#, Some(r#"{"a": "1 <|b"}"#));
        check("{unit:celsius}", Some(r#"{"unit": "celsius"}"#));
        check(r#"{"a":"b"}"#, Some(r#"{"a": "b"}"#));
        check("{a:<b>}", None);
        check("{a:<|\"|>x", None);
    }
}
