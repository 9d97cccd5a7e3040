//! Everything between the matrices, against slow f64 code written from the formulas: attention, norms, heads, the
//! gated feed-forward. And to the last bit: the same on every instruction set, with any number of threads, and
//! whatever else is in the batch.

mod attention;
mod gated;
mod heads;
mod norm;
mod random;

use kernels::{Activations, Cpu, CpuOptions, Isa, Matrix, Product, formats, matmul};

fn cpu(isa: Isa, threads: usize) -> Cpu {
    Cpu::new(CpuOptions { threads: Some(threads), isa: Some(isa) }).unwrap()
}

/// What results must not depend on: every instruction set that is here, with 1, 2 and 3 threads.
fn cpus() -> impl Iterator<Item = Cpu> {
    let (run, missing): (Vec<Isa>, Vec<Isa>) = Isa::ALL.into_iter().partition(|isa| isa.available());
    if !missing.is_empty() {
        eprintln!("NOT TESTED, this processor lacks it: {missing:?}");
    }
    run.into_iter().flat_map(|isa| [1, 2, 3].map(|threads| cpu(isa, threads)))
}

fn assert_same(case: &str, expected: &[f32], got: &[f32]) {
    assert_eq!(expected.len(), got.len(), "{case}");
    if let Some(i) = expected.iter().zip(got).position(|(a, b)| a.to_bits() != b.to_bits()) {
        panic!("{case}: number {i} is {:e}, not {:e}", got[i], expected[i]);
    }
}

/// `a` is within `tolerance` of `b`, absolute and relative together.
fn assert_close(case: &str, got: f32, expected: f64, tolerance: f64) {
    let distance = (f64::from(got) - expected).abs();
    assert!(distance <= tolerance * (1.0 + expected.abs()), "{case}: {got}, not {expected}");
}

/// The numbers in activations that were made for a matrix of plain numbers.
fn read(cpu: &Cpu, activations: &Activations) -> Vec<f32> {
    let columns = activations.columns();
    let identity = (0..columns * columns).map(|i| if i / columns == i % columns { 1f32 } else { 0.0 });
    let bytes: Vec<u8> = identity.flat_map(f32::to_le_bytes).collect();
    let identity = Matrix::pack(cpu, plain(), columns, columns, &bytes);
    let mut out = vec![f32::NAN; activations.rows() * columns];
    matmul(cpu, activations, &mut [Product { weights: &identity, out: &mut out, add: false }]);
    out
}

/// The format of plain numbers.
fn plain() -> formats::Format {
    formats::by_name("F32").unwrap()
}

fn matrix(cpu: &Cpu, rows: usize, numbers: &[f32]) -> Matrix {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    Matrix::pack(cpu, plain(), rows, numbers.len() / rows, &bytes)
}
