//! `Action:` and a list in a block of code: Command R+.

use crate::speech::objects::{Objects, USUAL};
use crate::speech::spec::{Calls, Opening, Spec, Written};

static OBJECTS: Objects =
    Objects { name: &["tool_name"], arguments: &["parameters"], fence: "```json", ..USUAL };

pub(super) static SPEC: Spec = Spec {
    name: "command_r_plus",
    is_of: |template| template.contains("<|CHATBOT_TOKEN|>") && template.contains("Action:"),
    thinking: &[],
    silent: &["<|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>"],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "Action:", notations: &[&OBJECTS] }],
        bare: &[],
        closings: &["```"],
        in_thinking: false,
        written: Written {
            begin: "Action:\n```json\n[",
            before: "",
            notation: &OBJECTS,
            after: "",
            between: ", ",
            end: "]\n```",
        },
    },
    headers: None,
    tokens: &["<|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>"],
};
