//! From a request's number to what is sent for it.

use serde_json::{Map, Value as Json, json};

use super::arguments::{Api, LoadArgs, Span};
use super::plan;
use super::prompts::{Prompt, Prompts};
use super::random::{Draw, For};

/// A request, ready to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) path: &'static str,
    pub(super) body: String,
    pub(super) max_tokens: u32,
    pub(super) is_stream: bool,
    /// The text of the answer is wanted.
    pub(super) is_kept: bool,
}

/// All requests of a run.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) model: String,
    pub(super) prompts: Prompts,
    api: Api,
    output: Span,
    temperature: f32,
    seed: u64,
    ends_early: bool,
    is_stream: bool,
    is_kept: bool,
}

impl Requests {
    /// Those that were asked for.
    pub(super) fn new(args: &LoadArgs, model: String, prompts: Prompts) -> Self {
        Requests {
            model,
            prompts,
            api: args.api,
            output: args.output_tokens,
            temperature: args.temperature,
            seed: args.seed,
            ends_early: args.allow_eos,
            is_stream: !args.no_stream,
            is_kept: args.save_outputs.is_some(),
        }
    }

    /// The request with this number.
    pub(super) fn at(&self, number: u64) -> Request {
        let (prompt, max_tokens) = self.prompt(number);
        let mut body = body(self.api, &self.model, prompt);
        body.insert("max_tokens".to_owned(), max_tokens.into());
        body.insert("temperature".to_owned(), shortest(self.temperature));
        if self.temperature > 0.0 {
            // Some servers keep 32 bits of a seed.
            let seed = Draw::new(self.seed, For::Sampling).at(number).below(1 << 31);
            body.insert("seed".to_owned(), seed.into());
        }
        if !self.ends_early {
            body.insert("ignore_eos".to_owned(), true.into());
        }
        body.insert("stream".to_owned(), self.is_stream.into());
        if self.is_stream {
            body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        }
        Request {
            number,
            path: self.api.path(),
            body: Json::from(body).to_string(),
            max_tokens,
            is_stream: self.is_stream,
            is_kept: self.is_kept,
        }
    }

    /// Its prompt, and the tokens of its answer.
    pub(super) fn prompt(&self, number: u64) -> (Prompt, u32) {
        let (prompt, max_tokens) = self.prompts.at(number);
        let drawn = || plan::length(self.output, self.seed, For::AnswerLengths, number);
        (prompt, max_tokens.unwrap_or_else(drawn))
    }
}

/// The fields that every request has.
pub(super) fn body(api: Api, model: &str, prompt: Prompt) -> Map<String, Json> {
    let mut body = Map::new();
    body.insert("model".to_owned(), model.into());
    let (name, value) = match (api, prompt) {
        (Api::Chat, Prompt::Messages(messages)) => ("messages", messages),
        (Api::Chat, prompt) => ("messages", json!([{ "role": "user", "content": prompt }])),
        (Api::Completions, prompt) => ("prompt", json!(prompt)),
    };
    body.insert(name.to_owned(), value);
    body
}

/// A number as it was typed: as f64, 0.7 would be 0.699999988079071.
fn shortest(number: f32) -> Json {
    number.to_string().parse::<f64>().map_or(Json::Null, Json::from)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: LoadArgs,
    }

    fn sent(flags: &[&str], prompt: Prompt, number: u64) -> Json {
        let args = Typed::parse_from([&["load", "host"], flags].concat()).args;
        let line = crate::commands::load::prompts::Line { prompt, max_tokens: None };
        let requests = Requests::new(&args, "m".to_owned(), Prompts::Lines(vec![line]));
        serde_json::from_str(&requests.at(number).body).expect("JSON")
    }

    #[test]
    fn requests_have_what_was_asked_for_and_nothing_else() {
        let text = || Prompt::Text("a".to_owned());
        assert_eq!(
            sent(&["--output-tokens", "5"], Prompt::Ids(vec![1, 2]), 0),
            json!({
                "model": "m", "prompt": [1, 2], "max_tokens": 5, "temperature": 0.0, "ignore_eos": true,
                "stream": true, "stream_options": {"include_usage": true}
            })
        );
        assert_eq!(
            sent(&["--api", "chat", "--no-stream", "--allow-eos", "--output-tokens", "5"], text(), 0),
            json!({
                "model": "m", "messages": [{"role": "user", "content": "a"}], "max_tokens": 5,
                "temperature": 0.0, "stream": false
            })
        );
        let messages = json!([{"role": "system", "content": "x"}]);
        assert_eq!(sent(&["--api", "chat"], Prompt::Messages(messages.clone()), 0)["messages"], messages);
    }

    #[test]
    fn with_randomness_each_request_has_a_seed_of_its_own() {
        let seed = |flags: &[&str], number| sent(flags, Prompt::Ids(vec![1]), number)["seed"].clone();
        let hot = &["--temperature", "0.7"][..];
        assert!(seed(hot, 1).is_u64());
        assert_eq!(seed(hot, 1), seed(hot, 1));
        assert_ne!(seed(hot, 1), seed(hot, 2));
        assert_eq!(seed(&[], 1), Json::Null);
        assert_eq!(sent(hot, Prompt::Ids(vec![1]), 1)["temperature"], json!(0.7));
    }

    #[test]
    fn answers_have_lengths_of_their_own() {
        let flags = &["--output-tokens", "10-1000"][..];
        let length = |number| sent(flags, Prompt::Ids(vec![1]), number)["max_tokens"].as_u64();
        assert_eq!(length(3), length(3));
        assert_ne!(length(3), length(4));
    }
}
