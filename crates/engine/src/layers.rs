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
    /// Empty; kept for its memory.
    spans: Vec<AttentionSpan<'static>>,
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
            spans: Vec::new(),
        }
    }

    /// The batch's spans as the kernels take them. They come back with `keep_spans`.
    pub fn spans<'a>(&mut self, batch: &'a Batch) -> Vec<AttentionSpan<'a>> {
        let mut spans = emptied(std::mem::take(&mut self.spans));
        let of_batch =
            batch.spans.iter().map(|s| AttentionSpan { start: s.start, len: s.len, pages: batch.pages(s) });
        spans.extend(of_batch);
        spans
    }

    /// Keeps the memory of `spans` for the next pass.
    pub fn keep_spans(&mut self, spans: Vec<AttentionSpan<'_>>) {
        self.spans = emptied(spans);
    }
}

/// The memory of `spans` for spans of another batch: collecting a vector's own iterator into the same type takes
/// the vector over.
fn emptied<'b>(mut spans: Vec<AttentionSpan<'_>>) -> Vec<AttentionSpan<'b>> {
    spans.clear();
    spans
        .into_iter()
        .map(|AttentionSpan { start, len, .. }| AttentionSpan { start, len, pages: &[] })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::Pass;
    use crate::batch::{Batch, LogitsWanted};
    use kernels::{Cpu, CpuOptions};
    use std::sync::Arc;

    #[test]
    fn spans_keep_their_memory_from_pass_to_pass() {
        let cpu = Cpu::new(CpuOptions { threads: Some(1), isa: None }).unwrap();
        let mut pass = Pass::new(&Arc::new(cpu));
        for tokens in 1..4 {
            let mut batch = Batch::default();
            batch.push(&vec![7; tokens], 5, &[3], LogitsWanted::Last);
            let mut spans = pass.spans(&batch);
            assert_eq!((spans.len(), spans[0].start, spans[0].len, spans[0].pages), (1, 5, tokens, &[3][..]));
            assert!(tokens == 1 || spans.capacity() >= 100, "room for {}", spans.capacity());
            spans.reserve(100);
            pass.keep_spans(spans);
        }
    }
}
