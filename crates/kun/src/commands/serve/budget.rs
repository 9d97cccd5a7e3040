//! How memory is shared out: what each model takes, reckoned from its file before anything is loaded.
//!
//! What is promised holds for the whole process. From the budget goes first what the process and the requests' bodies
//! take; the rest is the models'. A model needs its weights, room to work in and the keys and values of one context. Of
//! the models that are not pinned, as many are provided for as fit together even if they are the largest; what those
//! leave over is shared equally among them, and goes into their KV caches. So any so many models fit together, whatever
//! they are and in whatever order they are asked for.

use engine::batch::PAGE_TOKENS;
use engine::limits::Limits;
use weights::gguf::{Gguf, TensorInfo};

use crate::failure::{Failure, Outcome};
use crate::memory;
use crate::terminal::bytes as shown;

const MIB: u64 = 1 << 20;
/// Large buffers are on pages of this size and take all of them.
const LARGE_PAGE: u64 = 2 * MIB;
/// Of what is available, the share that is taken when nothing is said.
const AUTO_SHARE: f64 = 0.6;
/// And the most that the KV cache of a model takes then: in bytes, in contexts, and in tokens where contexts are short.
const AUTO_KV_BYTES: u64 = 4 << 30;
const AUTO_KV_CONTEXTS: u64 = 64;
const AUTO_KV_TOKENS: u64 = 1 << 16;
/// Answers at a time, when nothing is said: as many as this, and as have logits in a part of the memory.
const AUTO_SEQUENCES: u64 = 256;
const AUTO_LOGITS_PART: u64 = 16;
/// The part of the memory that is for request bodies, and the most that they get.
const BODIES_PART: u64 = 32;
const BODIES_MAX: u64 = 64 * MIB;
/// Bytes of a running or waiting request outside of the KV cache, on average: its text, its tokens, its buffers.
const REQUEST_BYTES: u64 = 32 << 10;
/// What is kept about a page beside its numbers.
const PAGE_BOOK_BYTES: u64 = 512;
/// A vocabulary in memory, by its bytes in the file and its entries.
const ENTRY_BYTES: u64 = 160;
/// The program itself and its threads.
const PROCESS_BYTES: u64 = 32 * MIB;
/// The buffers of a connection, on average: most are idle.
const CONNECTION_BYTES: u64 = 8 << 10;

/// What a model takes, by its file and the settings.
#[derive(Debug, Clone)]
pub(crate) struct Needs {
    pub(crate) name: String,
    pub(crate) pinned: bool,
    /// Weights and vocabulary.
    pub(crate) weights: u64,
    /// Activations, logits, requests: all that a full engine works with.
    pub(crate) working: u64,
    /// A page of the KV cache in all layers.
    pub(crate) page: u64,
    /// Layers that keep keys and values, each in a buffer of its own.
    pub(crate) layers: u64,
    pub(crate) context_tokens: usize,
    /// While it is being loaded, the largest tensor is there twice.
    pub(crate) largest_tensor: u64,
    pub(crate) limits: Limits,
}

/// The sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// All that it takes.
    pub(crate) bytes: u64,
    pub(crate) kv_pages: usize,
}

/// What the models have, and what the rest of the process.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) budget: u64,
    /// For all models together.
    pub(crate) models: u64,
    /// One for each model.
    pub(crate) shares: Vec<Share>,
}

/// What the settings say about memory and its use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) budget: u64,
    /// Whether the budget was chosen here, so that a KV cache takes no more than is of use.
    pub(crate) auto: bool,
    /// Bytes of request bodies at a time.
    pub(crate) bodies: u64,
    pub(crate) connections_max: usize,
    pub(crate) queue_max: usize,
    pub(crate) sequences_max: Option<usize>,
    /// The most tokens of a KV cache, whatever there is memory for.
    pub(crate) kv_tokens: Option<usize>,
}

