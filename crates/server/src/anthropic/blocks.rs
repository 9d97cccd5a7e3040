//! The blocks of an answer: its thoughts, its texts and the tools that it wants used, whole or one after the other.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer::{StreamEvent, send};
use crate::running::Piece;
use crate::speech::{CallBegun, CallPiece};
use crate::stream::Frames;

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AnthropicContentBlock)]
pub(crate) enum ContentBlock {
    /// What the model thought.
    Thinking {
        thinking: String,
        /// Always empty: thoughts are not checked when they come back.
        signature: String,
    },
    Text {
        text: String,
    },
    /// A call for the client to run.
    ToolUse {
        id: String,
        name: String,
        #[schema(value_type = Object)]
        input: Map<String, Value>,
    },
}

/// What is added to a part.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AnthropicBlockDelta)]
#[allow(clippy::enum_variant_names, reason = "these are the API's own words")]
pub(crate) enum BlockDelta {
    ThinkingDelta { thinking: String },
    SignatureDelta { signature: String },
    TextDelta { text: String },
    InputJsonDelta { partial_json: String },
}

/// The blocks of a whole answer. A call whose input did not come to its end is none.
pub(super) fn whole(piece: Piece) -> Vec<ContentBlock> {
    let Piece { text, reasoning, calls, .. } = piece;
    let mut blocks = Vec::new();
    if !reasoning.is_empty() {
        blocks.push(ContentBlock::Thinking { thinking: reasoning, signature: String::new() });
    }
    if !text.is_empty() {
        blocks.push(ContentBlock::Text { text });
    }
    blocks.extend(calls.into_iter().filter_map(|call| {
        let CallBegun { id, name } = call.begun?;
        let input = serde_json::from_str(&call.arguments).ok()?;
        Some(ContentBlock::ToolUse { id, name, input })
    }));
    if blocks.is_empty() {
        blocks.push(ContentBlock::Text { text: String::new() });
    }
    blocks
}

/// The blocks of a stream so far.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// How many have begun.
    count: usize,
    open: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thinking,
    Text,
    /// The call with this number.
    Call(usize),
}

impl Blocks {
    /// Tells more of an answer.
    pub(super) fn piece(&mut self, piece: Piece, out: &mut Frames) {
        if !piece.reasoning.is_empty() {
            let thinking = |thinking| ContentBlock::Thinking { thinking, signature: String::new() };
            self.go_to(Kind::Thinking, || thinking(String::new()), out);
            self.delta(BlockDelta::ThinkingDelta { thinking: piece.reasoning }, out);
        }
        if !piece.text.is_empty() {
            self.go_to(Kind::Text, empty_text, out);
            self.delta(BlockDelta::TextDelta { text: piece.text }, out);
        }
        for CallPiece { index, begun, arguments, .. } in piece.calls {
            if let Some(CallBegun { id, name }) = begun {
                self.go_to(Kind::Call(index), || ContentBlock::ToolUse { id, name, input: Map::new() }, out);
            }
            if !arguments.is_empty() {
                self.delta(BlockDelta::InputJsonDelta { partial_json: arguments }, out);
            }
        }
    }

    /// Tells that the last one has ended. An answer without any has an empty text.
    pub(super) fn end(&mut self, out: &mut Frames) {
        if self.count == 0 {
            self.go_to(Kind::Text, empty_text, out);
        }
        self.stop(out);
    }

    fn go_to(&mut self, kind: Kind, block: impl FnOnce() -> ContentBlock, out: &mut Frames) {
        if self.open == Some(kind) {
            return;
        }
        self.stop(out);
        self.open = Some(kind);
        self.count += 1;
        send(out, &StreamEvent::ContentBlockStart { index: self.count - 1, content_block: block() });
    }

    fn delta(&self, delta: BlockDelta, out: &mut Frames) {
        send(out, &StreamEvent::ContentBlockDelta { index: self.count.saturating_sub(1), delta });
    }

    fn stop(&mut self, out: &mut Frames) {
        let Some(kind) = self.open.take() else { return };
        if kind == Kind::Thinking {
            self.delta(BlockDelta::SignatureDelta { signature: String::new() }, out);
        }
        send(out, &StreamEvent::ContentBlockStop { index: self.count - 1 });
    }
}

fn empty_text() -> ContentBlock {
    ContentBlock::Text { text: String::new() }
}
