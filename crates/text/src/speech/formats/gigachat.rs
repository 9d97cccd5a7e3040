//! `<|message_sep|>` and a role before `{"name": …, "arguments": …}`: GigaChat 3.

use crate::speech::objects::USUAL;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

pub(super) static SPEC: Spec = Spec {
    name: "gigachat",
    is_of: |template| template.contains("<|message_sep|>") && !template.contains("<|function_call|>"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<|message_sep|>\n\nfunction call<|role_sep|>", notations: &[&USUAL] }],
        bare: &[],
        closings: &[],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "<|message_sep|>\n\nfunction call<|role_sep|>\n",
            notation: &USUAL,
            after: "",
            between: "",
            end: "",
        },
    },
    headers: None,
    tokens: &["<|message_sep|>", "<|role_sep|>"],
};
