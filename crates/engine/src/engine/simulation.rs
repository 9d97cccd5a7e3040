//! A seeded simulation: random requests and cancellations, step by step, with every invariant checked after each.

use std::sync::Arc;
use std::sync::mpsc::TryRecvError;

use super::mock::{Mock, Random, prompt, request};
use super::oracle::{answer, collect};
use super::thread::Engine;
use super::{Counters, Generation, Message, QueuePlace, Sink};
use crate::batch::PAGE_TOKENS;
use crate::limits::Limits;
use crate::request::{Chunk, Request, Sampling, TokenId};
use crate::scheduler::{Scheduler, Sequence};

const CONTEXT: usize = 200;
const STEPS: usize = 2000;

/// A request whose answer is being read.
struct Open {
    request: Request,
    generation: Generation,
    chunks: Vec<Chunk>,
}

/// What came out in the end.
#[derive(Debug, Default)]
struct Tally {
    finished: usize,
    cancelled: usize,
    preemptions: u64,
}

#[test]
fn one_sequence_at_a_time() {
    simulate(1, Limits { sequences_max: 1, kv_pages: 7, ..Limits::default() });
}

#[test]
fn one_token_a_step() {
    simulate(2, Limits { batch_tokens: 1, kv_pages: 20, ..Limits::default() });
}

#[test]
fn plenty_of_everything() {
    let tally = simulate(3, Limits { kv_pages: 10_000, ..Limits::default() });
    assert_eq!(tally.preemptions, 0);
}

#[test]
fn memory_for_two() {
    let tally = simulate(4, Limits { kv_pages: 14, batch_tokens: 128, ..Limits::default() });
    assert!(tally.preemptions > 5, "{tally:?}");
}

#[test]
fn small_batches_and_few_rows() {
    let limits = Limits { kv_pages: 12, batch_tokens: 32, prompt_logits_bytes: 1500, ..Limits::default() };
    let tally = simulate(5, limits);
    assert!(tally.preemptions > 5, "{tally:?}");
}

#[test]
fn seeds_of_all_kinds() {
    let mut preemptions = 0;
    for seed in 100..130 {
        let mut random = Random(seed);
        let limits = Limits {
            kv_pages: 7 + random.below(40),
            batch_tokens: 1 + random.below(100),
            sequences_max: 1 + random.below(20),
            prompt_logits_bytes: random.below(10_000),
            ..Limits::default()
        };
        preemptions += simulate(seed, limits).preemptions;
    }
    assert!(preemptions > 100, "only {preemptions} preemptions: memory is too plenty for this test");
}

fn simulate(seed: u64, limits: Limits) -> Tally {
    let mut random = Random(seed);
    let model = Box::new(Mock::new(CONTEXT, &limits));
    let limits = limits.for_model(crate::model::Model::shape(&*model)).unwrap();
    let counters = Arc::new(Counters::default());
    let mut engine = Engine::new(model, limits, Arc::clone(&counters));
    let mut open = Vec::new();
    let mut tally = Tally::default();
    let mut steps_to_empty = 0;
    for step in 0.. {
        // Submissions come in bursts and stop at some time; everything must end then.
        if step < STEPS && step % 100 < 60 && random.below(4) == 0 && open.len() < 40 {
            open.push(submit(&mut random, &mut engine, &counters, &limits));
        }
        if !open.is_empty() && random.below(80) == 0 {
            drop(open.swap_remove(random.below(open.len())));
            tally.cancelled += 1;
        }
        let oldest = progress(oldest(&engine.scheduler));
        engine.step();
        check_invariants(&engine, &limits);
        assert!(
            oldest.is_none() || progress(self::oldest(&engine.scheduler)) != oldest,
            "the oldest starves"
        );
        open.retain_mut(|open| !read(open, &limits, &mut tally));
        if step >= STEPS {
            if engine.scheduler.is_idle() {
                break;
            }
            steps_to_empty += 1;
            assert!(steps_to_empty < 40 * CONTEXT, "{} never end", open.len());
        }
    }
    assert!(open.is_empty(), "an idle engine has answered everything");
    assert!(tally.finished > 20 && tally.cancelled > 5, "{tally:?}");
    let stats = counters.read(limits.kv_pages);
    assert_eq!((stats.queued, stats.running, stats.pages_used, stats.failed), (0, 0, 0, 0));
    assert_eq!((stats.finished + stats.cancelled) as usize, tally.finished + tally.cancelled);
    Tally { preemptions: stats.preemptions, ..tally }
}

