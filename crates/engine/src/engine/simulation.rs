//! A seeded simulation: random requests of several owners and priorities, many of which begin alike, deadlines and
//! cancellations, step by step, with every invariant checked after each.

use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use super::mock::{LOOPS, Mock, Random, banned, prompt, request};
use super::oracle::{answer, collect};
use super::thread::Engine;
use super::{Counters, Generation, Message, Place, Sink};
use crate::batch::PAGE_TOKENS;
use crate::limits::Limits;
use crate::request::{
    Chunk, FinishReason, Marker, Mirostat, MirostatVersion, Rank, Request, Sampling, Thinking, TokenId,
};
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
    timed_out: usize,
    preemptions: u64,
    prefix_tokens_hit: u64,
    loops_caught: u64,
    /// The most that the prefix cache saved of one prompt.
    cached_tokens_max: usize,
}

#[test]
fn one_sequence_at_a_time() {
    simulate(1, Limits { sequences_max: 1, kv_pages: 7, ..unpaced() });
}

#[test]
fn one_token_a_step() {
    simulate(2, Limits { batch_tokens: 1, kv_pages: 20, ..unpaced() });
}

#[test]
fn plenty_of_everything() {
    let tally = simulate(3, Limits { kv_pages: 2000, ..unpaced() });
    assert_eq!(tally.preemptions, 0);
    assert!(tally.prefix_tokens_hit > 1000 && tally.cached_tokens_max >= 96, "{tally:?}");
}

#[test]
fn at_a_pace() {
    simulate(6, Limits { kv_pages: 30, stall_factor: Some(1.5), ..Limits::default() });
}

#[test]
fn without_the_prefix_cache() {
    let tally = simulate(3, Limits { kv_pages: 30, prefix_cache: false, ..unpaced() });
    assert_eq!((tally.prefix_tokens_hit, tally.cached_tokens_max), (0, 0));
}

#[test]
fn memory_for_two() {
    let tally = simulate(4, Limits { kv_pages: 14, batch_tokens: 128, ..unpaced() });
    assert!(tally.preemptions > 5, "{tally:?}");
}

#[test]
fn small_batches_and_few_rows() {
    let limits = Limits { kv_pages: 12, batch_tokens: 32, prompt_logits_bytes: 1500, ..unpaced() };
    let tally = simulate(5, limits);
    assert!(tally.preemptions > 5, "{tally:?}");
}

#[test]
fn seeds_of_all_kinds() {
    let (mut preemptions, mut loops_caught) = (0, 0);
    for seed in 100..130 {
        let mut random = Random(seed);
        let limits = Limits {
            kv_pages: 7 + random.below(40),
            batch_tokens: 1 + random.below(100),
            sequences_max: 1 + random.below(20),
            prompt_logits_bytes: random.below(10_000),
            ..unpaced()
        };
        let tally = simulate(seed, limits);
        preemptions += tally.preemptions;
        loops_caught += tally.loops_caught;
    }
    assert!(loops_caught > 100, "only {loops_caught} loops");
    assert!(preemptions > 100, "only {preemptions} preemptions: memory is too plenty for this test");
}

/// How prompts are cut doesn't depend on what steps took: a seed always gives the same run, but for deadlines.
fn unpaced() -> Limits {
    Limits { stall_factor: None, ..Limits::default() }
}

fn simulate(seed: u64, limits: Limits) -> Tally {
    let mut random = Random(seed);
    let model = Box::new(Mock::new(CONTEXT, &limits));
    let limits = limits.for_model(crate::model::Model::shape(&*model)).unwrap();
    let counters = Arc::new(Counters::default());
    let mut engine = Engine::new(model, limits, Arc::clone(&counters));
    let (mut open, mut tally) = (Vec::new(), Tally::default());
    // What clients may take up again: the prompts and answers of requests that have finished.
    let mut conversations = vec![prompt(seed, CONTEXT / 2)];
    let mut steps_to_empty = 0;
    for step in 0.. {
        // Submissions come in bursts and stop at some time; everything must end then.
        if step < STEPS && step % 100 < 60 && random.below(4) == 0 && open.len() < 40 {
            let requests = requests(&mut random, &conversations);
            open.extend(submit(requests, &mut engine, &counters, &limits));
        }
        if !open.is_empty() && random.below(80) == 0 {
            drop(open.swap_remove(random.below(open.len())));
            tally.cancelled += 1;
        }
        let senior = Progress::of_senior(&engine.scheduler);
        engine.step();
        check_invariants(&engine, &limits);
        senior.inspect(|senior| senior.check(&engine.scheduler));
        open.retain_mut(|open| !read(open, &limits, &mut tally, &mut conversations));
        if step >= STEPS {
            if engine.scheduler.is_idle() {
                break;
            }
            steps_to_empty += 1;
            assert!(steps_to_empty < 40 * CONTEXT, "{} never end", open.len());
        }
    }
    assert!(open.is_empty(), "an idle engine has answered everything");
    assert!(tally.finished > 20 && tally.cancelled > 5 && tally.timed_out > 0, "{tally:?}");
    let stats = counters.read(&limits);
    assert!(stats.is_idle());
    assert_eq!((stats.queued, stats.running, stats.pages_used, stats.failed), (0, 0, 0, 0));
    assert_eq!(stats.tokens_ahead, 0);
    let ended = stats.finished + stats.cancelled + stats.timed_out;
    assert_eq!(ended as usize, tally.finished + tally.cancelled + tally.timed_out);
    assert!(stats.prefix_tokens_hit <= stats.prefix_tokens_queried);
    Tally {
        preemptions: stats.preemptions,
        prefix_tokens_hit: stats.prefix_tokens_hit,
        loops_caught: stats.loops_caught,
        ..tally
    }
}

