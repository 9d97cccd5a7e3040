//! A step allocates nothing but the chunks that it sends.
//!
//! This is a test binary of its own, for it replaces the allocator by one that counts.

// The name under which the mock knows the crate.
extern crate engine as kun_engine;

#[path = "engine/mock.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod mock;

#[path = "models/tiny.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod tiny;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::mpsc::{SyncSender, channel, sync_channel};

use engine::batch::Batch;
use engine::engine::Handle;
use engine::kv::KvCache;
use engine::limits::Limits;
use engine::model::{Model, Outputs, Shape};
use engine::request::{Request, Sampling};
use mock::{Mock, prompt, request};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with a count for each thread.
struct Counting;

// SAFETY: every call goes to `System` unchanged; the counter is a plain cell of this thread that needs no
// allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and the pointer is `System`'s.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_step_allocates_only_what_it_sends() {
    const SEQUENCES: u64 = 8;
    const WARM_UP: usize = 40;
    const STEPS: usize = 300;
    let limits = Limits { kv_pages: 200, ..Limits::default() };
    let (go, wait) = channel::<()>();
    // The engine's thread notes its count at the beginning of every pass; the channel's buffer is there already.
    let (sender, counts) = sync_channel(1000);
    let hook = Box::new(move |_: &_| {
        let _ = wait.recv();
        let _ = sender.try_send(ALLOCATIONS.get());
    });
    let handle = Handle::start(Box::new(Mock::with_hook(4096, &limits, hook)), limits).unwrap();
    let generations: Vec<_> = (0..SEQUENCES)
        .map(|i| {
            let sampling = Sampling {
                temperature: (i % 3) as f32,
                top_k: [40, 0][i as usize % 2],
                top_p: 0.9,
                typical_p: [1.0, 0.95][i as usize / 4],
                repeat_penalty: 1.1,
                frequency_penalty: [0.0, 0.1][i as usize % 2],
                presence_penalty: 0.1,
                logit_bias: vec![(7, 1.0), (9, f32::NEG_INFINITY)],
                ..Sampling::default()
            };
            // Tokens that may not come for a while, and that never end the answer before the test has.
            let (min_tokens, stop_tokens) = (WARM_UP + STEPS + 20, vec![11, 12]);
            // Pages are shared, and become whole in these steps.
            let prompt = [prompt(0, 70), prompt(i, 20)].concat();
            let request =
                Request { sampling, min_tokens, stop_tokens, ..request(prompt, WARM_UP + STEPS + 20) };
            handle.submit(request).unwrap()
        })
        .collect();
    drop(go);
    for generation in generations {
        assert!(generation.last().unwrap().finished.is_some());
    }
    let counts: Vec<u64> = counts.try_iter().collect();
    let allocations = counts[WARM_UP + STEPS] - counts[WARM_UP];
    // Every chunk has a vector of tokens, and the channel takes a block of memory for 31 messages at a time.
    let chunks = SEQUENCES * STEPS as u64;
    let blocks = SEQUENCES * (STEPS as u64 / 31 + 1);
    assert!(allocations >= chunks, "{allocations} allocations for {chunks} chunks: they are not counted");
    assert!(
        allocations <= chunks + blocks,
        "{allocations} allocations for {chunks} chunks and {blocks} blocks"
    );
}

/// A model that notes how much its passes allocate.
struct Noted {
    model: Box<dyn Model>,
    notes: SyncSender<u64>,
}

impl Model for Noted {
    fn shape(&self) -> &Shape {
        self.model.shape()
    }

    fn forward(&mut self, batch: &Batch, kv: &mut KvCache, outputs: &mut Outputs) {
        let before = ALLOCATIONS.get();
        self.model.forward(batch, kv, outputs);
        let _ = self.notes.try_send(ALLOCATIONS.get() - before);
    }
}

#[test]
fn a_forward_pass_allocates_nothing_after_its_first_ones() {
    const WARM_UP: usize = 20;
    const STEPS: usize = 100;
    for tiny in tiny::mixed() {
        // With a single thread, the engine's own, the kernels' allocations are counted as well.
        let (notes, noted) = sync_channel(1000);
        let model = Noted { model: tiny.load(&tiny::cpu(1)), notes };
        let handle = Handle::start(Box::new(model), Limits::default()).unwrap();
        let generations: Vec<_> =
            (0..8).map(|i| handle.submit(request(prompt(i, 20), WARM_UP + STEPS + 20)).unwrap()).collect();
        for generation in generations {
            assert!(generation.last().unwrap().finished.is_some());
        }
        let noted: Vec<u64> = noted.try_iter().collect();
        let steps = &noted[WARM_UP..WARM_UP + STEPS];
        assert!(noted[0] > 0, "{}: the first pass allocates its buffers, but none were counted", tiny.name());
        let most = steps.iter().max().expect("there are steps");
        assert!(*most == 0, "{}: a pass allocates {most} times", tiny.name());
    }
}