/// The budget in bytes, and whether it was chosen here.
pub(crate) fn budget(memory: crate::settings::Memory) -> Outcome<(u64, bool)> {
    use crate::settings::Memory;
    let share = |share: f64| match memory::available() {
        Some(available) => Ok((available as f64 * share) as u64),
        None => Err(Failure::usage(
            "--memory: the system does not tell how much there is: give a size, such as 8GiB",
        )),
    };
    match memory {
        Memory::Auto => Ok((share(AUTO_SHARE)?, true)),
        Memory::Share(part) => Ok((share(part)?, false)),
        Memory::Bytes(bytes) => Ok((bytes, false)),
    }
}

/// Bytes of request bodies that there is room for at a time: a small part of the budget, but at least one body.
pub(crate) fn bodies(budget: u64, body_bytes_max: usize) -> usize {
    (budget / BODIES_PART).min(BODIES_MAX).max(body_bytes_max as u64) as usize
}

impl Wanted {
    /// What the process takes beside the models. A body may be there as text and as what was parsed of it.
    fn process(&self) -> u64 {
        PROCESS_BYTES + 2 * self.bodies + CONNECTION_BYTES * self.connections_max as u64
    }
}

impl Needs {
    /// Reckons what a model takes.
    pub(crate) fn of(gguf: &Gguf, name: &str, context_tokens: usize, wanted: &Wanted) -> Needs {
        let vocabulary =
            gguf.tensor("token_embd.weight").and_then(|t| t.info.shape.get(1).copied()).unwrap_or(0);
        let row = vocabulary.saturating_mul(4).max(1);
        let sequences = match wanted.sequences_max {
            Some(sequences) => sequences as u64,
            None => (wanted.budget / AUTO_LOGITS_PART / row).clamp(1, AUTO_SEQUENCES),
        };
        let limits = Limits {
            context_tokens,
            sequences_max: sequences as usize,
            queue_max: wanted.queue_max,
            prompt_logits_bytes: Limits::default()
                .prompt_logits_bytes
                .min((wanted.budget / AUTO_LOGITS_PART) as usize),
            ..Limits::default()
        };
        let logits =
            sequences.saturating_mul(row).saturating_add((limits.prompt_logits_bytes as u64).max(row));
        let requests = (sequences + wanted.queue_max as u64).saturating_mul(REQUEST_BYTES);
        let sampling = row.saturating_mul(6);
        let activations = (limits.batch_tokens as u64).saturating_mul(activation_bytes(gguf));
        let layers = gguf.tensors().filter(|t| t.name.ends_with(".attn_k.weight")).count() as u64;
        let kv = memory::kv_bytes_per_token_of_tensors(gguf).saturating_mul(PAGE_TOKENS as u64);
        Needs {
            name: name.to_owned(),
            pinned: false,
            weights: gguf.tensors().map(packed_bytes).fold(vocabulary * ENTRY_BYTES, u64::saturating_add),
            working: [logits, requests, sampling, activations].into_iter().fold(0, u64::saturating_add),
            page: kv,
            layers,
            context_tokens,
            largest_tensor: gguf.tensors().map(|t| t.bytes()).max().unwrap_or(0),
            limits,
        }
    }

    /// Pages that one context takes, and one more: no answer ends at a page's end.
    fn context_pages(&self) -> u64 {
        self.context_tokens.div_ceil(PAGE_TOKENS) as u64 + 1
    }

    /// The keys and values of one context.
    fn context(&self) -> u64 {
        self.kv_bytes(self.context_pages())
    }

    /// Bytes of a KV cache. Each layer's part is on large pages, if it is large.
    pub(crate) fn kv_bytes(&self, pages: u64) -> u64 {
        let layers = self.layers.max(1);
        let layer = on_large_pages(pages.saturating_mul(self.page).div_ceil(layers));
        layer.saturating_mul(layers).saturating_add(pages.saturating_mul(PAGE_BOOK_BYTES))
    }

    /// The most pages, up to `most`, of a KV cache that takes no more than `bytes`.
    fn pages_within(&self, bytes: u64, most: u64) -> u64 {
        let (mut fits, mut beyond) = (0, most + 1);
        while beyond - fits > 1 {
            let middle = fits + (beyond - fits) / 2;
            if self.kv_bytes(middle) <= bytes { fits = middle } else { beyond = middle }
        }
        fits
    }

    /// The least that it runs with.
    fn least(&self) -> u64 {
        self.weights.saturating_add(self.working.saturating_add(self.context()).max(self.largest_tensor))
    }

