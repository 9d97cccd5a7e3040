//! The HTTP service: many clients, one engine a model, and the wire shapes that existing clients expect.
//!
//! ```text
//! connection ─► front (log, error shape, host, key) ─► route ─► lower ─► Job ─► Running ─► render ─► body
//! ```
//!
//! Each API is a thin lowering of its requests onto one [`job::Job`] and a rendering of one stream of
//! [`running::Event`]s. Every 4xx is decided on the way down; nothing that was taken is lost on the way up. What a model
//! computes, and how, is not known here: token ids go to the engine's handle and token ids come back.

#![forbid(unsafe_code)]

mod admission;
mod answers;
mod anthropic;
pub mod batch;
mod bias;
mod body;
mod body_memory;
mod cache_doctor;
pub mod config;
mod connection;
mod conversation;
mod date;
mod deadline;
mod embedding;
mod error;
mod exchange;
mod forms;
mod front;
mod health;
mod in_process;
mod job;
mod kept;
pub mod keys;
mod kv_feed;
mod lowering;
mod metrics;
pub mod model;
mod ollama;
mod openai;
mod openapi;
mod page;
pub mod registry;
mod router;
mod running;
mod sampling_fields;
mod speech;
mod state;
mod stream;
mod templated;
mod tls;
mod tokens;
mod tools;

pub use config::Config;
pub use connection::{Control, Server, StartError};
pub use forms::Forms;
pub use in_process::{Answer, AnswerBody, InProcess};
pub use keys::Key;
pub use kv_feed::KvFeedConfig;
pub use model::{Defaults, Details, ServedModel};
pub use registry::{Entry, Loader, Registry};
pub use speech::Speaking;
pub use tls::{Tls, TlsError};
