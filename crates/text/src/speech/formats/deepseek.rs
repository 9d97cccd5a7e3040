//! `<｜tool▁call▁begin｜>f<｜tool▁sep｜>{…}<｜tool▁call▁end｜>`: DeepSeek 3.1; and 3 and R1, which write `function` in the
//! name's place, and then the name, and the arguments in a block of code.

use crate::speech::named::{Named, PLAIN};
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

static NAMED: Named = Named { kind: "function", end: "<｜tool▁sep｜>", fence: "```json", ..PLAIN };
static WRITTEN: Named = Named { end: "<｜tool▁sep｜>", ..PLAIN };

pub(super) static SPEC: Spec = Spec {
    name: "deepseek",
    is_of: |template| template.contains("<｜tool▁call▁begin｜>"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &["<｜tool▁calls▁begin｜>"],
        openings: &[Opening { mark: "<｜tool▁call▁begin｜>", notations: &[&NAMED] }],
        bare: &[],
        closings: &["```", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"],
        in_thinking: false,
        written: Written {
            begin: "<｜tool▁calls▁begin｜>",
            before: "<｜tool▁call▁begin｜>",
            notation: &WRITTEN,
            after: "<｜tool▁call▁end｜>",
            between: "",
            end: "<｜tool▁calls▁end｜>",
        },
    },
    headers: None,
    tokens: &[
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>",
        "<think>",
        "</think>",
    ],
};
