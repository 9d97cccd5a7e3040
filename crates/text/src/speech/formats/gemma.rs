//! A call of Python, or an object, in a block of code: Gemma 2 and 3, which have no notation of their own.

use crate::speech::fenced::Fenced;
use crate::speech::objects::{Objects, USUAL};
use crate::speech::pythonic::Pythonic;
use crate::speech::spec::{Calls, Opening, Spec, THINK, Written};

static PYTHONIC: Pythonic = Pythonic { list: false };
static LIST: Pythonic = Pythonic { list: true };
static OBJECT: Objects = Objects { strict: true, ..USUAL };

pub(super) static SPEC: Spec = Spec {
    name: "gemma",
    is_of: |template| template.contains("<start_of_turn>"),
    thinking: &[THINK],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[
            Opening {
                mark: "```tool_code",
                notations: &[&Fenced(&LIST), &Fenced(&OBJECT), &Fenced(&PYTHONIC)],
            },
            Opening { mark: "```json", notations: &[&Fenced(&OBJECT)] },
        ],
        bare: &[&OBJECT],
        closings: &[],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "```tool_code\n",
            notation: &PYTHONIC,
            after: "\n```",
            between: "\n",
            end: "",
        },
    },
    headers: None,
    tokens: &[],
};
