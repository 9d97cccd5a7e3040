//! `<tool_call><function=f><parameter=k>v</parameter></function></tool_call>`: Qwen 3 Coder and 3.5, Nemotron 3, Step.
//! The first marker is left out now and then, and a call may come without an end of the reasoning before it.

use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};
use crate::speech::tags::FUNCTION;

pub(super) static SPEC: Spec = Spec {
    name: "qwen_coder",
    is_of: |template| template.contains("<function=") && template.contains("<parameter="),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &["<tool_call>"],
        openings: &[Opening { mark: "<function=", notations: &[&FUNCTION] }],
        bare: &[],
        closings: &["</tool_call>"],
        in_thinking: true,
        written: Written {
            begin: "",
            before: "<tool_call>\n<function=",
            notation: &FUNCTION,
            after: "\n</tool_call>",
            between: "\n",
            end: "",
        },
    },
    headers: None,
    tokens: &["<tool_call>", "</tool_call>", "<think>", "</think>"],
};
