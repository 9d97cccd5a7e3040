//! Answers that repeat themselves: what the guard makes of them, and that neither neighbours nor preemptions nor the
//! prefix cache change it.

use engine::engine::Handle;
use engine::guard::ATTEMPTS_MAX;
use engine::limits::{Limits, Refused};
use engine::request::{
    Chunk, FinishReason, LoopGuard, Marker, Mirostat, MirostatVersion, Repetition, Request, Sampling,
    Thinking, TokenId,
};

use crate::mock::{ESCAPE, LOOPS, Mock, PERIOD, banned, prompt, request};
use crate::oracle::{answer, collect};

const CONTEXT: usize = 2048;
const MAX_TOKENS: usize = 500;
/// Tokens of a loop: six copies.
const LOOP: usize = 6 * PERIOD;

fn start(limits: Limits) -> Handle {
    Handle::start(Box::new(Mock::new(CONTEXT, &limits)), limits).unwrap()
}

/// A request whose answer runs into so many loops, if it finds its way out of each.
fn looping(seed: u64, loops: usize) -> Request {
    let prompt = [prompt(seed, 10 + seed as usize % 90), vec![LOOPS; loops]].concat();
    request(prompt, MAX_TOKENS)
}

fn ask(handle: &Handle, request: &Request) -> Vec<Chunk> {
    handle.submit(request.clone()).unwrap().collect()
}

/// A thinking that these tokens end.
fn thinking(open: bool, end: &[TokenId]) -> Thinking {
    let marker = Marker::Tokens(end.to_vec());
    Thinking { open, begin: None, end: marker, close: end.to_vec(), budget_tokens: None }
}

/// The unit that is repeated, from one of its tokens on.
fn unit(begin: usize, len: usize) -> Vec<TokenId> {
    (begin..begin + len).map(|i| (i % PERIOD * 3) as TokenId).collect()
}

#[test]
fn without_a_guard_it_goes_on_for_ever() {
    let handle = start(Limits::default());
    let got = collect(ask(&handle, &Request { loop_guard: LoopGuard::Off, ..looping(1, 1) }).into_iter());
    assert_eq!((got.tokens, got.repetition), (unit(0, MAX_TOKENS), None));
    assert_eq!((got.reason, handle.stats().loops_caught), (FinishReason::Length, 0));
}

#[test]
fn a_guard_that_stops_leaves_one_copy() {
    let handle = start(Limits::default());
    let asked = Request { loop_guard: LoopGuard::Stop, logprobs: Some(1), ..looping(2, 1) };
    let got = collect(ask(&handle, &asked).into_iter());
    assert_eq!((&got.tokens, got.logprobs.len()), (&unit(0, PERIOD), PERIOD));
    assert_eq!((&got.reason, got.completion_tokens), (&FinishReason::Repetition, PERIOD));
    let repetition =
        Repetition { period_tokens: PERIOD, repeats: 6, tokens_trimmed: LOOP - PERIOD, recovered: false };
    assert_eq!(got.repetition, Some(repetition));
    assert_eq!(got, answer(&asked, handle.limits()));
    let stats = handle.stats();
    assert_eq!((stats.loops_caught, stats.loops_recovered, stats.loops_stopped), (1, 0, 1));
    assert_eq!((stats.finished, stats.pages_used), (1, 0));
}

#[test]
fn an_answer_finds_its_way_out() {
    let handle = start(Limits::default());
    for loops in 1..=ATTEMPTS_MAX as usize {
        let asked = Request { logprobs: Some(0), ..looping(3, loops) };
        let got = collect(ask(&handle, &asked).into_iter());
        assert_eq!(got, answer(&asked, handle.limits()));
        assert!(got.tokens.starts_with(&unit(0, PERIOD)) && got.tokens.contains(&ESCAPE), "{got:?}");
        assert_eq!((got.reason, got.tokens.len()), (FinishReason::Length, MAX_TOKENS));
        let repetition = got.repetition.expect("it is reported");
        assert!(repetition.recovered && repetition.period_tokens == PERIOD, "{repetition:?}");
    }
    let stats = handle.stats();
    assert_eq!((stats.loops_recovered, stats.loops_stopped), (2, 0));
}

