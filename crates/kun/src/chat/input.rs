//! What is typed in a chat: messages over one or several lines, and commands that begin with a slash.

/// Puts lines together to a message. `"""` opens and closes a message of several lines, and a backslash
/// at the end of a line goes on in the next one.
#[derive(Debug, Default)]
pub(super) struct Composer {
    text: String,
    quoted: bool,
}

impl Composer {
    /// Adds a line; gives the message if it is complete with it.
    pub(super) fn push(&mut self, line: &str) -> Option<String> {
        if self.quoted {
            return self.push_quoted(line);
        }
        if self.text.is_empty()
            && let Some(rest) = line.trim_start().strip_prefix(QUOTES)
        {
            self.quoted = true;
            return if rest.is_empty() { None } else { self.push_quoted(rest) };
        }
        match line.strip_suffix('\\') {
            Some(start) => {
                self.text.push_str(start);
                self.text.push('\n');
                None
            }
            None => {
                self.text.push_str(line);
                Some(std::mem::take(&mut self.text))
            }
        }
    }

    fn push_quoted(&mut self, line: &str) -> Option<String> {
        match line.trim_end().strip_suffix(QUOTES) {
            Some(last) => {
                self.text.push_str(last);
                self.quoted = false;
                // Closing quotes on a line of their own end the line before, they don't begin another.
                if last.is_empty() && self.text.ends_with('\n') {
                    self.text.pop();
                }
                Some(std::mem::take(&mut self.text))
            }
            None => {
                self.text.push_str(line);
                self.text.push('\n');
                None
            }
        }
    }

    /// Is a message begun and not complete?
    pub(super) fn is_open(&self) -> bool {
        self.quoted || !self.text.is_empty()
    }

    /// Forgets what was begun.
    pub(super) fn clear(&mut self) {
        *self = Composer::default();
    }
}

const QUOTES: &str = "\"\"\"";

/// What a user wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// Nothing: an empty line.
    Nothing,
    /// An answer to this.
    Say(&'a str),
    /// Forget the conversation.
    Clear,
    /// Another system message; none shows, and an empty one removes it.
    System(&'a str),
    /// Another value of a parameter.
    Set(&'a str, &'a str),
    /// The parameters and the conversation's size.
    Show,
    /// The list of commands.
    Help,
    /// Leave.
    Exit,
    /// A command that there isn't, or one that lacks something: what to say.
    Wrong(String),
}

impl<'a> Wish<'a> {
    /// Reads a complete message.
    pub(super) fn parse(message: &'a str) -> Self {
        let text = message.trim();
        let Some(command) = text.strip_prefix('/') else {
            return if text.is_empty() { Wish::Nothing } else { Wish::Say(text) };
        };
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        match name {
            "clear" => Wish::Clear,
            "system" => Wish::System(rest),
            "set" => match rest.split_once(|c: char| c.is_whitespace() || c == '=') {
                Some((name, value)) => Wish::Set(name, value.trim()),
                None => Wish::Wrong("/set needs a name and a value: /set temperature 0.2".to_owned()),
            },
            "show" => Wish::Show,
            "help" | "?" => Wish::Help,
            "exit" | "quit" | "bye" => Wish::Exit,
            // A path such as /usr/bin is something to talk about.
            _ if name.contains('/') => Wish::Say(text),
            _ => Wish::Wrong(format!("no command /{name}: /help lists them")),
        }
    }
}

/// The text of `/help`.
pub(super) const HELP: &str = "\
/clear             forget the conversation
/system TEXT       tell the model how to behave (without TEXT: no longer)
/set NAME VALUE    temperature, top-k, top-p, min-p, repeat-penalty, seed, max-tokens,
                   loop-guard, and the samplers that /show lists
/show              the parameters
/help              this list
/exit              leave; so does Ctrl-D
Ctrl-C             stop the answer; twice: leave
\"\"\"                begin and end a message of several lines; or end a line with \\
When the context is full, the oldest turns are forgotten; the system message never is.";

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(lines: &[&str]) -> Vec<String> {
        let mut composer = Composer::default();
        let messages = lines.iter().filter_map(|line| composer.push(line)).collect();
        assert!(!composer.is_open(), "{composer:?}");
        messages
    }

    #[test]
    fn lines_become_messages() {
        for (lines, expect) in [
            (&["one", "two"][..], &["one", "two"][..]),
            (&["a \\", "b\\", "c"], &["a \nb\nc"]),
            (&["\"\"\"a", "b", "c\"\"\""], &["a\nb\nc"]),
            (&["\"\"\"", "a", "", "\"\"\"", "next"], &["a\n", "next"]),
            (&["\"\"\"whole\"\"\""], &["whole"]),
            (&["\"\"\"\"\"\""], &[""]),
            (&["\"\"\"", "ends in a backslash\\", "\"\"\""], &["ends in a backslash\\"]),
            (&[""], &[""]),
        ] {
            assert_eq!(messages(lines), expect, "{lines:?}");
        }
    }

    #[test]
    fn a_begun_message_can_be_forgotten() {
        let mut composer = Composer::default();
        assert_eq!(composer.push("\"\"\"begun"), None);
        assert!(composer.is_open());
        composer.clear();
        assert_eq!(composer.push("new"), Some("new".to_owned()));
    }

    #[test]
    fn messages_become_wishes() {
        for (message, expect) in [
            ("  ", Wish::Nothing),
            (" hello ", Wish::Say("hello")),
            ("/clear", Wish::Clear),
            ("/system  be brief ", Wish::System("be brief")),
            ("/set temperature 0.2", Wish::Set("temperature", "0.2")),
            ("/set top_k=5", Wish::Set("top_k", "5")),
            ("/bye", Wish::Exit),
            ("/usr/bin/env is what?", Wish::Say("/usr/bin/env is what?")),
        ] {
            assert_eq!(Wish::parse(message), expect, "{message}");
        }
        assert!(matches!(Wish::parse("/set temperature"), Wish::Wrong(text) if text.contains("value")));
        assert!(matches!(Wish::parse("/sytem x"), Wish::Wrong(text) if text.contains("/help")));
    }
}
