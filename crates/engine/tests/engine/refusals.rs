//! What is refused, before it costs anything, and in what words.

use engine::engine::Handle;
use engine::limits::{Limits, StartError};
use engine::request::{Pooling, Request, Sampling};

use crate::mock::{Mock, VOCABULARY, prompt, request};

const LIMITS: Limits = Limits {
    context_tokens: 128,
    batch_tokens: 512,
    sequences_max: 4,
    queue_max: 4,
    kv_pages: 3,
    prompt_logits_bytes: 1 << 20,
    logprobs_max: 5,
    prompt_logprobs_bytes: 2000,
    logit_bias_max: 3,
    stop_tokens_max: 2,
    prefix_cache: true,
    stall_factor: Some(2.0),
};

fn sampled(change: impl FnOnce(&mut Sampling)) -> Request {
    let mut request = request(vec![1], 1);
    change(&mut request.sampling);
    request
}

/// A request with these biases for the tokens 0, 1, 2 and so on.
fn biased(biases: &[f32]) -> Request {
    sampled(|s| s.logit_bias = (0..).zip(biases.iter().copied()).collect())
}

#[test]
fn a_request_that_could_fail_is_refused() {
    let handle = Handle::start(Box::new(Mock::new(1000, &LIMITS)), LIMITS).unwrap();
    let nan = f32::NAN;
    let beyond = VOCABULARY as u32;
    let cases: Vec<(Request, &str)> = vec![
        (request(vec![], 1), "the prompt is empty; give at least one token"),
        (
            Request { generated: 3, ..request(prompt(1, 3), 1) },
            "3 of the prompt's 3 tokens are said to be generated already: at least one must stand before them, and \
             max_tokens must be at least 1",
        ),
        (
            Request { generated: 1, ..request(prompt(1, 3), 0) },
            "1 of the prompt's 3 tokens are said to be generated already: at least one must stand before them, and \
             max_tokens must be at least 1",
        ),
        (
            request(prompt(1, 128), 1),
            "the prompt has 128 tokens, more than the 127 that a context of 128 has room for",
        ),
        (
            request(prompt(1, 129), 0),
            "the prompt has 129 tokens, more than the 128 that a context of 128 has room for",
        ),
        (
            request(prompt(1, 90), 8),
            "the prompt and max_tokens may need 97 tokens of memory, but there is room for 96; \
             ask for fewer or start with more memory for the KV cache",
        ),
        (
            request(prompt(1, 97), 0),
            "the prompt and max_tokens may need 97 tokens of memory, but there is room for 96; \
             ask for fewer or start with more memory for the KV cache",
        ),
        (
            request(prompt(1, 1), usize::MAX),
            "the prompt and max_tokens may need 127 tokens of memory, but there is room for 96; \
             ask for fewer or start with more memory for the KV cache",
        ),
        (request(vec![1, 2, beyond], 1), "prompt[2] is token 97, but the vocabulary ends at 96"),
        (request(vec![u32::MAX], 1), "prompt[0] is token 4294967295, but the vocabulary ends at 96"),
        (
            Request { stop_tokens: vec![beyond], ..request(vec![1], 1) },
            "stop_tokens[0] is token 97, but the vocabulary ends at 96",
        ),
        (
            Request { stop_tokens: vec![1, 2, 3], ..request(vec![1], 1) },
            "stop_tokens is 3, more than the limit of 2",
        ),
        (Request { logprobs: Some(6), ..request(vec![1], 1) }, "logprobs is 6, more than the limit of 5"),
        (
            Request { prompt_logprobs: Some(6), ..request(vec![1], 1) },
            "prompt_logprobs is 6, more than the limit of 5",
        ),
        (
            Request { prompt_logprobs: Some(5), ..request(prompt(1, 28), 1) },
            "prompt_logprobs: 5 alternatives beside each of 28 tokens take 2016 bytes, more than the limit of 2000; \
             ask for fewer alternatives or give a shorter prompt",
        ),
        (
            Request { min_tokens: 3, ..request(vec![1], 2) },
            "min_tokens is 3, more than max_tokens, which is 2",
        ),
        (
            Request { embedding: Some(Pooling::Mean), ..request(vec![1], 2) },
            "max_tokens is 2, but a request for an embedding gives the prompt's vector alone; it must be 0",
        ),
        (
            Request { embedding: Some(Pooling::Last), prompt_logprobs: Some(1), ..request(vec![1], 0) },
            "prompt_logprobs is 1, but a request for an embedding gives the prompt's vector alone; it must be absent",
        ),
        (sampled(|s| s.temperature = -1.0), "temperature is -1; it must be a number from 0 up"),
        (sampled(|s| s.temperature = nan), "temperature is NaN; it must be a number from 0 up"),
        (sampled(|s| s.temperature = f32::INFINITY), "temperature is inf; it must be a number from 0 up"),
        (sampled(|s| s.top_p = 0.0), "top_p is 0; it must be above 0 and at most 1"),
        (sampled(|s| s.top_p = 1.1), "top_p is 1.1; it must be above 0 and at most 1"),
        (sampled(|s| s.top_p = nan), "top_p is NaN; it must be above 0 and at most 1"),
        (sampled(|s| s.min_p = -0.1), "min_p is -0.1; it must be between 0 and 1"),
        (sampled(|s| s.min_p = 2.0), "min_p is 2; it must be between 0 and 1"),
        (sampled(|s| s.min_p = nan), "min_p is NaN; it must be between 0 and 1"),
        (sampled(|s| s.repeat_penalty = 0.0), "repeat_penalty is 0; it must be between 0.01 and 100"),
        (sampled(|s| s.repeat_penalty = nan), "repeat_penalty is NaN; it must be between 0.01 and 100"),
        (sampled(|s| s.typical_p = 0.0), "typical_p is 0; it must be above 0 and at most 1"),
        (sampled(|s| s.typical_p = 1.5), "typical_p is 1.5; it must be above 0 and at most 1"),
        (sampled(|s| s.typical_p = nan), "typical_p is NaN; it must be above 0 and at most 1"),
        (sampled(|s| s.frequency_penalty = 2.1), "frequency_penalty is 2.1; it must be between -2 and 2"),
        (sampled(|s| s.frequency_penalty = nan), "frequency_penalty is NaN; it must be between -2 and 2"),
        (sampled(|s| s.presence_penalty = -2.1), "presence_penalty is -2.1; it must be between -2 and 2"),
        (sampled(|s| s.presence_penalty = nan), "presence_penalty is NaN; it must be between -2 and 2"),
        (biased(&[1.0; 4]), "logit_bias is 4, more than the limit of 3"),
        (
            sampled(|s| s.logit_bias = vec![(1, 0.0), (beyond, 0.0)]),
            "logit_bias[1] is token 97, but the vocabulary ends at 96",
        ),
        (
            biased(&[0.0, 100.5]),
            "logit_bias[1] is 100.5; it must be between -100 and 100, or -inf to forbid the token",
        ),
        (
            biased(&[nan]),
            "logit_bias[0] is NaN; it must be between -100 and 100, or -inf to forbid the token",
        ),
        (
            biased(&[f32::INFINITY]),
            "logit_bias[0] is inf; it must be between -100 and 100, or -inf to forbid the token",
        ),
        (
            sampled(|s| s.logit_bias = vec![(7, 1.0), (8, 0.0), (7, 1.0)]),
            "logit_bias has token 7 twice; give each token one bias",
        ),
    ];
    for (request, expect) in cases {
        let refused = handle.submit(request.clone()).map(drop).unwrap_err();
        assert_eq!(refused.to_string(), expect, "{request:?}");
    }
    let stats = handle.stats();
    assert_eq!((stats.queued, stats.steps), (0, 0), "a refused request costs nothing");
}

