//! Log-probabilities in the two shapes of the OpenAI style.

use engine::request::{TokenId, TokenLogprobs};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::ServedModel;
use crate::running::Token;

/// Of the tokens of a chat's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChoiceLogprobs {
    pub(crate) content: Vec<TokenLogprob>,
    refusal: Option<Vec<TokenLogprob>>,
}

/// A token and the most probable ones at its place.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct TokenLogprob {
    token: String,
    logprob: f32,
    /// The bytes that the token stands for, which need not be whole characters.
    bytes: Vec<u8>,
    top_logprobs: Vec<TopLogprob>,
}

/// A token that could have been chosen.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct TopLogprob {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl ChoiceLogprobs {
    pub(crate) fn of(tokens: &[Token], model: &ServedModel) -> Self {
        ChoiceLogprobs { content: TokenLogprob::of(tokens, model), refusal: None }
    }
}

impl TokenLogprob {
    /// Of those tokens that have some.
    pub(crate) fn of(tokens: &[Token], model: &ServedModel) -> Vec<Self> {
        let content = tokens.iter().filter_map(|token| {
            let logprobs = token.logprobs.as_ref()?;
            let (text, bytes) = shown(model, token.id);
            let top = logprobs.top.iter().map(|&(id, logprob)| {
                let (token, bytes) = shown(model, id);
                TopLogprob { token, logprob: finite(logprob), bytes }
            });
            Some(TokenLogprob {
                token: text,
                logprob: finite(logprobs.logprob),
                bytes,
                top_logprobs: top.collect(),
            })
        });
        content.collect()
    }
}

/// Of the tokens of a completion: four lists of the same length.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct CompletionLogprobs {
    tokens: Vec<String>,
    /// The first token of an echoed prompt has none.
    token_logprobs: Vec<Option<f32>>,
    /// From tokens to log-probabilities.
    #[schema(value_type = Vec<Option<Object>>)]
    top_logprobs: Vec<Option<Map<String, Value>>>,
    /// Where in the text each token begins, in characters.
    text_offset: Vec<usize>,
}

impl CompletionLogprobs {
    /// Adds a token that begins at `offset`; none for what comes first in a prompt.
    pub(crate) fn push(
        &mut self,
        id: TokenId,
        logprobs: Option<&TokenLogprobs>,
        offset: usize,
        model: &ServedModel,
    ) {
        self.tokens.push(shown(model, id).0);
        self.token_logprobs.push(logprobs.map(|l| finite(l.logprob)));
        self.top_logprobs.push(logprobs.map(|l| {
            let pairs = l.top.iter().map(|&(id, logprob)| (shown(model, id).0, finite(logprob).into()));
            pairs.collect()
        }));
        self.text_offset.push(offset);
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// A token's text and bytes. What is no text by itself is written as the original API does, byte by byte.
fn shown(model: &ServedModel, id: TokenId) -> (String, Vec<u8>) {
    let bytes = model.tokenizer.piece(id).unwrap_or_default().to_vec();
    let text = match str::from_utf8(&bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold("bytes:".to_owned(), |text, byte| format!("{text}\\x{byte:02x}")),
    };
    (text, bytes)
}

/// JSON has no infinity; this is what other engines send in its place.
fn finite(logprob: f32) -> f32 {
    logprob.max(-9999.0)
}
