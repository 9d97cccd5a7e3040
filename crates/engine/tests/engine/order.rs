//! Who comes first, who gives way, and who comes too late.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use engine::engine::{Generation, Handle};
use engine::limits::{Limits, Refused};
use engine::request::{FinishReason, Rank, Request, TokenId};

use crate::mock::{Mock, prompt, request};
use crate::oracle::{answer, collect};

/// An engine that does a step for each message; it reports the tokens of each. Without the sender it runs freely.
fn start(limits: Limits) -> (Handle, Sender<()>, Receiver<Vec<TokenId>>) {
    let (go, wait) = channel::<()>();
    let (report, steps) = channel();
    let hook = Box::new(move |batch: &engine::batch::Batch| {
        let _ = wait.recv();
        let _ = report.send(batch.tokens.clone());
    });
    let limits = Limits { kv_pages: 2000, stall_factor: None, ..limits };
    (Handle::start(Box::new(Mock::with_hook(4096, &limits, hook)), limits).unwrap(), go, steps)
}

fn ranked(rank: Rank, request: Request) -> Request {
    Request { rank, ..request }
}

/// A prompt whose tokens tell its owner: each has ten of its own.
fn prompt_of(owner: u64, seed: u64, len: usize) -> Vec<TokenId> {
    prompt(1000 * owner + seed, len).into_iter().map(|token| token % 10 + 10 * owner as TokenId).collect()
}

fn check_answer(handle: &Handle, request: &Request, generation: Generation) {
    assert_eq!(collect(generation), answer(request, handle.limits()), "{request:?}");
}

#[test]
fn owners_get_equal_shares_however_much_they_ask_for() {
    const STEP: usize = 64;
    for order in [[0, 1], [1, 0]] {
        let (handle, go, steps) = start(Limits { batch_tokens: STEP, ..Limits::default() });
        // Thirty prompts and three.
        let backlog = [30, 3];
        let submit = |owner: usize| {
            let rank = Rank { owner: owner as u64, ..Rank::default() };
            let requests = (0..backlog[owner])
                .map(|seed| ranked(rank, request(prompt_of(owner as u64, seed, 300), 1)))
                .collect();
            handle.submit_all(requests).unwrap()
        };
        let generations = order.map(submit);
        drop(go);
        generations.into_iter().flatten().for_each(|generation| drop(collect(generation)));
        let mut service = [0; 2];
        for tokens in steps.try_iter() {
            tokens.iter().for_each(|&token| service[token as usize / 10] += 1);
            if service[1] < 900 {
                let [many, few] = service.map(|tokens: usize| tokens as isize);
                assert!(
                    (many - few).abs() <= 2 * STEP as isize,
                    "{many} and {few} tokens, {order:?} submitted"
                );
            }
        }
        assert_eq!(service, [9000, 900]);
    }
}

#[test]
fn a_short_prompt_does_not_wait_for_the_long_ones_of_another() {
    let (handle, go, steps) = start(Limits { batch_tokens: 64, ..Limits::default() });
    let rank = |owner| Rank { owner, ..Rank::default() };
    let long = (0..10).map(|seed| ranked(rank(0), request(prompt_of(0, seed, 3000), 1))).collect();
    let long = handle.submit_all(long).unwrap();
    (0..5).for_each(|_| go.send(()).unwrap());
    (0..5).for_each(|_| drop(steps.recv().unwrap()));
    let short = handle.submit(ranked(rank(1), request(prompt_of(1, 0, 100), 1))).unwrap();
    drop(go);
    drop(collect(short));
    // It has at least half of each step from the one on in which it came.
    let of_short = |tokens: &Vec<TokenId>| tokens.iter().any(|token| *token >= 10);
    let steps: Vec<bool> = steps.iter().take(8).map(|tokens| of_short(&tokens)).collect();
    assert!((2..=4).contains(&steps.iter().filter(|&&step| step).count()), "{steps:?}");
    drop(long);
}

