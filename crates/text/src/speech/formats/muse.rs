//! ` to=user<|message|>…<|eot|>`, with calls in tags: Muse. Tags elsewhere than in a message to a tool are text.

use crate::speech::body::{Body, Notation};
use crate::speech::grammar::Lark;
use crate::speech::headers::{Arguments, Headers, Meaning, ThinkingMessage};
use crate::speech::schema::Tool;
use crate::speech::spec::{Calls, Opening, Spec, Written};
use crate::speech::tags::{FUNCTION, Tags};

static TAGS: Tags = Tags {
    name_ends: &["\">"],
    parameter: "<atem:parameter name=\"",
    key_end: "\">",
    value_end: "</atem:parameter>",
    value_end_line: "",
    end: "</atem:invoke>",
    ..FUNCTION
};

pub(super) static SPEC: Spec = Spec {
    name: "muse",
    is_of: |template| template.contains("<atem:function_calls>"),
    thinking: &[],
    silent: &[],
    calls: Calls {
        frames: &["<atem:function_calls>"],
        openings: &[Opening { mark: "<atem:invoke name=\"", notations: &[&TAGS] }],
        bare: &[],
        closings: &["</atem:function_calls>"],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "",
            notation: &Message,
            after: "",
            between: "<|eom|><|start|>assistant",
            end: "",
        },
    },
    headers: Some(Headers {
        begins: &[" to=", "<|message|>"],
        names: false,
        start: &["<|start|>"],
        end: "<|message|>",
        message_ends: &["<|eom|>", "<|eot|>"],
        meaning: |header| match header.rsplit_once(" to=").map(|(_, recipient)| recipient.trim()) {
            Some("self") => Meaning::Reasoning,
            Some("user") | None => Meaning::Content,
            Some(name) => Meaning::Call(name),
        },
        thinking: Some(ThinkingMessage {
            begin: " to=self<|message|>",
            end: "<|eom|>",
            next: "<|start|>assistant to=user<|message|>",
        }),
        arguments: Arguments::Call,
    }),
    tokens: &["<|start|>", "<|message|>", "<|eom|>", "<|eot|>"],
};

/// A call with the header of its message, which has the tool's name as well.
#[derive(Debug)]
struct Message;

impl Notation for Message {
    fn accepts(&self, c: char) -> bool {
        TAGS.accepts(c)
    }

    fn body(&self) -> Box<dyn Body> {
        TAGS.body()
    }

    fn rule(&self, tool: &Tool, lark: &mut Lark<'_>) -> String {
        let header = format!(" to={}<|message|><atem:function_calls>\n<atem:invoke name=\"", tool.name);
        let call = TAGS.rule(tool, lark);
        format!("{} {call} {}", lark.text(&header), lark.text("\n</atem:function_calls>"))
    }
}
