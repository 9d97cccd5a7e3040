//! `<seed:tool_call><function=f><parameter=k>v</parameter></function></seed:tool_call>`: ByteDance's Seed-OSS.

use crate::speech::spec::{Calls, Opening, Spec, Thinking, Written};
use crate::speech::tags::FUNCTION;

pub(super) static SPEC: Spec = Spec {
    name: "seed_oss",
    is_of: |template| template.contains("<seed:tool_call>"),
    thinking: &[Thinking { open: "<seed:think>", close: &["</seed:think>"], anywhere: true, label: "" }],
    silent: &[],
    calls: Calls {
        frames: &["<seed:tool_call>"],
        openings: &[Opening { mark: "<function=", notations: &[&FUNCTION] }],
        bare: &[],
        closings: &["</seed:tool_call>"],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "<seed:tool_call>\n<function=",
            notation: &FUNCTION,
            after: "\n</seed:tool_call>",
            between: "\n",
            end: "",
        },
    },
    headers: None,
    tokens: &["<seed:tool_call>", "</seed:tool_call>", "<seed:think>", "</seed:think>"],
};
