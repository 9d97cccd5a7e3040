//! `kun serve` through the real binary, over real connections.

#[path = "../cli/kun.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod kun;
#[path = "../cli/model.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod model;
mod server;
#[path = "../cli/vocabulary.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod vocabulary;

mod embeddings;
mod openai;
mod openapi;
mod responses;
mod tokens;
mod wire;
