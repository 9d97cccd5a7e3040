//! Matrix products: every format on every instruction set against the format's own definition, bit-equal
//! whatever the instruction set, the threads and the other tokens.

use kernels::formats::{self, Format, Packing};
use kernels::{Activations, Cpu, CpuOptions, Isa, Matrix, Needs, Product, matmul};

/// xorshift64*: reproducible and good enough for test data.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Between -1 and 1.
    fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A block of random bytes whose weights are all finite and below `most`.
    fn block(&mut self, format: Format, most: f32) -> Vec<u8> {
        let mut weights = vec![0.0; format.block_len];
        loop {
            let bytes: Vec<u8> = (0..format.block_bytes).map(|_| (self.next() >> 32) as u8).collect();
            (format.decode)(&bytes, &mut weights);
            if weights.iter().all(|w| w.abs() < most) {
                return bytes;
            }
        }
    }

    fn matrix(&mut self, format: Format, rows: usize, columns: usize) -> Vec<u8> {
        (0..rows * columns / format.block_len).flat_map(|_| self.block(format, 64.0)).collect()
    }
}

fn cpu(isa: Isa, threads: usize) -> Cpu {
    Cpu::new(CpuOptions { threads: Some(threads), isa: Some(isa) }).unwrap()
}

fn isas() -> Vec<Isa> {
    let (run, missing): (Vec<Isa>, Vec<Isa>) = Isa::ALL.into_iter().partition(|isa| isa.available());
    if !missing.is_empty() {
        eprintln!("NOT TESTED, this processor lacks it: {missing:?}");
    }
    run
}

/// Products of `x` with the matrix, `[tokens][rows]`.
fn product(cpu: &Cpu, format: Format, rows: usize, columns: usize, bytes: &[u8], x: &[f32]) -> Vec<f32> {
    let weights = Matrix::pack(cpu, format, rows, columns, bytes);
    let mut activations = Activations::default();
    activations.quantize(cpu, x, columns, Needs::of(cpu, format));
    let mut out = vec![f32::NAN; x.len() / columns * rows];
    matmul(cpu, &activations, &mut [Product { weights: &weights, out: &mut out, add: false }]);
    out
}

/// What int8 activations of groups of 32 make of a row of x.
fn rounded(x: &[f32]) -> Vec<f64> {
    x.chunks(32)
        .flat_map(|group| {
            let most = group.iter().fold(0f32, |most, x| most.max(x.abs()));
            group.iter().map(move |x| {
                let code = if most > 0.0 { (x * (127.0 / most)).round_ties_even() } else { 0.0 };
                f64::from(code) * f64::from(most / 127.0)
            })
        })
        .collect()
}

#[test]
fn every_format_multiplies_as_it_decodes() {
    let mut random = Random(7);
    for format in formats::TABLE {
        let (rows, columns, tokens) = (37, 512, 5);
        let bytes = random.matrix(format, rows, columns);
        let x: Vec<f32> = (0..tokens * columns).map(|_| random.number()).collect();
        let mut weights = vec![0.0; rows * columns];
        formats::decode_row(format, &bytes, &mut weights);
        let out = product(&cpu(Isa::detect(), 2), format, rows, columns, &bytes, &x);
        for (token, x) in x.chunks(columns).enumerate() {
            let x: Vec<f64> = match format.packing {
                Packing::Float(_) => x.iter().map(|x| f64::from(*x)).collect(),
                Packing::Quantised { .. } => rounded(x),
            };
            for (row, weights) in weights.chunks(columns).enumerate() {
                let terms: Vec<f64> = weights.iter().zip(&x).map(|(w, x)| f64::from(*w) * x).collect();
                let (sum, size): (f64, f64) = (terms.iter().sum(), terms.iter().map(|t| t.abs()).sum());
                let got = f64::from(out[token * rows + row]);
                assert!(
                    (got - sum).abs() <= 2e-5 * size,
                    "{} token {token} row {row}: {got}, not {sum}",
                    format.name
                );
            }
        }
    }
}

#[test]
fn every_instruction_set_equals_scalar_code_on_10_000_blocks_a_format() {
    let mut random = Random(11);
    for format in formats::TABLE {
        let columns = format.block_len.max(32) * 10;
        let rows = 1000 * format.block_len.max(32) / columns * 10;
        let bytes = random.matrix(format, rows, columns);
        let x: Vec<f32> = (0..3 * columns).map(|_| random.number()).collect();
        let want = product(&cpu(Isa::Scalar, 2), format, rows, columns, &bytes, &x);
        for isa in isas() {
            let got = product(&cpu(isa, 2), format, rows, columns, &bytes, &x);
            assert!(
                want.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits()),
                "{} on {isa}",
                format.name
            );
        }
    }
}

