//! How requests and engines end when nothing goes its usual way.

use std::sync::mpsc::{RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use engine::engine::{Generation, Handle, Stats};
use engine::limits::{Limits, Refused};
use engine::request::{FinishReason, Request};

use crate::mock::{Mock, NOT_A_NUMBER, PANICS, VOCABULARY, prompt, request};
use crate::oracle::{answer, collect};

/// Longer than any of these tests waits if all is well.
const LONG: Duration = Duration::from_secs(30);

/// An engine that does a step for each message it is sent; without the sender it runs freely.
fn start_stepwise(limits: Limits) -> (Handle, Sender<()>) {
    let (go, wait) = channel::<()>();
    let hook = Box::new(move |_: &_| {
        let _ = wait.recv();
    });
    (Handle::start(Box::new(Mock::with_hook(4096, &limits, hook)), limits).unwrap(), go)
}

fn start(limits: Limits) -> Handle {
    Handle::start(Box::new(Mock::new(4096, &limits)), limits).unwrap()
}

fn wait_until(handle: &Handle, what: &str, holds: impl Fn(Stats) -> bool) {
    let begin = Instant::now();
    while !holds(handle.stats()) {
        assert!(begin.elapsed() < LONG, "never {what}: {:?}", handle.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn reason(generation: Generation) -> FinishReason {
    collect(generation).reason
}

#[test]
fn a_dropped_generation_frees_its_pages() {
    let handle = start(Limits::default());
    let mut dropped = handle.submit(request(prompt(1, 100), 3000)).unwrap();
    let kept = handle.submit(request(prompt(2, 10), 300)).unwrap();
    dropped.next().unwrap();
    drop(dropped);
    assert_eq!(collect(kept), answer(&request(prompt(2, 10), 300), handle.limits()));
    wait_until(&handle, "free", |s| s.pages_used == 0 && s.cancelled == 1 && s.running == 0);
    assert_eq!(handle.stats().finished, 1);
}

#[test]
fn a_waiting_request_can_be_cancelled() {
    let (handle, go) = start_stepwise(Limits { sequences_max: 1, ..Limits::default() });
    let running = handle.submit(request(prompt(1, 10), 4)).unwrap();
    let waiting = handle.submit(request(prompt(2, 10), 4)).unwrap();
    let last = handle.submit(request(prompt(3, 10), 4)).unwrap();
    drop(waiting);
    drop(go);
    assert_eq!((reason(running), reason(last)), (FinishReason::Length, FinishReason::Length));
    let stats = handle.stats();
    assert_eq!((stats.cancelled, stats.finished, stats.queued), (1, 2, 0));
}

#[test]
fn cancelling_gives_a_last_chunk() {
    let (handle, go) = start_stepwise(Limits::default());
    let mut generation = handle.submit(request(prompt(1, 10), 100)).unwrap();
    assert_eq!(generation.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(generation.recv_timeout(Duration::from_millis(5)).unwrap_err(), RecvTimeoutError::Timeout);
    go.send(()).unwrap();
    assert_eq!(generation.recv_timeout(LONG).unwrap().tokens.len(), 1);
    generation.cancel();
    drop(go);
    let finished = generation.by_ref().last().unwrap().finished.unwrap();
    assert_eq!((&finished.reason, finished.prompt_tokens), (&FinishReason::Cancelled, 10));
    // The step that the engine may be in already is counted.
    assert!((1..=2).contains(&finished.completion_tokens), "{finished:?}");
    assert!(generation.next().is_none());
    assert_eq!(generation.try_recv().unwrap_err(), TryRecvError::Disconnected);
    assert_eq!(generation.recv_timeout(LONG).unwrap_err(), RecvTimeoutError::Disconnected);
    assert_eq!(handle.stats().pages_used, 0);
}

#[test]
fn the_queue_has_an_end() {
    let (handle, go) = start_stepwise(Limits { sequences_max: 1, queue_max: 3, ..Limits::default() });
    let running = handle.submit(request(prompt(0, 5), 2)).unwrap();
    wait_until(&handle, "running", |s| s.queued == 0);
    let queued: Vec<_> = (1..4).map(|i| handle.submit(request(prompt(i, 5), 2)).unwrap()).collect();
    assert_eq!(handle.stats().queued, 3);
    let refused = handle.submit(request(prompt(4, 5), 2)).unwrap_err();
    assert_eq!(refused, Refused::QueueFull { queue_max: 3 });
    assert_eq!(refused.to_string(), "the queue is full: 3 requests wait already; try again later");
    drop(go);
    assert_eq!(reason(running), FinishReason::Length);
    assert!(queued.into_iter().all(|generation| reason(generation) == FinishReason::Length));
    assert_eq!(reason(handle.submit(request(prompt(4, 5), 2)).unwrap()), FinishReason::Length);
}

#[test]
fn a_panic_in_the_model_ends_the_requests_in_its_batch() {
    // The first prompt takes the whole budget of the steps in which the second one waits.
    let limits = Limits { batch_tokens: 8, sequences_max: 4, ..Limits::default() };
    let (handle, go) = start_stepwise(limits);
    let bad_prompt = [prompt(1, 40), vec![PANICS]].concat();
    let survivor_request = request(prompt(2, 20), 10);
    let bad = handle.submit(request(bad_prompt, 10)).unwrap();
    let survivor = handle.submit(survivor_request.clone()).unwrap();
    drop(go);
    let FinishReason::Error(message) = reason(bad) else { panic!("it ends with an error") };
    assert!(message.starts_with("the forward pass failed: "), "{message}");
    assert!(message.ends_with("the token that panics"), "one line of it is enough: {message}");
    let FinishReason::Error(_) = reason(survivor) else { panic!("it was in the same batch") };
    assert_eq!((handle.stats().failed, handle.stats().pages_used), (2, 0));
    // The engine lives on.
    let again = handle.submit(survivor_request.clone()).unwrap();
    assert_eq!(collect(again), answer(&survivor_request, handle.limits()));
}

#[test]
fn a_panic_in_the_model_spares_the_requests_outside_its_batch() {
    // Both want rows of logits, of which a step has four: the older one takes them all.
    let (handle, go) =
        start_stepwise(Limits { prompt_logits_bytes: 4 * VOCABULARY * 4, ..Limits::default() });
    let with_rows = |prompt| Request { prompt_logprobs: Some(0), ..request(prompt, 10) };
    let bad = handle.submit(with_rows([prompt(1, 22), vec![PANICS], prompt(3, 20)].concat())).unwrap();
    let other_request = with_rows(prompt(2, 50));
    let other = handle.submit(other_request.clone()).unwrap();
    drop(go);
    assert!(matches!(reason(bad), FinishReason::Error(_)));
    assert_eq!(collect(other), answer(&other_request, handle.limits()));
    let stats = handle.stats();
    assert_eq!((stats.failed, stats.finished, stats.preemptions, stats.pages_used), (1, 1, 1, 0));
}

#[test]
fn logits_that_are_no_numbers_end_one_request() {
    let handle = start(Limits::default());
    let good_request = request(prompt(1, 50), 20);
    let good = handle.submit(good_request.clone()).unwrap();
    let bad = handle.submit(request(vec![1, 2, NOT_A_NUMBER], 5)).unwrap();
    let bad_prompt = Request { prompt_logprobs: Some(0), ..request(vec![1, NOT_A_NUMBER, 2], 5) };
    let bad_prompt = handle.submit(bad_prompt).unwrap();
    for bad in [bad, bad_prompt] {
        let FinishReason::Error(message) = reason(bad) else { panic!("it ends with an error") };
        assert!(message.starts_with("the model gave logits that are not numbers"), "{message}");
    }
    assert_eq!(collect(good), answer(&good_request, handle.limits()));
    assert_eq!((handle.stats().failed, handle.stats().finished), (2, 1));
}

#[test]
fn a_shutdown_cancels_everything() {
    let (handle, go) = start_stepwise(Limits { sequences_max: 1, ..Limits::default() });
    let generations: Vec<_> = (0..3).map(|i| handle.submit(request(prompt(i, 5), 1000)).unwrap()).collect();
    handle.shutdown();
    assert_eq!(handle.submit(request(vec![1], 1)).unwrap_err(), Refused::Stopped);
    drop(go);
    assert!(generations.into_iter().all(|generation| reason(generation) == FinishReason::Cancelled));
    assert_eq!((handle.stats().cancelled, handle.stats().pages_used), (3, 0));
}

#[test]
fn a_shutdown_wakes_an_idle_engine() {
    let handle = start(Limits::default());
    handle.shutdown();
    drop(handle);
}

#[test]
fn the_last_handle_takes_the_engine_along() {
    struct Flag(Sender<()>);
    impl Drop for Flag {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (sender, gone) = channel();
    let flag = Flag(sender);
    let limits = Limits::default();
    let hook = Box::new(move |_: &_| {
        let _ = &flag;
    });
    let handle = Handle::start(Box::new(Mock::with_hook(4096, &limits, hook)), limits).unwrap();
    let clone = handle.clone();
    let mut generation = handle.submit(request(prompt(1, 10), 4000)).unwrap();
    drop(handle);
    generation.next().unwrap();
    assert_eq!(gone.try_recv(), Err(TryRecvError::Empty), "a clone keeps the engine alive");
    drop(clone);
    assert_eq!(gone.try_recv(), Ok(()), "the thread and the model are gone when the drop returns");
    assert_eq!(reason(generation), FinishReason::Cancelled);
}

#[test]
fn timings_add_up() {
    let (handle, go) = start_stepwise(Limits { batch_tokens: 8, ..Limits::default() });
    let begin = Instant::now();
    let generation = handle.submit(request(prompt(1, 20), 5)).unwrap();
    let pause = Duration::from_millis(20);
    for _ in 0..7 {
        std::thread::sleep(pause);
        go.send(()).unwrap();
    }
    let finished = generation.last().unwrap().finished.unwrap();
    let whole = begin.elapsed();
    // Three chunks of the prompt, the last of which gives the first token, and four more steps.
    assert!(finished.prompt >= pause * 2, "{finished:?}");
    assert!(finished.generation >= pause * 3, "{finished:?}");
    assert!(finished.queued + finished.prompt + finished.generation <= whole, "{finished:?} in {whole:?}");
}