    /// The KV cache and all of a model that may take `bytes`.
    fn share(&self, bytes: u64, wanted: &Wanted) -> Share {
        // More than this nobody has memory for.
        let mut most = u64::from(u32::MAX);
        if wanted.auto {
            let tokens = (AUTO_KV_CONTEXTS * self.context_tokens as u64).max(AUTO_KV_TOKENS);
            let useful = (tokens / PAGE_TOKENS as u64).min(self.pages_within(AUTO_KV_BYTES, most));
            most = useful.max(self.context_pages());
        }
        if let Some(tokens) = wanted.kv_tokens {
            most = most.min(tokens.div_ceil(PAGE_TOKENS) as u64).max(self.context_pages());
        }
        let room = bytes.saturating_sub(self.weights).saturating_sub(self.working);
        let pages = self.pages_within(room, most);
        let bytes = (self.weights + self.working + self.kv_bytes(pages)).max(self.least());
        Share { bytes, kv_pages: pages as usize }
    }

    fn too_large(&self, least: u64, wanted: &Wanted) -> Failure {
        let rest = least.saturating_sub(self.weights).saturating_sub(self.context());
        let parts = format!(
            "{} of weights, {} for a context of {}, {} to work with",
            shown(self.weights),
            shown(self.context()),
            self.context_tokens,
            shown(rest)
        );
        let left = wanted.budget.saturating_sub(least - self.context());
        let left = self.pages_within(left, self.context_pages()) * PAGE_TOKENS as u64;
        let shorter = [65_536, 32_768, 16_384, 8192, 4096, 2048, 1024, 512]
            .into_iter()
            .find(|&ctx| ctx < self.context_tokens && ctx as u64 + PAGE_TOKENS as u64 <= left);
        let shorter = shorter.map_or(String::new(), |ctx| format!("--ctx {ctx}, "));
        Failure::memory(format!(
            "{} needs {} ({parts}), the budget is {}\n\
             try {shorter}a larger --memory, a smaller quantisation such as Q4_K_M, or a smaller model",
            self.name,
            shown(least),
            shown(wanted.budget),
        ))
    }
}

/// Shares the budget out among the models.
pub(crate) fn plan(needs: &[Needs], wanted: &Wanted) -> Outcome<Plan> {
    let process = wanted.process();
    let models = wanted.budget.saturating_sub(process);
    let pinned: u64 = needs.iter().filter(|n| n.pinned).map(Needs::least).sum();
    for need in needs {
        let others = if need.pinned { pinned - need.least() } else { pinned };
        if others.saturating_add(need.least()) > models {
            let least = need.least().saturating_add(others).saturating_add(process);
            return Err(need.too_large(least, wanted));
        }
    }
    let mut sizes: Vec<u64> = needs.iter().filter(|n| !n.pinned).map(Needs::least).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let mut together = needs.len() - sizes.len();
    let mut taken = pinned;
    for size in sizes {
        if taken + size > models {
            break;
        }
        taken += size;
        together += 1;
    }
    let extra = (models - taken) / together.max(1) as u64;
    let shares = needs.iter().map(|need| need.share(need.least() + extra, wanted)).collect();
    Ok(Plan { budget: wanted.budget, models, shares })
}

/// Bytes of a tensor in memory: whole tiles of rows, on large pages if it is large.
fn packed_bytes(tensor: &TensorInfo) -> u64 {
    const TILE_ROWS: u64 = 16;
    let rows = tensor.shape.get(1).copied().unwrap_or(1).max(1);
    let bytes = if rows > 1 {
        tensor.bytes().div_ceil(rows).saturating_mul(rows.next_multiple_of(TILE_ROWS))
    } else {
        4 * tensor.shape[0]
    };
    on_large_pages(bytes)
}

/// Bytes of a buffer of so many.
fn on_large_pages(bytes: u64) -> u64 {
    if bytes >= LARGE_PAGE { bytes.div_ceil(LARGE_PAGE).saturating_mul(LARGE_PAGE) } else { bytes }
}

