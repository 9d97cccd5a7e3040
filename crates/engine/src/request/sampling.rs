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
    /// How many of the answer's last tokens these two look at.
    pub count_window: usize,
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
    /// A penalty on what could be written as a copy, prompt included.
    pub lz: Option<Lz>,
    /// Takes the place of all that drops tokens.
    pub mirostat: Option<Mirostat>,
    /// What changes the logits and in which order, each at most once; what is not named is off. None is
    /// [`Stage::USUAL`].
    pub chain: Option<Vec<Stage>>,
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
            count_window: usize::MAX,
            logit_bias: Vec::new(),
            top_n_sigma: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            dry: None,
            lz: None,
            mirostat: None,
            chain: None,
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
    /// A repetition does not reach over any of these.
    pub breakers: Vec<Breaker>,
}

/// A text at which repetitions end, as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// The tokens that it may begin with, in ascending order: many have its first letters at their end.
    pub heads: Vec<TokenId>,
    /// What stands behind one of them; nothing if each of them has all of the text.
    pub tail: Vec<TokenId>,
}

/// A penalty by the length of the code that LZ77 would have for what was said (after A. Ginart and others, "LZ Penalty: An
/// information-theoretic repetition penalty for autoregressive language models", 2025, arXiv 2504.20131).
///
/// LZ77 writes a token that is no copy with ln V nats, V being the vocabulary's size, and a copy of n tokens from a distance
/// d with ln d + ln n. A token that goes on with a copy of n tokens so costs ln (n + 1) − ln n. What it costs less than one
/// that is no copy, times the strength, is taken from its logit. Only copies of at least `buffer` tokens from among
/// the last `window` count.
#[derive(Debug, Clone, PartialEq)]
pub struct Lz {
    /// How much of what could be saved is taken; 0 is off.
    pub strength: f32,
    /// How many of the last tokens are looked at.
    pub window: usize,
    /// From how many tokens on a copy counts, at least 1.
    pub buffer: usize,
}

/// Mirostat: as many of the most probable tokens as give the answer a wanted surprise (S. Basu and others, "Mirostat: A
/// Neural Text Decoding Algorithm that Directly Controls Perplexity", ICLR 2021, arXiv 2007.14966).
///
/// The surprise that is allowed, μ, begins at 2 τ. After each token it is lessened by η times what the token's own surprise
/// exceeded τ by, in bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mirostat {
    /// How μ becomes a number of tokens.
    pub version: MirostatVersion,
    /// τ, the surprise that is wanted, in bits.
    pub tau: f32,
    /// η, how fast μ follows.
    pub eta: f32,
}

/// How Mirostat chooses the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirostatVersion {
    /// As many as would give this surprise under Zipf's law, with the exponent of the hundred most probable.
    One,
    /// Those whose own surprise is at most μ.
    Two,
}

/// A step on the way from the model's logits to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The repeat, frequency and presence penalties.
    Penalties,
    /// [`Sampling::dry`].
    Dry,
    /// [`Sampling::lz`].
    Lz,
    /// [`Sampling::top_n_sigma`].
    TopNSigma,
    /// [`Sampling::top_k`].
    TopK,
    /// [`Sampling::typical_p`].
    Typical,
    /// [`Sampling::top_p`].
    TopP,
    /// [`Sampling::min_p`].
    MinP,
    /// [`Sampling::xtc_probability`].
    Xtc,
    /// [`Sampling::temperature`], which may be dynamic.
    Temperature,
}

impl Stage {
    /// The order that is llama.cpp's as well, but for `Lz`, which it lacks.
    pub const USUAL: [Stage; 10] = [
        Stage::Penalties,
        Stage::Dry,
        Stage::Lz,
        Stage::TopNSigma,
        Stage::TopK,
        Stage::Typical,
        Stage::TopP,
        Stage::MinP,
        Stage::Xtc,
        Stage::Temperature,
    ];

    /// Whether it changes the logits of what was said before, and drops nothing.
    pub(crate) fn is_penalty(self) -> bool {
        matches!(self, Stage::Penalties | Stage::Dry | Stage::Lz)
    }
}

impl Sampling {
    /// What changes the logits, in its order.
    pub(crate) fn stages(&self) -> &[Stage] {
        self.chain.as_deref().unwrap_or(&Stage::USUAL)
    }
}
