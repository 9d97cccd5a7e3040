//! Drives the real binary, as a user or a script would. No test here needs a model with weights.

mod broken_files;
mod kun;
mod model;
mod store_commands;
mod surroundings;
mod text_commands;
mod usage;
mod vocabulary;
