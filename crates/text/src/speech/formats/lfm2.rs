//! `<|tool_call_start|>[f(k="v")]<|tool_call_end|>`: LFM 2.

use crate::speech::pythonic::Pythonic;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

static PYTHONIC: Pythonic = Pythonic { list: true };

pub(super) static SPEC: Spec = Spec {
    name: "lfm2",
    is_of: |template| {
        ["<|tool_call_start|>", "<|tool_list_start|>", "List of tools: ["]
            .iter()
            .any(|mark| template.contains(mark))
    },
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<|tool_call_start|>", notations: &[&PYTHONIC] }],
        bare: &[],
        closings: &["<|tool_call_end|>"],
        in_thinking: false,
        written: Written {
            begin: "<|tool_call_start|>[",
            before: "",
            notation: &PYTHONIC,
            after: "",
            between: ", ",
            end: "]<|tool_call_end|>",
        },
    },
    headers: None,
    tokens: &["<|tool_call_start|>", "<|tool_call_end|>", "<think>", "</think>"],
};
