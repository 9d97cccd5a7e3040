//! What the engine must answer, worked out without scheduler, batches or pages.

use kun_engine::guard::{ATTEMPTS_MAX, WAYS_OUT};
use kun_engine::limits::Limits;
use kun_engine::request::{
    Chunk, FinishReason, LoopGuard, Marker, Pooling, Repetition, Request, Thinking, TokenId, TokenLogprobs,
};
use kun_engine::sampler::{Choice, Place, Sampler};

use text::repetition::{Finding, Repeated, Repetitions, thresholds};

use super::mock::{BANNED, EMBEDDING, hidden_after, logits_after, piece};

/// An answer from its first chunk to its last.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) logprobs: Vec<TokenLogprobs>,
    pub(crate) prompt_logprobs: Vec<TokenLogprobs>,
    pub(crate) embedding: Vec<f32>,
    pub(crate) reason: FinishReason,
    pub(crate) stop_token: Option<TokenId>,
    pub(crate) completion_tokens: usize,
    pub(crate) repetition: Option<Repetition>,
}

/// The answer of the mock to a request, by definition.
pub(crate) fn answer(request: &Request, limits: &Limits) -> Answer {
    let mut sampler = Sampler::new();
    let mut history = request.prompt.clone();
    let mut answer = Answer {
        tokens: Vec::new(),
        logprobs: Vec::new(),
        prompt_logprobs: Vec::new(),
        embedding: request.embedding.map_or(Vec::new(), |pooling| embedding(&request.prompt, pooling)),
        reason: FinishReason::Length,
        stop_token: None,
        completion_tokens: 0,
        repetition: None,
    };
    let mut ladder = Ladder::default();
    // Which tokens may not come at which places.
    let mut bans: Vec<(usize, TokenId)> = Vec::new();
    // Mirostat's μ before each token and behind the last.
    let mut mus = vec![request.sampling.mirostat.map_or(0.0, |mirostat| 2.0 * mirostat.tau)];
    if let Some(top_n) = request.prompt_logprobs {
        for next in 1..history.len() {
            let row = logits_after(&history[..next]);
            answer.prompt_logprobs.push(sampler.logprobs(&row, history[next], top_n, &[]).unwrap());
        }
    }
    while answer.completion_tokens < request.max_tokens && history.len() < limits.context_tokens {
        let mut row = logits_after(&history);
        let early = answer.completion_tokens < request.min_tokens;
        let forbidden = if early { &request.stop_tokens[..] } else { &[] };
        let way_out = ladder.attempts.checked_sub(1).map(|attempt| &WAYS_OUT[attempt as usize]);
        let attempt = ladder.attempts;
        let prompt_tokens = request.prompt.len();
        let mu = *mus.last().unwrap();
        let banned: Vec<TokenId> =
            bans.iter().filter(|(at, _)| *at == answer.tokens.len()).map(|(_, token)| *token).collect();
        let place = Place {
            history: &history,
            prompt_tokens,
            forbidden,
            banned: &banned,
            allowed: None,
            attempt,
            way_out,
            mu,
        };
        ladder.keep_to_budget(request, &answer.tokens);
        let Choice { token, mu } = match ladder.forced.pop() {
            Some(token) => Choice { token, mu },
            None => sampler.sample(&mut row, &request.sampling, &place).unwrap(),
        };
        mus.push(mu);
        history.push(token);
        answer.completion_tokens += 1;
        if request.stop_tokens.contains(&token) {
            answer.reason = FinishReason::Stop;
            answer.stop_token = Some(token);
            break;
        }
        answer.tokens.push(token);
        if let Some(top_n) = request.logprobs {
            answer.logprobs.push(sampler.logprobs(&row, token, top_n, &request.logprob_tokens).unwrap());
        }
        if let Some(place) = begin_of_banned(request, &answer.tokens) {
            bans.retain(|(at, _)| *at <= place);
            bans.push((place, answer.tokens[place]));
            answer.tokens.truncate(place);
            answer.logprobs.truncate(place);
            answer.completion_tokens = place;
            history.truncate(prompt_tokens + place);
            mus.truncate(place + 1);
            ladder.begin = place;
            if ladder.closed_at.is_some_and(|at| at > place) {
                ladder.closed_at = None;
                ladder.forced.clear();
            }
            continue;
        }
        let Some(repeated) = ladder.look(request, &answer.tokens) else { continue };
        let kept = answer.tokens.len() - repeated.excess();
        ladder.note(repeated);
        answer.tokens.truncate(kept);
        answer.logprobs.truncate(kept);
        answer.completion_tokens = kept;
        history.truncate(prompt_tokens + kept);
        mus.truncate(kept + 1);
        bans.retain(|(at, _)| *at <= kept);
        if !ladder.goes_on(request, &answer.tokens) {
            answer.reason = FinishReason::Repetition;
            break;
        }
    }
    let recovered = answer.reason != FinishReason::Repetition;
    answer.repetition = ladder.repetition.map(|repetition| Repetition { recovered, ..repetition });
    answer
}

