//! `<function=f>{…}</function>`: Functionary 3.1.

use crate::speech::named::{Named, PLAIN};
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

static NAMED: Named = Named { end: ">", ..PLAIN };

pub(super) static SPEC: Spec = Spec {
    name: "functionary",
    is_of: |template| template.contains("<function=") && !template.contains("<parameter="),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<function=", notations: &[&NAMED] }],
        bare: &[],
        closings: &["</function>"],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "<function=",
            notation: &NAMED,
            after: "</function>",
            between: "",
            end: "",
        },
    },
    headers: None,
    tokens: &["<|python_tag|>"],
};
