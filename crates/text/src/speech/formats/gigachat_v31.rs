//! `<|function_call|>{"name": …, "arguments": …}`: GigaChat 3.1.

use crate::speech::objects::USUAL;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

pub(super) static SPEC: Spec = Spec {
    name: "gigachat_v31",
    is_of: |template| template.contains("<|function_call|>"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<|function_call|>", notations: &[&USUAL] }],
        bare: &[],
        closings: &[],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "<|function_call|>",
            notation: &USUAL,
            after: "",
            between: "",
            end: "",
        },
    },
    headers: None,
    tokens: &["<|function_call|>"],
};
