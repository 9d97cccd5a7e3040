//! `kun bench`: what this machine can do at most, and what a model gets out of it.
//!
//! Each test goes through the engine as any other request does, after a short run that isn't measured. Prompts
//! are random tokens of the vocabulary, the same ones each time, and no token ends an answer early.

mod limits;

use engine::request::{Finished, LoopGuard, Request, TokenId};
use serde::Serialize;

use crate::cli::BenchArgs;
use crate::environment::Environment;
use crate::failure::Outcome;
use crate::session::{self, Ctx, Machine, Session};
use crate::terminal::per_second;
use crate::{output, terminal};

use limits::Limits;

/// Tokens that are generated and counted in a test of generation.
const GENERATED: usize = 128;
/// Tokens of each sequence's prompt in a batched test: enough to be a prompt, few enough not to matter.
const BATCHED_PROMPT: usize = 16;

/// A test: a row of the table below.
#[derive(Debug)]
struct Test {
    name: &'static str,
    work: Work,
}

#[derive(Debug, Clone, Copy)]
enum Work {
    /// Evaluate a prompt of so many tokens.
    Prompt { tokens: usize },
    /// Generate after so many tokens, in so many sequences at once.
    Generation { depth: usize, sequences: usize },
}

/// All tests, in the order in which they run.
const TESTS: &[Test] = &[
    Test { name: "pp512", work: Work::Prompt { tokens: 512 } },
    Test { name: "pp2048", work: Work::Prompt { tokens: 2048 } },
    Test { name: "tg128", work: Work::Generation { depth: 1, sequences: 1 } },
    Test { name: "tg128@2048", work: Work::Generation { depth: 2048, sequences: 1 } },
    Test { name: "tg128@4096", work: Work::Generation { depth: 4096, sequences: 1 } },
    Test { name: "tg128x1", work: Work::Generation { depth: BATCHED_PROMPT, sequences: 1 } },
    Test { name: "tg128x4", work: Work::Generation { depth: BATCHED_PROMPT, sequences: 4 } },
    Test { name: "tg128x16", work: Work::Generation { depth: BATCHED_PROMPT, sequences: 16 } },
    Test { name: "tg128x32", work: Work::Generation { depth: BATCHED_PROMPT, sequences: 32 } },
];

/// A test's result; the JSON of `kun bench` is a list of these.
#[derive(Debug, Serialize)]
struct Measured {
    name: &'static str,
    tokens_per_second: f64,
    limit_tokens_per_second: f64,
    fraction_of_limit: f64,
}

/// This machine, without a model.
#[derive(Debug, Serialize)]
struct Alone {
    isa: &'static str,
    threads: usize,
    #[serde(flatten)]
    machine: Machine,
}

/// Parses a value of `--only`.
pub(crate) fn test_name(text: &str) -> Result<String, String> {
    match TESTS.iter().find(|test| test.name == text) {
        Some(test) => Ok(test.name.to_owned()),
        None => Err(format!("the tests are {}", TESTS.iter().map(|t| t.name).collect::<Vec<_>>().join(", "))),
    }
}

pub(crate) fn run(args: &BenchArgs, environment: &Environment) -> Outcome {
    let Some(model) = &args.model else { return bench_machine(args, environment) };
    let chosen: Vec<&Test> = TESTS
        .iter()
        .filter(|t| args.only.is_empty() || args.only.iter().any(|name| name == t.name))
        .collect();
    let session = Session::open(model, &options(&chosen, args.threads), environment)?;
    let limits = Limits::measure(&session);
    if !args.json {
        output::write(head(&limits, &session))?;
    }
    let bar = terminal::step_bar("bench", (chosen.len() * args.repeat) as u64);
    let mut results = Vec::new();
    for test in chosen {
        if test.work.tokens_of_a_sequence() > session.ctx {
            bar.suspend(|| {
                output::note(format!(
                    "{}: left out, the model's context is {} tokens",
                    test.name, session.ctx
                ));
            });
            continue;
        }
        bar.set_message(test.name);
        let result = measure(&session, test, &limits, args.repeat, || bar.inc(1))?;
        if !args.json {
            bar.suspend(|| output::write(row(&result)))?;
        }
        results.push(result);
    }
    bar.finish_and_clear();
    if args.json { output::json(&results) } else { Ok(()) }
}

fn bench_machine(args: &BenchArgs, environment: &Environment) -> Outcome {
    let cpu = session::cpu(args.threads, environment)?;
    let alone = Alone { isa: cpu.isa().name(), threads: cpu.threads(), machine: Machine::measure(&cpu) };
    if args.json {
        return output::json(&alone);
    }
    output::write(format!("{} with {} threads\n{}\n", alone.isa, alone.threads, machine_line(&alone.machine)))
}

