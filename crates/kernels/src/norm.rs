//! RMS norm: x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019).

use crate::activations::{Activations, Needs, unit_count};
use crate::cpu::Cpu;
use crate::share::Shared;
use crate::simd::{LANES, Op, Simd};

/// A norm's weights and epsilon.
#[derive(Debug, Clone, Copy)]
pub struct RmsNorm<'a> {
    /// One weight for each number of a row.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub epsilon: f32,
}

impl RmsNorm<'_> {
    /// Norms each row of `x`, `[rows][weights]`, and quantises the result for `needs`.
    pub fn quantize(&self, cpu: &Cpu, x: &[f32], out: &mut Activations, needs: Needs) {
        let columns = self.weight.len();
        let rows = x.len() / columns;
        assert_eq!(x.len(), rows * columns);
        out.resize(cpu, rows, columns, needs);
        let writer = out.writer();
        let units = unit_count(cpu, rows);
        cpu.run(units.count, |unit| {
            let mut row_out = vec![0.0; columns];
            for row in units.range(unit) {
                cpu.dispatch(NormOp {
                    norm: *self,
                    x: &x[row * columns..][..columns],
                    out: &mut row_out,
                    add: None,
                });
                writer.put_row(cpu, row, &row_out);
            }
        });
    }

    /// Adds the norm of each row of `x` to the row of `sum`: a norm behind a layer, as Gemma has it.
    pub fn add_to(&self, cpu: &Cpu, x: &[f32], sum: &mut [f32]) {
        let columns = self.weight.len();
        assert!(x.len() == sum.len() && x.len().is_multiple_of(columns));
        let shared = Shared::new(sum);
        let units = unit_count(cpu, x.len() / columns);
        cpu.run(units.count, |unit| {
            let mut row_out = vec![0.0; columns];
            for row in units.range(unit) {
                // SAFETY: each row is one unit's.
                let sum = unsafe { shared.slice(row * columns, columns) };
                let x = &x[row * columns..][..columns];
                cpu.dispatch(NormOp { norm: *self, x, out: &mut row_out, add: Some(sum) });
            }
        });
    }

    /// Norms one row in place.
    pub(crate) fn in_place<S: Simd>(&self, s: S, x: &mut [f32]) {
        let scale = scale(s, x, self.epsilon);
        for (x, weight) in x.iter_mut().zip(self.weight) {
            *x = *x * scale * weight;
        }
    }
}

struct NormOp<'a> {
    norm: RmsNorm<'a>,
    x: &'a [f32],
    out: &'a mut [f32],
    add: Option<&'a mut [f32]>,
}

impl Op for NormOp<'_> {
    type Out = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        assert!(self.x.len() == self.norm.weight.len() && self.out.len() == self.x.len());
        let scale = scale(s, self.x, self.norm.epsilon);
        for ((out, x), weight) in self.out.iter_mut().zip(self.x).zip(self.norm.weight) {
            *out = *x * scale * weight;
        }
        if let Some(sum) = self.add {
            assert_eq!(sum.len(), self.out.len());
            for (sum, out) in sum.iter_mut().zip(&*self.out) {
                *sum += out;
            }
        }
    }
}

/// 1 / sqrt(mean(x^2) + epsilon).
#[inline(always)]
fn scale<S: Simd>(s: S, x: &[f32], epsilon: f32) -> f32 {
    let mut squares = s.splat(0.0);
    let (whole, rest) = x.as_chunks::<LANES>();
    for x in whole {
        // SAFETY: 16 numbers.
        let x = unsafe { s.load(x.as_ptr()) };
        squares = s.fma(x, x, squares);
    }
    if !rest.is_empty() {
        let mut last = [0.0; LANES];
        last[..rest.len()].copy_from_slice(rest);
        // SAFETY: 16 numbers.
        let x = unsafe { s.load(last.as_ptr()) };
        squares = s.fma(x, x, squares);
    }
    1.0 / (s.sum(squares) / x.len() as f32 + epsilon).sqrt()
}
