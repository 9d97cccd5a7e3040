//! How the next token is chosen, as a request says it.

use super::TokenId;

/// Sampling parameters. The default is greedy.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 takes the most probable token.
    pub temperature: f32,
    /// Keep the k most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of tokens with this total probability; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens below this fraction of the most probable one's probability; 0 keeps all.
    pub min_p: f32,
    /// Keep the tokens whose surprise is nearest to the expected one, with this total probability; 1 keeps all
    /// (locally typical sampling, Meister et al. 2022).
    pub typical_p: f32,
    /// Divide the positive and multiply the negative logits of tokens seen in the window; 1 is off.
    pub repeat_penalty: f32,
    /// How many of the last tokens, prompt included, the penalty looks at; 0 is off.
    pub repeat_window: usize,
    /// Taken from a token's logit once for each time that it stands in the answer so far; 0 is off.
    pub frequency_penalty: f32,
    /// Taken from a token's logit if it stands in the answer so far; 0 is off.
    pub presence_penalty: f32,
    /// Added to the logits of these tokens, each at most once in the list; −∞ forbids one.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// Keep the tokens whose logits are within so many standard deviations of the largest; 0 keeps all.
    pub top_n_sigma: f32,
    /// How often the most probable tokens are dropped in favour of others that are likely enough; 0 is off.
    pub xtc_probability: f32,
    /// From which probability on a token is likely enough for that; above 0.5 there can be no two.
    pub xtc_threshold: f32,
    /// How much the temperature may be lower where the model is sure, and higher where it is not; 0 is off.
    pub dynatemp_range: f32,
    /// How that depends on the entropy, which is raised to this power.
    pub dynatemp_exponent: f32,
    /// A penalty on what would be repeated, prompt included.
    pub dry: Option<Dry>,
    /// The same seed gives the same tokens.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            repeat_window: 64,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            top_n_sigma: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            dry: None,
            seed: 0,
        }
    }
}

/// DRY: tokens that would prolong a repetition become the less probable the longer it is already (p-e-w, 2024, in
/// text-generation-webui's pull request 5677).
#[derive(Debug, Clone, PartialEq)]
pub struct Dry {
    /// What is taken from the logit of a token that prolongs a repetition of `allowed_length`; 0 is off.
    pub multiplier: f32,
    /// For each token that the repetition is longer, this many times as much.
    pub base: f32,
    /// Tokens of a repetition whose prolonging costs nothing yet.
    pub allowed_length: usize,
    /// How many of the last tokens are looked at.
    pub window: usize,
    /// A repetition does not reach over any of these tokens, which are in ascending order.
    pub breakers: Vec<TokenId>,
}
