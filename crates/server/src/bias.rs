//! `logit_bias` as clients give it: OpenAI's object from token ids to numbers, and llama.cpp's list of pairs, in which a
//! text may stand for its tokens and `false` for a ban.

use std::fmt;

use engine::request::TokenId;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use text::tokenizer::Specials;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::model::ServedModel;

/// Tokens that a request may give a bias.
const BIASES_MAX: usize = 1024;
/// The largest bias, and with its sign changed the least, which is a ban as with the API's original.
const BIAS_MAX: f64 = 100.0;

/// What is said of tokens, in the order in which it was said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Biases(Vec<(Biased, Bias)>);

/// How they are described.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it stands in the OpenAPI document only")]
pub(crate) enum BiasesDocument {
    Object(std::collections::BTreeMap<String, serde_json::Value>),
    Pairs(Vec<Vec<serde_json::Value>>),
}

/// What a bias is for.
#[derive(Debug, Clone, PartialEq)]
enum Biased {
    /// A key of the object, which must be a token id.
    Key(String),
    Id(u64),
    /// Each of a text's tokens.
    Text(String),
}

/// A bias: a number, or `false`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bias(f64);

impl Biases {
    /// What is added to which logits. What is said of a token more than once adds up.
    pub(crate) fn lower(&self, model: &ServedModel) -> Result<Vec<(TokenId, f32)>, ApiError> {
        let mut sums: Vec<(TokenId, f64)> = Vec::with_capacity(self.0.len());
        for (biased, Bias(bias)) in &self.0 {
            let tokens = tokens(biased, model)?;
            if !(-BIAS_MAX..=BIAS_MAX).contains(bias) && *bias != f64::NEG_INFINITY {
                return Err(refused(format!(
                    "logit_bias of {} is {bias}; it must be between -100 and 100, or false",
                    shown(biased)
                )));
            }
            for token in tokens {
                let bias = if *bias <= -BIAS_MAX { f64::NEG_INFINITY } else { *bias };
                match sums.iter().position(|(known, _)| *known == token) {
                    Some(_) if matches!(biased, Biased::Key(_)) => {
                        return Err(refused(format!("logit_bias names token {token} twice")));
                    }
                    Some(at) => sums[at].1 += bias,
                    None if sums.len() == BIASES_MAX => {
                        let message = format!("logit_bias is of more than {BIASES_MAX} tokens");
                        return Err(refused(message));
                    }
                    None => sums.push((token, bias)),
                }
            }
        }
        let lowered = |sum: f64| match sum {
            f64::NEG_INFINITY => f32::NEG_INFINITY,
            sum => sum.clamp(-BIAS_MAX, BIAS_MAX) as f32,
        };
        Ok(sums.into_iter().map(|(token, sum)| (token, lowered(sum))).collect())
    }
}

fn tokens(biased: &Biased, model: &ServedModel) -> Result<Vec<TokenId>, ApiError> {
    let vocabulary = model.handle.shape().vocabulary;
    let id = match biased {
        Biased::Text(text) if text.is_empty() => {
            return Err(refused("logit_bias has an empty text".to_owned()));
        }
        Biased::Text(text) => return Ok(model.tokenizer.encode(text, Specials::AsText)),
        Biased::Key(key) => key.parse::<u64>().ok(),
        Biased::Id(id) => Some(*id),
    };
    let token = id.and_then(|id| TokenId::try_from(id).ok()).filter(|&token| (token as usize) < vocabulary);
    let token = token.ok_or_else(|| {
        let last = vocabulary - 1;
        refused(format!("logit_bias: {} is no token id between 0 and {last}", shown(biased)))
    })?;
    Ok(vec![token])
}

/// What a bias is for, for messages.
fn shown(biased: &Biased) -> String {
    match biased {
        Biased::Key(text) | Biased::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        Biased::Id(id) => format!("token {id}"),
    }
}

fn refused(message: String) -> ApiError {
    ApiError::field("logit_bias", message)
}

impl<'de> Deserialize<'de> for Biases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BiasesVisitor;
        impl<'de> Visitor<'de> for BiasesVisitor {
            type Value = Biases;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an object from token ids to numbers, or a list of pairs of a token or text and a number",
                )
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Biases, A::Error> {
                let mut list = Vec::new();
                while let Some((key, bias)) = map.next_entry()? {
                    list.push((Biased::Key(key), bias));
                }
                Ok(Biases(list))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Biases, A::Error> {
                let mut list = Vec::new();
                while let Some(pair) = pairs.next_element()? {
                    list.push(pair);
                }
                Ok(Biases(list))
            }
        }
        deserializer.deserialize_any(BiasesVisitor)
    }
}

impl<'de> Deserialize<'de> for Biased {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BiasedVisitor;
        impl Visitor<'_> for BiasedVisitor {
            type Value = Biased;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token id or a text")
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<Biased, E> {
                Ok(Biased::Id(id))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Biased, E> {
                Ok(Biased::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(BiasedVisitor)
    }
}

impl<'de> Deserialize<'de> for Bias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BiasVisitor;
        impl Visitor<'_> for BiasVisitor {
            type Value = Bias;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or false")
            }

            fn visit_f64<E: de::Error>(self, bias: f64) -> Result<Bias, E> {
                Ok(Bias(bias))
            }

            fn visit_u64<E: de::Error>(self, bias: u64) -> Result<Bias, E> {
                Ok(Bias(bias as f64))
            }

            fn visit_i64<E: de::Error>(self, bias: i64) -> Result<Bias, E> {
                Ok(Bias(bias as f64))
            }

            fn visit_bool<E: de::Error>(self, banned: bool) -> Result<Bias, E> {
                match banned {
                    false => Ok(Bias(f64::NEG_INFINITY)),
                    true => Err(E::invalid_value(de::Unexpected::Bool(true), &self)),
                }
            }
        }
        deserializer.deserialize_any(BiasVisitor)
    }
}
