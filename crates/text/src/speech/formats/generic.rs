//! `{"tool_calls": [{"name": …, "arguments": …}]}`, `{"tool_call": {…}}`, the object alone, or `{"response": …}`: for
//! models whose templates know nothing of tools.

use crate::speech::objects::{Objects, USUAL};
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

static OBJECT: Objects = Objects { strict: true, ..USUAL };

pub(super) static SPEC: Spec = Spec {
    name: "generic",
    is_of: |_| true,
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<tool_call>", notations: &[&USUAL] }],
        bare: &[&OBJECT],
        closings: &["</tool_call>"],
        in_thinking: false,
        written: Written {
            begin: "{\"tool_calls\": [",
            before: "",
            notation: &USUAL,
            after: "",
            between: ", ",
            end: "]}",
        },
    },
    headers: None,
    tokens: &["<tool_call>", "</tool_call>", "<think>", "</think>"],
};
