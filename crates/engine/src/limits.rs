//! Every limit of the engine, and what is refused because of one.
//!
//! A request is checked here once, at submission, against everything that could make it fail later. What gets
//! through may wait or be preempted, but the engine has no reason of its own to turn it down any more.

use crate::batch::PAGE_TOKENS;
use crate::kv::KvCache;
use crate::model::Shape;
use crate::request::{Request, Sampling, TokenId};

/// What the engine keeps within. The defaults suit tests and small models; `kv_pages` is best derived from the
/// memory at hand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Tokens in a sequence, prompt and answer together. The model's own context length is a limit as well.
    pub context_tokens: usize,
    /// Tokens that one step computes.
    pub batch_tokens: usize,
    /// Sequences that run at a time. A step gives each of them a token, so `batch_tokens` is a limit as well.
    pub sequences_max: usize,
    /// Requests that wait for their first step.
    pub queue_max: usize,
    /// Pages in the KV cache, of 32 tokens each, for all sequences together.
    pub kv_pages: usize,
    /// Bytes of logits in a step for the log-probabilities of prompts. Such prompts are cut into smaller chunks
    /// for it; one row is computed even if it is larger. (The rows to sample from come on top: one a sequence.)
    pub prompt_logits_bytes: usize,
    /// Alternatives reported beside a token (`Request::logprobs`).
    pub logprobs_max: usize,
    /// Stop tokens of a request.
    pub stop_tokens_max: usize,
    /// Whether pages are kept for requests that begin alike, as long as their memory is not needed, and shared among
    /// those that run together. No answer depends on it.
    pub prefix_cache: bool,
    /// How many times as long as usual a step may take that computes a prompt beside running streams. A step that only
    /// computes prompts is kept short then as well. Without it prompts get all that `batch_tokens` leaves
    /// them. No answer depends on it.
    pub stall_factor: Option<f32>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            context_tokens: 4096,
            batch_tokens: 512,
            sequences_max: 256,
            queue_max: 1024,
            kv_pages: 4096 / PAGE_TOKENS,
            prompt_logits_bytes: 64 << 20,
            logprobs_max: 100,
            stop_tokens_max: 256,
            prefix_cache: true,
            stall_factor: Some(2.0),
        }
    }
}

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A limit that nothing could run under, or that cannot be counted.
    #[error("the limit {name} is {value}; it must be between {min} and {max}")]
    Limit {
        /// The field of [`Limits`].
        name: &'static str,
        /// What was given.
        value: usize,
        /// The least that works.
        min: usize,
        /// The most that works.
        max: usize,
    },
    /// A factor that means nothing.
    #[error("the limit stall_factor is {0}; it must be between 1 and 1000, or none")]
    StallFactor(f32),
    /// The operating system gave no thread.
    #[error("the engine's thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// Why a request is not taken. A request that is taken does not fail for any of these reasons later.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// There is nothing to continue.
    #[error("the prompt is empty; give at least one token")]
    EmptyPrompt,
    /// A prompt that the context cannot hold together with one token of an answer.
    #[error(
        "the prompt has {prompt_tokens} tokens, more than the {prompt_tokens_max} that a context of \
         {context_tokens} has room for"
    )]
    TooLong {
        /// Tokens in the prompt.
        prompt_tokens: usize,
        /// The most that would be taken: all of the context if nothing is to be generated, else one less.
        prompt_tokens_max: usize,
        /// The context that the engine was started with.
        context_tokens: usize,
    },
    /// A sequence that would not even fit if it were alone.
    #[error(
        "the prompt and max_tokens may need {tokens} tokens of memory, but there is room for {tokens_max}; \
         ask for fewer or start with more memory for the KV cache"
    )]
    NeverFits {
        /// Tokens whose keys and values would have to be kept.
        tokens: usize,
        /// Tokens that all pages hold.
        tokens_max: usize,
    },
    /// A token id that the model does not know, in the prompt or among the stop tokens.
    #[error("{field}[{index}] is token {token}, but the vocabulary ends at {}", .vocabulary.saturating_sub(1))]
    TokenOutOfVocabulary {
        /// The field of [`Request`].
        field: &'static str,
        /// Where in it.
        index: usize,
        /// The token.
        token: TokenId,
        /// Tokens in the vocabulary.
        vocabulary: usize,
    },
    /// A parameter outside of its range.
    #[error("{name} is {value}; it must be {expected}")]
    Parameter {
        /// The field of [`Sampling`] or [`Request`].
        name: &'static str,
        /// What was given.
        value: f32,
        /// What would work.
        expected: &'static str,
    },
    /// A list or count above a limit of the engine.
    #[error("{name} is {value}, more than the limit of {max}")]
    AboveLimit {
        /// What is counted.
        name: &'static str,
        /// What was given.
        value: usize,
        /// The most that is taken.
        max: usize,
    },
    /// As many requests wait as may; a later try can succeed.
    #[error("the queue is full: {queue_max} requests wait already; try again later")]
    QueueFull {
        /// How many may wait.
        queue_max: usize,
    },
    /// The engine has been shut down.
    #[error("the engine has stopped")]
    Stopped,
}

