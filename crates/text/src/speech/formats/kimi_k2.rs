//! `<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{…}<|tool_call_end|>`: Kimi K2. The id is made of the name
//! and a number. Markers around calls are left out now and then, and the end of the reasoning before them.

use crate::speech::named::{Named, PLAIN};
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

static NAMED: Named =
    Named { prefix: "functions.", end: "<|tool_call_argument_begin|>", counted: true, ..PLAIN };

pub(super) static SPEC: Spec = Spec {
    name: "kimi_k2",
    is_of: |template| template.contains("<|tool_call_argument_begin|>"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &["<|tool_calls_section_begin|>"],
        openings: &[Opening { mark: "<|tool_call_begin|>", notations: &[&NAMED] }],
        bare: &[],
        closings: &["<|tool_call_end|>", "<|tool_calls_section_end|>"],
        in_thinking: true,
        written: Written {
            begin: "<|tool_calls_section_begin|>",
            before: "<|tool_call_begin|>",
            notation: &NAMED,
            after: "<|tool_call_end|>",
            between: "",
            end: "<|tool_calls_section_end|>",
        },
    },
    headers: None,
    tokens: &[
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_end|>",
        "<|tool_call_begin|>",
        "<|tool_call_argument_begin|>",
        "<|tool_call_end|>",
        "<think>",
        "</think>",
    ],
};
