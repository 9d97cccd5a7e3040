//! The gated feed-forward block: norm, gate and up, down.

use super::{Norm, Pass};
use crate::load::{LoadError, Source};
use kernels::{Gate, Matrix, Needs, gated};

/// Weights of a feed-forward block.
pub struct FeedForward {
    norm: Norm,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    /// Normed before it is added to the residual stream.
    post_norm: Option<Norm>,
    act: Gate,
}

impl FeedForward {
    /// Loads `{block}.ffn_*` for rows of `embedding` numbers and `inner` gates.
    pub fn load(
        source: &mut Source<'_>,
        block: &str,
        [embedding, inner]: [usize; 2],
        epsilon: f32,
        act: Gate,
    ) -> Result<FeedForward, LoadError> {
        let norm = |weight| Norm { weight, epsilon };
        Ok(FeedForward {
            norm: norm(source.vector(&format!("{block}.ffn_norm.weight"), embedding)?),
            gate: source.matrix(&format!("{block}.ffn_gate.weight"), inner, embedding)?,
            up: source.matrix(&format!("{block}.ffn_up.weight"), inner, embedding)?,
            down: source.matrix(&format!("{block}.ffn_down.weight"), embedding, inner)?,
            post_norm: source.vector_optional(&format!("{block}.post_ffw_norm.weight"), embedding)?.map(norm),
            act,
        })
    }

    /// Whether there is a norm behind.
    pub fn has_post_norm(&self) -> bool {
        self.post_norm.is_some()
    }

    /// Adds the block's output to `pass.x`.
    pub fn forward(&self, pass: &mut Pass) {
        let cpu = &*pass.cpu;
        let needs = Needs::of(cpu, self.gate.format()).and(Needs::of(cpu, self.up.format()));
        self.norm.kernel().quantize(cpu, &pass.x, &mut pass.input, needs);
        let needs = Needs::of(cpu, self.down.format());
        gated(cpu, &pass.input, &self.gate, &self.up, self.act, &mut pass.inner, needs);
        super::project(cpu, &self.down, self.post_norm.as_ref(), &pass.inner, &mut pass.output, &mut pass.x);
    }
}
