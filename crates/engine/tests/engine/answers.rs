//! The answers do not depend on what else runs, how prompts are cut or who is preempted.

use std::sync::mpsc::channel;

use engine::engine::Handle;
use engine::limits::Limits;
use engine::request::{FinishReason, Pooling, Request, Sampling};

use crate::mock::{Mock, NOT_A_NUMBER, VOCABULARY, prompt, request};
use crate::oracle::{answer, collect};

const CONTEXT: usize = 512;

fn start(limits: Limits) -> Handle {
    Handle::start(Box::new(Mock::new(CONTEXT, &limits)), limits).unwrap()
}

/// Requests of all kinds: long and short, greedy and sampled, with and without log-probabilities, for vectors.
fn requests() -> Vec<Request> {
    let sampling = |seed| Sampling { temperature: 0.8, top_k: 20, top_p: 0.9, seed, ..Sampling::default() };
    let penalised = |seed| Sampling {
        frequency_penalty: 0.7,
        presence_penalty: -0.3,
        typical_p: 0.9,
        logit_bias: vec![(3, 2.0), (5, f32::NEG_INFINITY), (80, -1.0)],
        ..sampling(seed)
    };
    (0..34u64)
        .map(|i| {
            let mut request =
                request(prompt(i, [1, 5, 31, 32, 33, 100][i as usize % 6]), 10 + i as usize % 17 * 6);
            match i % 7 {
                4 => (request.embedding, request.max_tokens) = (Some(Pooling::Mean), 0),
                5 => (request.embedding, request.max_tokens) = (Some(Pooling::Last), 0),
                6 => {
                    request.sampling = penalised(i);
                    (request.min_tokens, request.stop_tokens) = (5, (0..40).collect());
                }
                0 => request.sampling = sampling(i),
                1 => request.prompt_logprobs = Some(3),
                2 => request.logprobs = Some(3),
                _ => request.sampling = Sampling { repeat_penalty: 1.3, min_p: 0.01, ..sampling(i) },
            }
            request
        })
        .collect()
}

/// Each request's answer when all are submitted at once; how often one was preempted.
fn check_together(limits: Limits) -> u64 {
    let handle = start(limits);
    let generations: Vec<_> = requests().into_iter().map(|r| handle.submit(r).unwrap()).collect();
    for (generation, request) in generations.into_iter().zip(requests()) {
        assert_eq!(collect(generation), answer(&request, handle.limits()), "{request:?} within {limits:?}");
    }
    let stats = handle.stats();
    assert_eq!((stats.pages_used, stats.queued, stats.running), (0, 0, 0));
    assert_eq!(stats.finished, requests().len() as u64);
    stats.preemptions
}

#[test]
fn alone_or_among_others() {
    let handle = start(Limits::default());
    for request in requests() {
        let generation = handle.submit(request.clone()).unwrap();
        assert_eq!(collect(generation), answer(&request, handle.limits()), "{request:?}");
    }
    assert_eq!(check_together(Limits::default()), 0);
}

#[test]
fn however_prompts_are_cut() {
    for batch_tokens in [1, 7, 32, 512] {
        check_together(Limits { batch_tokens, ..Limits::default() });
    }
}

#[test]
fn however_few_rows_of_logits_there_are() {
    for prompt_logits_bytes in [0, 97 * 4 * 7] {
        check_together(Limits { prompt_logits_bytes, ..Limits::default() });
    }
}

#[test]
fn however_often_one_is_preempted() {
    let mut preemptions = 0;
    for kv_pages in [7, 8, 11, 16] {
        for batch_tokens in [1, 7, 32, 512] {
            preemptions += check_together(Limits { kv_pages, batch_tokens, ..Limits::default() });
        }
    }
    assert!(preemptions >= 10, "only {preemptions} preemptions: the pools are too large for this test");
}

#[test]
fn a_stop_token_ends_it_is_counted_and_not_sent() {
    let handle = start(Limits::default());
    let mut request = request(prompt(3, 40), 20);
    let free = answer(&request, handle.limits());
    let stop_token = free.tokens[7];
    let first = free.tokens.iter().position(|&t| t == stop_token).unwrap();
    request.stop_tokens = vec![94, stop_token];
    request.logprobs = Some(0);
    let stopped = collect(handle.submit(request).unwrap());
    assert_eq!(stopped.tokens, free.tokens[..first]);
    assert_eq!(stopped.logprobs.len(), first);
    assert_eq!((stopped.reason, stopped.completion_tokens), (FinishReason::Stop, first + 1));
}

#[test]
fn the_end_of_the_context_is_a_length() {
    // 64 tokens of context take two pages; the last token of the answer is never computed.
    let handle = start(Limits { context_tokens: 64, kv_pages: 2, ..Limits::default() });
    for (prompt_tokens, max_tokens, expect) in [(60, 100, 4), (60, usize::MAX, 4), (63, 5, 1), (60, 3, 3)] {
        let got = collect(handle.submit(request(prompt(1, prompt_tokens), max_tokens)).unwrap());
        assert_eq!(
            (got.tokens.len(), got.reason),
            (expect, FinishReason::Length),
            "{prompt_tokens} + {max_tokens}"
        );
    }
}

