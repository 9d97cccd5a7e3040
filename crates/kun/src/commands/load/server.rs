//! What is asked of the server before a run: which model it has, and how text becomes tokens there.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::arguments::{Api, LoadArgs, Span};
use super::client::{self, Client};
use super::fault::{Fault, Kind};
use super::prompts::{self, Calibration, Prompt, Prompts, Shape, WORDS};
use super::requests;
use super::wire::Chunk;
use crate::failure::{Failure, Outcome};
use crate::output;

const PROMPT_TOKENS_DEFAULT: Span = Span { min: 128, max: 128 };
/// Fewer different tokens would make prompts that begin alike by chance.
const POOL_MIN: usize = 100;
/// Words of the two requests that calibrate.
const CALIBRATION_WORDS: [usize; 2] = [16, 144];

/// The model to ask for. Whatever was asked for, this tells whether the server is there.
pub(super) fn model(client: &Client<'_>, address: &str, wanted: Option<&str>) -> Outcome<String> {
    let list = client.get("/v1/models").and_then(client::json);
    match (list, wanted) {
        (Ok(_), Some(name)) => Ok(name.to_owned()),
        (Ok(list), None) => {
            let first = list["data"][0]["id"].as_str();
            first.map(str::to_owned).ok_or_else(|| {
                Failure::io(format!("{address} names no model in /v1/models\nname one with --model"))
            })
        }
        // It answers, so it is there; it may have no such list.
        (Err(fault), Some(name))
            if matches!(fault.kind, Kind::Refused | Kind::Unreadable) && !is_key(&fault) =>
        {
            Ok(name.to_owned())
        }
        (Err(fault), _) => Err(failure(address, "/v1/models", &fault)),
    }
}

/// The prompts that were asked for.
pub(super) fn prompts(client: &Client<'_>, address: &str, model: &str, args: &LoadArgs) -> Outcome<Prompts> {
    if let Some(path) = &args.prompts {
        return Ok(Prompts::Lines(prompts::read(path, args.api)?));
    }
    let shape = Shape {
        tokens: args.prompt_tokens.unwrap_or(PROMPT_TOKENS_DEFAULT),
        shared: args.shared_prefix.unwrap_or(0.0),
        groups: args.prefix_groups.unwrap_or(1),
        seed: args.seed,
    };
    if args.api == Api::Completions
        && let Some(pool) = pool(client, address, model)?
    {
        return Ok(Prompts::Ids { pool, shape });
    }
    let calibration = calibration(client, address, model, args)?;
    Ok(Prompts::Words { calibration, shape })
}

/// The tokens of all words; none if the server does not tell.
fn pool(client: &Client<'_>, address: &str, model: &str) -> Outcome<Option<Vec<u32>>> {
    let text = WORDS.join(" ");
    // Kun and llama-server have the first form, vLLM has the second.
    let forms = [
        json!({ "content": text, "add_special": false }),
        json!({ "model": model, "prompt": text, "add_special_tokens": false }),
    ];
    for form in forms {
        let answer = client.post("/tokenize", &form.to_string()).and_then(client::json);
        let ids = match answer {
            Ok(json) => ids(&json),
            Err(fault)
                if fault.kind == Kind::Unreadable || (fault.kind == Kind::Refused && !is_key(&fault)) =>
            {
                None
            }
            Err(fault) => return Err(failure(address, "/tokenize", &fault)),
        };
        let Some(mut ids) = ids else { continue };
        ids.sort_unstable();
        ids.dedup();
        if ids.len() >= POOL_MIN {
            return Ok(Some(ids));
        }
    }
    Ok(None)
}

fn ids(json: &Json) -> Option<Vec<u32>> {
    json["tokens"].as_array()?.iter().map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

/// Learns from two requests how many tokens words become.
fn calibration(client: &Client<'_>, address: &str, model: &str, args: &LoadArgs) -> Outcome<Calibration> {
    let mut counted = [0.0; 2];
    for (words, counted) in CALIBRATION_WORDS.into_iter().zip(&mut counted) {
        let text = prompts::calibration_text(args.seed, words);
        let mut body = requests::body(args.api, model, Prompt::Text(text));
        body.insert("max_tokens".to_owned(), 1.into());
        body.insert("stream".to_owned(), false.into());
        let answer = client.post(args.api.path(), &Json::from(body).to_string()).and_then(client::json);
        let answer = answer.map_err(|fault| failure(address, args.api.path(), &fault))?;
        let usage = serde_json::from_value::<Chunk>(answer).ok().and_then(|chunk| chunk.part().usage);
        let Some(tokens) = usage.and_then(|usage| usage.prompt_tokens) else {
            output::note("the server counts no tokens of prompts: a word is taken for a token");
            return Ok(Calibration { overhead: 0.0, tokens_per_word: 1.0 });
        };
        *counted = f64::from(tokens);
    }
    Ok(line_through(counted))
}

/// The straight line through the two counts.
fn line_through([few, many]: [f64; 2]) -> Calibration {
    let [few_words, many_words] = CALIBRATION_WORDS.map(|words| words as f64);
    // No vocabulary has tokens of many words, or makes hundreds of a word.
    let tokens_per_word = ((many - few) / (many_words - few_words)).clamp(0.1, 100.0);
    Calibration { overhead: (few - few_words * tokens_per_word).max(0.0), tokens_per_word }
}

/// Is the fault that a key is missing or wrong?
fn is_key(fault: &Fault) -> bool {
    ["HTTP 401", "HTTP 403"].iter().any(|status| fault.message.starts_with(status))
}

/// Why a run can't begin.
fn failure(address: &str, path: &str, fault: &Fault) -> Failure {
    let mut message = match fault.kind {
        Kind::Unreachable => format!("cannot reach {address}: {}", fault.message),
        _ => format!("{address}{path}: {}", fault.message),
    };
    if is_key(fault) {
        write!(message, "\ngive the key with --key or OPENAI_API_KEY").expect("a String takes everything");
    }
    Failure::io(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_counts_make_a_line() {
        for (counts, overhead, tokens_per_word) in [
            ([36.0, 164.0], 20.0, 1.0),
            ([16.0, 144.0], 0.0, 1.0),
            ([44.0, 300.0], 12.0, 2.0),
            ([1.0, 1.0], 0.0, 0.1),
        ] {
            assert_eq!(line_through(counts), Calibration { overhead, tokens_per_word }, "{counts:?}");
        }
    }

    #[test]
    fn token_ids_are_numbers() {
        assert_eq!(ids(&json!({ "tokens": [1, 2] })), Some(vec![1, 2]));
        for other in
            [json!({ "tokens": ["a"] }), json!({ "count": 5 }), json!({ "tokens": [-1] }), json!([1])]
        {
            assert_eq!(ids(&other), None, "{other}");
        }
    }
}
