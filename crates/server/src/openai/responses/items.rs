//! What a response consists of: thoughts, messages and calls, one after the other.
//!
//! [`Items`] takes an answer's pieces and says which items begin, grow and end; how that is written is [`super::answer`]'s.

use super::super::logprobs::TokenLogprob;
use super::super::new_id;
use super::object::{FunctionCall, OutputItem, OutputMessage, OutputText, Reasoning, ReasoningText};
use crate::error::ApiError;
use crate::model::ServedModel;
use crate::running::Piece;
use crate::speech::{CallBegun, CallPiece};

/// The items of an answer so far. All but the last one have ended.
pub(super) struct Items {
    /// What the ids of items begin with, behind the word for their kind.
    id: String,
    list: Vec<Item>,
    /// Whether the last one goes on.
    is_open: bool,
    /// Beside tokens that brought no text yet.
    waiting: Vec<TokenLogprob>,
    wants_logprobs: bool,
}

/// What is said.
#[derive(Debug)]
enum Item {
    Reasoning { text: String },
    Message { text: String, logprobs: Vec<TokenLogprob> },
    Call { begun: CallBegun, arguments: String, is_whole: bool },
}

/// What happens to an item, which is the last one then.
#[derive(Debug)]
pub(super) enum Change {
    Begins,
    Text { delta: String, logprobs: Vec<TokenLogprob> },
    Thought { delta: String },
    Arguments { delta: String },
    Ends,
}

impl Items {
    pub(super) fn new(wants_logprobs: bool) -> Result<Self, ApiError> {
        Ok(Items { id: new_id("_")?, list: Vec::new(), is_open: false, waiting: Vec::new(), wants_logprobs })
    }

    /// Takes more of the answer. `tell` is called for each change, after it has happened.
    pub(super) fn take(&mut self, piece: Piece, model: &ServedModel, tell: &mut dyn FnMut(&Items, Change)) {
        if self.wants_logprobs {
            self.waiting.extend(TokenLogprob::of(&piece.tokens, model));
        }
        if !piece.reasoning.is_empty() {
            if !matches!(self.open(), Some(Item::Reasoning { .. })) {
                self.begin(Item::Reasoning { text: String::new() }, tell);
            }
            if let Some(Item::Reasoning { text }) = self.list.last_mut() {
                text.push_str(&piece.reasoning);
            }
            tell(self, Change::Thought { delta: piece.reasoning });
        }
        let in_message = matches!(self.open(), Some(Item::Message { .. }));
        if !piece.text.is_empty() || (in_message && !self.waiting.is_empty() && piece.calls.is_empty()) {
            self.message(piece.text, tell);
        }
        for call in piece.calls {
            self.call(call, tell);
        }
    }

    /// The end of the answer. One without any item has an empty message.
    pub(super) fn end(&mut self, tell: &mut dyn FnMut(&Items, Change)) {
        if self.list.is_empty() {
            self.begin(Item::Message { text: String::new(), logprobs: Vec::new() }, tell);
            if !self.waiting.is_empty() {
                self.message(String::new(), tell);
            }
        }
        self.close(tell);
    }

    fn message(&mut self, delta: String, tell: &mut dyn FnMut(&Items, Change)) {
        if !matches!(self.open(), Some(Item::Message { .. })) {
            self.begin(Item::Message { text: String::new(), logprobs: Vec::new() }, tell);
        }
        let more = std::mem::take(&mut self.waiting);
        if let Some(Item::Message { text, logprobs }) = self.list.last_mut() {
            text.push_str(&delta);
            logprobs.extend_from_slice(&more);
        }
        tell(self, Change::Text { delta, logprobs: more });
    }

    fn call(&mut self, piece: CallPiece, tell: &mut dyn FnMut(&Items, Change)) {
        if let Some(begun) = piece.begun {
            self.begin(Item::Call { begun, arguments: String::new(), is_whole: false }, tell);
        }
        if let Some(Item::Call { arguments, is_whole, .. }) = self.list.last_mut() {
            arguments.push_str(&piece.arguments);
            *is_whole |= piece.ended == Some(true);
        }
        if !piece.arguments.is_empty() {
            tell(self, Change::Arguments { delta: piece.arguments });
        }
        if piece.ended.is_some() {
            self.close(tell);
        }
    }

    fn open(&self) -> Option<&Item> {
        self.list.last().filter(|_| self.is_open)
    }

    fn begin(&mut self, item: Item, tell: &mut dyn FnMut(&Items, Change)) {
        self.close(tell);
        self.list.push(item);
        self.is_open = true;
        tell(self, Change::Begins);
    }

    fn close(&mut self, tell: &mut dyn FnMut(&Items, Change)) {
        if self.is_open {
            self.is_open = false;
            tell(self, Change::Ends);
        }
    }

    /// The number of the last item.
    pub(super) fn last_index(&self) -> usize {
        self.list.len().saturating_sub(1)
    }

    /// The last item as it stands. `status` is that of a message.
    pub(super) fn last(&self, status: &'static str) -> OutputItem {
        self.item(self.last_index(), status)
    }

    /// All items. `status` is that of the response, which only the last message shares.
    pub(super) fn output(&self, status: &'static str) -> Vec<OutputItem> {
        let status_of = |index: usize| if index == self.last_index() { status } else { "completed" };
        (0..self.list.len()).map(|index| self.item(index, status_of(index))).collect()
    }

    fn item(&self, index: usize, status: &'static str) -> OutputItem {
        let id = |kind: &str| format!("{kind}{}{index:02x}", self.id);
        match &self.list[index] {
            Item::Reasoning { text } => OutputItem::Reasoning(Reasoning {
                id: id("rs"),
                r#type: "reasoning",
                status,
                summary: [],
                content: vec![ReasoningText { r#type: "reasoning_text", text: text.clone() }],
            }),
            Item::Message { text, logprobs } => OutputItem::Message(OutputMessage {
                id: id("msg"),
                r#type: "message",
                status,
                role: "assistant",
                content: vec![OutputText {
                    r#type: "output_text",
                    text: text.clone(),
                    annotations: [],
                    logprobs: logprobs.clone(),
                }],
            }),
            Item::Call { begun, arguments, is_whole } => OutputItem::Call(FunctionCall {
                id: id("fc"),
                r#type: "function_call",
                status: match (status, is_whole) {
                    ("in_progress", _) => status,
                    (_, true) => "completed",
                    (_, false) => "incomplete",
                },
                call_id: begun.id.clone(),
                name: begun.name.clone(),
                arguments: arguments.clone(),
            }),
        }
    }
}
