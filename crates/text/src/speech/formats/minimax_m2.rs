//! `<minimax:tool_call><invoke name="f"><parameter name="k">v</parameter></invoke></minimax:tool_call>`: MiniMax M2.

use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};
use crate::speech::tags::{FUNCTION, Tags};

static TAGS: Tags = Tags {
    name_ends: &["\">"],
    parameter: "<parameter name=\"",
    key_end: "\">",
    value_end_line: "",
    end: "</invoke>",
    ..FUNCTION
};

pub(super) static SPEC: Spec = Spec {
    name: "minimax_m2",
    is_of: |template| template.contains("<minimax:tool_call>"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &["<minimax:tool_call>"],
        openings: &[Opening { mark: "<invoke name=\"", notations: &[&TAGS] }],
        bare: &[],
        closings: &["</minimax:tool_call>"],
        in_thinking: false,
        written: Written {
            begin: "<minimax:tool_call>\n",
            before: "<invoke name=\"",
            notation: &TAGS,
            after: "\n",
            between: "",
            end: "</minimax:tool_call>",
        },
    },
    headers: None,
    tokens: &["<minimax:tool_call>", "</minimax:tool_call>", "<think>", "</think>"],
};