impl Limits {
    /// These limits with the model's own taken into account, or the one that makes no sense.
    pub fn for_model(mut self, shape: &Shape) -> Result<Limits, StartError> {
        self.context_tokens = self.context_tokens.min(shape.context_length);
        self.sequences_max = self.sequences_max.min(self.batch_tokens);
        let kv_pages_max = (isize::MAX as usize / KvCache::page_bytes(shape).max(1)).min(u32::MAX as usize);
        let ranges = [
            ("context_tokens", self.context_tokens, 1, u32::MAX as usize),
            ("batch_tokens", self.batch_tokens, 1, 1 << 20),
            ("sequences_max", self.sequences_max, 1, 1 << 20),
            ("queue_max", self.queue_max, 1, 1 << 20),
            ("kv_pages", self.kv_pages, 1, kv_pages_max),
        ];
        for (name, value, min, max) in ranges {
            if value < min || value > max {
                return Err(StartError::Limit { name, value, min, max });
            }
        }
        if let Some(factor) = self.stall_factor.filter(|factor| !(1.0..=1000.0).contains(factor)) {
            return Err(StartError::StallFactor(factor));
        }
        Ok(self)
    }

    /// Refuses a request that could fail or never finish.
    pub fn check(&self, request: &Request, shape: &Shape) -> Result<(), Refused> {
        if request.prompt.is_empty() {
            return Err(Refused::EmptyPrompt);
        }
        self.check_length(request)?;
        check_tokens("prompt", &request.prompt, shape.vocabulary)?;
        at_most("stop_tokens", request.stop_tokens.len(), self.stop_tokens_max)?;
        check_tokens("stop_tokens", &request.stop_tokens, shape.vocabulary)?;
        at_most("logprobs", request.logprobs.unwrap_or(0), self.logprobs_max)?;
        check_sampling(&request.sampling)
    }

    /// Rows of logits for prompts that a step may compute.
    pub(crate) fn prompt_logit_rows(&self, shape: &Shape) -> usize {
        (self.prompt_logits_bytes / (shape.vocabulary * size_of::<f32>()).max(1)).max(1)
    }

    fn check_length(&self, request: &Request) -> Result<(), Refused> {
        let prompt_tokens = request.prompt.len();
        let context_tokens = self.context_tokens;
        let prompt_tokens_max = context_tokens - usize::from(request.max_tokens > 0);
        if prompt_tokens > prompt_tokens_max {
            return Err(Refused::TooLong { prompt_tokens, prompt_tokens_max, context_tokens });
        }
        // The last token of an answer is never computed, so its key and value need no room.
        let tokens = prompt_tokens
            .saturating_add(request.max_tokens.saturating_sub(1))
            .min(prompt_tokens.max(context_tokens - 1));
        let tokens_max = self.kv_pages * PAGE_TOKENS;
        if tokens > tokens_max {
            return Err(Refused::NeverFits { tokens, tokens_max });
        }
        Ok(())
    }
}

fn check_tokens(field: &'static str, tokens: &[TokenId], vocabulary: usize) -> Result<(), Refused> {
    match tokens.iter().position(|&token| token as usize >= vocabulary) {
        None => Ok(()),
        Some(index) => Err(Refused::TokenOutOfVocabulary { field, index, token: tokens[index], vocabulary }),
    }
}

fn at_most(name: &'static str, value: usize, max: usize) -> Result<(), Refused> {
    if value > max { Err(Refused::AboveLimit { name, value, max }) } else { Ok(()) }
}

fn check_sampling(sampling: &Sampling) -> Result<(), Refused> {
    let Sampling { temperature, top_p, min_p, repeat_penalty, .. } = sampling;
    // Written so that a NaN fails every one of them.
    let checks = [
        ("temperature", temperature, *temperature >= 0.0 && temperature.is_finite(), "a number from 0 up"),
        ("top_p", top_p, *top_p > 0.0 && *top_p <= 1.0, "above 0 and at most 1"),
        ("min_p", min_p, (0.0..=1.0).contains(min_p), "between 0 and 1"),
        (
            "repeat_penalty",
            repeat_penalty,
            // Further out, a penalised logit could leave the range of an f32.
            (0.01..=100.0).contains(repeat_penalty),
            "between 0.01 and 100",
        ),
    ];
    for (name, value, holds, expected) in checks {
        if !holds {
            return Err(Refused::Parameter { name, value: *value, expected });
        }
    }
    Ok(())
}
