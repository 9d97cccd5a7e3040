//! Answers that were begun elsewhere go on as though nothing had happened.

use engine::engine::Handle;
use engine::limits::Limits;
use engine::request::{FinishReason, Request, Sampling, TokenId};

use crate::mock::{LOOPS, Mock, prompt, request};
use crate::oracle::collect;

fn start() -> Handle {
    let limits = Limits { context_tokens: 512, ..Limits::default() };
    Handle::start(Box::new(Mock::new(512, &limits)), limits).unwrap()
}

/// The rest of the answer to `request` after its first `cut` tokens.
fn rest(request: &Request, answer: &[TokenId], cut: usize) -> Request {
    Request {
        prompt: [&request.prompt, &answer[..cut]].concat(),
        generated: cut,
        max_tokens: request.max_tokens - cut,
        ..request.clone()
    }
}

#[test]
fn an_answer_goes_on_with_the_same_bits_wherever_it_was_cut() {
    let drawn = Sampling { temperature: 0.9, top_p: 0.95, seed: 7, ..Sampling::default() };
    let penalised = Sampling {
        frequency_penalty: 1.5,
        presence_penalty: 0.5,
        repeat_penalty: 1.2,
        temperature: 0.7,
        seed: 3,
        ..Sampling::default()
    };
    let stops: Vec<TokenId> = (0..30).collect();
    let cases = [
        request(prompt(1, 40), 40),
        Request { sampling: drawn.clone(), ..request(prompt(2, 3), 70) },
        Request { sampling: penalised.clone(), logprobs: Some(2), ..request(prompt(3, 31), 50) },
        // The first of these tokens would end it at once.
        Request { sampling: drawn, min_tokens: 25, stop_tokens: stops.clone(), ..request(prompt(4, 9), 60) },
        Request { sampling: penalised, min_tokens: 20, stop_tokens: stops, ..request(prompt(5, 33), 60) },
    ];
    let (here, there) = (start(), start());
    for request in cases {
        let undisturbed = collect(here.submit(request.clone()).unwrap());
        assert!(undisturbed.tokens.len() >= 20, "{request:?}");
        for cut in 1..undisturbed.tokens.len() {
            let rest = rest(&request, &undisturbed.tokens, cut);
            let chunks: Vec<_> = there.submit(rest).unwrap().collect();
            let finished = chunks.last().unwrap().finished.clone().unwrap();
            let gone_on = collect(chunks.into_iter());
            assert_eq!(gone_on.tokens, undisturbed.tokens[cut..], "cut at {cut}: {request:?}");
            let logprobs = undisturbed.logprobs.get(cut..).unwrap_or_default();
            assert_eq!(gone_on.logprobs, logprobs, "cut at {cut}: {request:?}");
            assert_eq!(
                (gone_on.reason, gone_on.stop_token, gone_on.completion_tokens, finished.prompt_tokens),
                (
                    undisturbed.reason.clone(),
                    undisturbed.stop_token,
                    undisturbed.completion_tokens,
                    request.prompt.len()
                ),
                "cut at {cut}: {request:?}"
            );
        }
    }
}

/// The unit is repeated for ever; where the guard finds that out does not depend on who counted the copies.
#[test]
fn the_guard_counts_what_was_repeated_elsewhere() {
    let handle = start();
    let request = Request {
        loop_guard: engine::request::LoopGuard::Stop,
        ..request([prompt(6, 20), vec![LOOPS]].concat(), 400)
    };
    let chunks: Vec<_> = handle.submit(request.clone()).unwrap().collect();
    // What a client had been sent before anything was taken back.
    let sent: Vec<TokenId> =
        chunks.iter().take_while(|chunk| chunk.rewind == 0).flat_map(|chunk| chunk.tokens.clone()).collect();
    let undisturbed = collect(chunks.into_iter());
    assert_eq!(undisturbed.reason, FinishReason::Repetition);
    assert!(sent.len() > 60, "{}", sent.len());
    for cut in [1, 29, 60, sent.len()] {
        let gone_on: Vec<_> = handle.submit(rest(&request, &sent, cut)).unwrap().collect();
        let mut tokens = sent[..cut].to_vec();
        for chunk in &gone_on {
            tokens.truncate(tokens.len() - chunk.rewind);
            tokens.extend(&chunk.tokens);
        }
        let finished = gone_on.last().unwrap().finished.clone().unwrap();
        assert_eq!((finished.reason, tokens), (FinishReason::Repetition, undisturbed.tokens.clone()));
        assert_eq!(finished.repetition, undisturbed.repetition, "cut at {cut}");
    }
}
