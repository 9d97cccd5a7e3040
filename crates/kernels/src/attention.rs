//! Attention over paged keys and values.
//!
//! A row (one query head of one token) sees the positions of its sequence up to its own, or the last `window`
//! of them. Positions are cut into fixed chunks of 256; each chunk is a softmax of its own, and the chunks are
//! merged in order (online softmax, Milakov and Gimelshein 2018). So a row's bits depend neither on the other
//! rows nor on who computes which chunk.

mod chunk;

use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::share::Shared;
use crate::simd::{Op, Simd};
use chunk::{Pages, Rows, State};
use std::ops::Range;

/// Tokens in a page.
pub const PAGE_TOKENS: usize = 32;
/// The largest head that the kernels' scratch memory holds.
pub const HEAD_DIM_MAX: usize = 512;
/// Numbers of two bytes in the 2 MiB that the system gives at a time.
const STRIDE: usize = 1 << 20;
/// Numbers of two bytes in the least that the system gives at a time.
const SYSTEM_PAGE: usize = 2048;
/// Numbers of two bytes in a cache line.
const LINE: usize = 32;
/// Tokens in a chunk.
const CHUNK_TOKENS: usize = 256;

/// The keys and values of one layer: `[page][kv head]{ keys [head_dim][32], values [32][head_dim] }`, f16 bits.
///
/// Keys lie transposed so that a vector holds one dimension of 16 tokens: no sums across lanes.
#[derive(Debug)]
pub struct KvArena {
    data: Buffer<u16>,
    /// Where in `data` the first page begins.
    first: usize,
    pages: usize,
    heads: usize,
    head_dim: usize,
}

impl KvArena {
    /// Zeroed room for `pages` pages.
    ///
    /// Memory is taken from the system when it is first written, 2 MiB at a time. Arenas of one model whose pages are written
    /// together are told apart by `share`, from 0 up to 1: each begins so far behind the beginning of its memory that they
    /// don't all reach new memory in the same step, which would hold up everybody.
    ///
    /// # Panics
    /// If `head_dim` is not a multiple of 16 up to `HEAD_DIM_MAX`.
    pub fn new(pages: usize, heads: usize, head_dim: usize, share: f64) -> Self {
        assert!(
            head_dim.is_multiple_of(16) && (16..=HEAD_DIM_MAX).contains(&head_dim),
            "heads of {head_dim}"
        );
        // Cache lines stay whole.
        let first = (share.clamp(0.0, 1.0) * STRIDE as f64) as usize / LINE * LINE;
        let data = Buffer::zeroed(first + pages * heads * head_dim * 2 * PAGE_TOKENS);
        KvArena { data, first, pages, heads, head_dim }
    }

    /// Takes the memory of a page that was never written from the system now, so that the step which writes it need not
    /// wait for it. What was written would be spoilt.
    pub fn touch(&mut self, page: u32) {
        let (from, len) = (self.page_head(page, 0), self.heads * 2 * self.half());
        self.data[from..from + len].iter_mut().step_by(SYSTEM_PAGE).for_each(|number| *number = 0);
    }

    /// Key and value heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Numbers in a key and in a value.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Elements of one head's keys, or values, of a page.
    fn half(&self) -> usize {
        self.head_dim * PAGE_TOKENS
    }

    fn page_head(&self, page: u32, head: usize) -> usize {
        assert!((page as usize) < self.pages && head < self.heads);
        self.first + (page as usize * self.heads + head) * 2 * self.half()
    }

    pub(crate) fn writer(&mut self) -> KvWriter<'_> {
        KvWriter {
            first: self.first,
            pages: self.pages,
            heads: self.heads,
            head_dim: self.head_dim,
            data: Shared::new(&mut self.data),
        }
    }
}

/// Writes keys and values of tokens from several threads, each token's by one.
pub(crate) struct KvWriter<'a> {
    data: Shared<'a, u16>,
    first: usize,
    pages: usize,
    heads: usize,
    head_dim: usize,
}

