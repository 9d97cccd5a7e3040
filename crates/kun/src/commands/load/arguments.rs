//! The flags of `kun load`, each checked by itself.

use std::fmt;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};

use crate::parameters;

/// Streams at once: each is a thread.
pub(super) const CONCURRENCY_MAX: usize = 4096;
/// Requests of a run, each of which is remembered until the end.
pub(super) const REQUESTS_MAX: u64 = 1_000_000;
/// Tokens of a prompt or an answer.
const TOKENS_MAX: u32 = 1 << 20;
const DAY_SECONDS: f64 = 86_400.0;

#[derive(Debug, Args)]
#[command(after_help = "\
Without --rate it is a closed loop: --concurrency streams, each of which sends its next request when its last one \
has ended. With --rate it is an open loop: requests are sent when they are due, whatever became of the others. \
Prompts are a function of --seed and the request's number, so a run can be repeated on another server. \
docs/load.md says what each number means.")]
pub(crate) struct LoadArgs {
    /// The server: http://HOST:PORT, with or without /v1 behind it
    pub(super) url: String,
    /// The model to ask for [default: the first of /v1/models]
    #[arg(long, value_name = "NAME")]
    pub(super) model: Option<String>,
    /// The route to ask
    #[arg(long, value_enum, default_value_t = Api::Completions)]
    pub(super) api: Api,
    /// Streams at once, 1 to 4096; with --rate the most of them [default: 1; with --rate 1024]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=CONCURRENCY_MAX as u64), allow_negative_numbers = true)]
    pub(super) concurrency: Option<usize>,
    /// Send so many requests a second at random times (Poisson), 0.001 to 10000
    #[arg(long, value_name = "R", value_parser = rate, allow_negative_numbers = true)]
    pub(super) rate: Option<f64>,
    /// End after so many requests, 1 to 1000000 [default: 4 for each stream, 100 with --rate, or what --duration allows]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..=REQUESTS_MAX), allow_negative_numbers = true)]
    pub(super) requests: Option<u64>,
    /// Send no more requests after so many seconds, 0.1 to 86400; those that run are waited for
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) duration: Option<f64>,
    /// Tokens of a prompt: N, or MIN-MAX for evenly drawn lengths [default: 128]
    #[arg(long, value_name = "N|MIN-MAX", value_parser = span, conflicts_with = "prompts", allow_negative_numbers = true)]
    pub(super) prompt_tokens: Option<Span>,
    /// Tokens of an answer: N, or MIN-MAX for evenly drawn lengths
    #[arg(long, value_name = "N|MIN-MAX", value_parser = span, default_value = "128", allow_negative_numbers = true)]
    pub(super) output_tokens: Span,
    /// The fraction of each prompt that requests have in common, 0 to 1 [default: 0]
    #[arg(long, value_name = "FRACTION", value_parser = fraction, conflicts_with = "prompts", allow_negative_numbers = true)]
    pub(super) shared_prefix: Option<f64>,
    /// Have so many different prefixes in turn, 1 to 1000000 [default: 1]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..=REQUESTS_MAX), conflicts_with = "prompts", allow_negative_numbers = true)]
    pub(super) prefix_groups: Option<u64>,
    /// Take the prompts from this file in turn: one a line, or JSON with "prompt" or "messages" a line if it ends in .jsonl
    #[arg(long, value_name = "FILE")]
    pub(super) prompts: Option<PathBuf>,
    /// Randomness of the answers, 0 to 5
    #[arg(long, value_name = "T", value_parser = parameters::temperature, default_value = "0", allow_negative_numbers = true)]
    pub(super) temperature: f32,
    /// Let answers end by themselves: ignore_eos is not sent
    #[arg(long)]
    pub(super) allow_eos: bool,
    /// The same seed gives the same prompts, lengths and times
    #[arg(long, value_name = "N", value_parser = parameters::seed, default_value = "1", allow_negative_numbers = true)]
    pub(super) seed: u64,
    /// The key to send [default: OPENAI_API_KEY from the environment]
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<String>,
    /// Send this header as well; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(super) headers: Vec<Header>,
    /// Give a request up after so many seconds, 0.1 to 86400
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "600", allow_negative_numbers = true)]
    pub(super) timeout: f64,
    /// Ask for whole answers instead of streams
    #[arg(long)]
    pub(super) no_stream: bool,
    /// First send so many requests that do not count, 0 to 10000
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(0..=10_000), default_value = "0", allow_negative_numbers = true)]
    pub(super) warmup: u64,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Write the report with plots to this file
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write prompts and answers to this file, a JSON object a line, in the order of the requests
    #[arg(long, value_name = "FILE")]
    pub(super) save_outputs: Option<PathBuf>,
}

/// A route for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Api {
    Completions,
    Chat,
}

impl Api {
    /// Its name, as the flag has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Api::Completions => "completions",
            Api::Chat => "chat",
        }
    }

    /// Its path.
    pub(super) fn path(self) -> &'static str {
        match self {
            Api::Completions => "/v1/completions",
            Api::Chat => "/v1/chat/completions",
        }
    }
}

/// A length, or the lengths from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) min: u32,
    pub(super) max: u32,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{}-{}", self.min, self.max) }
    }
}

/// A header to send; its value may be a secret and is not shown.
#[derive(Clone)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

fn rate(text: &str) -> Result<f64, String> {
    parameters::number(text, 0.001, 10_000.0)
}

fn seconds(text: &str) -> Result<f64, String> {
    parameters::number(text, 0.1, DAY_SECONDS)
}

fn fraction(text: &str) -> Result<f64, String> {
    parameters::number(text, 0.0, 1.0)
}

fn span(text: &str) -> Result<Span, String> {
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    let number = |text| parameters::number(text, 1, TOKENS_MAX);
    match (number(min), number(max)) {
        (Ok(min), Ok(max)) if min <= max => Ok(Span { min, max }),
        _ => {
            Err(format!("it must be a number from 1 to {TOKENS_MAX}, or two like 100-200, the smaller first"))
        }
    }
}

fn header(text: &str) -> Result<Header, String> {
    let wrong = || "it must be like 'X-Name: value', without line breaks".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let (name, value) = (name.trim(), value.trim());
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let is_value = value.chars().all(|c| c == '\t' || c == ' ' || c.is_ascii_graphic());
    if name.is_empty() || !name.chars().all(is_token) || !is_value {
        return Err(wrong());
    }
    Ok(Header { name: name.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_one_number_or_two_in_order() {
        for (text, expect) in [
            ("128", Some((128, 128))),
            ("1-1", Some((1, 1))),
            ("100-200", Some((100, 200))),
            ("200-100", None),
            ("0", None),
            ("1-", None),
            ("-5", None),
            ("1048577", None),
            ("many", None),
        ] {
            assert_eq!(span(text).ok().map(|span| (span.min, span.max)), expect, "{text}");
        }
        assert_eq!(span("100-200").map(|span| span.to_string()), Ok("100-200".to_owned()));
    }

    #[test]
    fn a_header_is_a_name_and_a_value_and_its_value_is_not_shown() {
        let good = header("X-Key:  a b ").expect("a header");
        assert_eq!((good.name.as_str(), good.value.as_str()), ("X-Key", "a b"));
        assert!(!format!("{good:?}").contains("a b"));
        for bad in ["", ": a", "X Y: a", "no colon", "X: a\r\nY: b", "X: \u{e9}"] {
            assert!(header(bad).is_err(), "{bad:?}");
        }
    }
}
