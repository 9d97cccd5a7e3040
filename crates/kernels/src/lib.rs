//! The arithmetic of Kun: tensor formats, packed matrices, matrix products, attention, norms.
//!
//! What is here knows nothing of models, files or HTTP. Two tables carry it: [`formats`] (one file a
//! tensor format) and `simd` (one file an instruction set). Scalar code is the definition of every
//! operation; each instruction set gives the same bits.
//!
//! Invariant: an output element depends on its own row and token alone. The order in which its terms are
//! added never depends on the batch, the thread count or the instruction set.

pub mod attention;
pub mod formats;
pub mod layout;
