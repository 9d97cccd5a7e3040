//! `{"name": …, "parameters": …}` as the whole answer, or after `<|python_tag|>`, or `<function=f>{…}</function>`: Llama 3.

use crate::speech::named::{Named, PLAIN};
use crate::speech::objects::{Objects, USUAL};
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

static OBJECT: Objects = Objects { arguments: &["parameters", "arguments"], strict: true, ..USUAL };
static NAMED: Named = Named { end: ">", ..PLAIN };

pub(super) static SPEC: Spec = Spec {
    name: "llama",
    is_of: |template| {
        template.contains("<|start_header_id|>")
            && (template.contains("<|python_tag|>") || template.contains("\"parameters\""))
    },
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[
            Opening { mark: "<|python_tag|>", notations: &[&OBJECT] },
            Opening { mark: "<function=", notations: &[&NAMED] },
        ],
        bare: &[&OBJECT],
        closings: &[";", ",", "</function>", "<|eom_id|>", "<|eot_id|>"],
        in_thinking: false,
        written: Written { begin: "", before: "", notation: &OBJECT, after: "", between: "; ", end: "" },
    },
    headers: None,
    tokens: &["<|python_tag|>", "<|eom_id|>", "<|eot_id|>"],
};
