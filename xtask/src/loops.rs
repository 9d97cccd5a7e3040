//! How often a model's answers end in loops, and what the guard makes of them: `cargo xtask loops`.
//!
//! A hundred prompts of all kinds go to a server that runs already, at temperature 0, where small models loop most: first
//! with a guard that only stops, which tells how many loop, then with the one that recovers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;

const PROMPTS: &str = include_str!("loops/prompts.txt");
/// Requests at a time.
const TOGETHER: usize = 16;

#[derive(clap::Args)]
pub(crate) struct LoopsArgs {
    /// Where `kun serve` listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    address: String,
    /// Tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 1024)]
    max_tokens: usize,
    /// Write the answers of the second round to this file, a JSON object a line, for `kun check`
    #[arg(long, value_name = "FILE")]
    answers: Option<std::path::PathBuf>,
}

#[derive(Deserialize)]
struct Answered {
    choices: [Choice; 1],
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: String,
    repetition: Option<Repetition>,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

#[derive(Deserialize)]
struct Repetition {
    recovered: bool,
}

impl Choice {
    fn is_stopped(&self) -> bool {
        self.repetition.as_ref().is_some_and(|repetition| !repetition.recovered)
    }
}

pub(crate) fn run(args: &LoopsArgs) -> Result<()> {
    let stopped = ask_all(args, "stop")?;
    let looping: Vec<bool> = stopped.iter().map(Choice::is_stopped).collect();
    let count = |choices: &[&Choice], reason: &str| {
        choices.iter().filter(|choice| !choice.is_stopped() && choice.finish_reason == reason).count()
    };
    let loops = looping.iter().filter(|&&is| is).count();
    println!("{loops} of {} answers loop", looping.len());
    let recovered = ask_all(args, "recover")?;
    let caught: Vec<&Choice> = recovered.iter().filter(|choice| choice.repetition.is_some()).collect();
    let ended = count(&caught, "stop");
    let share = 100 * ended / caught.len().max(1);
    println!("of {} that the guard took back:", caught.len());
    println!("  {ended} ended by themselves ({share} %)");
    println!("  {} went on to their limit in another way", count(&caught, "length"));
    println!("  {} were ended", caught.iter().filter(|choice| choice.is_stopped()).count());
    if let Some(path) = &args.answers {
        let lines = PROMPTS.lines().zip(&recovered).map(|(prompt, choice)| {
            json!({"prompt": prompt, "text": choice.message.content, "finish_reason": choice.finish_reason})
                .to_string()
                + "\n"
        });
        std::fs::write(path, lines.collect::<String>())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The answers to all prompts, in their order.
fn ask_all(args: &LoopsArgs, loop_guard: &str) -> Result<Vec<Choice>> {
    let prompts: Vec<&str> = PROMPTS.lines().collect();
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::with_capacity(prompts.len()));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..TOGETHER)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some((index, prompt)) =
                        prompts.iter().enumerate().nth(next.fetch_add(1, Relaxed))
                    {
                        let choice = ask(args, loop_guard, prompt)?;
                        answers.lock().expect("no thread panics with it").push((index, choice));
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker gives errors back"))
    })?;
    let mut answers = answers.into_inner().expect("no thread panics with it");
    answers.sort_unstable_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, choice)| choice).collect())
}

fn ask(args: &LoopsArgs, loop_guard: &str, prompt: &str) -> Result<Choice> {
    let body = json!({
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0, "max_tokens": args.max_tokens, "loop_guard": loop_guard,
    })
    .to_string();
    let address = &args.address;
    let mut stream = TcpStream::connect(address).with_context(|| format!("nobody listens at {address}"))?;
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (head, body) = reply.split_once("\r\n\r\n").context("the server answers with no HTTP")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{address} answers {body}");
    }
    let answered: Answered = serde_json::from_str(body).context("the server answers with another JSON")?;
    let [choice] = answered.choices;
    Ok(choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_a_hundred_prompts_and_no_two_are_the_same() {
        let mut prompts: Vec<&str> = PROMPTS.lines().collect();
        prompts.sort_unstable();
        prompts.dedup();
        assert_eq!(prompts.len(), 100);
    }
}
