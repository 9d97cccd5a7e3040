//! Matrix products: packed weights times quantised activations, for one token or many.
//!
//! The work is cut into tiles of 16 rows and runs of tokens. The cut depends on sizes only and does not touch
//! the order in which an element's terms are added, so results do not depend on it.

mod gated;
mod tile;

pub use gated::{Gate, gated};

use crate::activations::Activations;
use crate::activations::RECORD;
use crate::cpu::Cpu;
use crate::matrix::{GROUP, Matrix};
use crate::share::Shared;
use crate::simd::LANES;
use std::ops::Range;
use tile::{TILES_MAX, Tiles, Write};

/// One product: `out[token][row] = W x[token]`, or added to what is there.
#[derive(Debug)]
pub struct Product<'a> {
    /// The weights.
    pub weights: &'a Matrix,
    /// `[tokens][rows of the weights]`.
    pub out: &'a mut [f32],
    /// Add to `out` instead of overwriting it.
    pub add: bool,
}

/// Activations of this many bytes stay in a core's second-level cache while tiles pass by.
const CHUNK_BYTES: usize = 224 << 10;

/// Products that one operation may compute: the operation's list lives on the stack.
pub const PRODUCTS_MAX: usize = 4;

/// Computes up to `PRODUCTS_MAX` products of the same activations as one operation.
///
/// # Panics
/// If there are more, sizes do not fit, or the activations lack what the weights need.
pub fn matmul(cpu: &Cpu, x: &Activations, products: &mut [Product<'_>]) {
    assert!(products.len() <= PRODUCTS_MAX, "{} products at once", products.len());
    let (mut tiles, mut products) = (0, products.iter_mut());
    let jobs: [Option<Job<'_>>; PRODUCTS_MAX] = std::array::from_fn(|_| {
        let product = products.next()?;
        assert_eq!(product.weights.columns(), x.columns(), "columns of the weights and of the activations");
        assert_eq!(product.out.len(), x.rows() * product.weights.rows());
        let write = if product.add { Write::Add } else { Write::Store };
        let job = Job { weights: product.weights, out: Shared::new(product.out), write, first_tile: tiles };
        tiles += product.weights.tiles();
        Some(job)
    });
    let units = Units::new(cpu, tiles, x);
    cpu.run(units.count(), |unit| {
        let (tiles, tokens) = units.part(unit);
        let mut tile = tiles.start;
        while tile < tiles.end {
            let job = jobs
                .iter()
                .flatten()
                .rfind(|j| j.first_tile <= tile)
                .expect("the first job starts at tile 0");
            let first = tile - job.first_tile;
            let count = (tiles.end - tile).min(job.weights.tiles() - first);
            job.compute(cpu, x, first..first + count, tokens.clone());
            tile += count;
        }
    });
}

struct Job<'a> {
    weights: &'a Matrix,
    out: Shared<'a, f32>,
    write: Write,
    first_tile: usize,
}

impl Job<'_> {
    fn compute(&self, cpu: &Cpu, x: &Activations, tiles: Range<usize>, tokens: Range<usize>) {
        let rows = self.weights.rows();
        Tiles {
            weights: self.weights,
            out: self.out.pointer(tokens.start * rows + tiles.start * LANES),
            tiles,
            x,
            stride: rows,
            write: self.write,
            tokens,
        }
        .compute(cpu);
    }
}

/// The cut of an operation into tiles x tokens.
#[derive(Debug)]
struct Units {
    tiles: usize,
    tokens: usize,
    tiles_each: usize,
    tokens_each: usize,
}

impl Units {
    fn new(cpu: &Cpu, tiles: usize, x: &Activations) -> Self {
        let block = x.blocks().full();
        let token_bytes = x.columns() / GROUP * RECORD + if x.float.is_empty() { 0 } else { 4 * x.columns() };
        let chunk = (CHUNK_BYTES / token_bytes.max(1)).max(4 * block);
        let tokens_each = (chunk / block * block).min(x.rows()).max(1);
        let chunks = x.rows().div_ceil(tokens_each).max(1);
        // A few units for each thread, so that one that is held up does not hold up the others for long.
        let tiles_each =
            (tiles * chunks).div_ceil(6 * cpu.threads()).next_multiple_of(TILES_MAX).clamp(TILES_MAX, 64);
        Units { tiles, tokens: x.rows(), tiles_each, tokens_each }
    }

    fn count(&self) -> usize {
        self.tiles.div_ceil(self.tiles_each) * self.tokens.div_ceil(self.tokens_each)
    }

    fn part(&self, unit: usize) -> (Range<usize>, Range<usize>) {
        let across = self.tiles.div_ceil(self.tiles_each);
        let (tile, token) = (unit % across * self.tiles_each, unit / across * self.tokens_each);
        (tile..(tile + self.tiles_each).min(self.tiles), token..(token + self.tokens_each).min(self.tokens))
    }
}