#[test]
fn without_tokens_to_generate_the_prompt_is_evaluated() {
    for batch_tokens in [7, 512] {
        let limits = Limits { context_tokens: 64, batch_tokens, prefix_cache: false, ..Limits::default() };
        let handle = start(limits);
        for prompt_logprobs in [Some(0), None] {
            let request = Request { prompt_logprobs, ..request(prompt(9, 64), 0) };
            let got = collect(handle.submit(request.clone()).unwrap());
            assert_eq!(got, answer(&request, handle.limits()));
            assert_eq!(got.prompt_logprobs.len(), if prompt_logprobs.is_some() { 63 } else { 0 });
            assert_eq!((got.completion_tokens, got.reason), (0, FinishReason::Length));
        }
        assert_eq!(handle.stats().computed_tokens, 2 * 64);
    }
}

#[test]
fn alternatives_come_most_probable_first() {
    let handle = start(Limits::default());
    let request = Request { logprobs: Some(5), ..request(prompt(2, 10), 4) };
    let got = collect(handle.submit(request).unwrap());
    for (token, at) in got.tokens.iter().zip(&got.logprobs) {
        assert_eq!(at.top.len(), 5);
        assert_eq!(at.top[0], (*token, at.logprob), "greedy takes the most probable");
        assert!(at.top.is_sorted_by(|a, b| a.1 >= b.1));
        assert!(at.logprob < 0.0);
    }
}

#[test]
fn no_stop_token_comes_before_min_tokens() {
    let handle = start(Limits::default());
    // Half of the vocabulary stops, so without a minimum an answer is short.
    let stop_tokens: Vec<_> = (0..48).collect();
    let free = Request { stop_tokens, ..request(prompt(5, 20), 30) };
    let short = collect(handle.submit(free.clone()).unwrap());
    assert!(short.reason == FinishReason::Stop && short.completion_tokens < 10, "{short:?}");
    for min_tokens in [0, 1, 10, 29, 30] {
        let request = Request { min_tokens, ..free.clone() };
        let got = collect(handle.submit(request.clone()).unwrap());
        assert_eq!(got, answer(&request, handle.limits()), "{min_tokens}");
        assert!(got.tokens.iter().all(|&token| token >= 48), "stop tokens are not sent on");
        // The stop token counts, but there are as many others before it.
        let sent = got.tokens.len();
        assert!(sent >= min_tokens && got.completion_tokens == sent + usize::from(sent < 30), "{got:?}");
    }
}

#[test]
fn a_request_that_forbids_all_tokens_ends_alone() {
    let handle = start(Limits::default());
    let good_request = request(prompt(1, 50), 20);
    let good = handle.submit(good_request.clone()).unwrap();
    let mut barred = request(prompt(2, 50), 5);
    barred.sampling.logit_bias = (0..VOCABULARY as u32).map(|token| (token, f32::NEG_INFINITY)).collect();
    let FinishReason::Impossible(message) = collect(handle.submit(barred).unwrap()).reason else {
        panic!("it ends with an error")
    };
    assert!(
        message.starts_with(
            "logit_bias, banned_strings, min_tokens and the answer's form together forbid every token"
        ),
        "{message}"
    );
    assert_eq!(collect(good), answer(&good_request, handle.limits()));
}

#[test]
fn hidden_states_that_are_no_numbers_end_one_request() {
    let handle = start(Limits::default());
    for pooling in [Pooling::Mean, Pooling::Last] {
        let embedding = Some(pooling);
        let bad = handle.submit(Request { embedding, ..request(vec![1, 2, NOT_A_NUMBER], 0) }).unwrap();
        let FinishReason::Error(message) = collect(bad).reason else { panic!("it ends with an error") };
        assert!(message.starts_with("the model gave hidden states that are not numbers"), "{message}");
    }
    assert_eq!((handle.stats().failed, handle.stats().pages_used), (2, 0));
}

#[test]
fn what_was_noted_of_a_prompt_is_kept_when_it_is_preempted() {
    // One token of each step goes to the older sequence, the rest to the prompt of three pages that is to be evaluated.
    // The older one comes to need a third page when that is under way, and there is none but the prompt's.
    let evaluated = request(prompt(2, 96), 0);
    let kinds = [
        Request { embedding: Some(Pooling::Mean), ..evaluated.clone() },
        Request { embedding: Some(Pooling::Last), ..evaluated.clone() },
        Request { prompt_logprobs: Some(2), ..evaluated },
    ];
    // The second time it has whole steps: the first token not noted yet begins a span, or stands in one.
    for (batch_tokens, evaluated) in [2, 3].into_iter().flat_map(|n| kinds.iter().map(move |k| (n, k))) {
        let limits = Limits { batch_tokens, kv_pages: 5, ..Limits::default() };
        let (go, wait) = channel::<()>();
        let hook = Box::new(move |_: &_| {
            let _ = wait.recv();
        });
        let handle = Handle::start(Box::new(Mock::with_hook(CONTEXT, &limits, hook)), limits).unwrap();
        let older = request(prompt(1, 31), 50);
        let generations = [&older, evaluated].map(|request| handle.submit(request.clone()).unwrap());
        drop(go);
        let got = generations.map(collect);
        assert_eq!(got, [&older, evaluated].map(|request| answer(request, handle.limits())));
        assert_eq!(handle.stats().preemptions, 1, "{evaluated:?}");
    }
}
