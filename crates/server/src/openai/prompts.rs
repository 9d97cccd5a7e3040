//! Prompts, and what vectors are made of, as the OpenAI style gives them: texts or tokens, one or many.

use std::fmt;

use engine::request::TokenId;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::schema::{ArrayBuilder, ArrayItems, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::error::ApiError;
use crate::model::ServedModel;

/// A text, a list of texts, a list of token ids or a list of such lists.
#[derive(Debug, Clone)]
pub(crate) enum Prompts {
    Texts(Vec<String>),
    Tokens(Vec<Vec<i64>>),
}

impl Prompts {
    fn len(&self) -> usize {
        match self {
            Prompts::Texts(texts) => texts.len(),
            Prompts::Tokens(lists) => lists.len(),
        }
    }

    /// There is at least one, and not more than `max`.
    pub(crate) fn check_count(&self, field: &str, max: usize) -> Result<(), ApiError> {
        let count = self.len();
        if (1..=max).contains(&count) {
            return Ok(());
        }
        Err(ApiError::field(field, format!("{field} has {count} items; 1 to {max} are possible")))
    }

    /// The tokens of each, at least one. `begin` puts the beginning-of-text token before texts where the vocabulary
    /// asks for it.
    pub(crate) fn tokens(
        &self,
        field: &str,
        model: &ServedModel,
        begin: bool,
    ) -> Result<Vec<Vec<TokenId>>, ApiError> {
        let name = |index| if self.len() > 1 { format!("{field}[{index}]") } else { field.to_owned() };
        let empty =
            |index| ApiError::field(field, format!("{} is empty; give at least one token", name(index)));
        let mut all = Vec::with_capacity(self.len());
        match self {
            Prompts::Texts(texts) => {
                for (index, text) in texts.iter().enumerate() {
                    model.check_length(text, &name(index))?;
                    let tokens = if begin { model.tokenize(text) } else { model.tokenize_bare(text) };
                    // The beginning of a text alone is no prompt.
                    if text.is_empty() || tokens.is_empty() {
                        return Err(empty(index));
                    }
                    all.push(tokens);
                }
            }
            Prompts::Tokens(lists) => {
                for (index, list) in lists.iter().enumerate() {
                    if list.is_empty() {
                        return Err(empty(index));
                    }
                    let checked = checked_tokens(list, field, &name(index), model.handle.shape().vocabulary)?;
                    all.push(checked);
                }
            }
        }
        Ok(all)
    }
}

/// Token ids that the model knows. `field` is at fault if one is not; `name` is the list in it.
pub(crate) fn checked_tokens(
    tokens: &[i64],
    field: &str,
    name: &str,
    vocabulary: usize,
) -> Result<Vec<TokenId>, ApiError> {
    let check = |(place, &token): (usize, &i64)| {
        usize::try_from(token)
            .ok()
            .filter(|&token| token < vocabulary)
            .map(|token| token as TokenId)
            .ok_or_else(|| {
                let most = vocabulary - 1;
                ApiError::field(field, format!("{name}[{place}] is {token}; token ids are 0 to {most}"))
            })
    };
    tokens.iter().enumerate().map(check).collect()
}

impl PartialSchema for Prompts {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let id = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0))
            .build();
        let list = |items: ArrayItems| ArrayBuilder::new().items(items).min_items(Some(1));
        OneOfBuilder::new()
            .item(text().min_length(Some(1)))
            .item(list(text().build().into()))
            .item(list(id.clone().into()))
            .item(list(list(id.into()).into()))
            .description(Some("A text, a list of texts, a list of token ids or a list of such lists."))
            .into()
    }
}

impl ToSchema for Prompts {}

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PromptsVisitor)
    }
}

/// What a list of prompts holds: all items are of one kind.
enum Item {
    Text(String),
    Token(i64),
    Tokens(Vec<i64>),
}

struct PromptsVisitor;

impl<'de> Visitor<'de> for PromptsVisitor {
    type Value = Prompts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of texts, a list of token ids or a list of lists of token ids")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Prompts, E> {
        Ok(Prompts::Texts(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Prompts, A::Error> {
        let mixed =
            || de::Error::custom("a list of prompts must be all texts, all token ids or all lists of them");
        let mut prompts = match items.next_element()? {
            None => return Ok(Prompts::Tokens(vec![Vec::new()])),
            Some(Item::Text(text)) => Prompts::Texts(vec![text]),
            Some(Item::Token(token)) => {
                let mut tokens = vec![token];
                while let Some(item) = items.next_element()? {
                    let Item::Token(token) = item else { return Err(mixed()) };
                    tokens.push(token);
                }
                return Ok(Prompts::Tokens(vec![tokens]));
            }
            Some(Item::Tokens(tokens)) => Prompts::Tokens(vec![tokens]),
        };
        while let Some(item) = items.next_element()? {
            match (&mut prompts, item) {
                (Prompts::Texts(texts), Item::Text(text)) => texts.push(text),
                (Prompts::Tokens(lists), Item::Tokens(tokens)) => lists.push(tokens),
                _ => return Err(mixed()),
            }
        }
        Ok(prompts)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;
        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a token id or a list of token ids")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Item, E> {
                Ok(Item::Text(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, token: i64) -> Result<Item, E> {
                Ok(Item::Token(token))
            }

            fn visit_u64<E: de::Error>(self, token: u64) -> Result<Item, E> {
                // What is too large for a token id stays too large for one.
                Ok(Item::Token(i64::try_from(token).unwrap_or(i64::MAX)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item, A::Error> {
                let mut tokens = Vec::new();
                while let Some(token) = items.next_element()? {
                    tokens.push(token);
                }
                Ok(Item::Tokens(tokens))
            }
        }
        deserializer.deserialize_any(ItemVisitor)
    }
}