/// What the guard does, one rung after the other. It counts the copies anew for each token.
#[derive(Default)]
struct Ladder {
    attempts: u32,
    /// The tokens that come next, the last first.
    forced: Vec<TokenId>,
    /// Where they began.
    closed_at: Option<usize>,
    /// Tokens of the answer when it was last taken back: copies are counted from there.
    begin: usize,
    repetition: Option<Repetition>,
}

impl Ladder {
    /// The loop that the answer ends with.
    fn look(&self, request: &Request, answer: &[TokenId]) -> Option<Repeated> {
        // The unit has 30 different tokens, of which six copies are a loop.
        if request.loop_guard == LoopGuard::Off || answer.len() < request.min_tokens || answer.len() < 150 {
            return None;
        }
        let mut repetitions = Repetitions::new(&thresholds::TOKENS);
        let ends = self.begin + 1..=answer.len();
        match ends.map(|end| repetitions.push(&answer[..end])).last() {
            Some(Finding::Loop(repeated)) => Some(repeated),
            _ => None,
        }
    }

    fn note(&mut self, repeated: Repeated) {
        let before = self.repetition.map_or(0, |repetition| repetition.tokens_trimmed);
        self.repetition = Some(Repetition {
            period_tokens: repeated.period,
            repeats: repeated.copies(),
            tokens_trimmed: before + repeated.excess(),
            recovered: false,
        });
    }

    /// Whether the answer goes on from what is left of it.
    fn goes_on(&mut self, request: &Request, answer: &[TokenId]) -> bool {
        self.begin = answer.len();
        if request.loop_guard == LoopGuard::Stop {
            return false;
        }
        if self.thinks(request, answer) {
            self.close(request, answer);
            return true;
        }
        self.attempts += 1;
        self.attempts <= ATTEMPTS_MAX
    }

    fn thinks(&self, request: &Request, answer: &[TokenId]) -> bool {
        let Some(Thinking { open: true, end: Marker::Tokens(end), .. }) = &request.thinking else {
            return false;
        };
        self.closed_at.is_none() && !answer.windows(end.len()).any(|tokens| tokens == end)
    }

    fn close(&mut self, request: &Request, answer: &[TokenId]) {
        let thinking = request.thinking.as_ref().expect("it thinks");
        self.forced = thinking.close.iter().rev().copied().collect();
        self.closed_at = Some(answer.len());
    }

    fn keep_to_budget(&mut self, request: &Request, answer: &[TokenId]) {
        let budget = request.thinking.as_ref().and_then(|thinking| thinking.budget_tokens);
        if budget.is_some_and(|budget| answer.len() >= budget) && self.thinks(request, answer) {
            self.close(request, answer);
        }
    }
}

/// The token with which a text begins that must not be there.
fn begin_of_banned(request: &Request, answer: &[TokenId]) -> Option<usize> {
    request.banned.as_ref()?;
    let text: String = answer.iter().map(|&token| piece(token)).collect();
    let begins = BANNED.iter().filter_map(|banned| text.find(banned));
    // Each piece has two letters.
    begins.min().map(|at| at / 2)
}

/// The vector of a prompt, by definition.
fn embedding(prompt: &[TokenId], pooling: Pooling) -> Vec<f32> {
    let shortest = match pooling {
        Pooling::Mean => 1,
        Pooling::Last => prompt.len(),
    };
    let mut sum = [0f64; EMBEDDING];
    for len in shortest..=prompt.len() {
        let state = hidden_after(&prompt[..len]);
        (0..EMBEDDING).for_each(|i| sum[i] += f64::from(state[i]));
    }
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    sum.iter().map(|x| (x * (1.0 / length)) as f32).collect()
}

/// Puts the chunks of an answer together and checks what holds for every answer.
pub(crate) fn collect(chunks: impl Iterator<Item = Chunk>) -> Answer {
    let chunks: Vec<Chunk> = chunks.collect();
    let (last, others) = chunks.split_last().expect("an answer has a last chunk");
    assert!(others.iter().all(|c| c.finished.is_none()), "only the last chunk is the last");
    assert!(chunks.iter().skip(1).all(|c| c.prompt_logprobs.is_empty()), "the prompt comes first");
    assert!(others.iter().all(|c| c.embedding.is_empty()), "the vector comes last");
    let finished = last.finished.clone().expect("the last chunk says so");
    let (mut tokens, mut logprobs) = (Vec::new(), Vec::new());
    for chunk in &chunks {
        let kept = tokens.len().checked_sub(chunk.rewind).expect("only what was sent is taken back");
        tokens.truncate(kept);
        logprobs.truncate(kept);
        tokens.extend_from_slice(&chunk.tokens);
        logprobs.extend_from_slice(&chunk.logprobs);
    }
    Answer {
        tokens,
        logprobs,
        prompt_logprobs: chunks[0].prompt_logprobs.clone(),
        embedding: last.embedding.clone(),
        reason: finished.reason,
        stop_token: finished.stop_token,
        completion_tokens: finished.completion_tokens,
        repetition: finished.repetition,
    }
}
