//! `kun tokenize`: text from standard input to token ids.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Serialize;
use text::tokenizer::{Specials, Tokenizer};

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
    let specials = if args.special { Specials::Parse } else { Specials::AsText };
    let mut ids = tokenizer.encode(&text, specials);
    if args.bos
        && let Some(bos) = tokenizer.bos_to_add()
    {
        ids.insert(0, bos);
    }
    let pieces = ids.iter().map(|id| shown(&tokenizer, *id)).collect();
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

/// The text of a token: what it stands for, or the name of one that is structure. A token may be a part of a
/// character only; then there is the replacement character.
fn shown(tokenizer: &Tokenizer, id: u32) -> String {
    let name = if tokenizer.is_special(id) { tokenizer.token_text(id) } else { None };
    name.or_else(|| tokenizer.piece(id).map(String::from_utf8_lossy)).map(Cow::into_owned).unwrap_or_default()
}
