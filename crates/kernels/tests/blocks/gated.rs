//! act(gate x) * (up x) against f64, and with it the exponential behind it.

use crate::random::Random;
use crate::{assert_close, assert_same, cpu, cpus, matrix, plain, read};
use kernels::formats::{self, Format};
use kernels::{Activations, Cpu, Gate, Isa, Matrix, Needs, Product, gated, matmul};

const GATES: [Gate; 2] = [Gate::Silu, Gate::GeluTanh];

fn act(gate: Gate, x: f64) -> f64 {
    match gate {
        Gate::Silu => x / (1.0 + (-x).exp()),
        Gate::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            // Not 0.5 x (1 + tanh(inner)), which loses everything where tanh is nearly -1.
            x / (1.0 + (-2.0 * inner).exp())
        }
    }
}

fn plain_activations(cpu: &Cpu, x: &[f32], columns: usize) -> Activations {
    let mut activations = Activations::default();
    activations.quantize(cpu, x, columns, Needs::of(cpu, plain()));
    activations
}

/// The functions of the gate for the numbers in `x`, whose count is a multiple of 32.
fn apply(cpu: &Cpu, gate: Gate, x: &[f32]) -> Vec<f32> {
    // A token of a single 1 takes the column of the gates as it is.
    let (gates, ups) = (matrix(cpu, x.len(), x), matrix(cpu, x.len(), &vec![1.0; x.len()]));
    let mut out = Activations::default();
    gated(cpu, &plain_activations(cpu, &[1.0], 1), &gates, &ups, gate, &mut out, Needs::of(cpu, plain()));
    read(cpu, &out)
}

/// From nothing to where the functions are straight lines, and a little of everything between.
fn sweep() -> Vec<f32> {
    let mut x: Vec<f32> = (-1000..1000).map(|i| i as f32 * 0.11 + 0.013).collect();
    x.extend((0..60).map(|i| 10f32.powi(i - 35)));
    x.extend((0..60).map(|i| -(10f32.powi(i - 35))));
    x.extend([0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, 87.0, 88.0, 88.8, 89.0, 103.9, 104.1]);
    x.extend([-87.0, -87.4, -88.0, -88.8, -89.0, -100.0, -103.0, -103.9, -104.0, -104.1, -1e4, 1e4]);
    x.resize(x.len().next_multiple_of(32), 0.5);
    x
}

#[test]
fn the_functions_of_the_gate_are_precise() {
    for gate in GATES {
        for cpu in cpus().filter(|cpu| cpu.threads() == 1) {
            for x in sweep().chunks(256) {
                for (x, got) in x.iter().zip(apply(&cpu, gate, x)) {
                    let expected = act(gate, f64::from(*x));
                    let distance = (f64::from(got) - expected).abs();
                    // The exponent of GELU is rounded before e is raised to it: an error of 2^-24 of up to 90.
                    let relative = if gate == Gate::Silu { 5e-7 } else { 2e-5 };
                    let case = format!("{gate:?}({x:e}) on {}: {got:e}, not {expected:e}", cpu.isa());
                    // Where e^-x is beyond f32 the result is nothing, at most 104 e^-87.
                    assert!(distance <= relative * expected.abs() + 2e-36, "{case}");
                    assert!(got.is_finite(), "{case}");
                }
            }
        }
    }
}

#[test]
fn the_functions_of_the_gate_have_the_same_bits_everywhere() {
    for gate in GATES {
        for x in sweep().chunks(256) {
            let expected = apply(&cpu(Isa::Scalar, 1), gate, x);
            for cpu in cpus() {
                assert_same(&format!("{gate:?} on {}", cpu.isa()), &expected, &apply(&cpu, gate, x));
            }
        }
    }
}

/// Rows, columns, tokens.
const SIZES: [(usize, usize, usize); 6] =
    [(32, 32, 1), (64, 32, 5), (96, 64, 33), (160, 16, 8), (32, 128, 70), (256, 48, 3)];

#[test]
fn gated_products_are_what_the_formula_says() {
    for (rows, columns, tokens) in SIZES {
        let mut random = Random::new((rows + columns) as u64);
        let [gates, ups] = [(); 2].map(|()| random.numbers(rows * columns, 0.5));
        let x = random.numbers(tokens * columns, 1.0);
        let cpu = cpu(Isa::detect(), 2);
        for gate in GATES {
            let (mut out, activations) = (Activations::default(), plain_activations(&cpu, &x, columns));
            let (gate_matrix, up_matrix) = (matrix(&cpu, rows, &gates), matrix(&cpu, rows, &ups));
            let needs = Needs::of(&cpu, plain());
            gated(&cpu, &activations, &gate_matrix, &up_matrix, gate, &mut out, needs);
            let out = read(&cpu, &out);
            for (token, x) in x.chunks(columns).enumerate() {
                let product = |weights: &[f32], row: usize| -> f64 {
                    let weights = &weights[row * columns..][..columns];
                    weights.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum()
                };
                for row in 0..rows {
                    let expected = act(gate, product(&gates, row)) * product(&ups, row);
                    let case = format!("{gate:?}, {rows} x {columns}, token {token}, row {row}");
                    assert_close(&case, out[token * rows + row], expected, 1e-5);
                }
            }
        }
    }
}

/// Gate and up of one format, down of another, and the numbers that come out of the three.
fn feed_forward(cpu: &Cpu, [inner, outer]: [Format; 2], x: &[f32], gate: Gate) -> Vec<f32> {
    let (columns, rows) = (256, 512);
    let weights = |format: Format, rows: usize, columns: usize, seed: usize| {
        let bytes: Vec<u8> = (0..rows * columns / format.block_len * format.block_bytes)
            .map(|i| ((i * 7 + seed + i / 91) % 53) as u8)
            .collect();
        Matrix::pack(cpu, format, rows, columns, &bytes)
    };
    let mut input = Activations::default();
    input.quantize(cpu, x, columns, Needs::of(cpu, inner));
    let (gates, ups) = (weights(inner, rows, columns, 1), weights(inner, rows, columns, 2));
    let down = weights(outer, 48, rows, 3);
    let mut between = Activations::default();
    gated(cpu, &input, &gates, &ups, gate, &mut between, Needs::of(cpu, outer));
    let mut out = vec![f32::NAN; x.len() / columns * 48];
    matmul(cpu, &between, &mut [Product { weights: &down, out: &mut out, add: false }]);
    out
}

#[test]
fn a_token_s_gates_do_not_depend_on_the_others_threads_or_instruction_set() {
    let (columns, tokens) = (256, 41);
    let x = Random::new(9).numbers(tokens * columns, 1.0);
    for (i, inner) in formats::TABLE.iter().enumerate() {
        // Every format is once in front and once behind.
        let pair = [*inner, formats::TABLE[(i + 5) % formats::TABLE.len()]];
        let case = format!("{} and {}", pair[0].name, pair[1].name);
        let gate = GATES[i % 2];
        let expected = feed_forward(&cpu(Isa::Scalar, 1), pair, &x, gate);
        assert!(expected.iter().any(|x| *x != 0.0), "{case}: a test of zeros");
        for cpu in cpus() {
            let place = format!("{case} on {} with {} threads", cpu.isa(), cpu.threads());
            assert_same(&place, &expected, &feed_forward(&cpu, pair, &x, gate));
        }
        let fastest = cpu(Isa::detect(), 2);
        for (token, x) in x.chunks(columns).enumerate() {
            let alone = feed_forward(&fastest, pair, x, gate);
            assert_same(&format!("{case}, token {token} alone"), &expected[token * 48..][..48], &alone);
        }
    }
}
