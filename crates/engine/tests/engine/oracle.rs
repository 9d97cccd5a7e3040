//! What the engine must answer, worked out without scheduler, batches or pages.

use kun_engine::limits::Limits;
use kun_engine::request::{Chunk, FinishReason, Pooling, Request, TokenId, TokenLogprobs};
use kun_engine::sampler::{Place, Sampler};

use super::mock::{EMBEDDING, hidden_after, logits_after};

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
    };
    if let Some(top_n) = request.prompt_logprobs {
        for next in 1..history.len() {
            let row = logits_after(&history[..next]);
            answer.prompt_logprobs.push(sampler.logprobs(&row, history[next], top_n).unwrap());
        }
    }
    while answer.completion_tokens < request.max_tokens && history.len() < limits.context_tokens {
        let mut row = logits_after(&history);
        let early = answer.completion_tokens < request.min_tokens;
        let forbidden = if early { &request.stop_tokens[..] } else { &[] };
        let place =
            Place { history: &history, prompt_tokens: request.prompt.len(), forbidden, allowed: None };
        let token = sampler.sample(&mut row, &request.sampling, &place).unwrap();
        history.push(token);
        answer.completion_tokens += 1;
        if request.stop_tokens.contains(&token) {
            answer.reason = FinishReason::Stop;
            answer.stop_token = Some(token);
            break;
        }
        answer.tokens.push(token);
        if let Some(top_n) = request.logprobs {
            answer.logprobs.push(sampler.logprobs(&row, token, top_n).unwrap());
        }
    }
    answer
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
    Answer {
        tokens: chunks.iter().flat_map(|c| c.tokens.iter().copied()).collect(),
        logprobs: chunks.iter().flat_map(|c| c.logprobs.iter().cloned()).collect(),
        prompt_logprobs: chunks[0].prompt_logprobs.clone(),
        embedding: last.embedding.clone(),
        reason: finished.reason,
        stop_token: finished.stop_token,
        completion_tokens: finished.completion_tokens,
    }
}
