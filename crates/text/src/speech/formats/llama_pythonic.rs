//! `[f(k="v"), g()]` as the whole answer: Llama 3.2 and 4 with tools of that kind.

use crate::speech::pythonic::Pythonic;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

static PYTHONIC: Pythonic = Pythonic { list: true };

pub(super) static SPEC: Spec = Spec {
    name: "llama_pythonic",
    is_of: |template| template.contains("func_name1("),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<|python_start|>", notations: &[&PYTHONIC] }],
        bare: &[&PYTHONIC],
        closings: &["<|python_end|>", "<|eom|>", "<|eot|>"],
        in_thinking: false,
        written: Written { begin: "[", before: "", notation: &PYTHONIC, after: "", between: ", ", end: "]" },
    },
    headers: None,
    tokens: &["<|python_start|>", "<|python_end|>", "<|eom|>", "<|eot|>"],
};
