//! What has been said of an answer, on which it depends what whitespace and markers mean.

use super::body::{Part, say};

/// What was said last, on which whitespace and markers depend.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// In reasoning: where the text of a failed call belongs.
    pub(super) thinking: bool,
    /// Something other than whitespace was said since the answer, its content or its reasoning began.
    pub(super) said: bool,
    /// Whether whitespace is dropped before what is said first.
    pub(super) trim: bool,
    /// A call has ended, and nothing was said since.
    pub(super) after_call: bool,
    /// Whitespace that is said only if something follows it.
    pub(super) space: String,
    /// What is left of the label at the beginning of reasoning, and what was read of it.
    pub(super) label: &'static str,
    pub(super) labelled: String,
}

impl Flow {
    /// Text of a call that is none.
    pub(super) fn say_raw(&mut self, raw: &str, parts: &mut Vec<Part>) {
        if self.thinking { self.say_reasoning(raw, parts) } else { self.say_content(raw, parts) }
    }

    /// Text for the user.
    pub(super) fn say_content(&mut self, text: &str, parts: &mut Vec<Part>) {
        for c in text.chars() {
            if !self.said {
                if c.is_whitespace() {
                    self.space.push(c);
                    continue;
                }
                self.said = true;
                let space = std::mem::take(&mut self.space);
                if !self.trim {
                    say(parts, false, &space);
                }
                self.after_call = false;
            }
            say(parts, false, c.encode_utf8(&mut [0; 4]));
        }
    }

    /// Text of reasoning.
    pub(super) fn say_reasoning(&mut self, text: &str, parts: &mut Vec<Part>) {
        for c in text.chars() {
            if let Some(rest) = self.label.strip_prefix(c) {
                self.label = rest;
                self.labelled.push(c);
                continue;
            }
            if !c.is_whitespace() || !self.label.is_empty() {
                self.say_label(parts);
            }
            self.labelled.clear();
            self.say_thought(c, parts);
        }
    }

    /// The end of reasoning, before which half a label is none.
    pub(super) fn end_label(&mut self, parts: &mut Vec<Part>) {
        if !self.label.is_empty() {
            self.say_label(parts);
        }
    }

    /// Whether nothing was read of the label, or there is none.
    pub(super) fn is_before_label(&self) -> bool {
        self.labelled.is_empty()
    }

    /// What was read of a label is none: it goes on in another way.
    fn say_label(&mut self, parts: &mut Vec<Part>) {
        self.label = "";
        let labelled = std::mem::take(&mut self.labelled);
        labelled.chars().for_each(|c| self.say_thought(c, parts));
    }

    fn say_thought(&mut self, c: char, parts: &mut Vec<Part>) {
        if c.is_whitespace() {
            self.space.push(c);
            return;
        }
        let space = std::mem::take(&mut self.space);
        if self.said || !self.trim {
            say(parts, true, &space);
        }
        self.said = true;
        say(parts, true, c.encode_utf8(&mut [0; 4]));
    }

    /// The end of the answer: whitespace that is all of it is said as well.
    pub(super) fn end_content(&mut self, parts: &mut Vec<Part>) {
        if !self.trim && !self.after_call {
            say(parts, false, &self.space);
        }
    }
}
