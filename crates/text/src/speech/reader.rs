//! Takes an answer apart as it comes.
//!
//! The reader takes one character after the other and knows nothing of how the text was cut, so that the parts of a
//! text are the same however it comes. A character is kept back only while it may belong to a marker, to the
//! whitespace around reasoning, or to a call that hasn't begun: a call begins when its name is known to be a tool's
//! and its arguments have begun. Until then, whatever makes it no call brings its raw text back as what it would
//! have been otherwise, content or reasoning. From then on it stays a call: if the text ends or goes wrong within
//! its arguments, it ends incomplete, with the arguments so far, and the text goes on as content.

use std::collections::VecDeque;

use super::body::{Body, Notation, Part, Sink, Step, say};
use super::flow::Flow;
use super::headers::{Arguments, Headers, Meaning};
use super::marks::Mark;
use super::schema::Tool;
use super::spec::Spec;
use super::watch::Watch;
use super::{Begin, Format};

/// The most characters of a message's header.
const HEADER_MAX: usize = 256;

/// Takes one answer apart.
#[derive(Debug)]
pub struct Reader {
    spec: &'static Spec,
    tools: Vec<Tool>,
    state: State,
    flow: Flow,
    /// Characters that are to be read again before others.
    again: VecDeque<char>,
    calls: usize,
    open: bool,
}

#[derive(Debug)]
enum State {
    Content(Watch<Mark>),
    Thinking(Watch<Mark>),
    /// In a message's header.
    Header(String),
    /// After a marker around calls: the marker of a call is to come.
    Frame(String, Watch<Mark>),
    /// After the marker of a call.
    Opened(String, &'static [&'static dyn Notation]),
    Call(Call),
}

/// A call that is being read.
#[derive(Debug)]
struct Call {
    body: Box<dyn Body>,
    /// The text since the marker, or since another call may have begun after one.
    raw: String,
    /// Whether the raw text comes back if this is no call.
    keep: bool,
    /// Whether any call was put out.
    used: bool,
}

impl Reader {
    /// At the beginning of an answer. Without tools, everything that looks like a call is content.
    pub fn new(format: Format, tools: &[Tool], begin: Begin) -> Reader {
        let mut reader = Reader {
            spec: format.0,
            tools: tools.to_vec(),
            state: State::Header(String::new()),
            flow: Flow::default(),
            again: VecDeque::new(),
            calls: 0,
            open: false,
        };
        match begin {
            Begin::Answer if reader.spec.headers.is_some() => {}
            Begin::Answer => reader.go_to_content(),
            Begin::Thinking => reader.go_to_thinking(""),
            Begin::Content => {
                reader.go_to_content();
                reader.flow.said = true;
            }
        }
        reader
    }

    /// Takes more of the answer and adds what is certain by now.
    pub fn push(&mut self, text: &str, parts: &mut Vec<Part>) {
        for c in text.chars() {
            self.again.push_back(c);
            while let Some(c) = self.again.pop_front() {
                self.step(c, parts);
            }
        }
    }

    /// Whether what comes now would be reasoning.
    pub fn is_thinking(&self) -> bool {
        matches!(self.state, State::Thinking(_))
    }

    /// The end of the answer: adds what was kept back.
    pub fn finish(mut self, parts: &mut Vec<Part>) {
        match std::mem::replace(&mut self.state, State::Header(String::new())) {
            State::Content(watch) => {
                // Half a marker after a call is the rest of the call.
                let closings = self.spec.calls.closings.iter();
                let is_rest = self.flow.after_call
                    && !self.flow.said
                    && closings.clone().any(|closing| closing.starts_with(watch.held()));
                self.flow.say_content(if is_rest { "" } else { watch.held() }, parts);
                self.flow.end_content(parts);
            }
            State::Thinking(watch) => {
                self.flow.say_reasoning(watch.held(), parts);
                self.flow.end_label(parts);
            }
            State::Frame(raw, _) | State::Opened(raw, _) => self.flow.say_raw(&raw, parts),
            State::Call(_) if self.open => self.sink(parts).end(false),
            State::Call(call) if call.keep => self.flow.say_raw(&call.raw, parts),
            State::Call(_) => {}
            // The beginning of a header is no text, but for what may be any text.
            State::Header(text) => {
                let is_marker = self.headers().is_some_and(|headers| {
                    headers.start.iter().any(|start| text.starts_with(start) || start.starts_with(&text))
                        || headers.begins.iter().any(|begin| text.starts_with(begin))
                });
                if !is_marker {
                    say(parts, false, &text);
                }
            }
        }
    }

