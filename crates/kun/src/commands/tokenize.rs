//! `kun tokenize`: text from standard input to token ids.

use std::fmt::Write;

use serde::Serialize;

use crate::cli::TokenizeArgs;
use crate::environment::Environment;
use crate::failure::Outcome;
use crate::{model_file, output, terminal};

/// The JSON of `kun tokenize`.
#[derive(Serialize)]
struct Tokens {
    ids: Vec<u32>,
    pieces: Vec<String>,
}

pub(crate) fn run(args: &TokenizeArgs, environment: &Environment) -> Outcome {
    let gguf = model_file::open(&args.model, environment)?;
    let tokenizer = model_file::tokenizer(&gguf)?;
    let text = terminal::read_input()?;
    let mut ids = tokenizer.encode(&text, args.special);
    if args.bos
        && let Some(bos) = tokenizer.bos_to_add()
    {
        ids.insert(0, bos);
    }
    // A piece may be part of a character only; JSON and the terminal then get the replacement character.
    let pieces = ids.iter().map(|id| String::from_utf8_lossy(tokenizer.piece(*id)).into_owned()).collect();
    let tokens = Tokens { ids, pieces };
    if args.json {
        return output::json(&tokens);
    }
    let mut lines = String::new();
    for (id, piece) in tokens.ids.iter().zip(&tokens.pieces) {
        writeln!(lines, "{id}\t{}", piece.escape_debug()).expect("a String takes everything");
    }
    output::write(lines)
}
