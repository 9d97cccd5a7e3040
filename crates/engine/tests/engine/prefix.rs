//! The prefix cache: what is not computed a second time, and that nobody can tell but by the clock.

use std::sync::mpsc::{Sender, channel};

use engine::batch::PAGE_TOKENS;
use engine::engine::{Generation, Handle};
use engine::limits::Limits;
use engine::request::{CacheReport, FinishReason, Finished, Rank, Request, Sampling, TokenId};

use crate::mock::{Mock, PANICS, prompt, request};
use crate::oracle::{answer, collect};

/// An engine whose first step waits until the sender is dropped.
fn start(limits: Limits) -> (Handle, Sender<()>) {
    let (go, wait) = channel::<()>();
    let hook = Box::new(move |_: &_| {
        let _ = wait.recv();
    });
    let limits = Limits { kv_pages: 400, stall_factor: None, ..limits };
    (Handle::start(Box::new(Mock::with_hook(2048, &limits, hook)), limits).unwrap(), go)
}

fn running(limits: Limits) -> Handle {
    start(limits).0
}

fn finish(handle: &Handle, request: &Request, generation: Generation) -> Finished {
    let chunks: Vec<_> = generation.collect();
    let finished = chunks.last().unwrap().finished.clone().unwrap();
    assert_eq!(collect(chunks.into_iter()), answer(request, handle.limits()), "{request:?}");
    finished
}

fn ask(handle: &Handle, request: &Request) -> Finished {
    finish(handle, request, handle.submit(request.clone()).unwrap())
}

fn long_prompt() -> Vec<TokenId> {
    prompt(7, 500)
}

/// `long_prompt`, with another token at each of these places.
fn changed_at(places: &[usize]) -> Vec<TokenId> {
    let mut tokens = long_prompt();
    places.iter().for_each(|&place| tokens[place] = 90);
    tokens
}

