//! Tags with a name space, in which the key is the tag and values nest: MiniMax M3.

use crate::speech::spec::{Calls, Opening, Spec, Thinking, Written};
use crate::speech::tags::{FUNCTION, Tags};

static TAGS: Tags = Tags {
    name_ends: &["\">"],
    parameter: "]<]minimax[>[<",
    key_end: ">",
    value_end: "",
    value_end_line: "",
    end: "]<]minimax[>[</invoke>",
    key_is_tag: true,
    gap: "",
    ..FUNCTION
};

pub(super) static SPEC: Spec = Spec {
    name: "minimax_m3",
    is_of: |template| template.contains("]<]minimax[>["),
    thinking: &[Thinking { open: "<mm:think>", close: &["</mm:think>"], anywhere: false, label: "" }],
    silent: &[],
    calls: Calls {
        frames: &["]<]minimax[>[<tool_call>"],
        openings: &[Opening { mark: "]<]minimax[>[<invoke name=\"", notations: &[&TAGS] }],
        bare: &[],
        closings: &["]<]minimax[>[</tool_call>"],
        in_thinking: false,
        written: Written {
            begin: "]<]minimax[>[<tool_call>\n",
            before: "]<]minimax[>[<invoke name=\"",
            notation: &TAGS,
            after: "\n",
            between: "",
            end: "]<]minimax[>[</tool_call>",
        },
    },
    headers: None,
    tokens: &["]<]minimax[>[", "<mm:think>", "</mm:think>"],
};
