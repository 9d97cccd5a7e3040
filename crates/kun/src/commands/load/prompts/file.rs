//! Prompts from a file of the user's: a text a line, or an object a line if the file's name ends in `.jsonl`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use super::super::arguments::Api;
use super::Prompt;
use crate::failure::{Failure, Outcome};

/// No file of prompts may be longer.
const BYTES_MAX: u64 = 256 << 20;

/// A prompt, and the most tokens of its answer if the file says so.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Line {
    pub(in super::super) prompt: Prompt,
    pub(in super::super) max_tokens: Option<u32>,
}

/// An object of a `.jsonl` file. Other fields are notes of the user's.
#[derive(Deserialize)]
struct Object {
    prompt: Option<Text>,
    messages: Option<Vec<Json>>,
    max_tokens: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Words(String),
    Ids(Vec<u32>),
}

/// Reads the prompts for a route.
pub(in super::super) fn read(path: &Path, api: Api) -> Outcome<Vec<Line>> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    file.map_err(|e| Failure::file("read", path, &e))?;
    let shown = path.display();
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Failure::usage(format!("{shown} is longer than {} MiB", BYTES_MAX >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let byte = e.utf8_error().valid_up_to();
        Failure::usage(format!("{shown} is not UTF-8 text: byte {byte} is the first that is not"))
    })?;
    let is_json = path.extension().is_some_and(|extension| extension == "jsonl");
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let lines = lines.map(|(number, line)| {
        let line = if is_json { object(line, api) } else { Ok(plain(line)) };
        line.map_err(|why| Failure::usage(format!("{shown}, line {number}: {why}")))
    });
    let lines = lines.collect::<Outcome<Vec<Line>>>()?;
    if lines.is_empty() {
        return Err(Failure::usage(format!("{shown} has no prompt: one a line is needed")));
    }
    Ok(lines)
}

fn plain(line: &str) -> Line {
    Line { prompt: Prompt::Text(line.to_owned()), max_tokens: None }
}

fn object(line: &str, api: Api) -> Result<Line, String> {
    let object: Object = serde_json::from_str(line)
        .map_err(|e| format!("{e}\nan object like {{\"prompt\": \"…\", \"max_tokens\": 128}} is needed"))?;
    let prompt = match (object.prompt, object.messages, api) {
        (Some(Text::Words(text)), None, _) => Prompt::Text(text),
        (Some(Text::Ids(ids)), None, Api::Completions) => Prompt::Ids(ids),
        (None, Some(messages), Api::Chat) => Prompt::Messages(messages.into()),
        (Some(Text::Ids(_)), None, Api::Chat) => return Err("token ids are for --api completions".to_owned()),
        (None, Some(_), Api::Completions) => return Err("messages are for --api chat".to_owned()),
        _ => return Err("either \"prompt\" or \"messages\" is needed".to_owned()),
    };
    match object.max_tokens {
        Some(0) => Err("max_tokens must be at least 1".to_owned()),
        max_tokens => Ok(Line { prompt, max_tokens }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_become_prompts_of_the_route() {
        for (line, api, expect) in [
            (
                r#"{"prompt": "a", "max_tokens": 5}"#,
                Api::Completions,
                Ok((Prompt::Text("a".into()), Some(5))),
            ),
            (r#"{"prompt": "a", "id": 7}"#, Api::Chat, Ok((Prompt::Text("a".into()), None))),
            (r#"{"prompt": [1, 2]}"#, Api::Completions, Ok((Prompt::Ids(vec![1, 2]), None))),
            (
                r#"{"messages": [{"role": "user"}]}"#,
                Api::Chat,
                Ok((Prompt::Messages(json!([{"role": "user"}])), None)),
            ),
            (r#"{"prompt": [1, 2]}"#, Api::Chat, Err("--api completions")),
            (r#"{"messages": []}"#, Api::Completions, Err("--api chat")),
            (r#"{"prompt": "a", "messages": []}"#, Api::Chat, Err("either")),
            (r#"{}"#, Api::Chat, Err("either")),
            (r#"{"prompt": "a", "max_tokens": 0}"#, Api::Chat, Err("at least 1")),
            (r#"{"prompt": 7}"#, Api::Chat, Err("an object like")),
            ("words", Api::Chat, Err("an object like")),
        ] {
            match (object(line, api), expect) {
                (Ok(found), Ok(expect)) => assert_eq!((found.prompt, found.max_tokens), expect, "{line}"),
                (Err(found), Err(expect)) => assert!(found.contains(expect), "{line}: {found}"),
                (found, expect) => panic!("{line}: {found:?}, not {expect:?}"),
            }
        }
    }
}
