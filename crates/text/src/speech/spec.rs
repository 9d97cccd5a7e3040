//! What a format is made of.

use super::body::Notation;
use super::headers::Headers;

/// How a family of models writes reasoning, calls and what frames them.
#[derive(Debug)]
pub(super) struct Spec {
    /// Its name for users.
    pub(super) name: &'static str,
    /// Whether a chat template is of such a model. The first format of the table that says so is taken.
    pub(super) is_of: fn(template: &str) -> bool,
    /// How reasoning is marked.
    pub(super) thinking: &'static [Thinking],
    /// Markers around content, which are never shown.
    pub(super) silent: &'static [&'static str],
    /// How calls are written.
    pub(super) calls: Calls,
    /// Where an answer consists of messages with headers, what those say.
    pub(super) headers: Option<Headers>,
    /// The markers that are single special tokens in the vocabularies of such models.
    pub(super) tokens: &'static [&'static str],
}

/// Markers of reasoning.
#[derive(Debug)]
pub(super) struct Thinking {
    pub(super) open: &'static str,
    pub(super) close: &'static [&'static str],
    /// Whether it may begin after content. What is plain text begins it only before any content, lest an answer
    /// about such markers be torn apart.
    pub(super) anywhere: bool,
    /// A word after the opening marker that is no part of the reasoning.
    pub(super) label: &'static str,
}

/// `<think>…</think>` at the beginning of an answer, which models of all families write.
pub(super) const THINK: Thinking =
    Thinking { open: "<think>", close: &["</think>"], anywhere: false, label: "" };

/// How calls are written.
#[derive(Debug)]
pub(super) struct Calls {
    /// Markers around a group of calls, after which only an opening can follow.
    pub(super) frames: &'static [&'static str],
    /// Markers that begin a call, each with the notations that may follow.
    pub(super) openings: &'static [Opening],
    /// Notations that need no marker at the beginning of an answer or after a call.
    pub(super) bare: &'static [&'static dyn Notation],
    /// What may follow a call and belongs to it.
    pub(super) closings: &'static [&'static str],
    /// Whether a call may begin within reasoning, which it ends.
    pub(super) in_thinking: bool,
    /// How calls are written when they are forced.
    pub(super) written: Written,
}

/// A marker that begins a call.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) mark: &'static str,
    pub(super) notations: &'static [&'static dyn Notation],
}

/// The texts around calls, the way that the model's own template writes them.
#[derive(Debug)]
pub(super) struct Written {
    /// Before all calls.
    pub(super) begin: &'static str,
    /// Before each.
    pub(super) before: &'static str,
    pub(super) notation: &'static dyn Notation,
    /// After each.
    pub(super) after: &'static str,
    /// Between two.
    pub(super) between: &'static str,
    /// After all.
    pub(super) end: &'static str,
}
