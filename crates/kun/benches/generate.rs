//! How fast the engine alone answers many prompts: `cargo bench -p kun --bench generate [MODEL] [PROMPTS] [TOKENS] [ROUNDS]`.
//!
//! Prints the tokens a second of each round. No text is made of the tokens. `crates/py/benches/generate.py` does the same
//! through the Python package, and is held against this.

use std::time::Instant;

use engine::request::Request;
use kun::local::Local;
use text::tokenizer::Specials;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let number = |at: usize, or: usize| args.get(at).map_or(or, |arg| arg.parse().expect("a number"));
    let model = args.first().map(|name| name.as_ref());
    let (prompts, tokens, rounds) = (number(1, 64), number(2, 64), number(3, 5));
    let local = Local::open(model, &[], &mut |_| {}).unwrap_or_else(|error| panic!("{error:?}"));
    // The first one is not counted: buffers get their size in it.
    for round in 0..=rounds {
        let started = Instant::now();
        let requests = (0..prompts).map(|prompt| {
            let text = format!("Round {round}, story {prompt}: once upon a time");
            Request::new(local.tokenizer.encode_prompt(&text, Specials::AsText), tokens)
        });
        let answers = local.handle.submit_all(requests.collect()).expect("the queue has room");
        let generated: usize = answers.into_iter().flatten().map(|chunk| chunk.tokens.len()).sum();
        if round > 0 {
            println!("{:.1}", generated as f64 / started.elapsed().as_secs_f64());
        }
    }
    local.shut_down();
}
