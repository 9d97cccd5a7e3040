//! `kun detokenize`: token ids from standard input to text, byte for byte.

use serde::Deserialize;
use serde_json::json;

use crate::cli::DetokenizeArgs;
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::{model_file, output, terminal};

pub(crate) fn run(args: &DetokenizeArgs, environment: &Environment) -> Outcome {
    let gguf = model_file::open(&args.model, environment)?;
    let tokenizer = model_file::tokenizer(&gguf)?;
    let ids = parse(&terminal::read_input()?, tokenizer.len())?;
    let bytes = tokenizer.decode(&ids, true);
    if args.json {
        output::json(&json!({ "text": String::from_utf8_lossy(&bytes) }))
    } else {
        output::write(bytes)
    }
}

/// What `kun tokenize --json` writes.
#[derive(Deserialize)]
struct Ids {
    ids: Vec<u32>,
}

/// Ids as a JSON list, as the `ids` of a JSON object, or as numbers with blanks or commas between them.
fn parse(text: &str, vocabulary: usize) -> Outcome<Vec<u32>> {
    let text = text.trim();
    let json = |e: serde_json::Error| {
        Failure::usage(format!(
            "standard input is no JSON with token ids: {e}\ngive [1, 2] or {{\"ids\": [1, 2]}}"
        ))
    };
    let ids = match text.chars().next() {
        Some('[') => serde_json::from_str(text).map_err(json)?,
        Some('{') => serde_json::from_str::<Ids>(text).map_err(json)?.ids,
        _ => plain(text)?,
    };
    match ids.iter().find(|id| **id as usize >= vocabulary) {
        Some(id) => Err(Failure::usage(format!(
            "token id {id} is not in the vocabulary, whose ids are 0 to {}",
            vocabulary.saturating_sub(1)
        ))),
        None => Ok(ids),
    }
}

fn plain(text: &str) -> Outcome<Vec<u32>> {
    text.split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.parse().map_err(|_| {
                let shown: String = word.chars().take(40).collect();
                Failure::usage(format!("standard input: '{shown}' is not a token id\ngive numbers, or JSON"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_every_form() {
        for text in ["[1, 2,3]", "{\"pieces\": [], \"ids\": [1,2,3]}", "1 2\n3\n", "1, 2, 3"] {
            assert_eq!(parse(text, 4).expect(text), [1, 2, 3], "{text}");
        }
        assert_eq!(parse("", 4).expect("nothing is no id"), [0u32; 0]);
    }

    #[test]
    fn what_is_no_id_is_a_usage_error_that_shows_it() {
        for (text, part) in [
            ("1 two", "'two'"),
            ("[1, -2]", "-2"),
            ("[1", "EOF"),
            ("{\"id\": [1]}", "ids"),
            ("3 4", "0 to 3"),
            ("99999999999", "99999999999"),
        ] {
            let failure = parse(text, 4).expect_err(text);
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.to_string().contains(part), "{text}: {failure}");
        }
    }
}