fn submit(random: &mut Random, engine: &mut Engine, counters: &Arc<Counters>, limits: &Limits) -> Open {
    let len =
        [1 + random.below(10), 1 + random.below(CONTEXT - 1), 32 * (1 + random.below(4))][random.below(3)];
    let mut request = request(prompt(random.next(), len), random.below(CONTEXT));
    request.prompt_logprobs = (random.below(3) == 0).then_some(2);
    request.logprobs = [None, Some(2)][random.below(2)];
    request.stop_tokens = (0..random.below(3)).map(|_| random.below(90) as TokenId).collect();
    if random.below(2) == 0 {
        request.sampling =
            Sampling { temperature: 1.0, top_p: 0.95, seed: random.next(), ..Sampling::default() };
    }
    limits.check(&request, &Mock::shape_of(CONTEXT)).unwrap();
    let place = QueuePlace::take(counters, limits.queue_max).unwrap();
    let (sink, generation) = Sink::new(request.prompt.len());
    engine.take(Message::Submit(Box::new(Sequence::new(request.clone(), sink, place))));
    Open { request, generation, chunks: Vec::new() }
}

/// Reads what is there; true if that was the end, and then it is what it should be.
fn read(open: &mut Open, limits: &Limits, tally: &mut Tally) -> bool {
    loop {
        match open.generation.try_recv() {
            Ok(chunk) => open.chunks.push(chunk),
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => break,
        }
    }
    let got = collect(std::mem::take(&mut open.chunks).into_iter());
    assert_eq!(got, answer(&open.request, limits), "{:?}", open.request);
    tally.finished += 1;
    true
}

/// The oldest sequence that its client still wants.
fn oldest(scheduler: &Scheduler) -> Option<&Sequence> {
    scheduler.running.iter().chain(&scheduler.waiting).find(|s| !s.sink.is_cancelled())
}

/// Which sequence it is and how far it has come.
fn progress(sequence: Option<&Sequence>) -> Option<(std::time::Instant, usize, usize)> {
    sequence.map(|s| (s.clock.submitted, s.tokens.len(), s.computed))
}

fn check_invariants(engine: &Engine, limits: &Limits) {
    let Scheduler { running, waiting, pages, .. } = &engine.scheduler;
    let mut owners = vec![0; pages.total()];
    for sequence in running {
        assert!(sequence.computed <= sequence.tokens.len());
        assert!(sequence.computed <= sequence.pages.len() * PAGE_TOKENS);
        assert!(sequence.tokens.len() <= limits.context_tokens);
        assert!(sequence.queue_place.is_none());
        sequence.pages.iter().for_each(|&page| owners[page as usize] += 1);
    }
    for sequence in waiting {
        assert_eq!((sequence.computed, sequence.pages.len()), (0, 0));
    }
    for (page, &count) in (0..).zip(&owners) {
        assert!(count <= 1, "page {page} belongs to {count} sequences");
        assert_eq!(pages.owners(page), count, "page {page}");
    }
    let used = owners.iter().filter(|&&count| count > 0).count();
    assert_eq!((pages.used(), pages.free()), (used, pages.total() - used));
    assert!(running.len() <= limits.sequences_max && engine.batch.tokens.len() <= limits.batch_tokens);
    let rows = engine.batch.logit_rows() - engine.batch.spans.len().min(engine.batch.logit_rows());
    assert!(rows <= limits.prompt_logit_rows(&Mock::shape_of(CONTEXT)));
    assert!(running.iter().chain(waiting).is_sorted_by_key(|s| s.clock.submitted));
    assert!(running.iter().chain(waiting).all(|s| s.last_chunk.is_none()), "what has ended is gone");
}