/// One request, or several that differ in their seeds alone.
fn requests(random: &mut Random, conversations: &[Vec<TokenId>]) -> Vec<Request> {
    let len =
        [1 + random.below(10), 1 + random.below(CONTEXT - 1), 32 * (1 + random.below(4))][random.below(3)];
    let mut tokens = prompt(random.next(), len);
    if random.below(2) == 0 {
        // It begins as another did, and goes on in its own way behind some token, or is the same.
        let known = &conversations[random.below(conversations.len())];
        let common = random.below(known.len().min(CONTEXT - 1)) + 1;
        tokens.truncate(random.below(CONTEXT - common));
        tokens.splice(0..0, known[..common].iter().copied());
    }
    let loops = random.below(12) == 0;
    if loops {
        // Room for a loop: a short prompt, and all the tokens that there are.
        tokens.truncate(1 + random.below(6));
        tokens.push(LOOPS);
    }
    let mut request = request(tokens, if loops { CONTEXT } else { random.below(CONTEXT) });
    request.prompt_logprobs = (random.below(4) == 0).then_some(2);
    request.logprobs = [None, Some(2)][random.below(2)];
    request.logprob_tokens = vec![5, 80];
    request.banned = (random.below(3) == 0).then(banned);
    if random.below(4) == 0 {
        let end = Marker::Tokens(vec![random.below(90) as TokenId]);
        let budget_tokens = (random.below(2) == 0).then(|| random.below(20));
        request.thinking =
            Some(Thinking { open: true, begin: None, end, close: vec![91, 90], budget_tokens });
    }
    if !loops {
        request.stop_tokens = (0..random.below(3)).map(|_| random.below(90) as TokenId).collect();
    }
    request.rank = Rank {
        owner: random.below(3) as u64,
        priority: [-1, 0, 0, 0, 1][random.below(5)],
        deadline: (random.below(20) == 0).then(|| Instant::now() + Duration::from_millis(random.next() % 4)),
    };
    if random.below(2) == 0 {
        let tau = [2.0, 5.0][random.below(2)];
        let version = [MirostatVersion::One, MirostatVersion::Two][random.below(2)];
        let mirostat = (random.below(3) == 0).then_some(Mirostat { version, tau, eta: 0.1 });
        request.sampling = Sampling { temperature: 1.0, top_p: 0.95, mirostat, ..Sampling::default() };
    }
    let choices = [1, 1, 1, 3][random.below(4)];
    let mut seeded = || {
        let sampling = Sampling { seed: random.next(), ..request.sampling.clone() };
        Request { sampling, ..request.clone() }
    };
    (0..choices).map(|_| seeded()).collect()
}

fn submit(
    requests: Vec<Request>,
    engine: &mut Engine,
    counters: &Arc<Counters>,
    limits: &Limits,
) -> Vec<Open> {
    requests.iter().for_each(|request| limits.check(request, &Mock::shape_of(CONTEXT)).unwrap());
    let prompts = requests.iter().map(|request| request.prompt.len());
    let places = Place::take(counters, prompts, limits.queue_max).unwrap();
    let mut sequences = Vec::new();
    let mut open = Vec::new();
    for (request, place) in requests.into_iter().zip(places) {
        let (sink, generation) = Sink::new(request.prompt.len());
        sequences.push(Sequence::new(request.clone(), sink, place));
        open.push(Open { request, generation, chunks: Vec::new() });
    }
    engine.take(Message::Submit(sequences));
    open
}

