//! `<tool_call>f<arg_key>k</arg_key><arg_value>v</arg_value></tool_call>`: GLM 4.5 to 4.7, Ling 3, Spark, Laguna.

use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};
use crate::speech::tags::{FUNCTION, Tags};

static TAGS: Tags = Tags {
    name_ends: &["<arg_key>", "\n", "</tool_call>"],
    parameter: "<arg_key>",
    key_end: "</arg_key>",
    value: "<arg_value>",
    value_end: "</arg_value>",
    value_end_line: "",
    end: "</tool_call>",
    ..FUNCTION
};

pub(super) static SPEC: Spec = Spec {
    name: "glm",
    is_of: |template| template.contains("<arg_key>"),
    thinking: &[THINK],
    silent: &["<|role_end|>"],
    calls: Calls {
        frames: &[],
        openings: &[Opening { mark: "<tool_call>", notations: &[&TAGS] }],
        bare: &[],
        closings: &[],
        in_thinking: true,
        written: Written {
            begin: "",
            before: "<tool_call>",
            notation: &TAGS,
            after: "",
            between: "\n",
            end: "",
        },
    },
    headers: None,
    tokens: &[
        "<tool_call>",
        "</tool_call>",
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
        "<think>",
        "</think>",
        "<|role_end|>",
    ],
};
