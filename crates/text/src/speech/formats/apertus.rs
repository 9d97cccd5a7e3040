//! `<|tools_prefix|>[{"f": {…}}]<|tools_suffix|>`: Apertus.

use crate::speech::objects::{Objects, USUAL};
use crate::speech::spec::{Calls, Opening, Spec, Thinking, Written};

static OBJECTS: Objects = Objects { name_is_key: true, ..USUAL };

pub(super) static SPEC: Spec = Spec {
    name: "apertus",
    is_of: |template| template.contains("<|tools_prefix|>"),
    thinking: &[Thinking {
        open: "<|inner_prefix|>",
        close: &["<|inner_suffix|>"],
        anywhere: true,
        label: "",
    }],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<|tools_prefix|>", notations: &[&OBJECTS] }],
        bare: &[],
        closings: &["<|tools_suffix|>"],
        in_thinking: false,
        written: Written {
            begin: "<|tools_prefix|>[",
            before: "",
            notation: &OBJECTS,
            after: "",
            between: ", ",
            end: "]<|tools_suffix|>",
        },
    },
    headers: None,
    tokens: &["<|tools_prefix|>", "<|tools_suffix|>", "<|inner_prefix|>", "<|inner_suffix|>"],
};
