//! ` to=user<|message|>…<|eot|>`, with calls in tags: Muse. Tags elsewhere than in a message to a tool are text.

use crate::speech::headers::{Arguments, Headers, Meaning};
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
        // A header can't be made of what follows it, so that it names no tool in particular.
        written: Written {
            begin: " to=tool<|message|><atem:function_calls>\n",
            before: "<atem:invoke name=\"",
            notation: &TAGS,
            after: "\n",
            between: "",
            end: "</atem:function_calls>",
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
        arguments: Arguments::Call,
    }),
    tokens: &["<|start|>", "<|message|>", "<|eom|>", "<|eot|>"],
};
