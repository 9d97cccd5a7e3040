//! Every limit of the engine, and what is refused because of one.
//!
//! A request is checked here once, at submission, against everything that could make it fail later. What gets
//! through may wait or be preempted, but the engine has no reason of its own to turn it down any more.

use std::ops::RangeInclusive;

use crate::batch::PAGE_TOKENS;
use crate::kv::KvCache;
use crate::model::Shape;
use crate::request::{Dry, Marker, Request, Sampling, Thinking, TokenId, TokenLogprobs};

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
    /// Alternatives reported beside a token (`Request::logprobs`, `Request::prompt_logprobs`).
    pub logprobs_max: usize,
    /// Bytes that the log-probabilities of a request's prompt may take, all alternatives together.
    pub prompt_logprobs_bytes: usize,
    /// Entries in `Sampling::logit_bias`.
    pub logit_bias_max: usize,
    /// Stop tokens of a request, and tokens that end its thinking.
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
            prompt_logprobs_bytes: 16 << 20,
            logit_bias_max: 1024,
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
    /// A beginning of the answer that leaves no prompt, or one that is not to go on.
    #[error(
        "{generated} of the prompt's {prompt_tokens} tokens are said to be generated already: at least one must stand \
         before them, and max_tokens must be at least 1"
    )]
    Generated {
        /// Tokens that were generated elsewhere.
        generated: usize,
        /// Tokens in the prompt, those included.
        prompt_tokens: usize,
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
    /// Log-probabilities of a prompt that take too much memory.
    #[error(
        "prompt_logprobs: {top_n} alternatives beside each of {prompt_tokens} tokens take {bytes} bytes, more than \
         the limit of {bytes_max}; ask for fewer alternatives or give a shorter prompt"
    )]
    PromptLogprobs {
        /// Alternatives beside each token.
        top_n: usize,
        /// Tokens in the prompt.
        prompt_tokens: usize,
        /// What they would take.
        bytes: usize,
        /// What they may.
        bytes_max: usize,
    },
    /// A number that cannot be added to a logit.
    #[error("logit_bias[{index}] is {bias}; it must be between -100 and 100, or -inf to forbid the token")]
    Bias {
        /// Where in the list.
        index: usize,
        /// What was given.
        bias: f32,
    },
    /// A token with two biases.
    #[error("logit_bias has token {token} twice; give each token one bias")]
    BiasTwice {
        /// The token.
        token: TokenId,
    },
    /// An answer that would be full before it may end.
    #[error("min_tokens is {min_tokens}, more than max_tokens, which is {max_tokens}")]
    MinTokens {
        /// What was given for `min_tokens`.
        min_tokens: usize,
        /// What was given for `max_tokens`.
        max_tokens: usize,
    },
    /// Something that cannot be asked for together with the prompt's vector.
    #[error(
        "{name} is {value}, but a request for an embedding gives the prompt's vector alone; it must be {expected}"
    )]
    BesideEmbedding {
        /// The field of [`Request`].
        name: &'static str,
        /// What was given.
        value: usize,
        /// What would work.
        expected: &'static str,
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
        check_tokens("prompt", &request.prompt, |&token| token, shape.vocabulary)?;
        at_most("stop_tokens", request.stop_tokens.len(), self.stop_tokens_max)?;
        check_tokens("stop_tokens", &request.stop_tokens, |&token| token, shape.vocabulary)?;
        self.check_thinking(request.thinking.as_ref(), shape.vocabulary)?;
        at_most("logprob_tokens", request.logprob_tokens.len(), self.logprobs_max)?;
        check_tokens("logprob_tokens", &request.logprob_tokens, |&token| token, shape.vocabulary)?;
        if request.generated > 0 && (request.generated >= request.prompt.len() || request.max_tokens == 0) {
            let (generated, prompt_tokens) = (request.generated, request.prompt.len());
            return Err(Refused::Generated { generated, prompt_tokens });
        }
        let (min_tokens, max_tokens) =
            (request.min_tokens, request.max_tokens.saturating_add(request.generated));
        if min_tokens > max_tokens {
            return Err(Refused::MinTokens { min_tokens, max_tokens });
        }
        at_most("logprobs", request.logprobs.unwrap_or(0), self.logprobs_max)?;
        self.check_prompt_logprobs(request)?;
        check_embedding(request)?;
        check_sampling(&request.sampling)?;
        self.check_bias(&request.sampling.logit_bias, shape.vocabulary)
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

    fn check_thinking(&self, thinking: Option<&Thinking>, vocabulary: usize) -> Result<(), Refused> {
        let Some(Thinking { begin, end, close, .. }) = thinking else { return Ok(()) };
        let tokens = |marker: &Marker| match marker {
            Marker::Tokens(tokens) => tokens.clone(),
            Marker::Text(_) => Vec::new(),
        };
        let begin = begin.as_ref().map(tokens).unwrap_or_default();
        for (field, tokens) in
            [("thinking.begin", &begin), ("thinking.end", &tokens(end)), ("thinking.close", close)]
        {
            at_most(field, tokens.len(), self.stop_tokens_max)?;
            check_tokens(field, tokens, |&token| token, vocabulary)?;
        }
        Ok(())
    }

    fn check_prompt_logprobs(&self, request: &Request) -> Result<(), Refused> {
        let Some(top_n) = request.prompt_logprobs else { return Ok(()) };
        at_most("prompt_logprobs", top_n, self.logprobs_max)?;
        let (prompt_tokens, bytes_max) = (request.prompt.len(), self.prompt_logprobs_bytes);
        let bytes_each = size_of::<TokenLogprobs>() + top_n * size_of::<(TokenId, f32)>();
        let bytes = prompt_tokens * bytes_each;
        if bytes > bytes_max {
            return Err(Refused::PromptLogprobs { top_n, prompt_tokens, bytes, bytes_max });
        }
        Ok(())
    }

    fn check_bias(&self, biases: &[(TokenId, f32)], vocabulary: usize) -> Result<(), Refused> {
        at_most("logit_bias", biases.len(), self.logit_bias_max)?;
        check_tokens("logit_bias", biases, |&(token, _)| token, vocabulary)?;
        for (index, &(_, bias)) in biases.iter().enumerate() {
            if !(-100.0..=100.0).contains(&bias) && bias != f32::NEG_INFINITY {
                return Err(Refused::Bias { index, bias });
            }
        }
        let mut tokens: Vec<TokenId> = biases.iter().map(|&(token, _)| token).collect();
        tokens.sort_unstable();
        match tokens.array_windows().find(|[a, b]| a == b) {
            None => Ok(()),
            Some(&[token, _]) => Err(Refused::BiasTwice { token }),
        }
    }
}

