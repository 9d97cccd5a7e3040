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
    /// Frequencies `base^(-2i / dims)` for `dims` numbers of a head, scaled as the file says: linearly, by YaRN
    /// (Peng et al. 2023), by the factors of `rope_freqs.weight` (Llama 3), or not at all.
    pub fn load(source: &mut Source<'_>, dims: usize, base: f32) -> Result<Rope, LoadError> {
        let mut rope = Rope::unscaled(source, dims, base)?;
        if let Some(factors) = source.vector_optional("rope_freqs.weight", dims / 2)? {
            for (frequency, factor) in rope.frequencies.iter_mut().zip(factors) {
                if !(factor.is_finite() && factor > 0.0) {
                    return Err(source.bad("rope_freqs", format!("{factor} is not a positive number")));
                }
                *frequency /= f64::from(factor);
            }
        }
        // Files from before there were types have a factor alone, the oldest under another name.
        match source.text("rope.scaling.type")?.unwrap_or("linear") {
            "none" => {}
            "linear" => {
                let factor = scaling_factor(source)?;
                rope.frequencies.iter_mut().for_each(|f| *f /= factor);
            }
            "yarn" => rope.stretch(source, dims, base)?,
            other => {
                let other: String = other.chars().take(64).collect();
                let problem = format!("{other:?} is not implemented; none, linear and yarn are");
                return Err(source.bad("rope.scaling.type", problem));
            }
        }
        Ok(rope)
    }

    /// Frequencies that are not scaled, whatever the file says: those of blocks with a window.
    pub fn unscaled(source: &Source<'_>, dims: usize, base: f32) -> Result<Rope, LoadError> {
        let frequencies =
            (0..dims / 2).map(|i| f64::from(base).powf(-2.0 * i as f64 / dims as f64)).collect();
        let magnitude = source.float_or("rope.scaling.attn_factor", Some(1.0))?;
        Ok(Rope { frequencies, magnitude, table: RopeTable::default() })
    }

    /// YaRN: fast pairs keep their frequency, slow ones are interpolated, with a ramp between those that turn
    /// 32 times and once over the original context.
    fn stretch(&mut self, source: &Source<'_>, dims: usize, base: f32) -> Result<(), LoadError> {
        let factor = scaling_factor(source)?;
        let context = source.number("context_length", 1..=1 << 30)?;
        let original =
            source.number_or("rope.scaling.original_context_length", Some(context), 1..=1 << 30)? as f64;
        let pair_turning =
            |turns: f64| dims as f64 * (original / (turns * 2.0 * PI)).ln() / (2.0 * f64::from(base).ln());
        let fast = pair_turning(f64::from(source.float_or("rope.scaling.yarn_beta_fast", Some(32.0))?));
        let slow = pair_turning(f64::from(source.float_or("rope.scaling.yarn_beta_slow", Some(1.0))?));
        let (low, high) = (fast.floor().max(0.0), slow.ceil().min(dims as f64 - 1.0));
        for (i, frequency) in self.frequencies.iter_mut().enumerate() {
            let keep = 1.0 - ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
            *frequency = *frequency / factor * (1.0 - keep) + *frequency * keep;
        }
        self.magnitude *= (1.0 + 0.1 * factor.max(1.0).ln()) as f32;
        Ok(())
    }

    /// The angles of the batch's tokens.
    pub fn turn(&mut self, pass: &Pass, batch: &Batch) -> &RopeTable {
        let positions = batch.spans.iter().flat_map(|s| s.start..s.start + s.len);
        self.table.fill(&pass.cpu, positions, &self.frequencies, self.magnitude);
        &self.table
    }
}

/// By how much the context was stretched.
fn scaling_factor(source: &Source<'_>) -> Result<f64, LoadError> {
    let before = source.float_or("rope.scale_linear", Some(1.0))?;
    Ok(f64::from(source.float_or("rope.scaling.factor", Some(before))?))
}