/// Room for the longest and for the broadest test.
fn options(tests: &[&Test], threads: Option<usize>) -> session::Options {
    let works = || tests.iter().map(|test| test.work);
    session::Options {
        ctx: Ctx::AtMost(works().map(Work::tokens_of_a_sequence).max().unwrap_or(1)),
        threads,
        sequences: works().map(Work::sequences).max().unwrap_or(1),
        kv_tokens: works().map(|work| work.sequences() * work.tokens_of_a_sequence()).max().unwrap_or(1),
        for_measuring: true,
    }
}

fn measure(
    session: &Session,
    test: &Test,
    limits: &Limits,
    repeat: usize,
    mut done_once: impl FnMut(),
) -> Outcome<Measured> {
    test.work.warm_up(session)?;
    let mut speeds = Vec::with_capacity(repeat);
    for round in 0..repeat {
        speeds.push(test.work.run(session, round as u64)?);
        done_once();
    }
    let tokens_per_second = median(&mut speeds);
    let limit = limits.of(test.work);
    Ok(Measured {
        name: test.name,
        tokens_per_second,
        limit_tokens_per_second: limit,
        fraction_of_limit: tokens_per_second / limit,
    })
}

impl Work {
    /// Tokens that the KV cache must hold of each sequence.
    fn tokens_of_a_sequence(self) -> usize {
        match self {
            Work::Prompt { tokens } => tokens + 1,
            Work::Generation { depth, .. } => depth + GENERATED + 1,
        }
    }

    fn sequences(self) -> usize {
        match self {
            Work::Prompt { .. } => 1,
            Work::Generation { sequences, .. } => sequences,
        }
    }

    /// Does the work once: tokens per second, of all sequences together.
    fn run(self, session: &Session, seed: u64) -> Outcome<f64> {
        let (prompt_tokens, max_tokens) = match self {
            Work::Prompt { tokens } => (tokens, 1),
            // The first token comes out of the prompt; the time of the others is measured.
            Work::Generation { depth, .. } => (depth, GENERATED + 1),
        };
        let all = session.finish_all(self.requests(session, prompt_tokens, max_tokens, seed))?;
        Ok(all.iter().map(|finished| self.speed(finished)).sum())
    }

    /// Steps of the same breadth, so that buffers have their size and their pages when it counts.
    fn warm_up(self, session: &Session) -> Outcome {
        let (prompt_tokens, max_tokens) = match self {
            Work::Prompt { tokens } => (tokens.min(512), 1),
            Work::Generation { .. } => (1, 4),
        };
        session.finish_all(self.requests(session, prompt_tokens, max_tokens, u64::MAX >> 32)).map(drop)
    }

    fn requests(self, session: &Session, prompt_tokens: usize, max_tokens: usize, seed: u64) -> Vec<Request> {
        let request = |sequence| {
            let prompt = random_prompt(session, prompt_tokens, seed << 32 | sequence as u64);
            // What it says does not matter, but how much.
            Request { loop_guard: LoopGuard::Off, ..Request::new(prompt, max_tokens) }
        };
        (0..self.sequences()).map(request).collect()
    }

    fn speed(self, finished: &Finished) -> f64 {
        match self {
            Work::Prompt { tokens } => per_second(tokens, finished.prompt),
            Work::Generation { .. } => per_second(GENERATED, finished.generation),
        }
    }
}

/// Ordinary tokens, drawn evenly; the same seed gives the same ones (SplitMix64).
fn random_prompt(session: &Session, tokens: usize, seed: u64) -> Vec<TokenId> {
    let vocabulary = session.tokenizer.len() as u64;
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut draw = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % vocabulary) as TokenId
    };
    // A vocabulary of special tokens only is no model's, but it must not hang the bench.
    (0..tokens)
        .map(|_| {
            let tries = std::iter::repeat_with(&mut draw).take(1000);
            tries.into_iter().find(|id| !session.tokenizer.is_special(*id)).unwrap_or(0)
        })
        .collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn machine_line(machine: &Machine) -> String {
    format!(
        "this machine: reads {:.1} GB/s, int8 {:.0} GOP/s",
        machine.read_bytes_per_second / 1e9,
        machine.int8_ops_per_second / 1e9
    )
}

fn head(limits: &Limits, session: &Session) -> String {
    format!(
        "{}, loaded in {:.1} s\n{}\n\n{:12}{:>12}{:>12}{:>10}\n",
        session.name,
        session.load_time.as_secs_f64(),
        machine_line(&limits.machine),
        "test",
        "tokens/s",
        "limit",
        "of limit"
    )
}

fn row(m: &Measured) -> String {
    format!(
        "{:12}{:>12.1}{:>12.1}{:>8.0} %\n",
        m.name,
        m.tokens_per_second,
        m.limit_tokens_per_second,
        100.0 * m.fraction_of_limit
    )
}
