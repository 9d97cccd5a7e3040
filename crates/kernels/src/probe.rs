//! What this machine can do at best: the two limits that every speed is held against.
//!
//! Both are measured with all threads, several times, and the best time counts: a neighbour can only make a
//! run slower.

use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::simd::{Op, Simd};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// More than any last-level cache holds.
const READ_BYTES: usize = 512 << 20;
/// What a thread reads at a time.
const PART_BYTES: usize = 1 << 20;
const READ_ROUNDS: usize = 30;

/// Independent sums, enough to hide an instruction's latency.
const CHAINS: usize = 12;
const STEPS: usize = 200_000;
const PEAK_ROUNDS: usize = 20;

/// Bytes a second that all threads together read from memory.
pub fn read_bandwidth(cpu: &Cpu) -> f64 {
    let mut buffer = Buffer::<u8>::zeroed(READ_BYTES);
    // Untouched pages would all be the one page of zeros.
    buffer.fill(1);
    let read = || {
        cpu.run(READ_BYTES / PART_BYTES, |part| {
            black_box(cpu.dispatch(Read(&buffer[part * PART_BYTES..][..PART_BYTES])));
        })
    };
    READ_BYTES as f64 / best_of(READ_ROUNDS, read).as_secs_f64()
}

/// Operations a second, a multiplication and an addition being two, of all threads together on bytes.
pub fn int8_peak(cpu: &Cpu) -> f64 {
    // One unit a thread: the pool hands the second to the other thread while the first is busy.
    let multiply = || {
        cpu.run(cpu.threads(), |_| {
            black_box(cpu.dispatch(Multiply));
        })
    };
    let operations = 2 * cpu.dispatch(Multiply).0 * cpu.threads();
    operations as f64 / best_of(PEAK_ROUNDS, multiply).as_secs_f64()
}

fn best_of(rounds: usize, run: impl Fn()) -> Duration {
    let timed = |_| {
        let started = Instant::now();
        run();
        started.elapsed()
    };
    (0..rounds).map(timed).min().expect("there is a round")
}

struct Read<'a>(&'a [u8]);

impl Op for Read<'_> {
    type Out = f32;

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) -> f32 {
        /// Ahead of the reads, in bytes, as the matrix kernel does it.
        const AHEAD: usize = 4096;
        // SAFETY: a line is 64 bytes.
        let mut all = [unsafe { s.load_bytes([0; 64].as_ptr()) }; 4];
        for lines in self.0.chunks_exact(64 * all.len()) {
            for (i, all) in all.iter_mut().enumerate() {
                let at = lines[64 * i..].as_ptr();
                s.prefetch(at.wrapping_add(AHEAD));
                // SAFETY: `lines` has 64 bytes for each.
                *all = s.or(*all, unsafe { s.load_bytes(at) });
            }
        }
        let zero = [s.splat_i32(0); 4];
        let sum = |i: usize| s.sum(s.to_float(s.multiply_bytes(zero[i], all[i], all[i])));
        sum(0) + sum(1) + sum(2) + sum(3)
    }
}

/// The fastest multiplications of bytes that there are: how many pairs, and the sum of what vectors made of them.
struct Multiply;

impl Op for Multiply {
    type Out = (usize, f32);
    const ON_UNIT: bool = true;

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) -> (usize, f32) {
        if const { S::UNIT.is_some() } {
            return (s.unit_multiply(STEPS), 0.0);
        }
        let ones = [1_u8; 64];
        // SAFETY: 64 bytes. Hidden from the optimiser, which would otherwise know the sums.
        let (a, b) =
            unsafe { (s.load_bytes(black_box(&ones).as_ptr()), s.load_bytes(black_box(&ones).as_ptr())) };
        let mut sums = [s.splat_i32(0); CHAINS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = s.multiply_bytes(*sum, a, b);
            }
        }
        (64 * CHAINS * STEPS, sums.iter().map(|sum| s.sum(s.to_float(*sum))).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuOptions;
    use crate::isa::Isa;

    #[test]
    fn one_step_multiplies_64_pairs_of_bytes_on_every_instruction_set_with_vectors() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available() && *isa != Isa::Amx) {
            let cpu = Cpu::new(CpuOptions { threads: Some(1), isa: Some(isa) }).unwrap();
            // Sums of 16 bits wrap around, and those are what AVX2's fastest multiplication has: two in a lane.
            let wrapped = i32::from((2 * STEPS) as u16) * 0x1_0001;
            let lane = if isa == Isa::Avx2 { wrapped } else { 4 * STEPS as i32 };
            let expect = (CHAINS * 16) as f32 * lane as f32;
            let (pairs, sum) = cpu.dispatch(Multiply);
            assert_eq!(pairs, 64 * CHAINS * STEPS);
            assert!((sum / expect - 1.0).abs() < 1e-3, "{isa}: {sum} for {expect}");
        }
    }
}