#[test]
fn after_the_last_attempt_it_ends() {
    let handle = start(Limits::default());
    // With a single token to choose from there is no way out.
    let mut asked = Request { max_tokens: 1500, ..looping(4, 0) };
    asked.sampling.logit_bias =
        (0..97).filter(|&token| token != 3).map(|token| (token, f32::NEG_INFINITY)).collect();
    let got = collect(ask(&handle, &asked).into_iter());
    assert_eq!(got, answer(&asked, handle.limits()));
    assert_eq!((got.tokens, got.reason), (vec![3], FinishReason::Repetition));
    let tokens_trimmed = (ATTEMPTS_MAX as usize + 1) * 511;
    let repetition = Repetition { period_tokens: 1, repeats: 512, tokens_trimmed, recovered: false };
    assert_eq!(got.repetition, Some(repetition));
    let stats = handle.stats();
    assert_eq!((stats.loops_caught, stats.loops_recovered, stats.loops_stopped), (3, 0, 1));
    assert_eq!((stats.finished, stats.pages_used), (1, 0));
}

#[test]
fn thinking_is_ended_before_anything_else_is_tried() {
    let handle = start(Limits::default());
    let end = vec![91, 92, ESCAPE];
    let open = Request { thinking: Some(thinking(true, &end)), ..looping(5, 1) };
    let got = collect(ask(&handle, &Request { logprobs: Some(1), ..open.clone() }).into_iter());
    assert_eq!(got, answer(&Request { logprobs: Some(1), ..open.clone() }, handle.limits()));
    assert!(got.tokens.starts_with(&[unit(0, PERIOD), end.clone()].concat()), "{:?}", got.tokens);
    assert_eq!(handle.stats().loops_caught, 1);
    // When the thinking is over, the answer goes another way, and so does one that doesn't think.
    let over = [unit(0, 7), end.clone()].concat();
    for asked in [
        Request { thinking: Some(thinking(false, &end)), ..open.clone() },
        Request { prompt: [&open.prompt[..open.prompt.len() - 1], &over, &[LOOPS]].concat(), ..open.clone() },
    ] {
        let got = collect(ask(&handle, &asked).into_iter());
        assert_eq!(got, answer(&asked, handle.limits()));
    }
}

#[test]
fn what_is_suspicious_is_held_back_and_what_was_sent_is_taken_back() {
    let handle = start(Limits::default());
    let chunks = ask(&handle, &looping(6, 1));
    let sent_before: usize = {
        let before = chunks.iter().take_while(|chunk| chunk.rewind == 0);
        before.map(|chunk| chunk.tokens.len()).sum()
    };
    assert_eq!(sent_before, LOOP / 2 - 1, "from half of a loop on nothing is sent");
    let taken_back: Vec<usize> = chunks.iter().map(|chunk| chunk.rewind).filter(|&n| n > 0).collect();
    assert_eq!(taken_back, [LOOP / 2 - 1 - PERIOD]);
    assert!(
        chunks.iter().all(|chunk| !chunk.tokens.is_empty() || chunk.rewind > 0 || chunk.finished.is_some())
    );

    // A suspicion that comes to nothing is sent together.
    let asked = Request { stop_tokens: vec![80], ..looping(6, 1) };
    let prompt = [&asked.prompt[..], &unit(0, 3)].concat();
    let short = Request { max_tokens: LOOP - 10, ..Request { prompt, ..asked } };
    let got = collect(ask(&handle, &short).into_iter());
    assert_eq!((got.tokens.len(), got.reason), (LOOP - 10, FinishReason::Length));
}