#[test]
fn every_instruction_set_equals_scalar_code_whatever_is_left_over() {
    let mut random = Random(17);
    for format in formats::TABLE {
        // One block of 256 more than a whole number of those that are unpacked together, where blocks are smaller.
        let columns = format.block_len.max(32) * 9;
        let x: Vec<f32> = (0..LEFT_OVER * columns).map(|_| random.number()).collect();
        for rows in [16, 23, 48] {
            let bytes = random.matrix(format, rows, columns);
            let want = product(&cpu(Isa::Scalar, 2), format, rows, columns, &bytes, &x);
            for isa in isas() {
                let cpu = cpu(isa, 1);
                for tokens in 1..=LEFT_OVER {
                    let got = product(&cpu, format, rows, columns, &bytes, &x[..tokens * columns]);
                    let same = want.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{} on {isa}: {rows} rows, {tokens} tokens", format.name);
                }
            }
        }
    }
}

/// Tokens that leave over any number after the full blocks of any instruction set, twice.
const LEFT_OVER: usize = 40;

#[test]
fn products_are_added_and_gaps_left_alone_on_every_instruction_set() {
    let mut random = Random(19);
    let format = formats::by_name("Q4_1").unwrap();
    // More tokens than results wait in any kernel's scratch.
    let (rows, columns, tokens) = (55, 320, 230);
    let bytes = random.matrix(format, rows, columns);
    let x: Vec<f32> = (0..tokens * columns).map(|_| random.number()).collect();
    let before: Vec<f32> = (0..tokens * rows).map(|_| random.number()).collect();
    for isa in isas() {
        let cpu = cpu(isa, 2);
        let stored = product(&cpu, format, rows, columns, &bytes, &x);
        let weights = Matrix::pack(&cpu, format, rows, columns, &bytes);
        let mut activations = Activations::default();
        activations.quantize(&cpu, &x, columns, Needs::of(&cpu, format));
        let mut out = before.clone();
        matmul(&cpu, &activations, &mut [Product { weights: &weights, out: &mut out, add: true }]);
        let same = out.iter().zip(before.iter().zip(&stored)).all(|(out, (a, b))| *out == a + b);
        assert!(same, "{isa}");
    }
}

#[test]
fn every_instruction_set_equals_scalar_code_on_the_edges() {
    for format in formats::TABLE {
        let columns = format.block_len.max(32) * 2;
        // Every code at its lowest and highest, under small scales: the largest sums that can occur.
        for fill in [0x00, 0xFF, 0x0F, 0xF0] {
            let block: Vec<u8> = {
                let mut random = Random(5);
                let mut block = random.block(format, 1.0);
                let keep = block.clone();
                block.iter_mut().for_each(|b| *b = fill);
                let mut weights = vec![0.0; format.block_len];
                (format.decode)(&block, &mut weights);
                // The fill may hit a scale and make it infinite; then only the middle of the block is filled.
                if weights.iter().all(|w| w.is_finite()) {
                    block
                } else {
                    let (len, mut mixed) = (keep.len(), keep);
                    mixed[len / 4..len * 3 / 4].iter_mut().for_each(|b| *b = fill);
                    (format.decode)(&mixed, &mut weights);
                    if weights.iter().all(|w| w.is_finite()) { mixed } else { continue }
                }
            };
            let rows = 16;
            let bytes = block.repeat(rows * columns / format.block_len);
            for x in [vec![1.0; columns], vec![-1.0; columns], vec![0.0; columns], alternating(columns)] {
                let want = product(&cpu(Isa::Scalar, 1), format, rows, columns, &bytes, &x);
                for isa in isas() {
                    let got = product(&cpu(isa, 1), format, rows, columns, &bytes, &x);
                    let same = want.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{} filled with {fill:#x} on {isa}: {want:?} {got:?}", format.name);
                }
            }
        }
    }
}

fn alternating(columns: usize) -> Vec<f32> {
    (0..columns).map(|k| if k % 3 == 0 { -1.0 } else { 1.0 }).collect()
}

#[test]
fn a_token_s_products_do_not_depend_on_the_others_nor_on_threads() {
    let mut random = Random(3);
    for format in formats::TABLE {
        let (rows, columns, tokens) = (80, 256, 33);
        let bytes = random.matrix(format, rows, columns);
        let x: Vec<f32> = (0..tokens * columns).map(|_| random.number()).collect();
        let alone: Vec<f32> = x
            .chunks(columns)
            .flat_map(|x| product(&cpu(Isa::detect(), 1), format, rows, columns, &bytes, x))
            .collect();
        for threads in [1, 2, 3] {
            let together = product(&cpu(Isa::detect(), threads), format, rows, columns, &bytes, &x);
            let same = alone.iter().zip(&together).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{} with {threads} threads", format.name);
        }
    }
}

#[test]
fn a_packed_row_decodes_to_the_bits_of_the_format() {
    let mut random = Random(13);
    for format in formats::TABLE {
        let (rows, columns) = (19, 768);
        let bytes = random.matrix(format, rows, columns);
        let packed = Matrix::pack(&cpu(Isa::Scalar, 1), format, rows, columns, &bytes);
        let (mut want, mut got) = (vec![0.0; rows * columns], vec![0.0; columns]);
        formats::decode_row(format, &bytes, &mut want);
        for (row, want) in want.chunks(columns).enumerate() {
            packed.row(row, &mut got);
            let same = want.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{} row {row}", format.name);
        }
    }
}
