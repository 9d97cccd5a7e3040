//! Bytes to tokens to messages and back: tokenizers, incremental decoding, stop strings, chat templates.
//!
//! Pure functions over plain data: no threads, no clocks, no files.

#![forbid(unsafe_code)]

pub mod decoder;
pub mod stop;
pub mod template;
pub mod tokenizer;
pub mod vocabulary;