impl KvWriter<'_> {
    /// Writes one token's key and value of one head, f16 bits.
    ///
    /// # Safety
    /// No other thread writes the same token of the same page and head.
    pub(crate) unsafe fn put(&self, page: u32, token: usize, head: usize, key: &[u16], value: &[u16]) {
        assert!((page as usize) < self.pages && head < self.heads && token < PAGE_TOKENS);
        assert!(key.len() == self.head_dim && value.len() == self.head_dim);
        let half = self.head_dim * PAGE_TOKENS;
        let start = self.first + (page as usize * self.heads + head) * 2 * half;
        let keys = self.data.pointer(start + token);
        // SAFETY: the head's part of the page is `2 * half` elements from `start` on; the caller's promise.
        unsafe {
            for (d, key) in key.iter().enumerate() {
                keys.add(d * PAGE_TOKENS).write(*key);
            }
            self.data.slice(start + half + token * self.head_dim, self.head_dim).copy_from_slice(value);
        }
    }
}

/// Consecutive tokens of one sequence, as attention sees them.
#[derive(Debug, Clone, Copy)]
pub struct AttentionSpan<'a> {
    /// Position of the first token.
    pub start: usize,
    /// Tokens.
    pub len: usize,
    /// The sequence's pages.
    pub pages: &'a [u32],
}

/// What kind of attention.
#[derive(Debug, Clone, Copy)]
pub struct AttentionKind {
    /// Query heads; a multiple of the key and value heads.
    pub query_heads: usize,
    /// What scores are multiplied with, usually 1 / sqrt(head_dim).
    pub scale: f32,
    /// How many positions a row sees, its own included; all if there is none.
    pub window: Option<usize>,
}

/// Room for the chunks of long sequences; reused from call to call.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    /// `[part]{ maximum, sum, accumulator [head_dim] }`
    parts: Vec<f32>,
    plan: Plan,
}

