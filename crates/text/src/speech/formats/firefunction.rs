//! ` functools[{"name": …, "arguments": …}]`: FireFunction.

use crate::speech::objects::USUAL;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

pub(super) static SPEC: Spec = Spec {
    name: "firefunction",
    is_of: |template| template.contains("functools"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "functools", notations: &[&USUAL] }],
        bare: &[],
        closings: &[],
        in_thinking: false,
        written: Written {
            begin: " functools[",
            before: "",
            notation: &USUAL,
            after: "",
            between: ", ",
            end: "]",
        },
    },
    headers: None,
    tokens: &[],
};
