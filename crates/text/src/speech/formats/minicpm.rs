//! `<function name="f"><param name="k">v</param></function>`: MiniCPM 5.

use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};
use crate::speech::tags::{FUNCTION, Tags};

static TAGS: Tags = Tags {
    name_ends: &["\">"],
    parameter: "<param name=\"",
    key_end: "\">",
    value_end: "</param>",
    value_end_line: "",
    cdata: true,
    gap: "",
    ..FUNCTION
};

pub(super) static SPEC: Spec = Spec {
    name: "minicpm",
    is_of: |template| template.contains("<function name=") && template.contains("<param name="),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<function name=\"", notations: &[&TAGS] }],
        bare: &[],
        closings: &[],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "<function name=\"",
            notation: &TAGS,
            after: "",
            between: "\n",
            end: "",
        },
    },
    headers: None,
    tokens: &["<think>", "</think>"],
};
