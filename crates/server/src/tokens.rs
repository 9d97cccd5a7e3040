//! `/tokenize`, `/detokenize`, `/tokenizer_info`, `/apply-template`: what models see of a text.
//!
//! Two families of clients ask for these. llama.cpp's say `content` and want no tokens added that are not in the text;
//! vLLM's say `prompt` and want what a completion would get. Answers have the fields of both.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use text::tokenizer::Specials;
use utoipa::{IntoParams, ToSchema};

use crate::body::Json;
use crate::error::ApiError;
use crate::lowering::beside;
use crate::model::ServedModel;
use crate::openai::messages::{self, Message};
use crate::openai::prompts::checked_tokens;
use crate::state::App;
use crate::templated::{self, templated};
use crate::tools::wire::{self, ChatTool};

/// Bytes of a text.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Tokens that become text again.
const TOKENS_MAX: usize = 1 << 20;

/// A request to `/tokenize`: one of `content`, `prompt`, `text` and `messages`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct TokenizeRequest {
    /// A text as it is: nothing is added unless it is asked for.
    #[serde(default)]
    content: Option<String>,
    /// The text of a completion, with the tokens that one adds.
    #[serde(default)]
    prompt: Option<String>,
    /// Another name for `prompt`.
    #[serde(default)]
    text: Option<String>,
    /// A chat.
    #[serde(default)]
    messages: Option<Vec<Message>>,
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
    /// Put the tokens before and after the text that the vocabulary asks for.
    #[serde(default)]
    add_special: Option<bool>,
    /// The same under its other name.
    #[serde(default)]
    add_special_tokens: Option<bool>,
    /// Read the texts of special tokens as these tokens, which is usual.
    #[serde(default)]
    parse_special: Option<bool>,
    /// Give each token's text with its id.
    #[serde(default)]
    with_pieces: Option<bool>,
    /// Give the tokens as the vocabulary writes them, in a list of their own.
    #[serde(default)]
    return_token_strs: Option<bool>,
    /// With `messages`: whether the beginning of an answer follows, which is usual.
    #[serde(default)]
    add_generation_prompt: Option<bool>,
    /// With `messages`: more variables for the template.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
}

/// Tokens of a text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tokenized {
    tokens: Vec<ShownToken>,
    count: usize,
    /// Tokens of the model's context.
    max_model_len: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_strs: Option<Vec<String>>,
}

/// A token's id, or that and its text.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum ShownToken {
    Id(u32),
    Piece { id: u32, piece: Piece },
}

/// A token's text, or its bytes if they are no whole characters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Bytes(Vec<u8>),
}

/// What a text is to be made of.
enum Source {
    Text { text: String, begin: bool },
    Messages(Vec<Message>),
}

impl TokenizeRequest {
    fn source(&mut self) -> Result<Source, ApiError> {
        let asked = self.add_special.or(self.add_special_tokens);
        let given = [self.content.is_some(), self.prompt.is_some(), self.text.is_some()];
        if given.into_iter().filter(|&given| given).count() + usize::from(self.messages.is_some()) != 1 {
            return Err(ApiError::field("content", "give one of content, prompt, text and messages"));
        }
        if let Some(messages) = self.messages.take() {
            return Ok(Source::Messages(messages));
        }
        let begin = asked.unwrap_or(self.content.is_none());
        let text = self.content.take().or(self.prompt.take()).or(self.text.take()).unwrap_or_default();
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("the text has {} bytes, at most {TEXT_BYTES_MAX} are possible", text.len());
            return Err(ApiError::field("content", message));
        }
        Ok(Source::Text { text, begin })
    }
}

/// Cuts a text or a chat into tokens.
#[utoipa::path(
    post,
    path = "/tokenize",
    tag = "tokens",
    request_body = TokenizeRequest,
    responses((status = 200, body = Tokenized))
)]
pub(crate) async fn tokenize(
    State(app): State<Arc<App>>,
    Json(mut request): Json<TokenizeRequest>,
) -> Result<Answer<Tokenized>, ApiError> {
    let model = app.model(request.model.as_deref()).await?;
    let source = request.source()?;
    let parse = request.parse_special.unwrap_or(true);
    let specials = if parse { Specials::Parse } else { Specials::AsText };
    let (text, begin) = match source {
        Source::Text { text, begin } => (text, begin),
        Source::Messages(given) => {
            let variables = templated::variables(request.chat_template_kwargs.take(), None)?;
            let answer = request.add_generation_prompt.unwrap_or(true);
            let said = messages::lower(given, &model)?;
            // As a chat has it: the beginning of a text is added unless the template wrote it.
            let begin = request.add_special.or(request.add_special_tokens).unwrap_or(true);
            (templated(&model, said, variables, answer, "messages").await?.text, begin)
        }
    };
    beside(move || {
        let tokenizer = &model.tokenizer;
        let ids =
            if begin { tokenizer.encode_prompt(&text, specials) } else { tokenizer.encode(&text, specials) };
        let written = |&id: &u32| tokenizer.token_text(id).unwrap_or_default().into_owned();
        let token_strs = request.return_token_strs.unwrap_or(false);
        let token_strs = token_strs.then(|| ids.iter().map(written).collect());
        let with_pieces = request.with_pieces.unwrap_or(false);
        let shown = |&id: &u32| match with_pieces {
            false => ShownToken::Id(id),
            true => ShownToken::Piece { id, piece: piece(&model, id) },
        };
        let tokens: Vec<ShownToken> = ids.iter().map(shown).collect();
        let count = tokens.len();
        Ok(Answer(Tokenized { tokens, count, max_model_len: model.context_tokens(), token_strs }))
    })
    .await
}