#[test]
fn nothing_is_done_before_min_tokens() {
    let handle = start(Limits::default());
    for (min_tokens, recovers) in [(LOOP, true), (LOOP + 1, true), (MAX_TOKENS, false)] {
        let asked = Request { min_tokens, ..looping(7, 1) };
        let got = collect(ask(&handle, &asked).into_iter());
        assert_eq!(got.repetition.is_some(), recovers || min_tokens == MAX_TOKENS, "{min_tokens}: {got:?}");
        assert_eq!(got, answer(&asked, handle.limits()), "{min_tokens}");
    }
}

/// Looping requests of all kinds, some that don't among them.
fn requests() -> Vec<Request> {
    let sampling = |seed| Sampling { temperature: 0.8, top_k: 20, top_p: 0.9, seed, ..Sampling::default() };
    (0..24u64)
        .map(|i| {
            let mut request = looping(i, [1, 1, 2, 3, 0][i as usize % 5]);
            match i % 4 {
                0 => request.sampling = sampling(i),
                1 => request.logprobs = Some(2),
                2 => request.thinking = Some(thinking(true, &[91, 90])),
                _ => {
                    let version = [MirostatVersion::One, MirostatVersion::Two][i as usize / 4 % 2];
                    let mirostat = Some(Mirostat { version, tau: 2.0, eta: 0.1 });
                    request.sampling = Sampling { mirostat, ..sampling(i) };
                    request.prompt_logprobs = Some(1);
                }
            }
            if i % 3 == 0 {
                request.banned = Some(banned());
            }
            request.loop_guard = [LoopGuard::Recover, LoopGuard::Stop][usize::from(i % 7 == 6)];
            request
        })
        .collect()
}

#[test]
fn neither_neighbours_nor_preemptions_nor_the_cache_change_it() {
    let mut preemptions = 0;
    for (kv_pages, batch_tokens, prefix_cache) in
        [(400, 512, true), (400, 7, true), (400, 512, false), (22, 64, true), (30, 512, false), (40, 5, true)]
    {
        let limits = Limits { kv_pages, batch_tokens, prefix_cache, ..Limits::default() };
        let handle = start(limits);
        // Twice, so that what was taken back and what took its place is found in the cache.
        for round in 0..2 {
            let generations = handle.submit_all(requests()).unwrap();
            for (request, generation) in requests().iter().zip(generations) {
                let got = collect(generation);
                assert_eq!(got, answer(request, handle.limits()), "{round}: {request:?} within {limits:?}");
            }
        }
        let stats = handle.stats();
        assert_eq!((stats.pages_used, stats.failed, stats.finished), (0, 0, 48));
        assert!(
            stats.loops_caught > 20 && stats.loops_recovered > 20 && stats.loops_stopped > 2,
            "{stats:?}"
        );
        preemptions += stats.preemptions;
    }
    assert!(preemptions > 10, "only {preemptions} preemptions");
}

#[test]
fn an_answer_that_was_taken_back_is_a_prefix_like_any_other() {
    let handle = start(Limits { kv_pages: 400, ..Limits::default() });
    let asked = looping(8, 1);
    let first = collect(ask(&handle, &asked).into_iter());
    let turn = request([asked.prompt.clone(), first.tokens.clone(), prompt(9, 20)].concat(), 5);
    let chunks = ask(&handle, &turn);
    let cached = chunks.last().unwrap().finished.as_ref().unwrap().cache.cached_tokens;
    let known = asked.prompt.len() + first.tokens.len() - 1;
    assert_eq!(cached, known / 32 * 32);
    assert_eq!(collect(chunks.into_iter()), answer(&turn, handle.limits()));
}

#[test]
fn tokens_that_end_a_thinking_are_checked() {
    let handle = start(Limits::default());
    let asked = Request { thinking: Some(thinking(true, &[1, 97])), ..looping(1, 1) };
    let refused = handle.submit(asked).unwrap_err();
    assert!(
        matches!(refused, Refused::TokenOutOfVocabulary { field: "thinking.end", index: 1, .. }),
        "{refused}"
    );
}
