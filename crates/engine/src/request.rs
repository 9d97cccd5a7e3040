//! What goes into the engine and what comes out of it: token ids, never text.

mod sampling;

use std::time::{Duration, Instant};

use text::grammar::Constraint;
use text::phrases::Phrases;

pub use sampling::{Breaker, Dry, Lz, Mirostat, MirostatVersion, Sampling, Stage};

/// An index into the vocabulary.
pub type TokenId = u32;

/// A request at token level. Lowering it from a wire format, and all text, is the client's work.
#[derive(Debug, Clone)]
pub struct Request {
    /// The prompt, at least one token, each below the vocabulary's size.
    pub prompt: Vec<TokenId>,
    /// How many tokens at the end of `prompt` are the beginning of the answer, generated elsewhere, such as on a machine
    /// that is gone. They count as generated for penalties, `min_tokens`, the form, the guard and what is reported, so that
    /// the answer goes on with the bits that it would have had; `max_tokens` counts what comes after them. At least one
    /// token of the prompt stands before them. (What the guard had taken back before is not known here: an answer that
    /// had been in a loop may go on in another way.)
    pub generated: usize,
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
    /// Report the log-probabilities of these tokens too beside each generated one.
    pub logprob_tokens: Vec<TokenId>,
    /// Report what the model made of the prompt, as one vector. Such a request generates nothing: its
    /// `max_tokens` is 0.
    pub embedding: Option<Pooling>,
    /// The form that the answer must have. While it holds, `min_tokens` does not, and an end token ends the answer
    /// whether `stop_tokens` has it or not.
    pub form: Option<Box<Form>>,
    /// What is done when the answer begins to repeat itself.
    pub loop_guard: LoopGuard,
    /// How the model's thinking is told from its answer, if it thinks before it answers.
    pub thinking: Option<Thinking>,
    /// Texts that the answer must not have. Tokens that the request leaves no choice about may write them.
    pub banned: Option<Phrases>,
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

/// What a model thinks aloud before it answers.
#[derive(Debug, Clone)]
pub struct Thinking {
    /// Whether the prompt ends within it.
    pub open: bool,
    /// What begins it, where the prompt does not.
    pub begin: Option<Marker>,
    /// What ends it.
    pub end: Marker,
    /// The tokens that are said in the model's place to end it, `end` among them.
    pub close: Vec<TokenId>,
    /// How many tokens it may have before that happens.
    pub budget_tokens: Option<usize>,
}

/// A place in an answer that is found by what stands there.
#[derive(Debug, Clone)]
pub enum Marker {
    /// These tokens, which nothing else is made of.
    Tokens(Vec<TokenId>),
    /// A text, which many tokens can write.
    Text(Phrases),
}

impl Request {
    /// A greedy request for `max_tokens` tokens after `prompt`, with nothing else asked for.
    pub fn new(prompt: Vec<TokenId>, max_tokens: usize) -> Self {
        Request {
            prompt,
            generated: 0,
            sampling: Sampling::default(),
            max_tokens,
            min_tokens: 0,
            stop_tokens: Vec::new(),
            prompt_logprobs: None,
            logprobs: None,
            logprob_tokens: Vec::new(),
            embedding: None,
            form: None,
            loop_guard: LoopGuard::default(),
            thinking: None,
            banned: None,
            rank: Rank::default(),
        }
    }
}

/// What is done when an answer repeats itself and would go on so for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoopGuard {
    /// Nothing: it runs until a token or a limit ends it.
    Off,
    /// It ends there, with [`FinishReason::Repetition`], and without the copies.
    Stop,
    /// The copies are taken back and the model is made to go another way; only if that fails more than once, it ends.
    #[default]
    Recover,
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

/// One piece of an answer.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// How many of the tokens sent so far are taken back, before `tokens` are added: they were the beginning of a loop.
    pub rewind: usize,
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

impl Chunk {
    /// Whether it says nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        let Chunk { rewind, tokens, logprobs, prompt_logprobs, embedding, finished } = self;
        let lists = logprobs.len() + prompt_logprobs.len() + embedding.len();
        *rewind == 0 && tokens.is_empty() && lists == 0 && finished.is_none()
    }
}

/// The log-probability of a token and of the most probable ones at its place.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// Natural logarithm of the chosen token's probability, before any sampling parameter.
    pub logprob: f32,
    /// The most probable tokens with their log-probabilities, most probable first, and behind them those that were asked
    /// for by their ids.
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
    /// That the answer repeated itself, if it did and the guard was on.
    pub repetition: Option<Repetition>,
    /// From submission to the first step with this request.
    pub queued: Duration,
    /// From the first step to the first token, or to the end if there is none.
    pub prompt: Duration,
    /// From the first token to the last.
    pub generation: Duration,
}

/// What was repeated in an answer: the last loop that was found, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repetition {
    /// Tokens of the unit that was repeated.
    pub period_tokens: usize,
    /// How often the whole unit stood there.
    pub repeats: usize,
    /// Tokens that were taken out of the answer, of all loops together.
    pub tokens_trimmed: usize,
    /// Whether the answer found a way out and ended in another way.
    pub recovered: bool,
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
    /// It repeated itself and did not stop to; what was repeated is not in it.
    Repetition,
    /// The client cancelled it or the engine shuts down.
    Cancelled,
    /// Its deadline came first.
    TimedOut,
    /// The request itself leaves nothing that could come next, or a form that takes too long to follow.
    Impossible(String),
    /// The engine could not go on with this request: the model panicked or gave logits that are no numbers.
    Error(String),
}
