//! What goes into the engine and what comes out of it: token ids, never text.

use std::time::Duration;

/// An index into the vocabulary.
pub type TokenId = u32;

/// A request at token level. Lowering it from a wire format, and all text, is the client's work.
#[derive(Debug, Clone)]
pub struct Request {
    /// The prompt, at least one token, each below the vocabulary's size.
    pub prompt: Vec<TokenId>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// The most tokens to generate; the end of the context may come first. 0 only evaluates the prompt.
    pub max_tokens: usize,
    /// Tokens that end the answer (end of turn, end of text). They count as generated and are not sent on.
    pub stop_tokens: Vec<TokenId>,
    /// Report the log-probability of every prompt token (the first has none).
    pub prompt_logprobs: bool,
    /// Report the log-probability of each generated token and of this many alternatives beside it.
    pub logprobs: Option<usize>,
}

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
    /// Divide the positive and multiply the negative logits of tokens seen in the window; 1 is off.
    pub repeat_penalty: f32,
    /// How many of the last tokens, prompt included, the penalty looks at; 0 is off.
    pub repeat_window: usize,
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
            repeat_penalty: 1.0,
            repeat_window: 64,
            seed: 0,
        }
    }
}

/// One piece of an answer.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// New tokens, in order. Stop tokens are not among them.
    pub tokens: Vec<TokenId>,
    /// For each of `tokens`, if asked for.
    pub logprobs: Vec<TokenLogprobs>,
    /// For each prompt token but the first, if asked for; in the first chunk only.
    pub prompt_logprobs: Vec<f32>,
    /// Set in the last chunk and only there.
    pub finished: Option<Finished>,
}

/// The log-probability of a token and of the most probable ones at its place.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// Natural logarithm of the chosen token's probability, before any sampling parameter.
    pub logprob: f32,
    /// The most probable tokens with their log-probabilities, most probable first.
    pub top: Vec<(TokenId, f32)>,
}

/// How an answer ended and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Why it ended.
    pub reason: FinishReason,
    /// Tokens in the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated, the stop token included.
    pub completion_tokens: usize,
    /// From submission to the first step with this request.
    pub queued: Duration,
    /// From the first step to the first token, or to the end if there is none.
    pub prompt: Duration,
    /// From the first token to the last.
    pub generation: Duration,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop token.
    Stop,
    /// `max_tokens` or the context is used up.
    Length,
    /// The client cancelled it or the engine shuts down.
    Cancelled,
    /// The engine could not go on with this request: the model panicked or gave logits that are no numbers.
    Error(String),
}
