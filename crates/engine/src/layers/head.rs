//! The two ends of a model: tokens in, logits out.

use super::{Norm, Pass};
use crate::batch::{Batch, Span};
use crate::load::{DIMENSION_MAX, LoadError, Source};
use crate::model::Outputs;
use kernels::{Matrix, Needs, Product, matmul};
use std::sync::Arc;

/// The token embedding.
pub struct Embedding {
    table: Arc<Matrix>,
    scale: f32,
}

impl Embedding {
    /// Loads `token_embd.weight`; a token's row is multiplied with `scale`.
    pub fn load(source: &mut Source<'_>, embedding: usize, scale: f32) -> Result<Embedding, LoadError> {
        let vocabulary = source.rows("token_embd.weight")?;
        debug_assert!(vocabulary <= DIMENSION_MAX);
        let table = Arc::new(source.matrix("token_embd.weight", vocabulary, embedding)?);
        Ok(Embedding { table, scale })
    }

    /// Tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.table.rows()
    }

    /// Fills `pass.x` with the rows of the batch's tokens.
    pub fn forward(&self, pass: &mut Pass, batch: &Batch) {
        let columns = self.table.columns();
        pass.x.resize(batch.tokens.len() * columns, 0.0);
        for (token, x) in batch.tokens.iter().zip(pass.x.chunks_exact_mut(columns)) {
            self.table.row(*token as usize, x);
            if self.scale != 1.0 {
                x.iter_mut().for_each(|x| *x *= self.scale);
            }
        }
    }
}

/// The last norm and the output matrix, which may be the embedding's.
pub struct Head {
    norm: Norm,
    output: Arc<Matrix>,
}

impl Head {
    /// Loads `output_norm.weight` and `output.weight`; without the latter the embedding serves both ends.
    pub fn load(source: &mut Source<'_>, embedding: &Embedding, epsilon: f32) -> Result<Head, LoadError> {
        let columns = embedding.table.columns();
        let output = if source.has("output.weight") {
            Arc::new(source.matrix("output.weight", embedding.vocabulary(), columns)?)
        } else {
            Arc::clone(&embedding.table)
        };
        Ok(Head { norm: Norm { weight: source.vector("output_norm.weight", columns)?, epsilon }, output })
    }

    /// Writes the logits and the hidden states that the batch wants.
    pub fn forward(&self, pass: &mut Pass, batch: &Batch, outputs: &mut Outputs) {
        outputs.logits.resize(batch.logit_rows() * self.output.rows(), 0.0);
        if !outputs.logits.is_empty() {
            self.gather(pass, batch, Span::logit_rows);
            let cpu = &*pass.cpu;
            let needs = Needs::of(cpu, self.output.format());
            self.norm.kernel().quantize(cpu, &pass.output, &mut pass.input, needs);
            let out = &mut outputs.logits[..];
            matmul(cpu, &pass.input, &mut [Product { weights: &self.output, out, add: false }]);
        }
        // The norm is added to what is there, so that must be zeros. Nothing is rounded to a few bits here.
        outputs.hidden.clear();
        outputs.hidden.resize(batch.hidden_rows() * self.output.columns(), 0.0);
        if !outputs.hidden.is_empty() {
            self.gather(pass, batch, Span::hidden_rows);
            self.norm.kernel().add_to(&pass.cpu, &pass.output, &mut outputs.hidden);
        }
    }

    /// Copies the residual stream of each span's last `rows` tokens to `pass.output`.
    fn gather(&self, pass: &mut Pass, batch: &Batch, rows: impl Fn(&Span) -> usize) {
        let (columns, mut end) = (self.output.columns(), 0);
        pass.output.clear();
        for span in &batch.spans {
            end += span.len;
            pass.output.extend_from_slice(&pass.x[(end - rows(span)) * columns..end * columns]);
        }
    }
}
