//! `<|channel|>analysis<|message|>…<|end|>` and so on: GPT-OSS. A message's header has its channel and to whom it goes;
//! the arguments of a call are a message to `functions.f`.

use crate::speech::headers::{Arguments, Headers, Meaning, ThinkingMessage};
use crate::speech::named::{Named, PLAIN};
use crate::speech::spec::{Calls, Spec, Written};

static WRITTEN: Named = Named { prefix: "functions.", end: " <|constrain|>json<|message|>", ..PLAIN };

pub(super) static SPEC: Spec = Spec {
    name: "harmony",
    is_of: |template| template.contains("<|channel|>") && template.contains("<|message|>"),
    thinking: &[],
    silent: &[],
    calls: Calls {
        frames: &[],
        openings: &[],
        bare: &[],
        closings: &[],
        in_thinking: false,
        written: Written {
            begin: "",
            before: "<|channel|>commentary to=",
            notation: &WRITTEN,
            after: "<|call|>",
            between: "<|start|>assistant",
            end: "",
        },
    },
    headers: Some(Headers {
        begins: &[" to=", "<|channel|>", "<|message|>"],
        names: false,
        start: &["<|start|>", "<|channel|>"],
        end: "<|message|>",
        message_ends: &["<|end|>", "<|call|>", "<|return|>"],
        meaning,
        thinking: Some(ThinkingMessage {
            begin: "<|channel|>analysis<|message|>",
            end: "<|end|>",
            next: "<|start|>assistant<|channel|>final<|message|>",
        }),
        arguments: Arguments::Object(&PLAIN),
    }),
    tokens: &[
        "<|start|>",
        "<|channel|>",
        "<|constrain|>",
        "<|message|>",
        "<|end|>",
        "<|call|>",
        "<|return|>",
    ],
};

fn meaning(header: &str) -> Meaning<'_> {
    let word = |text: &'static str| {
        let (_, after) = header.rsplit_once(text)?;
        Some(after.split(|c: char| c == '<' || c.is_whitespace()).next().unwrap_or(""))
    };
    match (word(" to="), word("<|channel|>")) {
        (Some(recipient), _) if !matches!(recipient, "assistant" | "user" | "all" | "") => {
            Meaning::Call(recipient.strip_prefix("functions.").unwrap_or(recipient))
        }
        (_, Some("analysis")) => Meaning::Reasoning,
        _ => Meaning::Content,
    }
}
