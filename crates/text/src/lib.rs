//! Bytes to tokens to messages and back: tokenizers, incremental decoding, stop strings, chat templates.
//!
//! Pure functions over plain data: no threads, no clocks, no files.

pub mod template;
