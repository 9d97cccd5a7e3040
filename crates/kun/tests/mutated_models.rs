//! A small model with bytes changed at random, thousands of times: each is refused or it answers; nothing panics and
//! nothing allocates much. The seed is fixed, so that a failure comes again. `KUN_TEST_MUTATIONS` sets how many.
//!
//! A test binary of its own, for it replaces the allocator by one that counts.

#[path = "cli/kun.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod kun;
#[path = "cli/model.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod model;
#[path = "cli/vocabulary.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod vocabulary;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use engine::engine::Handle;
use engine::limits::Limits;
use engine::request::{FinishReason, Request};
use engine::{Cpu, CpuOptions};
use text::template::{ChatTemplate, TemplateLimits};
use text::tokenizer::{Specials, Tokenizer};
use weights::gguf::Gguf;

const ALLOCATION_MAX: usize = 64 << 20;
const MUTATIONS: usize = 2000;

#[test]
fn a_model_with_bytes_changed_answers_or_is_refused() {
    let mutations = match std::env::var("KUN_TEST_MUTATIONS") {
        Ok(number) => number.parse().expect("KUN_TEST_MUTATIONS is a number"),
        Err(_) => MUTATIONS,
    };
    let scratch = kun::Scratch::new();
    let path = model::write(&scratch, "mutated.gguf");
    let whole = fs::read(&path).expect("it was just written");
    let head = head_bytes(&whole);
    let cpu =
        Arc::new(Cpu::new(CpuOptions { threads: Some(1), isa: None }).expect("every machine has a thread"));
    assert_eq!(answer(&path, &cpu), Ok(true), "the model must answer as it is");

    static PANICS: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|panic| {
        // The engine's thread may panic as well, where nobody in this test would notice.
        PANICS.fetch_add(1, SeqCst);
        eprintln!("{panic}");
    }));
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut answered, mut refused, mut failures) = (0, 0, Vec::new());
    for number in 0..mutations {
        let (bytes, what) = mutate(&whole, head, &mut random);
        fs::write(&path, bytes).expect("the target folder can be written");
        let before = PANICS.load(SeqCst);
        let held = CURRENT.load(SeqCst);
        PEAK.store(held, SeqCst);
        match catch_unwind(AssertUnwindSafe(|| answer(&path, &cpu))) {
            Ok(Ok(_)) => answered += 1,
            Ok(Err(message)) => {
                refused += 1;
                if message.lines().count() > 3 || message.chars().any(|c| c.is_control() && c != '\n') {
                    failures.push(format!("{number} ({what}): {message:?}"));
                }
            }
            Err(_) => {}
        }
        if PANICS.load(SeqCst) > before {
            failures.push(format!("{number} ({what}): panicked"));
        }
        let peak = PEAK.load(SeqCst).saturating_sub(held);
        if peak > ALLOCATION_MAX {
            failures.push(format!("{number} ({what}): allocated {} KiB", peak >> 10));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
    // Most bytes are weights or texts, which may be anything; many are lengths, which may not.
    assert!(answered > mutations / 10 && refused > mutations / 10, "{answered} answered, {refused} refused");
}

/// Loads the model and lets it answer. True if it could; an error is what is wrong with the file.
fn answer(path: &Path, cpu: &Arc<Cpu>) -> Result<bool, String> {
    let gguf = Gguf::open(path).map_err(|e| e.to_string())?;
    let vocabulary = engine::vocabulary::vocabulary(gguf.metadata()).map_err(|e| e.to_string())?;
    let tokenizer = Tokenizer::new(vocabulary).map_err(|e| e.to_string())?;
    let text = gguf.metadata().get("tokenizer.chat_template").and_then(|template| template.text());
    let rendered = text.map(|source| {
        let messages = serde_json::json!({"messages": [{"role": "user", "content": "hello"}]});
        ChatTemplate::new(source)?.render(&messages, &TemplateLimits::default())
    });
    let prompt = match rendered {
        Some(Ok(prompt)) => prompt,
        // A template may raise errors as it likes; the words are its own.
        Some(Err(_)) | None => "hello".to_owned(),
    };
    let model = engine::load::load(&gguf, cpu, &mut |_| ()).map_err(|e| e.to_string())?;
    let limits = Limits { context_tokens: 64, kv_pages: 4, sequences_max: 1, ..Limits::default() };
    let handle = Handle::start(model, limits).map_err(|e| e.to_string())?;
    let mut tokens = tokenizer.encode_prompt(&prompt, Specials::Parse);
    tokens.truncate(32);
    let request = Request { stop_tokens: tokenizer.end_of_generation().to_vec(), ..Request::new(tokens, 4) };
    let Ok(generation) = handle.submit(request) else {
        // Such as an empty prompt, from a template that says nothing.
        return Ok(false);
    };
    for chunk in generation {
        for token in &chunk.tokens {
            assert!(tokenizer.piece(*token).is_some(), "token {token} is not in the vocabulary");
        }
        if let Some(finished) = chunk.finished {
            // Weights that are not numbers give no token; that is an error of the answer, and said so.
            return Ok(matches!(finished.reason, FinishReason::Stop | FinishReason::Length));
        }
    }
    unreachable!("the last chunk says how it finished")
}

/// Spoils one place or a few, most often in the head of the file.
fn mutate(whole: &[u8], head: usize, random: &mut Random) -> (Vec<u8>, String) {
    let mut bytes = whole.to_vec();
    let mut what = Vec::new();
    for _ in 0..1 + random.below(3) {
        let range = if random.below(4) > 0 { head } else { bytes.len() };
        let at = random.below(range.min(bytes.len()));
        match random.below(8) {
            0..5 => {
                bytes[at] ^= 1 + random.below(255) as u8;
                what.push(format!("byte {at} is {}", bytes[at]));
            }
            5 | 6 => {
                const ODD: [u64; 8] = [0, 1, 0x7f, 0xffff, 1 << 31, u32::MAX as u64, 1 << 63, u64::MAX];
                let number = ODD[random.below(ODD.len())];
                let width = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
                what.push(format!("{width} bytes at {at} are {number}"));
            }
            _ => {
                bytes.truncate(at.max(1));
                what.push(format!("cut at {at}"));
            }
        }
    }
    (bytes, what.join(", "))
}

/// Where the weights begin, about.
fn head_bytes(whole: &[u8]) -> usize {
    let last = b"output_norm.weight";
    whole.windows(last.len()).position(|w| w == last).expect("the last tensor is named") + 64
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// Counts what all threads together have allocated.
struct Counting;

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes on to the system's allocator unchanged; the counters are plain numbers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = CURRENT.fetch_add(layout.size(), SeqCst) + layout.size();
        PEAK.fetch_max(now, SeqCst);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let now = CURRENT.fetch_add(layout.size(), SeqCst) + layout.size();
        PEAK.fetch_max(now, SeqCst);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CURRENT.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
