//! `kun perplexity`: how well a model predicts a text, by the method of llama.cpp, so that figures compare.
//!
//! The text is cut into chunks of `--ctx` tokens. Each chunk stands for itself: its first token is
//! replaced by the beginning-of-text token where the vocabulary asks for one, and only the tokens of its
//! second half are scored, so that each has at least half a chunk before it.

use std::fs;
use std::time::Instant;

use engine::request::{Request, TokenId};
use serde::Serialize;
use text::tokenizer::Specials;

use crate::cli::PerplexityArgs;
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::session::{self, Ctx, Session};
use crate::{output, terminal};

/// The JSON of `kun perplexity`.
#[derive(Serialize)]
struct Report {
    perplexity: f64,
    /// Tokens that were scored.
    tokens: usize,
    chunks: usize,
    seconds: f64,
}

pub(crate) fn run(args: &PerplexityArgs, environment: &Environment) -> Outcome {
    let text = read(args)?;
    let options = session::Options {
        for_measuring: true,
        ..session::Options::one_sequence(Ctx::Exactly(args.ctx), args.threads)
    };
    let session = Session::open(&args.model, &options, environment)?;
    let tokens = session.tokenizer.encode_prompt(&text, Specials::Parse);
    let needed = 2 * args.ctx;
    if tokens.len() < needed {
        return Err(Failure::usage(format!(
            "{} has {} tokens, a context of {} needs {needed}\ngive a longer text or a smaller --ctx",
            args.file.display(),
            tokens.len(),
            args.ctx
        )));
    }
    let report = measure(&session, &tokens, args.ctx)?;
    if args.json {
        return output::json(&report);
    }
    output::write(format!(
        "perplexity {:.4} ({} tokens scored, {} chunks of {}, {:.1} s)\n",
        report.perplexity, report.tokens, report.chunks, args.ctx, report.seconds
    ))
}

fn read(args: &PerplexityArgs) -> Outcome<String> {
    let bytes = fs::read(&args.file).map_err(|e| Failure::file("read", &args.file, &e))?;
    String::from_utf8(bytes).map_err(|e| {
        let byte = e.utf8_error().valid_up_to();
        Failure::usage(format!(
            "{} is not UTF-8 text: byte {byte} is the first that is not",
            args.file.display()
        ))
    })
}

fn measure(session: &Session, tokens: &[TokenId], ctx: usize) -> Outcome<Report> {
    let started = Instant::now();
    let bos = session.tokenizer.bos_to_add();
    let mut score = Score::default();
    let bar = terminal::step_bar("perplexity", (tokens.len() / ctx) as u64);
    for chunk in tokens.chunks_exact(ctx) {
        let mut prompt = chunk.to_vec();
        if let Some(bos) = bos {
            prompt[0] = bos;
        }
        let request = Request { prompt_logprobs: Some(0), ..Request::new(prompt, 0) };
        let logprobs = session.prompt_logprobs(request)?;
        score.add(scored(&logprobs, ctx));
        bar.inc(1);
        bar.set_message(format!("perplexity {:.4}", score.perplexity()));
    }
    bar.finish_and_clear();
    Ok(Report {
        perplexity: score.perplexity(),
        tokens: score.tokens,
        chunks: tokens.len() / ctx,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Those of a chunk's log-probabilities that count: of the tokens after its middle one. The first entry is
/// the second token's.
fn scored(logprobs: &[f32], ctx: usize) -> &[f32] {
    assert_eq!(logprobs.len(), ctx - 1, "every token but the first has a log-probability");
    &logprobs[ctx / 2..]
}

#[derive(Debug, Default)]
struct Score {
    /// Sum of the negative log-probabilities.
    nll: f64,
    tokens: usize,
}

impl Score {
    fn add(&mut self, logprobs: &[f32]) {
        self.nll -= logprobs.iter().map(|l| f64::from(*l)).sum::<f64>();
        self.tokens += logprobs.len();
    }

    fn perplexity(&self) -> f64 {
        (self.nll / self.tokens as f64).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_after_the_middle_one_are_scored() {
        // Entry i is the log-probability of token i + 1; of 512 tokens, llama.cpp scores 257 to 511.
        let logprobs: Vec<f32> = (1..512).map(|token| token as f32).collect();
        let scored = scored(&logprobs, 512);
        assert_eq!((scored.len(), scored[0], scored[254]), (255, 257.0, 511.0));
    }

    #[test]
    fn a_uniform_guess_among_n_has_perplexity_n() {
        let mut score = Score::default();
        score.add(&[(0.125f32).ln(); 10]);
        score.add(&[(0.125f32).ln(); 3]);
        assert!((score.perplexity() - 8.0).abs() < 1e-5);
        assert_eq!(score.tokens, 13);
    }
}
