//! Untrusted model files turned into checked, memory-mapped, canonically named tensors.
//!
//! Every number that comes from a file is checked here, once: what leaves this crate can be used without
//! another look. It also finds model files: the catalogue, the store under `KUN_HOME`, downloads.

pub mod catalogue;
pub mod download;
pub mod error;
pub mod gguf;
pub mod store;
