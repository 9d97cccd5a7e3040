//! `kun serve` through the real binary, over real connections.

#[path = "../broken_models/cases.rs"]
#[allow(dead_code, reason = "shared with the tests of broken models")]
mod broken;
#[path = "../cli/ctrl_c.rs"]
mod ctrl_c;
#[path = "../cli/kun.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod kun;
mod loops;
mod measure;
mod memory;
mod metrics;
#[path = "../cli/model.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod model;
mod real;
mod server;
#[path = "../cli/vocabulary.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod vocabulary;

mod admission;
mod anthropic;
mod api_document;
mod batches;
mod control;
mod embeddings;
mod faults;
mod forms;
mod front_drain;
mod front_heads;
mod front_keys;
mod front_leaving;
mod front_log;
mod front_origin;
mod front_timeouts;
mod front_tls;
mod ollama;
mod openai;
mod openapi;
mod registry;
mod responses;
mod start;
mod tokens;
mod tools;
mod under_load;
mod wire;
