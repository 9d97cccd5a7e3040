//! Bytes to tokens to messages and back: tokenizers, incremental decoding, stop strings, chat templates,
//! what models answer, the forms of answers, repetitions.
//!
//! Pure functions over plain data: no clocks, no files, and no threads but the one whose stack a template runs on.

#![forbid(unsafe_code)]

pub mod decoder;
pub mod grammar;
pub mod phrases;
pub mod repetition;
pub mod speech;
pub mod stop;
pub mod template;
pub mod tokenizer;
pub mod vocabulary;
