//! Llama 2 and 3, Mistral, SmolLM: pre-norm blocks of grouped-query attention and a SiLU-gated feed-forward.
//!
//! Source: Touvron et al. 2023, "Llama 2"; Grattafiori et al. 2024, "The Llama 3 Herd of Models".

use crate::batch::Batch;
use crate::kv::KvCache;
use crate::layers::{Attention, AttentionShape, Embedding, FeedForward, Head, Pass, Rope};
use crate::load::{DIMENSION_MAX, LoadError, Source};
use crate::model::{KvLayer, Model, Outputs, Shape};
use kernels::attention::HEAD_DIM_MAX;
use kernels::{Gate, RopePairs};

/// Hyper-parameters.
pub(super) struct Hyper {
    pub(super) embedding: usize,
    pub(super) layers: usize,
    pub(super) feed_forward: usize,
    pub(super) context_length: usize,
    pub(super) attention: AttentionShape,
    pub(super) rope_dims: usize,
    pub(super) rope_base: f32,
}

impl Hyper {
    pub(super) fn read(source: &Source<'_>, pairs: RopePairs) -> Result<Hyper, LoadError> {
        // Mixtures of experts under the same name are another architecture.
        source.refuse("expert_count")?;
        let embedding = source.number("embedding_length", 16..=DIMENSION_MAX)?;
        let heads = source.number("attention.head_count", 1..=4096)?;
        let kv_heads = source.number_or("attention.head_count_kv", Some(heads), 1..=heads)?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(
                source.bad("attention.head_count_kv", format!("{kv_heads} does not divide {heads} heads"))
            );
        }
        let head_dim =
            source.number_or("attention.key_length", Some(embedding / heads), 16..=HEAD_DIM_MAX)?;
        let value_dim = source.number_or("attention.value_length", Some(head_dim), 1..=HEAD_DIM_MAX)?;
        if !head_dim.is_multiple_of(16) || value_dim != head_dim {
            let problem = format!(
                "keys of {head_dim} and values of {value_dim} numbers: equal multiples of 16 are needed"
            );
            return Err(source.bad("attention.key_length", problem));
        }
        let rope_dims = source.number_or("rope.dimension_count", Some(head_dim), 2..=head_dim)?;
        if !rope_dims.is_multiple_of(2) {
            return Err(source.bad("rope.dimension_count", format!("{rope_dims} is not even")));
        }
        let feed_forward = source.number("feed_forward_length", 32..=DIMENSION_MAX)?;
        if !feed_forward.is_multiple_of(32) {
            return Err(source.bad("feed_forward_length", format!("{feed_forward} is not a multiple of 32")));
        }
        Ok(Hyper {
            embedding,
            layers: source.number("block_count", 1..=1024)?,
            feed_forward,
            context_length: source.number("context_length", 1..=1 << 30)?,
            attention: AttentionShape {
                embedding,
                heads,
                kv_heads,
                head_dim,
                scale: 1.0 / (head_dim as f32).sqrt(),
                epsilon: source.float_or("attention.layer_norm_rms_epsilon", None)?,
                pairs,
            },
            rope_dims,
            rope_base: source.float_or("rope.freq_base", Some(10_000.0))?,
        })
    }

    pub(super) fn shape(&self, vocabulary: usize, windows: &[Option<usize>]) -> Shape {
        let AttentionShape { kv_heads, head_dim, .. } = self.attention;
        let kv_layers =
            windows.iter().map(|window| KvLayer { heads: kv_heads, head_dim, window: *window }).collect();
        Shape { vocabulary, embedding: self.embedding, context_length: self.context_length, kv_layers }
    }
}

struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
}

/// A loaded model.
pub(super) struct Llama {
    shape: Shape,
    embedding: Embedding,
    layers: Vec<Layer>,
    head: Head,
    rope: Rope,
    pass: Pass,
}

pub(super) fn load(source: &mut Source<'_>) -> Result<Box<dyn Model>, LoadError> {
    let hyper = Hyper::read(source, RopePairs::Neighbours)?;
    Llama::load(source, &hyper, |source, attention| match attention.parts() {
        [_, false, false] => Ok(()),
        _ => Err(source.bad("attention", "no block of llama has norms on heads or behind attention")),
    })
}

impl Llama {
    /// Loads the tensors. `check` refuses a block (by its name) that is not of the architecture at hand.
    pub(super) fn load(
        source: &mut Source<'_>,
        hyper: &Hyper,
        check: impl Fn(&Source<'_>, &Attention) -> Result<(), LoadError>,
    ) -> Result<Box<dyn Model>, LoadError> {
        let epsilon = hyper.attention.epsilon;
        let embedding = Embedding::load(source, hyper.embedding, 1.0)?;
        let rope = Rope::load(source, hyper.rope_dims, hyper.rope_base)?;
        let mut layers: Vec<Layer> = Vec::with_capacity(hyper.layers);
        for i in 0..hyper.layers {
            let block = format!("blk.{i}");
            let attention = Attention::load(source, &block, &hyper.attention, None)?;
            check(source, &attention)?;
            // Some files have biases and some have none, but none has lost those of a single block on purpose.
            if layers.first().is_some_and(|first| first.attention.parts() != attention.parts()) {
                return Err(source.bad("attention", format!("{block} has not the same tensors as blk.0")));
            }
            let sizes = [hyper.embedding, hyper.feed_forward];
            layers.push(Layer {
                attention,
                feed_forward: FeedForward::load(source, &block, sizes, epsilon, Gate::Silu)?,
            });
        }
        let head = Head::load(source, &embedding, epsilon)?;
        let shape = hyper.shape(embedding.vocabulary(), &vec![None; hyper.layers]);
        Ok(Box::new(Llama { shape, embedding, layers, head, rope, pass: Pass::new(source.cpu()) }))
    }
}

impl Model for Llama {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn forward(&mut self, batch: &Batch, kv: &mut KvCache, outputs: &mut Outputs) {
        let pass = &mut self.pass;
        let spans = pass.spans(batch);
        self.embedding.forward(pass, batch);
        let angles = self.rope.turn(pass, batch);
        for (layer, kv) in self.layers.iter().zip(&mut kv.layers) {
            layer.attention.forward(pass, &spans, angles, kv);
            layer.feed_forward.forward(pass);
        }
        pass.keep_spans(spans);
        self.head.forward(pass, batch, outputs);
    }
}
