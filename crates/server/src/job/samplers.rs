//! The samplers that only some clients know, under llama.cpp's names.

use engine::request::{Dry, Sampling, TokenId};

use super::{Parameters, above_zero, whole, within};
use crate::error::ApiError;
use crate::model::ServedModel;

/// Breakers of a request, each of one character.
const BREAKERS_MAX: usize = 64;
/// What breaks a repetition if nothing is said.
const BREAKERS_DEFAULT: [&str; 4] = ["\n", ":", "\"", "*"];

/// What was said of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samplers {
    pub(crate) top_n_sigma: Option<f32>,
    pub(crate) xtc_probability: Option<f32>,
    pub(crate) xtc_threshold: Option<f32>,
    pub(crate) dynatemp_range: Option<f32>,
    pub(crate) dynatemp_exponent: Option<f32>,
    pub(crate) dry_multiplier: Option<f32>,
    pub(crate) dry_base: Option<f32>,
    pub(crate) dry_allowed_length: Option<i64>,
    pub(crate) dry_penalty_last_n: Option<i64>,
    pub(crate) dry_sequence_breakers: Option<Vec<String>>,
}

impl Parameters {
    /// Adds what was said to what is usual.
    pub(super) fn add_samplers(&self, sampling: Sampling, model: &ServedModel) -> Result<Sampling, ApiError> {
        let said = &self.samplers;
        Ok(Sampling {
            // -1 is how llama.cpp's clients say "off".
            top_n_sigma: within("top_n_sigma", said.top_n_sigma, -1.0, 1000.0)?.unwrap_or(0.0).max(0.0),
            xtc_probability: within("xtc_probability", said.xtc_probability, 0.0, 1.0)?.unwrap_or(0.0),
            xtc_threshold: above_zero("xtc_threshold", said.xtc_threshold)?.unwrap_or(sampling.xtc_threshold),
            dynatemp_range: within("dynatemp_range", said.dynatemp_range, 0.0, 2.0)?.unwrap_or(0.0),
            dynatemp_exponent: within("dynatemp_exponent", said.dynatemp_exponent, 0.0, 100.0)?
                .unwrap_or(1.0),
            dry: self.dry(model)?,
            ..sampling
        })
    }

    /// Everything is checked, even if the multiplier is 0 and nothing comes of it.
    fn dry(&self, model: &ServedModel) -> Result<Option<Dry>, ApiError> {
        let said = &self.samplers;
        let multiplier = within("dry_multiplier", said.dry_multiplier, 0.0, 100.0)?.unwrap_or(0.0);
        let base = within("dry_base", said.dry_base, 1.0, 100.0)?.unwrap_or(1.75);
        let most = i64::from(i32::MAX);
        let allowed_length =
            whole("dry_allowed_length", said.dry_allowed_length, 0, most)?.unwrap_or(2) as usize;
        let last = whole("dry_penalty_last_n", said.dry_penalty_last_n, -1, most)?;
        let window = last.map_or(usize::MAX, |last| usize::try_from(last).unwrap_or(usize::MAX));
        let characters = self.breakers()?;
        if multiplier == 0.0 {
            return Ok(None);
        }
        let breakers = tokens_with(&characters, model);
        Ok(Some(Dry { multiplier, base, allowed_length, window, breakers }))
    }

    fn breakers(&self) -> Result<Vec<char>, ApiError> {
        const FIELD: &str = "dry_sequence_breakers";
        let usual = || BREAKERS_DEFAULT.map(str::to_owned).to_vec();
        let said = self.samplers.dry_sequence_breakers.clone().unwrap_or_else(usual);
        if said.len() > BREAKERS_MAX {
            let message = format!("{FIELD} has {} strings, at most {BREAKERS_MAX} are possible", said.len());
            return Err(ApiError::field(FIELD, message));
        }
        let one = |(index, text): (usize, &String)| {
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(character), None) => Ok(character),
                _ => Err(ApiError::field(FIELD, format!("{FIELD}[{index}] must be one character"))),
            }
        };
        said.iter().enumerate().map(one).collect()
    }
}

/// The tokens whose text has any of these characters, in ascending order.
fn tokens_with(characters: &[char], model: &ServedModel) -> Vec<TokenId> {
    let has_one = |&token: &TokenId| {
        let text = String::from_utf8_lossy(model.tokenizer.piece(token).unwrap_or_default());
        text.chars().any(|character| characters.contains(&character))
    };
    (0..model.handle.shape().vocabulary as TokenId).filter(has_one).collect()
}
