//! What an architecture must be able to do. Each lives in one file under `models/`.

use crate::batch::Batch;
use crate::kv::KvCache;

/// A loaded model: weights and the buffers of its forward pass.
pub trait Model: Send {
    /// The shape, as far as others must know it.
    fn shape(&self) -> &Shape;

    /// Runs one pass over `batch`, writes its keys and values to `kv` and what it wants of its tokens to `outputs`.
    ///
    /// A row depends on its sequence's tokens alone, to the last bit: not on what else is in the batch, not on how
    /// the prompt was cut, not on the number of threads.
    fn forward(&mut self, batch: &Batch, kv: &mut KvCache, outputs: &mut Outputs);
}

/// What a pass gives, row after row in the order of the spans. It comes to `forward` with whatever the last pass left
/// in it and is resized there; it keeps its memory.
#[derive(Debug, Default)]
pub struct Outputs {
    /// `[batch.logit_rows(), vocabulary]`.
    pub logits: Vec<f32>,
    /// Hidden states behind the last norm, as the output matrix gets them: `[batch.hidden_rows(), embedding]`.
    pub hidden: Vec<f32>,
}

/// What the scheduler and the KV cache must know of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Tokens in the vocabulary: the width of the logits.
    pub vocabulary: usize,
    /// Numbers in a hidden state.
    pub embedding: usize,
    /// The longest context that the model was made for.
    pub context_length: usize,
    /// One entry for each layer that keeps keys and values.
    pub kv_layers: Vec<KvLayer>,
}

/// The keys and values of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvLayer {
    /// Key and value heads.
    pub heads: usize,
    /// Numbers in a key and in a value.
    pub head_dim: usize,
    /// Tokens that a sliding window sees, if the layer has one.
    pub window: Option<usize>,
}
