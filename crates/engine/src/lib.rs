//! The engine: scheduler, paged KV, sampler and the model architectures.
//!
//! One thread owns everything mutable. A request crosses two queues and no lock: a bounded inbox into that
//! thread and a sink out of it. Token ids go in and token ids come out; HTTP, JSON and text stay outside.

#![forbid(unsafe_code)]

pub mod batch;
pub mod engine;
pub mod kv;
pub mod limits;
pub mod model;
pub mod pages;
pub mod request;
pub mod sampler;
mod scheduler;

// The mock model of the tests is written against this crate's public name, inside the crate as well.
#[cfg(test)]
extern crate self as engine;