    fn headers(&self) -> Option<&'static Headers> {
        self.spec.headers.as_ref()
    }

    fn sink<'a>(&'a mut self, parts: &'a mut Vec<Part>) -> Sink<'a> {
        let (calls, open) = (&mut self.calls, &mut self.open);
        Sink { tools: &self.tools, parts, calls, open, used: false, again: false }
    }

    fn step(&mut self, c: char, parts: &mut Vec<Part>) {
        let mut free = String::new();
        match &mut self.state {
            State::Content(watch) => {
                if watch.held().is_empty()
                    && let Some(notations) = self.bare(c)
                {
                    self.state = State::Opened(String::new(), notations);
                    return self.opened(c, parts);
                }
                let State::Content(watch) = &mut self.state else { return };
                let mark = watch.push(c, &mut free);
                self.flow.say_content(&free, parts);
                if let Some(mark) = mark {
                    self.mark_in_content(mark, parts);
                }
            }
            State::Thinking(watch) => {
                let mark = watch.push(c, &mut free);
                self.flow.say_reasoning(&free, parts);
                if let Some(mark) = mark {
                    self.mark_in_thinking(mark, parts);
                }
            }
            State::Header(_) => self.in_header(c, parts),
            State::Frame(raw, watch) => {
                raw.push(c);
                let mark = watch.push(c, &mut free);
                if !free.trim().is_empty() {
                    let again = free.trim_start().to_owned() + watch.held();
                    let raw = std::mem::take(raw);
                    return self.fail(&raw, &again, parts);
                }
                let raw = std::mem::take(raw);
                match mark {
                    Some(mark) => self.open(mark, raw),
                    None => {
                        if let State::Frame(kept, _) = &mut self.state {
                            *kept = raw;
                        }
                    }
                }
            }
            State::Opened(..) => self.opened(c, parts),
            State::Call(_) => self.in_call(c, parts),
        }
    }

    /// The notations of calls that may begin with this character, as nothing was said yet.
    fn bare(&self, c: char) -> Option<&'static [&'static dyn Notation]> {
        let bare = self.spec.calls.bare;
        let may_begin = !self.flow.said && !self.tools.is_empty() && !c.is_whitespace();
        (may_begin && bare.iter().any(|notation| notation.accepts(c))).then_some(bare)
    }

    fn go_to_content(&mut self) {
        let marks = self.spec.marks_in_content(!self.tools.is_empty(), self.flow.after_call);
        self.flow.thinking = false;
        self.flow.said = false;
        self.state = State::Content(Watch::new(marks));
    }

    fn go_to_thinking(&mut self, label: &'static str) {
        let marks = self.spec.marks_in_thinking(!self.tools.is_empty());
        self.flow = Flow { thinking: true, trim: true, label, ..Flow::default() };
        self.state = State::Thinking(Watch::new(marks));
    }

    fn mark_in_content(&mut self, mark: Mark, parts: &mut Vec<Part>) {
        match mark {
            Mark::Think(index) => {
                let thinking = &self.spec.thinking[index];
                if self.flow.said && !thinking.anywhere {
                    return self.flow.say_content(thinking.open, parts);
                }
                self.go_to_thinking(thinking.label);
            }
            // One that ends what the prompt may have begun.
            Mark::EndThink(_) if !self.flow.said => {
                self.flow.trim = true;
                self.flow.space.clear();
            }
            Mark::EndThink(text) if self.is_plain_text(text) => self.flow.say_content(text, parts),
            Mark::Close(text) if self.flow.said => self.flow.say_content(text, parts),
            Mark::Close(_) | Mark::EndThink(_) | Mark::Silent => {}
            Mark::Start(start) => self.state = State::Header(start.to_owned()),
            Mark::EndMessage => {
                self.flow = Flow { trim: true, ..Flow::default() };
                self.go_to_content();
            }
            Mark::Frame(_) | Mark::Open(_) => self.open(mark, String::new()),
        }
    }

    /// Whether a marker of reasoning may be meant as text where no reasoning can begin.
    fn is_plain_text(&self, mark: &str) -> bool {
        let thinking = self.spec.thinking.iter();
        !thinking.clone().any(|thinking| thinking.anywhere && thinking.close.contains(&mark))
    }

    fn mark_in_thinking(&mut self, mark: Mark, parts: &mut Vec<Part>) {
        if !self.flow.is_before_label() {
            self.flow.end_label(parts);
        }
        match mark {
            Mark::EndThink(_) | Mark::EndMessage => {
                self.flow = Flow { trim: true, ..Flow::default() };
                self.go_to_content();
            }
            Mark::Start(start) => self.state = State::Header(start.to_owned()),
            Mark::Frame(_) | Mark::Open(_) => self.open(mark, String::new()),
            Mark::Think(index) if self.flow.said => {
                self.flow.say_reasoning(self.spec.thinking[index].open, parts);
            }
            // At its beginning, reasoning is marked once more by mistake.
            Mark::Think(_) | Mark::Close(_) | Mark::Silent => {}
        }
    }

    /// A marker of calls, after `raw`.
    fn open(&mut self, mark: Mark, mut raw: String) {
        match mark {
            Mark::Frame(frame) => {
                if raw.is_empty() {
                    raw.push_str(frame);
                }
                self.state = State::Frame(raw, Watch::new(self.spec.marks_of_calls(!self.tools.is_empty())));
            }
            Mark::Open(index) => {
                let opening = &self.spec.calls.openings[index];
                if raw.is_empty() {
                    raw.push_str(opening.mark);
                }
                self.state = State::Opened(raw, opening.notations);
            }
            _ => unreachable!("only markers of calls open calls"),
        }
    }

    fn opened(&mut self, c: char, parts: &mut Vec<Part>) {
        let State::Opened(raw, notations) = &mut self.state else { return };
        if c.is_whitespace() {
            raw.push(c);
            return;
        }
        let raw = std::mem::take(raw);
        match notations.iter().find(|notation| notation.accepts(c)) {
            Some(notation) => {
                self.state = State::Call(Call { body: notation.body(), raw, keep: true, used: false });
                self.in_call(c, parts);
            }
            None => self.fail(&(raw + c.encode_utf8(&mut [0; 4])), c.encode_utf8(&mut [0; 4]), parts),
        }
    }

    fn in_call(&mut self, c: char, parts: &mut Vec<Part>) {
        let State::Call(call) = &mut self.state else { return };
        if call.keep {
            call.raw.push(c);
        }
        let (calls, open) = (&mut self.calls, &mut self.open);
        let mut sink = Sink { tools: &self.tools, parts, calls, open, used: false, again: false };
        let step = call.body.push(c, &mut sink);
        if sink.used {
            call.used = true;
            call.keep = false;
            call.raw.clear();
            // A call ends the reasoning in which it begins.
            self.flow = Flow::default();
        } else if sink.again && !call.keep {
            call.keep = true;
            call.raw.push(c);
        }
        let (keep, used, raw) = (call.keep, call.used, std::mem::take(&mut call.raw));
        match step {
            Step::More => {
                if let State::Call(call) = &mut self.state {
                    call.raw = raw;
                }
            }
            // An empty list, or the like.
            Step::Done if keep && !used => self.fail(&raw, "", parts),
            Step::Done => self.after_call(),
            Step::Fail(again) => {
                if self.open {
                    self.sink(parts).end(false);
                }
                if keep {
                    return self.fail(&raw, &again, parts);
                }
                self.after_call();
                self.read_again(&again);
            }
        }
    }

    fn after_call(&mut self) {
        self.flow = Flow { after_call: true, ..Flow::default() };
        self.go_to_content();
    }

    /// What looked like a call is none: its text is what it would have been, but for its end, which is read again.
    fn fail(&mut self, raw: &str, again: &str, parts: &mut Vec<Part>) {
        // What has no marker must not be tried once more.
        let (raw, again) = match raw.strip_suffix(again) {
            Some("") | None => (raw, ""),
            Some(raw) => (raw, again),
        };
        let Flow { thinking, said, .. } = self.flow;
        if thinking {
            let flow = std::mem::take(&mut self.flow);
            self.go_to_thinking("");
            self.flow = flow;
        } else {
            self.go_to_content();
            self.flow.said = said;
        }
        self.flow.say_raw(raw, parts);
        self.read_again(again);
    }

    fn read_again(&mut self, text: &str) {
        text.chars().rev().for_each(|c| self.again.push_front(c));
    }

    fn in_header(&mut self, c: char, parts: &mut Vec<Part>) {
        let State::Header(text) = &mut self.state else { return };
        text.push(c);
        let text = text.clone();
        let Some(headers) = self.spec.headers.as_ref() else { return };
        let Some(header) = text.strip_suffix(headers.end) else {
            if !self.may_be_header(&text, headers) {
                self.flow = Flow::default();
                self.go_to_content();
                self.flow.say_content(&text, parts);
            }
            return;
        };
        self.flow = Flow { trim: true, ..Flow::default() };
        match (headers.meaning)(header) {
            Meaning::Content => self.go_to_content(),
            Meaning::Reasoning => self.go_to_thinking(""),
            Meaning::Call(name) if self.tools.iter().any(|tool| tool.name == name) => {
                self.go_to_content();
                match headers.arguments {
                    Arguments::Object(named) => {
                        let body = named.arguments_of(name);
                        self.state = State::Call(Call { body, raw: text, keep: true, used: false });
                    }
                    Arguments::Call => {
                        self.state =
                            State::Frame(text, Watch::new(self.spec.marks_of_calls(!self.tools.is_empty())))
                    }
                }
            }
            Meaning::Call(_) => {
                self.go_to_content();
                self.flow.say_content(&text, parts);
            }
        }
    }

    fn may_be_header(&self, text: &str, headers: &Headers) -> bool {
        if text.chars().count() > HEADER_MAX {
            return false;
        }
        let started = headers.start.iter().find_map(|start| text.strip_prefix(start));
        let is_one_of = |text: &str| {
            headers.begins.iter().any(|begin| begin.starts_with(text) || text.starts_with(begin))
                || (headers.names && self.tools.iter().any(|tool| tool.name.starts_with(text)))
        };
        match started {
            Some(rest) => !headers.names || is_one_of(rest),
            None => is_one_of(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tools() -> Vec<Tool> {
        let parameters =
            json!({"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "integer"}}});
        let tool = |name: &str| Tool { name: name.to_owned(), parameters: parameters.clone() };
        vec![tool("f"), tool("get")]
    }

    /// Parts as text: content, then (reasoning), then [name id arguments], with … where a call is incomplete.
    fn shown(parts: &[Part]) -> String {
        let part = |part: &Part| match part {
            Part::Content(text) => text.clone(),
            Part::Reasoning(text) => format!("({text})"),
            Part::CallBegun { id, name, .. } => format!("[{name} {} ", id.as_deref().unwrap_or("-")),
            Part::CallArguments { json, .. } => json.clone(),
            Part::CallEnded { complete, .. } => if *complete { "]" } else { "…]" }.to_owned(),
        };
        parts.iter().map(part).collect()
    }

    fn read(format: &str, text: &str) -> String {
        let format = Format::by_name(format).expect("there is such a format");
        let mut reader = Reader::new(format, &tools(), Begin::Answer);
        let mut parts = Vec::new();
        reader.push(text, &mut parts);
        reader.finish(&mut parts);
        shown(&parts)
    }

    fn check(format: &str, text: &str, expect: &str) {
        assert_eq!(read(format, text), expect, "{format}: {text}");
    }

    #[test]
    fn what_is_no_call_comes_back_as_it_was() {
        let check = |text: &str| check("hermes", text, text);
        check("<tool_call> is a tag");
        check("<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>");
        check("<tool_call>\n{\"name\": \"f\", ");
        check("<tool_call>\n{\"name\": \"f\"");
        check("<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>");
        check("<tool_call>{\"arguments\": {\"a\": 1}, \"name\": \"g\"}");
        check("</tool_call>");
        check("a <b> c <tool");
        check("  \n spaces \n");
        check("An answer about <think> and </think>.");
    }

    #[test]
    fn after_a_failed_call_the_next_one_is_still_read() {
        let call = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
        check("hermes", &format!("<tool_call> <tool_call>{call}"), "<tool_call> <tool_call>[f - {}]");
        check("qwen_coder", "<tool_call>\n<tool_call>\n<function=f>\n</function>", "[f - {}]");
        check("llama", "<function=x<function=f>{}</function>", "<function=x[f - {}]");
    }

    #[test]
    fn a_call_that_has_begun_stays_one() {
        check("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x", "[f - {\"a\": \"x…]");
        check("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": x} y", "[f - {\"a\": …]x} y");
        check("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {}}\n</tool_c", "[f - {}]");
        check("qwen_coder", "<function=f><parameter=a>x</par", "[f - {\"a\": \"x…]");
        check("qwen_coder", "<function=f><parameter=n>1</parameter> but", "[f - {\"n\": 1…]but");
        check("lfm2", "<|tool_call_start|>[f(a=x)]", "[f - {\"a\": …])]");
    }

    #[test]
    fn objects_may_be_written_in_many_ways() {
        let check = |object: &str, expect: &str| {
            check("hermes", &format!("<tool_call>{object}</tool_call>"), expect);
        };
        check(r#"{"arguments": {"a": 1}, "name": "f"}"#, r#"[f - {"a": 1}]"#);
        check(r#"{"name": "f"}"#, "[f - {}]");
        check(r#"{"name": "f", "arguments": null}"#, "[f - {}]");
        check(r#"{"name": "f", "arguments": "{\"a\": 1}"}"#, r#"[f - {"a": 1}]"#);
        check(r#"{"id": "7", "type": "function", "function": {"name": "f", "arguments": {}}}"#, "[f 7 {}]");
        check(r#"[{"name": "f", "arguments": {}}, {"name": "get", "arguments": {}}]"#, "[f - {}][get - {}]");
        check(
            r#"{"name": "f", "note": {"x": [1]}, "arguments": {"a": {"name": "b"}}}"#,
            r#"[f - {"a": {"name": "b"}}]"#,
        );
        check("{\"name\": \"f\", \"arguments\": {\"a\": \"1\n2\"}}", r#"[f - {"a": "1\n2"}]"#);
    }

    #[test]
    fn notations_without_a_marker_begin_an_answer() {
        let call = r#"{"name": "f", "parameters": {"a": "x"}}"#;
        check("llama", call, r#"[f - {"a": "x"}]"#);
        check("llama", &format!("{call}; {call}"), r#"[f - {"a": "x"}][f - {"a": "x"}]"#);
        check("llama", &format!("<|python_tag|>{call}<|eom_id|>"), r#"[f - {"a": "x"}]"#);
        check("llama", r#"{"answer": 42}"#, r#"{"answer": 42}"#);
        check("llama", &format!("See: {call}"), &format!("See: {call}"));
        check("llama_pythonic", "[f(a='x', n=2), get()]", r#"[f - {"a": "x", "n": 2}][get - {}]"#);
        check("llama_pythonic", "[link](url)", "[link](url)");
        check("gemma", "```tool_code\nf(a=\"x\")\n```", r#"[f - {"a": "x"}]"#);
        check("gemma", "```python\nprint(1)\n```", "```python\nprint(1)\n```");
        check(
            "function_gemma",
            "<start_function_call>call:f{a:<escape>x<escape>}<end_function_call>",
            r#"[f - {"a": "x"}]"#,
        );
        check(
            "generic",
            &format!("{{\"tool_calls\": [{call}, {call}]}}"),
            r#"[f - {"a": "x"}][f - {"a": "x"}]"#,
        );
        check("generic", &format!("{{\"tool_call\": {call}}}"), r#"[f - {"a": "x"}]"#);
        check("generic", r#"{"response": "a \"b\""}"#, "a \"b\"");
    }

    #[test]
    fn whitespace_around_reasoning_is_dropped() {
        check("hermes", "<think>\n hm \n\n ok\n</think>\n\nYes.\n", "(hm \n\n ok)Yes.\n");
        check("hermes", "<think>hm", "(hm)");
        check("hermes", "</think>\n\nYes.", "Yes.");
        check("mistral", "[THINK]hm[/THINK]Yes [THINK]so[/THINK] no", "(hm)Yes (so)no");
        check(
            "harmony",
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
            "(hm)Yes.",
        );
        check("harmony", "Yes, without a header.", "Yes, without a header.");
    }

    #[test]
    fn nothing_is_kept_back_longer_than_it_must_be() {
        let format = Format::by_name("hermes").expect("there is such a format");
        let mut reader = Reader::new(format, &tools(), Begin::Answer);
        let mut push = |text: &str| {
            let mut parts = Vec::new();
            reader.push(text, &mut parts);
            shown(&parts)
        };
        assert_eq!(push("a <"), "a ");
        assert_eq!(push("b"), "<b");
        assert_eq!(push("<tool_call>"), "");
        assert_eq!(push("{\"name\": \"f\", \"arguments\": "), "");
        assert_eq!(push("{\"a"), "[f - {\"a");
        assert_eq!(push("\": \"x"), "\": \"x");
        assert_eq!(push("\"}"), "\"}]");
        assert_eq!(push("}</tool_call>"), "");
        assert_eq!(push("after"), "after");
    }
}
