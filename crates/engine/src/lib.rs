//! The engine: scheduler, paged KV, sampler and the model architectures.
//!
//! One thread owns everything mutable. A request crosses two queues and no lock: a bounded inbox into that
//! thread and a sink out of it. Token ids go in and token ids come out; HTTP, JSON and text stay outside.

#![forbid(unsafe_code)]

pub mod batch;
pub mod kv;
pub mod model;
pub mod request;
