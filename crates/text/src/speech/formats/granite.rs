//! `<|tool_call|>[{"name": …, "arguments": …}]`: Granite 3, Phi 4.

use crate::speech::objects::USUAL;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

pub(super) static SPEC: Spec = Spec {
    name: "granite",
    is_of: |template| template.contains("<|tool_call|>"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<|tool_call|>", notations: &[&USUAL] }],
        bare: &[],
        closings: &["<|/tool_call|>"],
        in_thinking: false,
        written: Written {
            begin: "<|tool_call|>[",
            before: "",
            notation: &USUAL,
            after: "",
            between: ", ",
            end: "]",
        },
    },
    headers: None,
    tokens: &["<|tool_call|>", "<|/tool_call|>"],
};