/// `out[token][query head][head_dim]` for queries `q` of the same shape. Keys and values of the spans' tokens
/// are already in `kv`.
///
/// # Panics
/// If sizes do not fit or a span has too few pages.
pub fn attention(
    cpu: &Cpu,
    kv: &KvArena,
    kind: AttentionKind,
    spans: &[AttentionSpan<'_>],
    q: &[f32],
    out: &mut [f32],
    scratch: &mut AttentionScratch,
) {
    let tokens: usize = spans.iter().map(|s| s.len).sum();
    assert!(q.len() == tokens * kind.query_heads * kv.head_dim && out.len() == q.len());
    assert!(
        kind.query_heads.is_multiple_of(kv.heads),
        "{} query heads, {} kv heads",
        kind.query_heads,
        kv.heads
    );
    for span in spans {
        assert!(
            span.pages.len() * PAGE_TOKENS >= span.start + span.len,
            "a span has pages for all its tokens"
        );
    }
    let AttentionScratch { parts, plan } = scratch;
    plan.make(cpu, kv, kind, spans);
    parts.resize(parts.len().max(plan.parts * (kv.head_dim + 2)), 0.0);
    let (parts, plan) = (Shared::new(parts), &*plan);
    let out = Shared::new(out);
    cpu.run(plan.units.len(), |unit| {
        // Long rows first: the last unit to start is a short one.
        let unit = &plan.units[plan.units.len() - 1 - unit];
        cpu.dispatch(UnitOp { kv, kind, span: &spans[unit.span], unit, q, out: &out, parts: &parts });
    });
    if plan.parts > 0 {
        cpu.run(plan.merges.len(), |n| {
            let merge = &plan.merges[n];
            // SAFETY: pass one is over and writes no more; each row's output is one unit's.
            let (parts, out) = unsafe {
                let stride = kv.head_dim + 2;
                (parts.slice(merge.first * stride, merge.chunks * stride), out.slice(merge.out, kv.head_dim))
            };
            cpu.dispatch(MergeOp { parts, out });
        });
    }
}

/// Some rows of one key and value head of one span.
#[derive(Debug)]
struct Unit {
    span: usize,
    kv_head: usize,
    /// Rows are numbered token by token, within a token head by head.
    rows: Range<usize>,
    /// The span's first token in `q` and `out`.
    first_token: usize,
    /// Chunks to compute; if the row's chunks are split among units, the part of row `rows.start`.
    chunks: Range<usize>,
    part: Option<usize>,
}

/// A row whose chunks were computed apart.
#[derive(Debug)]
struct Merge {
    first: usize,
    chunks: usize,
    out: usize,
}

#[derive(Debug, Default)]
struct Plan {
    units: Vec<Unit>,
    merges: Vec<Merge>,
    parts: usize,
}

impl Plan {
    /// Becomes the plan of these spans.
    fn make(&mut self, cpu: &Cpu, kv: &KvArena, kind: AttentionKind, spans: &[AttentionSpan<'_>]) {
        self.units.clear();
        self.merges.clear();
        self.parts = 0;
        let group = kind.query_heads / kv.heads;
        let step = cpu.dispatch(QueriesMax);
        let mut first_token = 0;
        for (i, span) in spans.iter().enumerate() {
            for kv_head in 0..kv.heads {
                let rows = span.len * group;
                for start in (0..rows).step_by(step) {
                    let rows = start..(start + step).min(rows);
                    let chunks = chunks_of(span, kind, group, &rows);
                    let unit = Unit { span: i, kv_head, rows, first_token, chunks, part: None };
                    self.push(cpu, kv, kind, unit, group, spans.len());
                }
            }
            first_token += span.len;
        }
    }

    /// Adds a unit, cut into its chunks where there are too few units to occupy the threads.
    fn push(&mut self, cpu: &Cpu, kv: &KvArena, kind: AttentionKind, unit: Unit, group: usize, spans: usize) {
        let few = unit.rows.len() <= group && spans * kv.heads < 4 * cpu.threads();
        if !few || unit.chunks.len() == 1 {
            self.units.push(unit);
            return;
        }
        let chunks = unit.chunks.len();
        for row in unit.rows.clone() {
            let head = unit.kv_head * group + row % group;
            let out = ((unit.first_token + row / group) * kind.query_heads + head) * kv.head_dim;
            self.merges.push(Merge { first: self.parts + (row - unit.rows.start) * chunks, chunks, out });
        }
        for (n, chunk) in unit.chunks.clone().enumerate() {
            self.units.push(Unit {
                chunks: chunk..chunk + 1,
                part: Some(self.parts + n),
                rows: unit.rows.clone(),
                ..unit
            });
        }
        self.parts += unit.rows.len() * chunks;
    }
}

/// The chunks that any of the rows sees.
fn chunks_of(
    span: &AttentionSpan<'_>,
    kind: AttentionKind,
    group: usize,
    rows: &Range<usize>,
) -> Range<usize> {
    let first = visible(span, kind, rows.start / group).start;
    let last = visible(span, kind, (rows.end - 1) / group).end;
    first / CHUNK_TOKENS..last.div_ceil(CHUNK_TOKENS)
}

/// The positions that a token of the span sees.
fn visible(span: &AttentionSpan<'_>, kind: AttentionKind, token: usize) -> Range<usize> {
    let end = span.start + token + 1;
    end - kind.window.map_or(end, |w| w.min(end))..end
}

struct QueriesMax;

impl Op for QueriesMax {
    type Out = usize;

    #[inline(always)]
    fn eval<S: Simd>(self, _s: S) -> usize {
        S::QUERIES_MAX
    }
}

struct UnitOp<'a> {
    kv: &'a KvArena,
    kind: AttentionKind,
    span: &'a AttentionSpan<'a>,
    unit: &'a Unit,
    q: &'a [f32],
    out: &'a Shared<'a, f32>,
    parts: &'a Shared<'a, f32>,
}

impl Op for UnitOp<'_> {
    type Out = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let group = self.kind.query_heads / self.kv.heads;
        let mut start = self.unit.rows.start;
        while start < self.unit.rows.end {
            let rows = chunk::block_len::<S>(self.unit.rows.end - start);
            let block = RowBlock { op: &self, group, start };
            match rows {
                1 => block.compute::<S, 1>(s),
                2 => block.compute::<S, 2>(s),
                3 => block.compute::<S, 3>(s),
                4 => block.compute::<S, 4>(s),
                _ => wide_block(s, &block, rows),
            }
            start += rows;
        }
    }
}

