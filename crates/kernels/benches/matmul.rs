//! How fast the products are: `cargo bench -p kernels --bench matmul [FORMAT] [ROWS] [COLUMNS] [THREADS] [ISA,ISA...]`.
//!
//! Prints, for runs of 1 to 512 tokens, int8 operations a second and bytes of weights a second. The matrix is
//! repeated until it is larger than the caches. Several instruction sets take turns, so that what else the machine does
//! falls on all of them.

use kernels::{Activations, Cpu, CpuOptions, Isa, Matrix, Needs, Product, formats, matmul};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let name = args.first().map_or("Q4_0", String::as_str);
    let number = |i: usize, or: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(or);
    let (rows, columns, threads) = (number(1, 8192), number(2, 2048), number(3, 2));
    let isas: Vec<Isa> = match args.get(4) {
        Some(names) => names.split(',').map(|name| name.parse().expect("an instruction set")).collect(),
        None => vec![Isa::detect()],
    };
    let start = |isa| Cpu::new(CpuOptions { threads: Some(threads), isa: Some(isa) });
    let cpus: Vec<Cpu> =
        isas.iter().map(|isa| start(*isa).expect("threads of the instruction set can be started")).collect();
    let format = formats::by_name(name).expect("a format of the table");
    // Alternating bytes with an f16 scale pattern of about 1e-2 everywhere: speed does not depend on values.
    let bytes = vec![0x21; rows * columns / format.block_len * format.block_bytes];
    let copies = ((256 << 20) / bytes.len()).max(1);
    let started = Instant::now();
    let matrices: Vec<Matrix> =
        (0..copies).map(|_| Matrix::pack(&cpus[0], format, rows, columns, &bytes)).collect();
    let packed = started.elapsed().as_secs_f64();
    println!(
        "{name} {rows} x {columns}, {threads} threads: packed {:.2} G weights/s",
        (copies * rows * columns) as f64 / packed / 1e9
    );
    for tokens in [1, 2, 4, 8, 16, 32, 128, 512] {
        let x: Vec<f32> = (0..tokens * columns).map(|i| (i % 17) as f32 - 8.0).collect();
        let mut out = vec![0.0; tokens * rows];
        let mut activations = Activations::default();
        let mut best = vec![f64::INFINITY; cpus.len()];
        for round in 0..(if tokens > 32 { 5 } else { 20 }) * copies.min(4) {
            for (i, cpu) in cpus.iter().enumerate() {
                let started = Instant::now();
                activations.quantize(cpu, &x, columns, Needs::of(cpu, format));
                let weights = &matrices[(round * cpus.len() + i) % copies];
                matmul(cpu, &activations, &mut [Product { weights, out: &mut out, add: false }]);
                best[i] = best[i].min(started.elapsed().as_secs_f64());
            }
        }
        for (isa, best) in isas.iter().zip(best) {
            println!(
                "{tokens:4} tokens, {isa:6}: {:7.1} Gop/s {:6.1} GB/s",
                2.0 * (tokens * rows * columns) as f64 / best / 1e9,
                matrices[0].bytes() as f64 / best / 1e9
            );
        }
    }
}
