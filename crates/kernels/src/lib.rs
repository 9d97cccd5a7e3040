//! The arithmetic of Kun: tensor formats, packed matrices, matrix products, attention, norms.
//!
//! What is here knows nothing of models, files or HTTP. Two tables carry it: [`formats`] (one file a
//! tensor format) and `simd` (one file an instruction set). Scalar code is the definition of every
//! operation; each instruction set gives the same bits.
//!
//! Invariant: an output element depends on its own row and token alone. The order in which its terms are
//! added never depends on the batch, the thread count or the instruction set.

mod activations;
mod allocator;
pub mod attention;
mod buffer;
mod codes;
mod cpu;
pub mod formats;
mod heads;
mod isa;
pub mod layout;
mod math;
mod matmul;
mod matrix;
mod norm;
mod pool;
pub mod probe;
mod share;
mod simd;

pub use activations::{Activations, Needs};
pub use allocator::{OrExit, give_back_freed_memory};
pub use buffer::Buffer;
pub use cpu::{Cpu, CpuError, CpuOptions, THREADS_MAX};
pub use heads::{Heads, RopePairs, RopeTable};
pub use isa::Isa;
pub use matmul::{Gate, PRODUCTS_MAX, Product, gated, matmul};
pub use matrix::{GROUP, Matrix};
pub use norm::RmsNorm;
