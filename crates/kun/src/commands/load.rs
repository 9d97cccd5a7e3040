//! `kun load`: how a server behaves under load, whichever it is, as long as it speaks as OpenAI's does.
//!
//! What is sent is a function of the flags and the seed, so two servers can be given the same. Every number is
//! of single requests that were measured here; what a server says of its own speed is not looked at.

mod answer;
mod arguments;
mod client;
mod fault;
mod html;
mod percentiles;
mod plan;
mod prompts;
mod random;
mod report;
mod requests;
mod run;
mod server;
mod sse;
mod table;
mod wire;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;

pub(crate) use arguments::LoadArgs;

use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupts;
use crate::{output, terminal};
use answer::Record;
use client::{Access, Server};
use fault::Kind;
use plan::Plan;
use prompts::Prompt;
use report::{Report, Settings};
use requests::Requests;
use run::{Progress, Run};

pub(crate) fn run(args: &LoadArgs, environment: &Environment, interrupts: &Interrupts) -> Outcome {
    let access = Access {
        key: args.key.as_deref().or(environment.openai_key.as_deref()),
        headers: &args.headers,
        timeout: Duration::from_secs_f64(args.timeout),
        ca_file: environment.hub.ca_file.as_deref(),
    };
    let server = Arc::new(Server::new(&args.url, &access)?);
    let client = server.client();
    let model = server::model(&client, server.address(), args.model.as_deref())?;
    let prompts = server::prompts(&client, server.address(), &model, args)?;
    let requests = Arc::new(Requests::new(args, model, prompts));
    let plan = Plan::new(args);
    // A file that can't be written is known before anything is measured.
    let mut html = args.html.as_deref().map(create).transpose()?;
    let mut outputs = args.save_outputs.as_deref().map(create).transpose()?;
    interrupts.only_mark();
    if let Some(warmup) = plan.warmup(args.warmup) {
        let run = measure(&server, &requests, &warmup, "warmup", interrupts)?;
        if run.is_interrupted {
            return Err(Failure::interrupted());
        }
        for (kind, (count, message)) in &run.failures {
            output::note(format!("warmup: {count} failed ({}), at first: {message}", kind.name()));
        }
    }
    let run = measure(&server, &requests, &plan, "load", interrupts)?;
    let report = Report::new(Settings::new(args, server.address(), &requests, &plan), &run);
    if let Some((path, file)) = &mut html {
        let written =
            file.write_all(html::page(&report, &run.records).as_bytes()).and_then(|()| file.flush());
        written.map_err(|e| Failure::file("write", path, &e))?;
    }
    if let Some((path, file)) = &mut outputs {
        save(&run.records, &requests, file).map_err(|e| Failure::file("write", path, &e))?;
    }
    if args.json {
        output::json(&report)?;
    } else {
        output::write(table::table(&report))?;
    }
    ending(&run, server.address())
}

/// How the command ends, now that everything was told.
fn ending(run: &Run, address: &str) -> Outcome {
    if run.is_interrupted {
        return Err(Failure::interrupted());
    }
    match run.failures.get(&Kind::Unreachable) {
        Some((count, message)) if *count == run.records.len() => {
            Err(Failure::io(format!("cannot reach {address}: {message}")))
        }
        _ => Ok(()),
    }
}

/// Carries a plan out under a progress bar.
fn measure(
    server: &Arc<Server>,
    requests: &Arc<Requests>,
    plan: &Plan,
    what: &str,
    interrupts: &Interrupts,
) -> Outcome<Run> {
    let bar = bar(what, plan);
    let show = |progress: Progress| {
        let Progress { seconds, ended, failed, running } = progress;
        let position = match plan.duration {
            Some(duration) => seconds.min(duration) as u64,
            None => ended as u64,
        };
        bar.set_position(position);
        bar.set_message(format!("{what}: {running} running, {ended} ended, {failed} failed"));
    };
    let run = run::run(server, requests, plan, interrupts, show);
    bar.finish_and_clear();
    run
}

/// A bar of seconds for a run that ends at a time, else of requests.
fn bar(what: &str, plan: &Plan) -> ProgressBar {
    let total = plan.duration.map_or(plan.requests, |duration| duration.ceil() as u64);
    terminal::step_bar(what, total)
}

fn create(path: &Path) -> Outcome<(&Path, BufWriter<File>)> {
    let file = File::create(path).map_err(|e| Failure::file("write", path, &e))?;
    Ok((path, BufWriter::new(file)))
}

/// A line of `--save-outputs`. It has no times, so that lines of two runs are equal if their answers are.
#[derive(Serialize)]
struct Saved<'a> {
    number: u64,
    prompt: Prompt,
    max_tokens: u32,
    ok: bool,
    finish_reason: Option<&'a str>,
    output_tokens: u32,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<&'a [u32]>,
}

fn save(records: &[Record], requests: &Requests, file: &mut impl Write) -> std::io::Result<()> {
    for record in records {
        let (prompt, max_tokens) = requests.prompt(record.number);
        let line = Saved {
            number: record.number,
            prompt,
            max_tokens,
            ok: record.outcome.is_ok(),
            finish_reason: record.finish_reason.as_deref(),
            output_tokens: record.output_tokens,
            text: record.text.as_deref().unwrap_or(""),
            token_ids: record.token_ids.as_deref(),
        };
        serde_json::to_writer(&mut *file, &line)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