#[inline(always)]
fn wide_block<S: Simd>(s: S, block: &RowBlock<'_>, rows: usize) {
    if S::QUERIES_MAX >= 12 {
        match rows {
            12 => block.compute::<S, 12>(s),
            8 => block.compute::<S, 8>(s),
            rows => unreachable!("no blocks of {rows} rows"),
        }
    } else if S::QUERIES_MAX >= 6 {
        block.compute::<S, 6>(s);
    }
}

/// R rows that are computed together.
struct RowBlock<'a> {
    op: &'a UnitOp<'a>,
    group: usize,
    start: usize,
}

impl RowBlock<'_> {
    #[inline(always)]
    fn compute<S: Simd, const R: usize>(&self, s: S) {
        let UnitOp { kv, kind, span, unit, q, out, parts } = self.op;
        let dim = kv.head_dim;
        let at: [usize; R] = std::array::from_fn(|r| {
            let row = self.start + r;
            let head = unit.kv_head * self.group + row % self.group;
            ((unit.first_token + row / self.group) * kind.query_heads + head) * dim
        });
        let rows: Rows<R> = Rows::new(
            std::array::from_fn(|r| &q[at[r]..at[r] + dim]),
            std::array::from_fn(|r| visible(span, *kind, (self.start + r) / self.group)),
            kind.scale,
        );
        let pages = Pages { kv, pages: span.pages, head: unit.kv_head };
        let (mut state, mut total) = (State::<R>::default(), State::<R>::default());
        for chunk in unit.chunks.clone() {
            state.compute(s, &rows, pages, chunk * CHUNK_TOKENS);
            if let Some(part) = unit.part {
                let chunks = self.chunks_of_row();
                for r in 0..R {
                    // SAFETY: the part of this row and chunk is this unit's.
                    let part = unsafe {
                        parts.slice((part + (self.start - unit.rows.start + r) * chunks) * (dim + 2), dim + 2)
                    };
                    state.save(r, part);
                }
                return;
            }
            if unit.chunks.len() > 1 {
                if chunk == unit.chunks.start {
                    total.clear(dim);
                }
                for r in 0..R {
                    let (maximum, sum) = (state.maximum[r], state.sum[r]);
                    total.merge(s, r, maximum, sum, &state.row(r)[..dim]);
                }
            }
        }
        // The merge of a single chunk would change no bit.
        let result = if unit.chunks.len() > 1 { &mut total } else { &mut state };
        for (r, at) in at.into_iter().enumerate() {
            // SAFETY: each row's output is one unit's.
            result.finish(s, r, unsafe { out.slice(at, dim) });
        }
    }

    /// How many chunks the unit was cut into.
    fn chunks_of_row(&self) -> usize {
        chunks_of(self.op.span, self.op.kind, self.group, &self.op.unit.rows).len()
    }
}

/// Merges the chunks of one row in order.
struct MergeOp<'a> {
    parts: &'a [f32],
    out: &'a mut [f32],
}

impl Op for MergeOp<'_> {
    type Out = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let dim = self.out.len();
        let mut total = State::<1>::default();
        total.clear(dim);
        for part in self.parts.chunks_exact(dim + 2) {
            total.merge(s, 0, part[0], part[1], &part[2..]);
        }
        total.finish(s, 0, self.out);
    }
}
