//! RMS norm: x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019).

use crate::activations::{Activations, Needs, Writer, unit_count};
use crate::cpu::Cpu;
use crate::matrix::GROUP;
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
            for row in units.range(unit) {
                cpu.dispatch(Quantize {
                    norm: *self,
                    x: &x[row * columns..][..columns],
                    row,
                    writer: &writer,
                });
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
            for row in units.range(unit) {
                // SAFETY: each row is one unit's.
                let sum = unsafe { shared.slice(row * columns, columns) };
                cpu.dispatch(AddTo { norm: *self, x: &x[row * columns..][..columns], sum });
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

struct Quantize<'a, 'w> {
    norm: RmsNorm<'a>,
    x: &'a [f32],
    row: usize,
    writer: &'a Writer<'w>,
}

impl Op for Quantize<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let scale = scale(s, self.x, self.norm.epsilon);
        let row = self.writer.row(self.row);
        for (i, (x, weight)) in self.x.chunks(GROUP).zip(self.norm.weight.chunks(GROUP)).enumerate() {
            let mut normed = [0.0; GROUP];
            for ((normed, x), weight) in normed.iter_mut().zip(x).zip(weight) {
                *normed = *x * scale * weight;
            }
            self.writer.put_groups(s, row, i * GROUP, &normed[..x.len()]);
        }
    }
}

struct AddTo<'a> {
    norm: RmsNorm<'a>,
    x: &'a [f32],
    sum: &'a mut [f32],
}

impl Op for AddTo<'_> {
    type Out = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let scale = scale(s, self.x, self.norm.epsilon);
        for ((sum, x), weight) in self.sum.iter_mut().zip(self.x).zip(self.norm.weight) {
            *sum += *x * scale * weight;
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