#[test]
fn what_is_just_within_the_limits_is_taken() {
    let handle = Handle::start(Box::new(Mock::new(1000, &LIMITS)), LIMITS).unwrap();
    for request in [
        request(prompt(1, 96), 0),
        request(prompt(1, 90), 7),
        request(prompt(1, 96), 1),
        Request { stop_tokens: vec![96, 0], logprobs: Some(5), ..request(vec![96 - 2], 1) },
        sampled(|s| {
            *s = Sampling { temperature: f32::MAX, top_k: usize::MAX, top_p: 1e-30, min_p: 1.0, ..s.clone() };
        }),
        Request { prompt_logprobs: Some(5), ..request(prompt(1, 27), 0) },
        Request { min_tokens: 3, ..request(vec![1], 3) },
        Request { embedding: Some(Pooling::Mean), ..request(prompt(1, 96), 0) },
        biased(&[-100.0, 100.0, f32::NEG_INFINITY]),
        sampled(|s| (s.frequency_penalty, s.presence_penalty, s.typical_p) = (-2.0, 2.0, 1e-30)),
        sampled(|s| {
            (s.temperature, s.repeat_penalty, s.repeat_window) = (f32::MIN_POSITIVE, 100.0, usize::MAX);
        }),
    ] {
        let last = handle.submit(request.clone()).unwrap().last().unwrap();
        let finished = last.finished.unwrap();
        assert_eq!(finished.completion_tokens, request.max_tokens, "{request:?}: {finished:?}");
    }
}

#[test]
fn limits_without_sense_are_named() {
    let check = |change: fn(&mut Limits), context_length, expect: &str| {
        let mut limits = LIMITS;
        change(&mut limits);
        let model = Mock::new(context_length, &LIMITS);
        let error = Handle::start(Box::new(model), limits).unwrap_err();
        assert!(matches!(error, StartError::Limit { .. } | StartError::StallFactor(_)));
        assert_eq!(error.to_string(), expect);
    };
    check(|l| l.kv_pages = 0, 9, "the limit kv_pages is 0; it must be between 1 and 4294967295");
    check(|l| l.batch_tokens = 0, 9, "the limit batch_tokens is 0; it must be between 1 and 1048576");
    check(|l| l.sequences_max = 0, 9, "the limit sequences_max is 0; it must be between 1 and 1048576");
    check(|l| l.queue_max = 0, 9, "the limit queue_max is 0; it must be between 1 and 1048576");
    let expect = "the limit stall_factor is 0.5; it must be between 1 and 1000, or none";
    check(|l| l.stall_factor = Some(0.5), 9, expect);
    let expect = "the limit stall_factor is NaN; it must be between 1 and 1000, or none";
    check(|l| l.stall_factor = Some(f32::NAN), 9, expect);
    check(|_| (), 0, "the limit context_tokens is 0; it must be between 1 and 4294967295");
}
