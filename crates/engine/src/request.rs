//! What goes into the engine and what comes out of it: token ids, never text.

use std::time::{Duration, Instant};

use text::grammar::Constraint;

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
    /// No stop token is chosen before there are this many tokens.
    pub min_tokens: usize,
    /// Tokens that end the answer (end of turn, end of text). They count as generated and are not sent on.
    pub stop_tokens: Vec<TokenId>,
    /// Report the log-probability of every prompt token (the first has none) and of this many alternatives
    /// beside each.
    pub prompt_logprobs: Option<usize>,
    /// Report the log-probability of each generated token and of this many alternatives beside it.
    pub logprobs: Option<usize>,
    /// Report what the model made of the prompt, as one vector. Such a request generates nothing: its
    /// `max_tokens` is 0.
    pub embedding: Option<Pooling>,
    /// The form that the answer must have. While it holds, `min_tokens` does not, and an end token ends the answer
    /// whether `stop_tokens` has it or not.
    pub form: Option<Box<Form>>,
    /// Its place among the others.
    pub rank: Rank,
}

/// The form of an answer, and where it begins.
#[derive(Debug, Clone)]
pub struct Form {
    /// What may come.
    pub constraint: Constraint,
    /// The tokens behind which it begins, such as the end of the thinking; without any it begins with the answer.
    pub begins_after: Vec<TokenId>,
}

impl Request {
    /// A greedy request for `max_tokens` tokens after `prompt`, with nothing else asked for.
    pub fn new(prompt: Vec<TokenId>, max_tokens: usize) -> Self {
        Request {
            prompt,
            sampling: Sampling::default(),
            max_tokens,
            min_tokens: 0,
            stop_tokens: Vec::new(),
            prompt_logprobs: None,
            logprobs: None,
            embedding: None,
            form: None,
            rank: Rank::default(),
        }
    }
}

/// Who a request belongs to and how urgent it is. It changes when an answer comes, never what it says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rank {
    /// Requests of one owner share what one owner gets; any number will do.
    pub owner: u64,
    /// Lower comes first, and may take the pages of higher ones. 0 is usual.
    pub priority: i32,
    /// When the answer is of no use any more: the request ends then, whatever it is doing.
    pub deadline: Option<Instant>,
}

/// How the hidden states of a prompt's tokens, after the last norm, become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The last token's.
    Last,
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
    pub prompt_logprobs: Vec<TokenLogprobs>,
    /// The prompt's vector, if asked for; in the last chunk only. `[Shape::embedding]`, of length 1.
    pub embedding: Vec<f32>,
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
    /// The stop token that was chosen, if one ended it.
    pub stop_token: Option<TokenId>,
    /// Tokens in the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated, the stop token included.
    pub completion_tokens: usize,
    /// What the prefix cache had of the prompt.
    pub cache: CacheReport,
    /// From submission to the first step with this request.
    pub queued: Duration,
    /// From the first step to the first token, or to the end if there is none.
    pub prompt: Duration,
    /// From the first token to the last.
    pub generation: Duration,
}

/// What the prefix cache had of a prompt when the request began to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheReport {
    /// Tokens of the prompt that were not computed for this request: the cache had them, or another request that
    /// runs computed them.
    pub cached_tokens: usize,
    /// Tokens that the prompt has in common with the most similar one in the cache. That may be a few more than
    /// were of use, as the cache keeps whole pages.
    pub common_tokens: usize,
    /// The token that the cache has where the prompt goes another way, if it goes on there.
    pub instead: Option<TokenId>,
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
    /// Its deadline came first.
    TimedOut,
    /// The request itself leaves nothing that could come next, or a form that takes too long to follow.
    Impossible(String),
    /// The engine could not go on with this request: the model panicked or gave logits that are no numbers.
    Error(String),
}
