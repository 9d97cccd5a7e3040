//! `<TOOLCALL>[{"name": …, "arguments": …}]</TOOLCALL>`: Nemotron Nano 2.

use crate::speech::objects::USUAL;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

pub(super) static SPEC: Spec = Spec {
    name: "nemotron",
    is_of: |template| template.contains("<TOOLCALL>"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<TOOLCALL>", notations: &[&USUAL] }],
        bare: &[],
        closings: &["</TOOLCALL>"],
        in_thinking: false,
        written: Written {
            begin: "<TOOLCALL>[",
            before: "",
            notation: &USUAL,
            after: "",
            between: ", ",
            end: "]</TOOLCALL>",
        },
    },
    headers: None,
    tokens: &["<TOOLCALL>", "</TOOLCALL>", "<think>", "</think>"],
};
