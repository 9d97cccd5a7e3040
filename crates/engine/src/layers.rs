//! The blocks that architectures are made of. A block owns its weights; a [`Pass`] owns the buffers.

mod attention;
mod feed_forward;
mod head;
mod rope;

pub use attention::{Attention, AttentionShape};
pub use feed_forward::FeedForward;
pub use head::{Embedding, Head};
pub use rope::Rope;

use crate::batch::Batch;
use kernels::attention::{AttentionScratch, AttentionSpan};
use kernels::{Activations, Cpu, Matrix, Product, RmsNorm, matmul};
use std::sync::Arc;

/// The buffers of a forward pass, reused from step to step.
pub struct Pass {
    /// What everything runs on.
    pub cpu: Arc<Cpu>,
    /// The residual stream: `[tokens][embedding]`.
    pub x: Vec<f32>,
    /// Inputs of a block's first matrices.
    pub input: Activations,
    /// Inputs of a block's last matrix.
    pub inner: Activations,
    /// Queries, keys, values: `[tokens][heads][head_dim]`.
    qkv: [Vec<f32>; 3],
    /// What attention gives: `[tokens][query heads][head_dim]`.
    mixed: Vec<f32>,
    /// A block's output on its way through a norm: `[tokens][embedding]`.
    output: Vec<f32>,
    scratch: AttentionScratch,
}

impl Pass {
    /// Empty buffers.
    pub fn new(cpu: &Arc<Cpu>) -> Self {
        Pass {
            cpu: Arc::clone(cpu),
            x: Vec::new(),
            input: Activations::default(),
            inner: Activations::default(),
            qkv: [Vec::new(), Vec::new(), Vec::new()],
            mixed: Vec::new(),
            output: Vec::new(),
            scratch: AttentionScratch::default(),
        }
    }
}

/// The weights of an RMS norm.
pub struct Norm {
    /// One for each number of a row.
    pub weight: Vec<f32>,
    /// Added to the mean square.
    pub epsilon: f32,
}

impl Norm {
    /// The norm as the kernels take it.
    pub fn kernel(&self) -> RmsNorm<'_> {
        RmsNorm { weight: &self.weight, epsilon: self.epsilon }
    }
}

/// The batch's spans as the kernels take them.
pub fn spans(batch: &Batch) -> Vec<AttentionSpan<'_>> {
    batch.spans.iter().map(|s| AttentionSpan { start: s.start, len: s.len, pages: batch.pages(s) }).collect()
}

/// A block's last matrix: `x += W inner`, normed first if the block has a norm behind.
fn project(
    cpu: &Cpu,
    weights: &Matrix,
    post_norm: Option<&Norm>,
    inner: &Activations,
    output: &mut Vec<f32>,
    x: &mut [f32],
) {
    match post_norm {
        None => matmul(cpu, inner, &mut [Product { weights, out: x, add: true }]),
        Some(norm) => {
            output.resize(x.len(), 0.0);
            matmul(cpu, inner, &mut [Product { weights, out: output, add: false }]);
            norm.kernel().add_to(cpu, output, x);
        }
    }
}
