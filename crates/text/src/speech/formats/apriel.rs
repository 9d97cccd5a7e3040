//! `<tool_calls>[{"name": …, "arguments": …}]</tool_calls>`: Apriel, whose reasoning may have words for markers.

use crate::speech::objects::USUAL;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Thinking, Written};

pub(super) static SPEC: Spec = Spec {
    name: "apriel",
    is_of: |template| template.contains("<tool_calls>"),
    thinking: &[
        THINK,
        Thinking {
            open: "Here are my reasoning steps:\n",
            close: &["[BEGIN FINAL RESPONSE]"],
            anywhere: false,
            label: "",
        },
    ],
    silent: &["[END FINAL RESPONSE]", "<|end|>"],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<tool_calls>", notations: &[&USUAL] }],
        bare: &[],
        closings: &["</tool_calls>"],
        in_thinking: false,
        written: Written {
            begin: "<tool_calls>[",
            before: "",
            notation: &USUAL,
            after: "",
            between: ", ",
            end: "]</tool_calls>",
        },
    },
    headers: None,
    tokens: &["<tool_calls>", "</tool_calls>", "[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]", "<|end|>"],
};