/// Reads what is there; true if that was the end, and then it is what it should be.
fn read(open: &mut Open, limits: &Limits, tally: &mut Tally, conversations: &mut Vec<Vec<TokenId>>) -> bool {
    loop {
        match open.generation.try_recv() {
            Ok(chunk) => open.chunks.push(chunk),
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => break,
        }
    }
    let cache = open.chunks.last().and_then(|chunk| chunk.finished.as_ref()).unwrap().cache;
    assert!(cache.cached_tokens < open.request.prompt.len(), "a token is left to be computed: {cache:?}");
    assert!(cache.cached_tokens <= cache.common_tokens, "{cache:?}");
    assert!(cache.common_tokens <= open.request.prompt.len(), "{cache:?}");
    tally.cached_tokens_max = tally.cached_tokens_max.max(cache.cached_tokens);
    let got = collect(std::mem::take(&mut open.chunks).into_iter());
    let expect = answer(&open.request, limits);
    if got.reason == FinishReason::TimedOut {
        assert!(open.request.rank.deadline.is_some_and(|deadline| deadline <= Instant::now()));
        // What it had when its time was up may be taken back later.
        let is_on_its_way = got.repetition != expect.repetition || expect.tokens.starts_with(&got.tokens);
        let goes_back = open.request.prompt.contains(&LOOPS) || open.request.banned.is_some();
        assert!(is_on_its_way || goes_back, "{:?}", open.request);
        tally.timed_out += 1;
        return true;
    }
    assert_eq!(got, expect, "{:?}", open.request);
    tally.finished += 1;
    if conversations.len() < 10 {
        conversations.push([open.request.prompt.clone(), got.tokens].concat());
    }
    true
}

/// How far the most senior sequence had come before a step.
struct Progress {
    arrival: u64,
    tokens: usize,
    computed: usize,
    attempts: u32,
    rewinds: usize,
    thinks: bool,
}

impl Progress {
    /// None if a more senior one waits, which may come first from now on.
    fn of_senior(scheduler: &Scheduler) -> Option<Self> {
        let senior = scheduler.running.first()?;
        let yields = scheduler.waiting.iter().any(|s| s.seniority() < senior.seniority());
        (!yields).then_some(Progress {
            arrival: senior.arrival,
            tokens: senior.tokens.len(),
            computed: senior.computed,
            attempts: senior.guard.attempts(),
            rewinds: senior.bans.rewinds(),
            thinks: senior.thinking.is_open(),
        })
    }

    /// Panics if it has neither got on nor ended.
    fn check(&self, scheduler: &Scheduler) {
        let is_it = |s: &&Sequence| s.arrival == self.arrival;
        assert!(!scheduler.waiting.iter().any(|s| is_it(&s)), "the most senior sequence is preempted");
        if let Some(sequence) = scheduler.running.iter().find(is_it) {
            // What is taken back is that as well, as that happens only so often.
            let got_on = sequence.computed > self.computed
                || sequence.tokens.len() > self.tokens
                || sequence.guard.attempts() > self.attempts
                || sequence.bans.rewinds() > self.rewinds
                || sequence.thinking.is_open() != self.thinks;
            assert!(got_on, "the most senior sequence starves: {sequence:?}");
        }
    }
}

fn check_invariants(engine: &Engine, limits: &Limits) {
    let Scheduler { running, waiting, pages, owners, .. } = &engine.scheduler;
    pages.check();
    owners.check(running.iter().chain(waiting));
    let mut page_owners = vec![0; pages.total()];
    for sequence in running {
        assert!(sequence.computed <= sequence.tokens.len());
        assert!(sequence.computed <= sequence.pages.len() * PAGE_TOKENS);
        assert!(sequence.tokens.len() <= limits.context_tokens);
        assert!(!sequence.place.is_in_queue());
        sequence.pages.iter().for_each(|&page| page_owners[page as usize] += 1);
        check_tree_has(sequence, engine, limits);
    }
    for sequence in waiting {
        assert_eq!((sequence.computed, sequence.pages.len(), sequence.committed_pages), (0, 0, 0));
    }
    for (page, &count) in (0..).zip(&page_owners) {
        assert_eq!(pages.owners(page), count, "page {page}");
        assert!(count <= 1 || limits.prefix_cache, "page {page} belongs to {count} sequences");
    }
    let used = page_owners.iter().filter(|&&count| count > 0).count();
    assert_eq!((pages.used(), pages.available()), (used, pages.total() - used));
    assert!(running.len() <= limits.sequences_max && engine.batch.tokens.len() <= limits.batch_tokens);
    let rows = engine.batch.logit_rows() - engine.batch.spans.len().min(engine.batch.logit_rows());
    assert!(rows <= limits.prompt_logit_rows(&Mock::shape_of(CONTEXT)));
    assert!(running.is_sorted_by_key(|s| s.seniority()));
    assert!(running.iter().chain(waiting).all(|s| s.last_chunk.is_none()), "what has ended is gone");
}

/// Panics unless the whole pages of a sequence, and no others, stand in the tree one below the other.
fn check_tree_has(sequence: &Sequence, engine: &Engine, limits: &Limits) {
    let whole = if limits.prefix_cache { sequence.computed / PAGE_TOKENS } else { 0 };
    assert_eq!(sequence.committed_pages, whole);
    for (index, tokens) in sequence.tokens.chunks_exact(PAGE_TOKENS).take(whole).enumerate() {
        let parent = index.checked_sub(1).map(|above| sequence.pages[above]);
        assert_eq!(engine.scheduler.pages.child(parent, tokens), Some(sequence.pages[index]));
    }
}
