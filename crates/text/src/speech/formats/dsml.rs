//! `<｜DSML｜invoke name="f"><｜DSML｜parameter name="k" string="true">v</｜DSML｜parameter></｜DSML｜invoke>`: DeepSeek 3.2
//! and 4. The tag of a value says whether it is text.

use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};
use crate::speech::tags::{FUNCTION, Tags};

static TAGS: Tags = Tags {
    name_ends: &["\""],
    tag_end: ">",
    parameter: "<｜DSML｜parameter name=\"",
    key_end: "\"",
    value_end: "</｜DSML｜parameter>",
    value_end_line: "",
    end: "</｜DSML｜invoke>",
    attributes: ["", " string=\"true\"", " string=\"false\""],
    ..FUNCTION
};

pub(super) static SPEC: Spec = Spec {
    name: "dsml",
    is_of: |template| template.contains("DSML"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &["<｜DSML｜function_calls>", "<｜DSML｜tool_calls>"],
        openings: &[Opening { mark: "<｜DSML｜invoke name=\"", notations: &[&TAGS] }],
        bare: &[],
        closings: &["</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"],
        in_thinking: true,
        written: Written {
            begin: "<｜DSML｜function_calls>\n",
            before: "<｜DSML｜invoke name=\"",
            notation: &TAGS,
            after: "\n",
            between: "",
            end: "</｜DSML｜function_calls>",
        },
    },
    headers: None,
    tokens: &["｜DSML｜", "<think>", "</think>"],
};
