//! `<tool_call>{"name": …, "arguments": …}</tool_call>`: Hermes, Qwen 2.5 and 3, Granite 4, SmolLM and many others.
//! In reasoning such a call is one that is thought about.

use crate::speech::objects::USUAL;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

pub(super) static SPEC: Spec = Spec {
    name: "hermes",
    is_of: |template| template.contains("<tool_call>"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<tool_call>", notations: &[&USUAL] }],
        bare: &[],
        closings: &["</tool_call>"],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "<tool_call>\n",
            notation: &USUAL,
            after: "\n</tool_call>",
            between: "\n",
            end: "",
        },
    },
    headers: None,
    tokens: &["<tool_call>", "</tool_call>", "<think>", "</think>"],
};
