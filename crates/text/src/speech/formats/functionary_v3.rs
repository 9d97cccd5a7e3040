//! `>>>f` with the arguments on the next line, and `>>>all` with what the user gets: Functionary 3.2.

use crate::speech::headers::{Arguments, Headers, Meaning};
use crate::speech::named::Named;
use crate::speech::named::PLAIN;
use crate::speech::objects::USUAL;
use crate::speech::spec::{Calls, Spec, Written};

static WRITTEN: Named = Named { end: "\n", ..PLAIN };

pub(super) static SPEC: Spec = Spec {
    name: "functionary_v3",
    is_of: |template| template.contains(">>>all"),
    thinking: &[],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[],
        bare: &[&USUAL],
        closings: &[],
        in_thinking: false,
        // The prompt ends with the first marker.
        written: Written { begin: "", before: "", notation: &WRITTEN, after: "", between: ">>>", end: "" },
    },
    headers: Some(Headers {
        begins: &["all\n"],
        names: true,
        start: &[">>>"],
        end: "\n",
        message_ends: &["<|eot_id|>"],
        meaning: |header| match header.trim_start_matches(">>>").trim() {
            "all" => Meaning::Content,
            name => Meaning::Call(name),
        },
        thinking: None,
        arguments: Arguments::Object(&PLAIN),
    }),
    tokens: &["<|eot_id|>"],
};
