//! `<|tool_call>call:f{k:<|"|>v<|"|>}<tool_call|>`: Gemma 4, whose reasoning is a channel.

use crate::speech::dict::Dict;
use crate::speech::spec::{Calls, Opening, Spec, Thinking, Written};

static DICT: Dict = Dict { prefix: "call:", quote: "<|\"|>" };

pub(super) static SPEC: Spec = Spec {
    name: "gemma4",
    is_of: |template| template.contains("<|tool_call>"),
    thinking: &[Thinking { open: "<|channel>", close: &["<channel|>"], anywhere: true, label: "thought" }],
    silent: &["<turn|>"],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<|tool_call>", notations: &[&DICT] }],
        bare: &[],
        closings: &["<tool_call|>", "<|tool_response>"],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "<|tool_call>",
            notation: &DICT,
            after: "<tool_call|>",
            between: "",
            end: "",
        },
    },
    headers: None,
    tokens: &["<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|\"|>", "<turn|>"],
};
