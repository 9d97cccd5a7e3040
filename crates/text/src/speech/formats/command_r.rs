//! `<|START_ACTION|>[{"tool_call_id": …, "tool_name": …, "parameters": …}]<|END_ACTION|>`: Command R7B, A, and North.

use crate::speech::objects::{Objects, USUAL};
use crate::speech::spec::{Calls, Opening, Spec, Thinking, Written};

static OBJECTS: Objects = Objects { name: &["tool_name"], arguments: &["parameters"], ..USUAL };

pub(super) static SPEC: Spec = Spec {
    name: "command_r",
    is_of: |template| template.contains("<|START_ACTION|>"),
    thinking: &[Thinking {
        open: "<|START_THINKING|>",
        close: &["<|END_THINKING|>"],
        anywhere: true,
        label: "",
    }],
    silent: &[
        "<|START_RESPONSE|>",
        "<|END_RESPONSE|>",
        "<|START_TEXT|>",
        "<|END_TEXT|>",
        "<|CHATBOT_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
    ],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<|START_ACTION|>", notations: &[&OBJECTS] }],
        bare: &[],
        closings: &["<|END_ACTION|>"],
        in_thinking: false,
        written: Written {
            begin: "<|START_ACTION|>[",
            before: "",
            notation: &OBJECTS,
            after: "",
            between: ", ",
            end: "]<|END_ACTION|>",
        },
    },
    headers: None,
    tokens: &[
        "<|START_ACTION|>",
        "<|END_ACTION|>",
        "<|START_THINKING|>",
        "<|END_THINKING|>",
        "<|START_RESPONSE|>",
        "<|END_RESPONSE|>",
        "<|START_TEXT|>",
        "<|END_TEXT|>",
    ],
};