#[test]
fn a_higher_priority_takes_the_place_of_a_lower_one() {
    let urgent = Rank { priority: -1, ..Rank::default() };
    let late = Rank { priority: 1, ..Rank::default() };
    // Whether places or pages are short.
    for limits in [
        Limits { sequences_max: 1, ..Limits::default() },
        Limits { context_tokens: 200, kv_pages: 7, ..Limits::default() },
    ] {
        let (go, wait) = channel::<()>();
        let hook = Box::new(move |_: &_| {
            let _ = wait.recv();
        });
        let handle = Handle::start(Box::new(Mock::with_hook(200, &limits, hook)), limits).unwrap();
        let requests = [
            ranked(Rank::default(), request(prompt(1, 150), 40)),
            ranked(late, request(prompt(2, 10), 30)),
            ranked(urgent, request(prompt(3, 150), 10)),
        ];
        let [usual, late, mut urgent] = requests.clone().map(|request| {
            let generation = handle.submit(request).unwrap();
            go.send(()).unwrap();
            // The first one runs when the others come.
            while handle.stats().steps == 0 {
                std::thread::yield_now();
            }
            generation
        });
        let first = loop {
            // One step at a time, until the urgent one says something.
            match urgent.recv_timeout(Duration::from_millis(20)) {
                Ok(chunk) => break chunk,
                Err(_) => go.send(()).unwrap(),
            }
        };
        assert_eq!(handle.stats().finished, 0, "{limits:?}");
        drop(go);
        let urgent = std::iter::once(first).chain(urgent);
        assert_eq!(collect(urgent), answer(&requests[2], handle.limits()));
        check_answer(&handle, &requests[0], usual);
        check_answer(&handle, &requests[1], late);
        let stats = handle.stats();
        assert_eq!((stats.preemptions >= 1, stats.pages_used), (true, 0), "{limits:?}");
    }
}

#[test]
fn who_comes_too_late_is_told_so_in_every_state() {
    let soon = || Rank { deadline: Some(Instant::now() + Duration::from_millis(30)), ..Rank::default() };
    let (handle, go, _steps) = start(Limits { batch_tokens: 32, sequences_max: 2, ..Limits::default() });
    // One has its first token, one is in the middle of its prompt, one waits.
    let answering = handle.submit(ranked(soon(), request(prompt(1, 5), 1000))).unwrap();
    let prompting = handle.submit(ranked(soon(), request(prompt(2, 1000), 10))).unwrap();
    let waiting = handle.submit(ranked(soon(), request(prompt(3, 10), 10))).unwrap();
    let patient_request = request(prompt(4, 10), 10);
    let patient = handle.submit(patient_request.clone()).unwrap();
    go.send(()).unwrap();
    go.send(()).unwrap();
    std::thread::sleep(Duration::from_millis(40));
    drop(go);
    let ends = [answering, prompting, waiting].map(|generation| {
        let finished = generation.last().unwrap().finished.unwrap();
        (finished.reason, finished.completion_tokens > 0)
    });
    let late = |answered| (FinishReason::TimedOut, answered);
    assert_eq!(ends, [late(true), late(false), late(false)]);
    check_answer(&handle, &patient_request, patient);
    let stats = handle.stats();
    assert_eq!((stats.timed_out, stats.finished, stats.cancelled, stats.pages_used), (3, 1, 0, 0));
    assert!(stats.is_idle());
}

#[test]
fn requests_that_belong_together_are_taken_together_or_not() {
    let (handle, go, _steps) = start(Limits { sequences_max: 1, queue_max: 3, ..Limits::default() });
    let four = handle.submit_all((0..4).map(|seed| request(prompt(seed, 5), 2)).collect());
    assert_eq!(four.map(drop).unwrap_err(), Refused::QueueFull { queue_max: 3 });
    let one_is_bad = handle.submit_all(vec![request(prompt(1, 5), 2), request(vec![], 2)]);
    assert_eq!(one_is_bad.map(drop).unwrap_err(), Refused::EmptyPrompt);
    let stats = handle.stats();
    assert_eq!((stats.queued, stats.open, stats.tokens_ahead), (0, 0, 0), "nothing has happened");
    assert!(handle.submit_all(vec![]).unwrap().is_empty());
    let three = handle.submit_all((0..3).map(|seed| request(prompt(seed, 5), 2)).collect()).unwrap();
    drop(go);
    for (seed, generation) in (0..).zip(three) {
        check_answer(&handle, &request(prompt(seed, 5), 2), generation);
    }
}

#[test]
fn the_stats_tell_a_working_engine_from_one_that_waits_or_hangs() {
    let (handle, go, steps) = start(Limits { batch_tokens: 32, ..Limits::default() });
    assert_eq!(handle.stats().busy_for, None);
    let generation = handle.submit(request(prompt(1, 100), 3)).unwrap();
    go.send(()).unwrap();
    steps.recv().unwrap();
    // The second step takes as long as it is not let go.
    std::thread::sleep(Duration::from_millis(50));
    let stats = handle.stats();
    assert!(stats.busy_for.is_some_and(|busy| busy >= Duration::from_millis(30)), "{stats:?}");
    assert_eq!((stats.open, stats.running, stats.queued, stats.tokens_ahead), (1, 1, 0, 68));
    assert_eq!((stats.step_sequences, stats.step_tokens), (1, 32));
    drop(go);
    drop(collect(generation));
    let begin = Instant::now();
    while handle.stats().busy_for.is_some() {
        assert!(begin.elapsed() < Duration::from_secs(10), "it never rests");
        std::thread::yield_now();
    }
    assert!(handle.stats().is_idle());
}
