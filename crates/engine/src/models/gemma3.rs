//! Gemma 3: norms before and behind each block, norms on query and key heads, five blocks with a sliding window
//! to each one that sees all, each kind with its own rotary base.
//!
//! Source: Gemma Team 2025, "Gemma 3 Technical Report".

use super::llama::Hyper;
use crate::batch::Batch;
use crate::kv::KvCache;
use crate::layers::{Attention, Embedding, FeedForward, Head, Pass, Rope};
use crate::load::{LoadError, Source};
use crate::model::{Model, Outputs, Shape};
use kernels::{Gate, RopePairs};

/// Every sixth block sees the whole context, unless the file says otherwise.
const PATTERN: usize = 6;
/// Rotary base of the blocks with a window.
const WINDOW_ROPE_BASE: f32 = 10_000.0;
/// The 27B model, told by its blocks, scales scores by its width instead of its heads' size.
const LAYERS_OF_27B: usize = 62;

struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
    windowed: bool,
}

struct Gemma3 {
    shape: Shape,
    embedding: Embedding,
    layers: Vec<Layer>,
    head: Head,
    rope: Rope,
    window_rope: Rope,
    /// Logits are pressed between plus and minus this: cap * tanh(x / cap).
    soft_cap: Option<f32>,
    pass: Pass,
}

pub(super) fn load(source: &mut Source<'_>) -> Result<Box<dyn Model>, LoadError> {
    let mut hyper = Hyper::read(source, RopePairs::Halves)?;
    if hyper.layers == LAYERS_OF_27B {
        hyper.attention.scale = 1.0 / ((hyper.embedding / hyper.attention.heads) as f32).sqrt();
    }
    hyper.rope_base = source.float_or("rope.freq_base", Some(1_000_000.0))?;
    let window_base = source.float_or("rope.freq_base_swa", Some(WINDOW_ROPE_BASE))?;
    let window = source.number_or("attention.sliding_window", Some(0), 0..=1 << 30)?;
    let pattern = source.pattern("attention.sliding_window_pattern", PATTERN, hyper.layers)?;
    let windows: Vec<Option<usize>> = pattern
        .iter()
        .take(hyper.layers)
        .map(|windowed| (*windowed && window > 0).then_some(window))
        .collect();
    let epsilon = hyper.attention.epsilon;
    let soft_cap = source.has_key("final_logit_softcapping");
    let soft_cap = soft_cap.then(|| source.float_or("final_logit_softcapping", None)).transpose()?;

    let embedding = Embedding::load(source, hyper.embedding, (hyper.embedding as f32).sqrt())?;
    let rope = Rope::load(source, hyper.rope_dims, hyper.rope_base)?;
    let mut layers = Vec::with_capacity(hyper.layers);
    for (i, window) in windows.iter().enumerate() {
        let block = format!("blk.{i}");
        let attention = Attention::load(source, &block, &hyper.attention, *window)?;
        let sizes = [hyper.embedding, hyper.feed_forward];
        let feed_forward = FeedForward::load(source, &block, sizes, epsilon, Gate::GeluTanh)?;
        if !matches!(attention.parts(), [_, true, true]) || !feed_forward.has_post_norm() {
            let problem = "every block of gemma3 has norms on query and key heads and norms behind";
            return Err(source.bad("attention", problem));
        }
        layers.push(Layer { attention, feed_forward, windowed: window.is_some() });
    }
    let head = Head::load(source, &embedding, epsilon)?;
    let window_rope = Rope::unscaled(source, hyper.rope_dims, window_base)?;
    Ok(Box::new(Gemma3 {
        shape: hyper.shape(embedding.vocabulary(), &windows),
        embedding,
        layers,
        head,
        rope,
        window_rope,
        soft_cap,
        pass: Pass::new(source.cpu()),
    }))
}

impl Model for Gemma3 {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn forward(&mut self, batch: &Batch, kv: &mut KvCache, outputs: &mut Outputs) {
        let pass = &mut self.pass;
        let spans = pass.spans(batch);
        self.embedding.forward(pass, batch);
        let angles = self.rope.turn(pass, batch);
        let window_angles = self.window_rope.turn(pass, batch);
        for (layer, kv) in self.layers.iter().zip(&mut kv.layers) {
            let angles = if layer.windowed { window_angles } else { angles };
            layer.attention.forward(pass, &spans, angles, kv);
            layer.feed_forward.forward(pass);
        }
        pass.keep_spans(spans);
        self.head.forward(pass, batch, outputs);
        if let Some(cap) = self.soft_cap {
            outputs.logits.iter_mut().for_each(|x| *x = cap * (*x / cap).tanh());
        }
    }
}
