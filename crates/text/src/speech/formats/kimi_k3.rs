//! `<|open|>call tool="f" index="1"<|sep|>…<|close|>call<|sep|>`: Kimi K3, whose sections have tags of such tokens.

use crate::speech::spec::{Calls, Opening, Spec, Thinking, Written};
use crate::speech::tags::{FUNCTION, Tags};

static TAGS: Tags = Tags {
    name_ends: &["\""],
    tag_end: "<|sep|>",
    parameter: "<|open|>argument key=\"",
    key_end: "\"",
    value_end: "<|close|>argument<|sep|>",
    value_end_line: "",
    end: "<|close|>call<|sep|>",
    attributes: [" index=\"1\"", " type=\"string\"", " type=\"object\""],
    gap: "",
    ..FUNCTION
};

pub(super) static SPEC: Spec = Spec {
    name: "kimi_k3",
    is_of: |template| template.contains("<|open|>") && template.contains("<|sep|>"),
    thinking: &[Thinking {
        open: "<|open|>think<|sep|>",
        close: &["<|close|>think<|sep|>", "<|open|>response<|sep|>"],
        anywhere: true,
        label: "",
    }],
    silent: &["<|close|>response<|sep|>", "<|close|>message<|sep|>"],
    calls: Calls {
        frames: &["<|open|>tools<|sep|>"],
        openings: &[Opening { mark: "<|open|>call tool=\"", notations: &[&TAGS] }],
        bare: &[],
        closings: &["<|close|>tools<|sep|>"],
        in_thinking: false,
        written: Written {
            begin: "<|open|>tools<|sep|>",
            before: "<|open|>call tool=\"",
            notation: &TAGS,
            after: "",
            between: "",
            end: "<|close|>tools<|sep|>",
        },
    },
    headers: None,
    tokens: &["<|open|>", "<|close|>", "<|sep|>"],
};