#[test]
fn what_is_cached_is_not_computed_and_the_report_says_how_much() {
    let instead = |place: usize| Some(long_prompt()[place]);
    // What the first request leaves: the whole pages of 500 + 59 tokens, as the last one is never computed.
    let kept = {
        let first = request(long_prompt(), 60);
        let tokens = answer(&first, running(Limits::default()).limits()).tokens;
        [long_prompt(), tokens].concat()
    };
    // A name, a prompt, and its report: cached tokens, common ones, the token instead.
    type Case = (&'static str, Vec<TokenId>, usize, usize, Option<TokenId>);
    let cases: Vec<Case> = vec![
        ("the same prompt", long_prompt(), 480, 500, None),
        ("its first 480", long_prompt()[..480].to_vec(), 448, 480, None),
        ("its first 481", long_prompt()[..481].to_vec(), 480, 481, None),
        ("one page", long_prompt()[..32].to_vec(), 0, 32, None),
        ("a page and a token", long_prompt()[..33].to_vec(), 32, 33, None),
        ("the first token alone", long_prompt()[..1].to_vec(), 0, 1, None),
        ("the next turn", [kept.clone(), prompt(8, 50)].concat(), 544, 544, None),
        ("another first token", changed_at(&[0]), 0, 0, instead(0)),
        ("another last token of the first page", changed_at(&[31]), 0, 31, instead(31)),
        ("another first token of the second page", changed_at(&[32]), 32, 32, instead(32)),
        ("another token in the middle", changed_at(&[250]), 224, 250, instead(250)),
        ("two other tokens", changed_at(&[450, 100]), 96, 100, instead(100)),
        ("another prompt", prompt(9, 100), 0, 0, instead(0)),
    ];
    for (name, tokens, cached_tokens, common_tokens, instead) in cases {
        let handle = running(Limits::default());
        let first = ask(&handle, &request(long_prompt(), 60));
        assert_eq!(first.cache, CacheReport::default());
        let before = handle.stats();
        assert_eq!(before.pages_cached, 559 / PAGE_TOKENS);
        let len = tokens.len();
        let report = ask(&handle, &request(tokens, 3)).cache;
        assert_eq!(report, CacheReport { cached_tokens, common_tokens, instead }, "{name}");
        let stats = handle.stats();
        let computed = stats.computed_tokens - before.computed_tokens;
        assert_eq!(computed as usize, len - cached_tokens + 2, "{name}");
        assert_eq!(stats.prefix_tokens_hit as usize, cached_tokens, "{name}");
        assert_eq!(stats.prefix_tokens_queried as usize, 500 + len, "{name}");
    }
}

#[test]
fn requests_that_run_together_compute_a_prompt_once() {
    for batch_tokens in [40, 64, 200, 512, 1000] {
        let (handle, go) = start(Limits { batch_tokens, ..Limits::default() });
        let of_seed = |seed| Request {
            sampling: Sampling { temperature: 1.0, seed, ..Sampling::default() },
            ..request(long_prompt(), 40)
        };
        let requests: Vec<Request> = (0..6).map(of_seed).collect();
        let generations = handle.submit_all(requests.clone()).unwrap();
        drop(go);
        let cached: Vec<usize> = requests
            .iter()
            .zip(generations)
            .map(|(request, generation)| finish(&handle, request, generation).cache.cached_tokens)
            .collect();
        assert_eq!(cached, [0, 480, 480, 480, 480, 480], "{batch_tokens} tokens a step");
        let computed = handle.stats().computed_tokens;
        assert_eq!(computed, 500 + 5 * 20 + 6 * 39, "{batch_tokens} tokens a step");
    }
}

#[test]
fn a_request_follows_one_that_has_begun() {
    // The second comes when the first is in the middle of its prompt, and goes another way later.
    let (handle, go) = start(Limits { batch_tokens: 100, ..Limits::default() });
    let requests = [request(long_prompt(), 5), request(changed_at(&[400]), 5)];
    let first = handle.submit(requests[0].clone()).unwrap();
    go.send(()).unwrap();
    go.send(()).unwrap();
    while handle.stats().steps < 2 {
        std::thread::yield_now();
    }
    let second = handle.submit(requests[1].clone()).unwrap();
    drop(go);
    assert_eq!(finish(&handle, &requests[0], first).cache.cached_tokens, 0);
    let report = finish(&handle, &requests[1], second).cache;
    assert!(report.cached_tokens > 0 && report.cached_tokens <= 384, "{report:?}");
    assert_eq!(handle.stats().computed_tokens as usize, 1000 - report.cached_tokens + 8);
}

#[test]
fn rows_of_prompt_tokens_are_computed_whatever_is_cached() {
    let handle = running(Limits::default());
    ask(&handle, &request(long_prompt(), 1));
    let with_rows = Request { prompt_logprobs: Some(2), ..request(long_prompt(), 4) };
    let report = ask(&handle, &with_rows).cache;
    assert_eq!((report.cached_tokens, report.common_tokens), (0, 480));
    // What it computed is what was there, and stays there once.
    assert_eq!(handle.stats().pages_cached, 500 / PAGE_TOKENS);
}

#[test]
fn without_the_cache_nothing_is_kept() {
    let handle = running(Limits { prefix_cache: false, ..Limits::default() });
    for _ in 0..2 {
        assert_eq!(ask(&handle, &request(long_prompt(), 5)).cache, CacheReport::default());
    }
    let stats = handle.stats();
    assert_eq!((stats.computed_tokens, stats.pages_cached, stats.prefix_tokens_queried), (1008, 0, 0));
}

#[test]
fn nobody_is_told_what_another_owner_wrote() {
    let of_owner = |owner, tokens| Request { rank: Rank { owner, ..Rank::default() }, ..request(tokens, 1) };
    let handle = running(Limits::default());
    ask(&handle, &of_owner(1, long_prompt()));
    let report = |owner, place| ask(&handle, &of_owner(owner, changed_at(&[place]))).cache;
    assert_eq!(
        report(2, 250),
        CacheReport { cached_tokens: 224, common_tokens: 224, instead: None },
        "whole pages are shared by all"
    );
    assert_eq!(report(1, 251).instead, Some(long_prompt()[251]));
    assert_eq!(report(2, 252).instead, Some(90), "of its own it is told");
}

#[test]
fn pages_that_are_needed_are_evicted() {
    let limits = Limits { kv_pages: 20, ..Limits::default() };
    let handle = Handle::start(Box::new(Mock::new(600, &limits)), limits).unwrap();
    let (old, new) = (request(prompt(1, 330), 1), request(prompt(2, 330), 1));
    ask(&handle, &old);
    assert_eq!(handle.stats().pages_cached, 10);
    ask(&handle, &new);
    // Of the old prompt the end is gone.
    assert_eq!(handle.stats().pages_cached, 19);
    assert_eq!(ask(&handle, &old).cache.cached_tokens, 9 * PAGE_TOKENS);
    assert_eq!(handle.stats().pages_used, 0);
}

#[test]
fn a_panic_in_the_model_empties_the_cache() {
    let handle = running(Limits::default());
    ask(&handle, &request(long_prompt(), 1));
    let bad = handle.submit(request(vec![1, PANICS], 1)).unwrap();
    assert!(matches!(collect(bad).reason, FinishReason::Error(_)));
    assert_eq!(handle.stats().pages_cached, 0);
    assert_eq!(ask(&handle, &request(long_prompt(), 1)).cache.cached_tokens, 0);
}

#[test]
fn what_was_preempted_is_found_again() {
    let limits = Limits { kv_pages: 16, sequences_max: 2, stall_factor: None, ..Limits::default() };
    let handle = Handle::start(Box::new(Mock::new(600, &limits)), limits).unwrap();
    let requests = [request(prompt(1, 100), 200), request(prompt(2, 100), 200)];
    let generations = handle.submit_all(requests.to_vec()).unwrap();
    for (request, generation) in requests.iter().zip(generations) {
        let finished = finish(&handle, request, generation);
        assert_eq!(finished.cache.cached_tokens, 0, "what it computed itself was not saved");
    }
    let stats = handle.stats();
    assert!(stats.preemptions > 0);
    let alone = 2 * 299;
    assert!(stats.computed_tokens < alone + 200, "{} tokens, {alone} at least", stats.computed_tokens);
}
