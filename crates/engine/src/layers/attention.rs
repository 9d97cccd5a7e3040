//! The attention block: norm, queries, keys and values, rotary embedding, attention, output.

use super::{Norm, Pass};
use crate::load::{LoadError, Source};
use kernels::attention::{AttentionKind, AttentionSpan, KvArena, attention};
use kernels::{Heads, Matrix, Needs, Product, RopePairs, RopeTable, matmul};

/// Weights of an attention block.
pub struct Attention {
    norm: Norm,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    output: Matrix,
    biases: Option<[Vec<f32>; 3]>,
    head_norms: Option<[Norm; 2]>,
    /// Normed before it is added to the residual stream.
    post_norm: Option<Norm>,
    kind: AttentionKind,
    pairs: RopePairs,
}

/// What the hyper-parameters say about attention.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Numbers in a token of the residual stream.
    pub embedding: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Numbers in a head.
    pub head_dim: usize,
    /// What scores are multiplied with.
    pub scale: f32,
    /// Epsilon of every norm.
    pub epsilon: f32,
    /// Which numbers of a head turn together.
    pub pairs: RopePairs,
}

impl Attention {
    /// Loads `{block}.attn_*`: biases, head norms and the norm behind if the file has them and they are `allowed`
    /// for the architecture. The block sees the last `window` positions, or all.
    pub fn load(
        source: &mut Source<'_>,
        block: &str,
        shape: &AttentionShape,
        window: Option<usize>,
    ) -> Result<Attention, LoadError> {
        let AttentionShape { embedding, heads, kv_heads, head_dim, epsilon, .. } = *shape;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let norm = |weight| Norm { weight, epsilon };
        let biases = match source.vector_optional(&format!("{block}.attn_q.bias"), q)? {
            None => None,
            Some(query) => Some([
                query,
                source.vector(&format!("{block}.attn_k.bias"), kv)?,
                source.vector(&format!("{block}.attn_v.bias"), kv)?,
            ]),
        };
        let head_norms = match source.vector_optional(&format!("{block}.attn_q_norm.weight"), head_dim)? {
            None => None,
            Some(query) => {
                Some([norm(query), norm(source.vector(&format!("{block}.attn_k_norm.weight"), head_dim)?)])
            }
        };
        Ok(Attention {
            norm: norm(source.vector(&format!("{block}.attn_norm.weight"), embedding)?),
            query: source.matrix(&format!("{block}.attn_q.weight"), q, embedding)?,
            key: source.matrix(&format!("{block}.attn_k.weight"), kv, embedding)?,
            value: source.matrix(&format!("{block}.attn_v.weight"), kv, embedding)?,
            output: source.matrix(&format!("{block}.attn_output.weight"), embedding, q)?,
            post_norm: source
                .vector_optional(&format!("{block}.post_attention_norm.weight"), embedding)?
                .map(norm),
            biases,
            head_norms,
            kind: AttentionKind { query_heads: heads, scale: shape.scale, window },
            pairs: shape.pairs,
        })
    }

    /// Whether the block has the parts that some architectures need: biases, head norms, a norm behind.
    pub fn parts(&self) -> [bool; 3] {
        [self.biases.is_some(), self.head_norms.is_some(), self.post_norm.is_some()]
    }

    /// Adds the block's output to `pass.x`. The tokens' keys and values go into `kv`.
    pub fn forward(&self, pass: &mut Pass, spans: &[AttentionSpan<'_>], rope: &RopeTable, kv: &mut KvArena) {
        let cpu = &*pass.cpu;
        let tokens: usize = spans.iter().map(|s| s.len).sum();
        let needs = [&self.query, &self.key, &self.value]
            .into_iter()
            .fold(Needs::default(), |needs, w| needs.and(Needs::of(cpu, w.format())));
        self.norm.kernel().quantize(cpu, &pass.x, &mut pass.input, needs);
        let [q, k, v] = &mut pass.qkv;
        q.resize(tokens * self.query.rows(), 0.0);
        k.resize(tokens * self.key.rows(), 0.0);
        v.resize(tokens * self.value.rows(), 0.0);
        matmul(
            cpu,
            &pass.input,
            &mut [
                Product { weights: &self.query, out: q, add: false },
                Product { weights: &self.key, out: k, add: false },
                Product { weights: &self.value, out: v, add: false },
            ],
        );
        let heads = Heads {
            query_heads: self.kind.query_heads,
            bias: self.biases.as_ref().map(|b| b.each_ref().map(Vec::as_slice)),
            norms: self.head_norms.as_ref().map(|n| n.each_ref().map(Norm::kernel)),
            rope,
            pairs: self.pairs,
        };
        heads.prepare(cpu, spans, q, [k, v], kv);
        pass.mixed.resize(q.len(), 0.0);
        attention(cpu, kv, self.kind, spans, q, &mut pass.mixed, &mut pass.scratch);
        let needs = Needs::of(cpu, self.output.format());
        pass.inner.quantize(cpu, &pass.mixed, self.output.columns(), needs);
        super::project(
            cpu,
            &self.output,
            self.post_norm.as_ref(),
            &pass.inner,
            &mut pass.output,
            &mut pass.x,
        );
    }
}