/// Bytes of all buffers that hold numbers of one token on its way through the model: four as wide as its embedding and
/// four as wide as its widest matrix.
fn activation_bytes(gguf: &Gguf) -> u64 {
    let embedding = gguf.tensor("token_embd.weight").and_then(|t| t.info.shape.first().copied()).unwrap_or(0);
    let blocks = gguf.tensors().filter(|t| t.name.starts_with("blk."));
    let widest = blocks.flat_map(|t| t.shape.iter().copied()).max().unwrap_or(0);
    embedding.saturating_add(widest).saturating_mul(4 * 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted {
        budget: 1000 * MIB,
        auto: false,
        bodies: 0,
        connections_max: 0,
        queue_max: 8,
        sequences_max: Some(4),
        kv_tokens: None,
    };

    /// A model of so many MiB of weights, with pages of 4 MiB and a context of 10 of them.
    fn needs(weights: u64, pinned: bool) -> Needs {
        Needs {
            name: "m".to_owned(),
            pinned,
            weights: weights * MIB,
            working: 8 * MIB,
            page: 4 * MIB,
            layers: 2,
            context_tokens: 9 * PAGE_TOKENS,
            largest_tensor: 0,
            limits: Limits::default(),
        }
    }

    #[test]
    fn any_so_many_models_fit_together_and_what_is_left_goes_into_their_caches() {
        let whole = WANTED.budget - WANTED.process();
        for (models, together) in [
            (&[needs(100, false)][..], 1),
            (&[needs(100, false), needs(100, false)], 2),
            (&[needs(410, false), needs(410, false), needs(10, false)], 2),
            (&[needs(500, false), needs(400, false)], 1),
            (&[needs(300, true), needs(150, false), needs(150, false), needs(150, false)], 4),
            (&[needs(300, true), needs(300, false), needs(300, false), needs(10, false)], 2),
            (&[needs(900, true)], 1),
        ] {
            let plan = plan(models, &WANTED).expect("they fit");
            assert_eq!(plan.models, whole);
            let mut bytes: Vec<u64> = plan.shares.iter().map(|share| share.bytes).collect();
            bytes.sort_unstable_by(|a, b| b.cmp(a));
            let taken: u64 = bytes[..together].iter().sum();
            assert!(taken <= whole, "{bytes:?}");
            let slack = together as u64 * 5 * MIB;
            assert!(
                models.len() == together || together == 1 || taken + slack > whole - 100 * MIB,
                "{bytes:?}"
            );
            for (need, share) in models.iter().zip(&plan.shares) {
                assert!(share.kv_pages >= 10);
                assert_eq!(share.bytes, need.weights + need.working + need.kv_bytes(share.kv_pages as u64));
            }
        }
    }

    #[test]
    fn what_cannot_run_within_the_budget_is_refused_with_its_parts_and_what_would_work() {
        for models in [
            &[needs(960, false)][..],
            &[needs(500, true), needs(500, false)],
            &[needs(10, false), needs(990, false)],
        ] {
            let failure = plan(models, &WANTED).expect_err("too large");
            assert_eq!(failure.exit_code(), 5);
            assert!(failure.to_string().contains("the budget is 1000.0 MiB"), "{failure}");
        }
        let long = Needs { context_tokens: 1000 * PAGE_TOKENS, ..needs(100, false) };
        let failure = plan(&[long], &WANTED).expect_err("too long");
        assert!(
            failure.to_string().contains("a context of 32000") && failure.to_string().contains("--ctx 4096,"),
            "{failure}"
        );
    }

    #[test]
    fn a_cache_takes_no_more_than_is_of_use_unless_the_budget_was_asked_for() {
        let wanted = Wanted { budget: 100 << 30, auto: true, ..WANTED };
        let small = Needs { page: MIB, ..needs(1, false) };
        assert_eq!(plan(&[small], &wanted).expect("it fits").shares[0].kv_pages, 2048);
        let large = Needs { page: 64 * MIB, ..needs(1, false) };
        assert_eq!(plan(&[large], &wanted).expect("it fits").shares[0].kv_pages, 63);
    }

    #[test]
    fn the_largest_tensor_has_room_while_it_is_there_twice() {
        let need = Needs { largest_tensor: 300 * MIB, ..needs(400, false) };
        assert_eq!(need.least(), 700 * MIB);
    }
}
