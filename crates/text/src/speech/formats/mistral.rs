//! `[TOOL_CALLS][{"name": …, "arguments": …, "id": …}]` and, of newer models, `[TOOL_CALLS]f[CALL_ID]i[ARGS]{…}`: Mistral.

use crate::speech::named::{Named, PLAIN};
use crate::speech::objects::{Objects, USUAL};
use crate::speech::spec::{Calls, Opening, Spec, THINK, Thinking, Written};

static OBJECTS: Objects = Objects { id_last: true, ..USUAL };
static NAMED: Named = Named { id: "[CALL_ID]", end: "[ARGS]", ..PLAIN };
static WRITTEN: Named = Named { end: "[ARGS]", ..PLAIN };

pub(super) static SPEC: Spec = Spec {
    name: "mistral",
    is_of: |template| template.contains("[TOOL_CALLS]") && template.contains("[ARGS]"),
    thinking: THINKING,
    silent: &[],
    calls: Calls {
        written: Written {
            begin: "",
            before: "[TOOL_CALLS]",
            notation: &WRITTEN,
            after: "",
            between: "",
            end: "",
        },
        ..CALLS
    },
    headers: None,
    tokens: TOKENS,
};

/// The same with calls that are written as a list of objects.
pub(super) static LIST: Spec = Spec {
    name: "mistral_list",
    is_of: |template| template.contains("[TOOL_CALLS]"),
    thinking: THINKING,
    silent: &[],
    calls: CALLS,
    headers: None,
    tokens: TOKENS,
};

const THINKING: &[Thinking] =
    &[THINK, Thinking { open: "[THINK]", close: &["[/THINK]"], anywhere: true, label: "" }];

const CALLS: Calls = Calls {
    frames: &[],
    openings: &[Opening { mark: "[TOOL_CALLS]", notations: &[&OBJECTS, &NAMED] }],
    bare: &[],
    closings: &[],
    in_thinking: false,
    written: Written {
        begin: "[TOOL_CALLS][",
        before: "",
        notation: &OBJECTS,
        after: "",
        between: ", ",
        end: "]",
    },
};

const TOKENS: &[&str] = &["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"];