fn piece(model: &ServedModel, id: u32) -> Piece {
    // Special tokens show their names.
    let bytes = if model.tokenizer.is_special(id) {
        model.tokenizer.token_text(id).unwrap_or_default().into_owned().into_bytes()
    } else {
        model.tokenizer.piece(id).unwrap_or_default().to_vec()
    };
    match String::from_utf8(bytes) {
        Ok(text) => Piece::Text(text),
        Err(error) => Piece::Bytes(error.into_bytes()),
    }
}

/// A request to `/detokenize`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct DetokenizeRequest {
    #[schema(value_type = Vec<u32>)]
    tokens: Vec<i64>,
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
}

/// A text, under the names that clients look for it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Detokenized {
    content: String,
    prompt: String,
}

/// Makes text of tokens, special ones included.
#[utoipa::path(
    post,
    path = "/detokenize",
    tag = "tokens",
    request_body = DetokenizeRequest,
    responses((status = 200, body = Detokenized))
)]
pub(crate) async fn detokenize(
    State(app): State<Arc<App>>,
    Json(request): Json<DetokenizeRequest>,
) -> Result<Answer<Detokenized>, ApiError> {
    let model = app.model(request.model.as_deref()).await?;
    if request.tokens.len() > TOKENS_MAX {
        let message =
            format!("tokens has {} tokens, at most {TOKENS_MAX} are possible", request.tokens.len());
        return Err(ApiError::field("tokens", message));
    }
    beside(move || {
        let tokens = checked_tokens(&request.tokens, "tokens", "tokens", model.tokenizer.len())?;
        let text = String::from_utf8_lossy(&model.tokenizer.decode(&tokens, true)).into_owned();
        Ok(Answer(Detokenized { content: text.clone(), prompt: text }))
    })
    .await
}

/// Which model is meant.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct InfoQuery {
    /// The first model that is served, if none is named.
    model: Option<String>,
}

/// What evaluation harnesses ask of a tokenizer that they don't have.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenizerInfo {
    model: String,
    tokenizer_class: &'static str,
    vocab_size: usize,
    /// Tokens of the model's context.
    model_max_length: usize,
    add_bos_token: bool,
    bos_token: Option<String>,
    eos_token: Option<String>,
    pad_token: Option<String>,
    /// Jinja, as the model's file has it.
    chat_template: Option<String>,
}

/// Describes a model's tokenizer.
#[utoipa::path(
    get,
    path = "/tokenizer_info",
    tag = "tokens",
    params(InfoQuery),
    responses((status = 200, body = TokenizerInfo))
)]
pub(crate) async fn info(
    State(app): State<Arc<App>>,
    Query(query): Query<InfoQuery>,
) -> Result<Answer<TokenizerInfo>, ApiError> {
    let model = app.model(query.model.as_deref()).await?;
    let tokenizer = &model.tokenizer;
    let text = |id: Option<u32>| id.and_then(|id| tokenizer.token_text(id)).map(|text| text.into_owned());
    Ok(Answer(TokenizerInfo {
        model: model.name.clone(),
        tokenizer_class: "Tokenizer",
        vocab_size: tokenizer.len(),
        model_max_length: model.context_tokens(),
        add_bos_token: tokenizer.bos_to_add().is_some(),
        bos_token: text(tokenizer.bos()),
        eos_token: text(tokenizer.eos()),
        pad_token: text(tokenizer.pad()),
        chat_template: model.details.template_source.clone(),
    }))
}

/// A request to `/apply-template`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct TemplateRequest {
    messages: Vec<Message>,
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
    /// Whether the beginning of an answer follows, which is usual.
    #[serde(default)]
    add_generation_prompt: Option<bool>,
    #[serde(default)]
    reasoning_effort: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<ChatTool>>)]
    tools: Option<Value>,
    /// More variables for the template.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
}

/// The prompt that a chat would give the model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Applied {
    prompt: String,
}

/// Writes the prompt of a chat.
#[utoipa::path(
    post,
    path = "/apply-template",
    tag = "tokens",
    request_body = TemplateRequest,
    responses((status = 200, body = Applied))
)]
pub(crate) async fn apply_template(
    State(app): State<Arc<App>>,
    Json(request): Json<TemplateRequest>,
) -> Result<Answer<Applied>, ApiError> {
    let model = app.model(request.model.as_deref()).await?;
    let effort = request.reasoning_effort.as_deref().map(|effort| ("reasoning_effort", effort));
    let mut variables = templated::variables(request.chat_template_kwargs, effort)?;
    wire::of_chat(request.tools.as_ref(), None, None)?.tell(&mut variables);
    let answer = request.add_generation_prompt.unwrap_or(true);
    let said = messages::lower(request.messages, &model)?;
    let prompt = templated(&model, said, variables, answer, "messages").await?.text;
    Ok(Answer(Applied { prompt }))
}