/// Refuses the first entry whose token is none.
fn check_tokens<T>(
    field: &'static str,
    entries: &[T],
    token_of: impl Fn(&T) -> TokenId,
    vocabulary: usize,
) -> Result<(), Refused> {
    match entries.iter().position(|entry| token_of(entry) as usize >= vocabulary) {
        None => Ok(()),
        Some(index) => {
            Err(Refused::TokenOutOfVocabulary { field, index, token: token_of(&entries[index]), vocabulary })
        }
    }
}

fn at_most(name: &'static str, value: usize, max: usize) -> Result<(), Refused> {
    if value > max { Err(Refused::AboveLimit { name, value, max }) } else { Ok(()) }
}

/// An embedding request gives a vector and nothing else.
fn check_embedding(request: &Request) -> Result<(), Refused> {
    if request.embedding.is_none() {
        return Ok(());
    }
    let beside = |name, value, expected| Err(Refused::BesideEmbedding { name, value, expected });
    match (request.max_tokens, request.prompt_logprobs) {
        (0, None) => Ok(()),
        (0, Some(top_n)) => beside("prompt_logprobs", top_n, "absent"),
        (max_tokens, _) => beside("max_tokens", max_tokens, "0"),
    }
}

fn check_sampling(sampling: &Sampling) -> Result<(), Refused> {
    let Sampling { temperature, top_p, min_p, typical_p, repeat_penalty, .. } = sampling;
    let Sampling { frequency_penalty, presence_penalty, .. } = sampling;
    const PENALTIES: RangeInclusive<f32> = -2.0..=2.0;
    // Written so that a NaN fails every one of them.
    let checks = [
        ("temperature", temperature, *temperature >= 0.0 && temperature.is_finite(), "a number from 0 up"),
        ("top_p", top_p, *top_p > 0.0 && *top_p <= 1.0, "above 0 and at most 1"),
        ("min_p", min_p, (0.0..=1.0).contains(min_p), "between 0 and 1"),
        ("typical_p", typical_p, *typical_p > 0.0 && *typical_p <= 1.0, "above 0 and at most 1"),
        (
            "repeat_penalty",
            repeat_penalty,
            // Further out, a penalised logit could leave the range of an f32.
            (0.01..=100.0).contains(repeat_penalty),
            "between 0.01 and 100",
        ),
        ("frequency_penalty", frequency_penalty, PENALTIES.contains(frequency_penalty), "between -2 and 2"),
        ("presence_penalty", presence_penalty, PENALTIES.contains(presence_penalty), "between -2 and 2"),
    ];
    let Sampling { top_n_sigma, xtc_probability, xtc_threshold, dynatemp_range, dynatemp_exponent, .. } =
        sampling;
    let finite = |value: f32| value >= 0.0 && value.is_finite();
    let later_ones = [
        ("top_n_sigma", top_n_sigma, finite(*top_n_sigma), "a number from 0 up"),
        ("xtc_probability", xtc_probability, (0.0..=1.0).contains(xtc_probability), "between 0 and 1"),
        (
            "xtc_threshold",
            xtc_threshold,
            *xtc_threshold > 0.0 && *xtc_threshold <= 1.0,
            "above 0 and at most 1",
        ),
        ("dynatemp_range", dynatemp_range, finite(*dynatemp_range), "a number from 0 up"),
        ("dynatemp_exponent", dynatemp_exponent, finite(*dynatemp_exponent), "a number from 0 up"),
    ];
    let nothing = Dry { multiplier: 0.0, base: 1.0, allowed_length: 0, window: 0, breakers: Vec::new() };
    let Dry { multiplier, base, .. } = sampling.dry.as_ref().unwrap_or(&nothing);
    let of_dry = [
        ("dry_multiplier", multiplier, (0.0..=100.0).contains(multiplier), "between 0 and 100"),
        ("dry_base", base, (1.0..=100.0).contains(base), "between 1 and 100"),
    ];
    let strength = &sampling.lz.as_ref().map_or(0.0, |lz| lz.strength);
    let (tau, eta) = &sampling.mirostat.map_or((1.0, 0.0), |mirostat| (mirostat.tau, mirostat.eta));
    let of_others = [
        ("lz_strength", strength, (0.0..=10.0).contains(strength), "between 0 and 10"),
        ("mirostat_tau", tau, (0.0..=100.0).contains(tau), "between 0 and 100"),
        ("mirostat_eta", eta, (0.0..=1.0).contains(eta), "between 0 and 1"),
    ];
    let checks = checks.into_iter().chain(later_ones).chain(of_dry).chain(of_others);
    for (name, value, holds, expected) in checks {
        if !holds {
            return Err(Refused::Parameter { name, value: *value, expected });
        }
    }
    Ok(())
}
