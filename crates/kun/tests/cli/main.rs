//! Drives the real binary, as a user or a script would. No test here needs a model with weights.

mod answers;
mod broken_files;
mod chat;
mod check;
mod ctrl_c;
mod export;
mod kun;
mod model;
mod pull;
#[path = "../../../weights/tests/store/server.rs"]
#[allow(dead_code, reason = "shared with the tests of the store")]
mod server;
mod store_commands;
mod surroundings;
mod terminal;
mod text_commands;
mod usage;
mod vocabulary;
