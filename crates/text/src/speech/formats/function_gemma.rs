//! `<start_function_call>call:f{k:<escape>v<escape>}<end_function_call>`: FunctionGemma.

use crate::speech::dict::Dict;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

static DICT: Dict = Dict { prefix: "call:", quote: "<escape>" };

pub(super) static SPEC: Spec = Spec {
    name: "function_gemma",
    is_of: |template| template.contains("<start_function_call>"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<start_function_call>", notations: &[&DICT] }],
        bare: &[],
        closings: &["<end_function_call>", "<start_function_response>"],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "<start_function_call>",
            notation: &DICT,
            after: "<end_function_call>",
            between: "",
            end: "",
        },
    },
    headers: None,
    tokens: &["<start_function_call>", "<end_function_call>", "<escape>", "<start_function_response>"],
};
