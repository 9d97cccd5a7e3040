//! Texts that an answer must not have: it goes back and says something else, and nobody sees it.

use engine::engine::Handle;
use engine::limits::Limits;
use engine::request::{Chunk, FinishReason, Request, Sampling, TokenId};

use crate::mock::{BANNED, Mock, VOCABULARY, banned, piece, prompt, request};
use crate::oracle::{answer, collect};

fn start(limits: Limits) -> Handle {
    Handle::start(Box::new(Mock::new(2048, &limits)), limits).unwrap()
}

fn asked(seed: u64, more: Sampling) -> Request {
    let sampling = Sampling { seed, ..more };
    Request { sampling, banned: Some(banned()), ..request(prompt(seed, 1 + seed as usize % 70), 300) }
}

fn text(tokens: &[TokenId]) -> String {
    tokens.iter().map(|&token| piece(token)).collect()
}

#[test]
fn a_banned_text_is_never_sent_and_the_answer_goes_on() {
    let handle = start(Limits::default());
    let mut came_up = 0;
    for seed in 0..20 {
        let warm = Sampling { temperature: 1.0, ..Sampling::default() };
        for sampling in [Sampling::default(), warm] {
            let asked = Request { logprobs: Some(1), ..asked(seed, sampling) };
            let chunks: Vec<Chunk> = handle.submit(asked.clone()).unwrap().collect();
            assert!(chunks.iter().all(|chunk| chunk.rewind == 0), "nothing that was sent is taken back");
            let got = collect(chunks.into_iter());
            assert_eq!(got, answer(&asked, handle.limits()), "{seed}");
            let said = text(&got.tokens);
            assert!(BANNED.iter().all(|banned| !said.contains(banned)), "{said}");
            let free = Request { banned: None, ..asked };
            let free = text(&collect(handle.submit(free).unwrap()).tokens);
            came_up += usize::from(BANNED.iter().any(|banned| free.contains(banned)));
        }
    }
    assert!(came_up > 20, "only {came_up} answers would have had one");
    assert_eq!(handle.stats().loops_caught, 0);
}

#[test]
fn neither_neighbours_nor_preemptions_nor_the_cache_change_it() {
    let mut preemptions = 0;
    for (kv_pages, batch_tokens, prefix_cache) in [(400, 512, true), (16, 64, true), (20, 5, false)] {
        let handle = start(Limits { kv_pages, batch_tokens, prefix_cache, ..Limits::default() });
        for _ in 0..2 {
            let requests: Vec<Request> = (0..12).map(|seed| asked(seed, Sampling::default())).collect();
            let generations = handle.submit_all(requests.clone()).unwrap();
            for (request, generation) in requests.iter().zip(generations) {
                assert_eq!(collect(generation), answer(request, handle.limits()));
            }
        }
        assert_eq!(handle.stats().pages_used, 0);
        preemptions += handle.stats().preemptions;
    }
    assert!(preemptions > 5, "only {preemptions} preemptions");
}

#[test]
fn an_answer_that_can_say_nothing_else_is_told_so() {
    let handle = start(Limits::default());
    // Token 51 is "fb", and nothing else may come.
    let only = (0..VOCABULARY as TokenId).filter(|&token| token != 51);
    let logit_bias = only.map(|token| (token, f32::NEG_INFINITY)).collect();
    let got = collect(handle.submit(asked(1, Sampling { logit_bias, ..Sampling::default() })).unwrap());
    let FinishReason::Impossible(why) = &got.reason else { panic!("{got:?}") };
    assert!(why.contains("banned_strings") && got.tokens.is_empty(), "{why}");
}
