//! Rotary position embedding: the frequencies of a model and the angles of a batch.

use super::Pass;
use crate::batch::Batch;
use crate::load::{LoadError, Source};
use kernels::RopeTable;
use std::f64::consts::PI;

/// Frequencies of one kind of layer, and the table of the batch at hand.
pub struct Rope {
    /// Angle a position, for each pair.
    frequencies: Vec<f64>,
    /// What cosine and sine are multiplied with.
    magnitude: f32,
    table: RopeTable,
}

impl Rope {
    /// Frequencies `base^(-2i / dims)` for `dims` numbers of a head, scaled as the file says: not at all,
    /// linearly, by YaRN (Peng et al. 2023), or by the factors of `rope_freqs.weight` (Llama 3).
    pub fn load(source: &mut Source<'_>, dims: usize, base: f32) -> Result<Rope, LoadError> {
        let mut rope = Rope::plain(dims, base);
        if let Some(factors) = source.vector_optional("rope_freqs.weight", dims / 2)? {
            for (frequency, factor) in rope.frequencies.iter_mut().zip(factors) {
                *frequency /= f64::from(factor);
            }
        }
        match source.text("rope.scaling.type")? {
            None | Some("none") => {}
            Some("linear") => {
                let factor = f64::from(source.float_or("rope.scaling.factor", Some(1.0))?);
                rope.frequencies.iter_mut().for_each(|f| *f /= factor);
            }
            Some("yarn") => rope.stretch(source, dims, base)?,
            Some(other) => {
                let other: String = other.chars().take(64).collect();
                let problem = format!("{other:?} is not implemented; none, linear and yarn are");
                return Err(source.bad("rope.scaling.type", problem));
            }
        }
        Ok(rope)
    }

    /// Unscaled frequencies.
    pub fn plain(dims: usize, base: f32) -> Rope {
        let frequencies =
            (0..dims / 2).map(|i| f64::from(base).powf(-2.0 * i as f64 / dims as f64)).collect();
        Rope { frequencies, magnitude: 1.0, table: RopeTable::default() }
    }

    /// YaRN: fast pairs keep their frequency, slow ones are interpolated, with a ramp between those that turn
    /// 32 times and once over the original context.
    fn stretch(&mut self, source: &Source<'_>, dims: usize, base: f32) -> Result<(), LoadError> {
        let factor = f64::from(source.float_or("rope.scaling.factor", Some(1.0))?);
        let original = source.number("rope.scaling.original_context_length", 1..=1 << 30)? as f64;
        let attention = source.float_or("rope.scaling.attn_factor", Some(1.0))?;
        let pair_turning =
            |turns: f64| dims as f64 * (original / (turns * 2.0 * PI)).ln() / (2.0 * f64::from(base).ln());
        let fast = pair_turning(f64::from(source.float_or("rope.scaling.yarn_beta_fast", Some(32.0))?));
        let slow = pair_turning(f64::from(source.float_or("rope.scaling.yarn_beta_slow", Some(1.0))?));
        let (low, high) = (fast.floor().max(0.0), slow.ceil().min(dims as f64 - 1.0));
        for (i, frequency) in self.frequencies.iter_mut().enumerate() {
            let keep = 1.0 - ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
            *frequency = *frequency / factor * (1.0 - keep) + *frequency * keep;
        }
        self.magnitude = attention * (1.0 + 0.1 * factor.ln()) as f32;
        Ok(())
    }

    /// The angles of the batch's tokens.
    pub fn turn(&mut self, pass: &Pass, batch: &Batch) -> &RopeTable {
        let positions = batch.spans.iter().flat_map(|s| s.start..s.start + s.len);
        self.table.fill(&pass.cpu, positions, &self.frequencies, self.magnitude);
        &self.table
    }
}
