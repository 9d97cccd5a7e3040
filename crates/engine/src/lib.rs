//! The engine: scheduler, paged KV, sampler and the model architectures.
//!
//! One thread owns everything mutable. A request crosses two queues and no lock: a bounded inbox into that
//! thread and a sink out of it. Token ids go in and token ids come out; HTTP, JSON and text stay outside.

#![forbid(unsafe_code)]

mod bans;
pub mod batch;
pub mod engine;
mod form;
pub mod guard;
pub mod kv;
pub mod kv_events;
pub mod layers;
pub mod limits;
pub mod load;
pub mod model;
pub mod models;
pub mod pages;
mod pooling;
pub mod request;
pub mod sampler;
mod scheduler;
mod thinking;
pub mod vocabulary;

/// The processor that a model runs on: whoever starts an engine chooses its threads and may measure it.
pub use kernels::{Cpu, CpuError, CpuOptions, Isa, OrExit, THREADS_MAX, give_back_freed_memory, probe};

// The mock model serves the tests in this crate and those outside, so it needs a name of the crate that holds in
// both (`engine` alone would be the module here).
#[cfg(test)]
extern crate self as kun_engine;
