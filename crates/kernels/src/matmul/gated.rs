//! The gated feed-forward's first half as one operation: act(gate x) * (up x), quantised for the down matrix.

use super::Units;
use super::tile::{Tiles, Write};
use crate::activations::{Activations, Needs, Writer};
use crate::cpu::Cpu;
use crate::math;
use crate::matrix::{GROUP, Matrix};
use crate::simd::{LANES, Op, Simd};
use std::ops::Range;

/// The function on the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// x * sigmoid(x), of Llama and Qwen.
    Silu,
    /// GELU in its tanh form, of Gemma.
    GeluTanh,
}

/// Rows of both matrices that a unit works on at once: a whole group of the result.
const ROWS: usize = GROUP;
/// Tokens whose gate and up values wait for each other.
const TOKENS: usize = 48;

/// `out[token] = gate(G x[token]) * (U x[token])`, quantised as `needs` says.
///
/// # Panics
/// If sizes do not fit; the rows of `gate` and `up` must be a multiple of 32.
pub fn gated(
    cpu: &Cpu,
    x: &Activations,
    gate: &Matrix,
    up: &Matrix,
    act: Gate,
    out: &mut Activations,
    needs: Needs,
) {
    assert!(gate.rows() == up.rows() && gate.rows().is_multiple_of(ROWS), "{} gates", gate.rows());
    assert!(gate.columns() == x.columns() && up.columns() == x.columns());
    out.resize(cpu, x.rows(), gate.rows(), needs);
    let writer = out.writer();
    let units = Units::new(cpu, gate.rows() / ROWS, x);
    cpu.run(units.count(), |unit| {
        let (groups, tokens) = units.part(unit);
        let mut values = [[[0.0; ROWS]; TOKENS]; 2];
        let step = TOKENS / x.blocks().full() * x.blocks().full();
        for group in groups {
            for start in tokens.clone().step_by(step) {
                let tokens = start..(start + step).min(tokens.end);
                compute(cpu, x, gate, group, tokens.clone(), &mut values[0]);
                compute(cpu, x, up, group, tokens.clone(), &mut values[1]);
                let [gates, ups] = &mut values;
                cpu.dispatch(Activate { act, gates, ups, tokens, group, writer: &writer });
            }
        }
    });
}

fn compute(
    cpu: &Cpu,
    x: &Activations,
    weights: &Matrix,
    group: usize,
    tokens: Range<usize>,
    out: &mut [[f32; ROWS]; TOKENS],
) {
    Tiles {
        weights,
        tiles: group * (ROWS / LANES)..(group + 1) * (ROWS / LANES),
        x,
        tokens,
        out: out.as_flattened_mut().as_mut_ptr(),
        stride: ROWS,
        write: Write::Store,
    }
    .compute(cpu);
}

/// Some tokens' 32 values: the gates become the products, which are quantised.
struct Activate<'a, 'w> {
    act: Gate,
    gates: &'a mut [[f32; ROWS]; TOKENS],
    ups: &'a [[f32; ROWS]; TOKENS],
    tokens: Range<usize>,
    group: usize,
    writer: &'a Writer<'w>,
}

impl Op for Activate<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        for (token, (gates, ups)) in self.tokens.zip(self.gates.iter_mut().zip(self.ups)) {
            for at in (0..ROWS).step_by(LANES) {
                // SAFETY: both arrays have 32 numbers.
                unsafe {
                    let (gate, up) = (s.load(gates.as_ptr().add(at)), s.load(ups.as_ptr().add(at)));
                    let gate = match self.act {
                        Gate::Silu => math::silu(s, gate),
                        Gate::GeluTanh => math::gelu_tanh(s, gate),
                    };
                    s.store(s.mul(gate, up), gates.as_mut_ptr().add(at));
                }
            }
            self.writer.put_groups(s, self.writer.row(token), self.group * ROWS, gates);
        }
    }
}
