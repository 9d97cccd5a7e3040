//! RMS norms against x / sqrt(mean(x^2) + epsilon) * weight in f64.

use crate::random::Random;
use crate::{assert_close, assert_same, cpu, cpus, plain, read};
use kernels::formats;
use kernels::{Activations, Cpu, Isa, Matrix, Needs, Product, RmsNorm, matmul};

/// Columns, rows, size of the numbers, epsilon.
const CASES: [(usize, usize, f32, f32); 12] = [
    (1, 3, 1.0, 1e-5),
    (15, 2, 1.0, 1e-5),
    (16, 1, 1.0, 1e-6),
    (17, 5, 1.0, 1e-5),
    (31, 4, 3.0, 1e-5),
    (64, 1, 1.0, 1e-5),
    (96, 33, 100.0, 1e-6),
    (576, 7, 0.1, 1e-5),
    (640, 2, 1.0, 1e-6),
    // Nothing but epsilon, and almost.
    (48, 2, 0.0, 1e-5),
    (48, 2, 1e-4, 1e-5),
    // Squares near the end of f32.
    (64, 2, 1e17, 1e-5),
];

fn expected(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f64> {
    let squares: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let scale = 1.0 / (squares / x.len() as f64 + f64::from(epsilon)).sqrt();
    x.iter().zip(weight).map(|(x, weight)| f64::from(*x) * scale * f64::from(*weight)).collect()
}

fn normed(cpu: &Cpu, norm: RmsNorm<'_>, x: &[f32]) -> Vec<f32> {
    let mut out = Activations::default();
    norm.quantize(cpu, x, &mut out, Needs::of(cpu, plain()));
    assert_eq!((out.rows(), out.columns()), (x.len() / norm.weight.len(), norm.weight.len()));
    read(cpu, &out)
}

fn added(cpu: &Cpu, norm: RmsNorm<'_>, x: &[f32], sum: &[f32]) -> Vec<f32> {
    let mut sum = sum.to_vec();
    norm.add_to(cpu, x, &mut sum);
    sum
}

#[test]
fn norms_are_what_the_formula_says() {
    for (columns, rows, size, epsilon) in CASES {
        let mut random = Random::new(columns as u64);
        let (x, weight) = (random.numbers(rows * columns, size), random.numbers(columns, 2.0));
        let sum = random.numbers(rows * columns, 1.0);
        let (norm, cpu) = (RmsNorm { weight: &weight, epsilon }, cpu(Isa::detect(), 2));
        let (normed, added) = (normed(&cpu, norm, &x), added(&cpu, norm, &x, &sum));
        for row in 0..rows {
            let expected = expected(&x[row * columns..][..columns], &weight, epsilon);
            for (i, expected) in expected.into_iter().enumerate() {
                let at = row * columns + i;
                let case = format!("{columns} columns of size {size}, row {row}, number {i}");
                assert_close(&case, normed[at], expected, 1e-6);
                assert_close(&case, added[at], expected + f64::from(sum[at]), 1e-6);
            }
        }
    }
}

#[test]
fn norms_have_the_same_bits_everywhere() {
    for (columns, rows, size, epsilon) in CASES {
        let mut random = Random::new(columns as u64);
        let (x, weight) = (random.numbers(rows * columns, size), random.numbers(columns, 2.0));
        let sum = random.numbers(rows * columns, 1.0);
        let norm = RmsNorm { weight: &weight, epsilon };
        let scalar = cpu(Isa::Scalar, 1);
        let expected = [normed(&scalar, norm, &x), added(&scalar, norm, &x, &sum)];
        for cpu in cpus() {
            let case = format!("{columns} columns on {} with {} threads", cpu.isa(), cpu.threads());
            assert_same(&case, &expected[0], &normed(&cpu, norm, &x));
            assert_same(&case, &expected[1], &added(&cpu, norm, &x, &sum));
            for (row, x) in x.chunks(columns).enumerate() {
                let alone = normed(&cpu, norm, x);
                assert_same(&format!("{case}, alone"), &expected[0][row * columns..][..columns], &alone);
            }
        }
    }
}

/// What a norm quantises is what it gives as plain numbers: a matrix sees no difference.
#[test]
fn norms_quantise_as_activations_do() {
    let (columns, rows, tokens) = (256, 16, 5);
    let mut random = Random::new(1);
    let (x, weight) = (random.numbers(tokens * columns, 1.0), random.numbers(columns, 2.0));
    let norm = RmsNorm { weight: &weight, epsilon: 1e-5 };
    for format in formats::TABLE {
        for cpu in cpus() {
            let bytes: Vec<u8> =
                (0..rows * columns / format.block_len * format.block_bytes).map(|i| (i % 48) as u8).collect();
            let weights = Matrix::pack(&cpu, format, rows, columns, &bytes);
            let needs = Needs::of(&cpu, format);
            let mut both = [Activations::default(), Activations::default()];
            norm.quantize(&cpu, &x, &mut both[0], needs);
            both[1].quantize(&cpu, &normed(&cpu, norm, &x), columns, needs);
            let [got, expected] = both.map(|activations| {
                let mut out = vec![f32::NAN; tokens * rows];
                matmul(&cpu, &activations, &mut [Product { weights: &weights, out: &mut out, add: false }]);
                out
            });
            assert!(expected.iter().all(|x| x.is_finite()), "{}", format.name);
            assert_same(&format!("{} on {}", format.name, cpu.isa()), &expected, &got);
        }
    }
}
