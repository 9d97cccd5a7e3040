//! `kun batch`: a file of requests answered into another file, by this machine alone and without HTTP.
//!
//! The lines and the answers are those of `/v1/batches`, and so is what answers them. A run that was ended, by whatever,
//! goes on when it is started again with the same arguments.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use engine::limits::Limits;
use indicatif::ProgressBar;
use server::batch::{BatchError, Counts, Ended, Progress, Runner, Survey, Task, survey};
use server::{Config, Loader, Registry, ServedModel};

use super::serve::fleet;
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::settings::{self, Memory, Settings};
use crate::terminal::{self, per_second};
use crate::{model_file, output, parameters};

/// Requests that wait beside those that are answered, so that there is always a next one.
const WAITING: usize = 16;
/// How often the bar moves.
const TICK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(after_help = "\
A line of IN is {\"custom_id\": …, \"method\": \"POST\", \"url\": \"/v1/chat/completions\", \"body\": {…}}; the urls \
/v1/completions, /v1/embeddings and /v1/responses do as well. Answers are appended to OUT as they come, in any order; \
the same command goes on where an earlier one was ended. The exit code is 1 if a line has failed.")]
pub(crate) struct BatchArgs {
    /// The requests, one JSON object a line
    #[arg(value_name = "IN.jsonl")]
    input: PathBuf,
    /// Where the answers go
    #[arg(value_name = "OUT.jsonl")]
    output: PathBuf,
    /// The model: a name from `kun models`, hf:OWNER/REPO[/FILE or :QUANT], or a path [default: the one that the first
    /// line names, or else smollm2:135m]
    model: Option<OsString>,
    /// Another name that lines may have for the model; may be given several times
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// Write the lines that fail here instead of among the answers
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Requests that are answered at a time, 1 to 1024
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024),
        allow_negative_numbers = true
    )]
    concurrency: usize,
    /// Memory to take, such as 8GiB, 60%, or auto
    #[arg(long, value_name = "SIZE", default_value = "auto", value_parser = settings::memory_flag)]
    memory: Memory,
    /// Tokens of context, 16 to 1048576 [default: what the model was made for, at most 8192]
    #[arg(long, value_name = "TOKENS", value_parser = parameters::ctx, allow_negative_numbers = true)]
    ctx: Option<usize>,
    /// Threads to compute with, 1 to 512 [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parameters::threads, allow_negative_numbers = true)]
    threads: Option<usize>,
    /// Compute only when nobody else on this machine wants to
    #[arg(long)]
    idle: bool,
}

pub(crate) fn run(args: &BatchArgs, environment: &Environment) -> Outcome {
    if args.idle {
        // Before any thread is started: they have it from this one.
        rustix::process::nice(19).map_err(|error| Failure::io(format!("--idle: {error}")))?;
    }
    check_files(args)?;
    engine::give_back_freed_memory();
    let mut config = Config::default();
    let (input, output) = (args.input.clone(), args.output.clone());
    let mut task = Task::new(input, output, args.concurrency + WAITING, config.body_bytes_max);
    task.errors.clone_from(&args.errors);
    let found = survey(&task).map_err(failure)?;
    let registry = registry(args, &found, &mut config, environment)?;
    let runner = Runner::new(config, registry);
    let started = Instant::now();
    let progress = Progress::default();
    let counts = answer(&runner, &task, &found, &progress)?;
    tell(counts, &found, &progress, started.elapsed());
    if counts.failed > 0 { Err(Failure::found()) } else { Ok(()) }
}

/// Says what is wrong with the paths before anything is made.
fn check_files(args: &BatchArgs) -> Outcome {
    let input = &args.input;
    fs::metadata(input).map_err(|e| Failure::file("read", input, &e))?;
    for path in [Some(input), Some(&args.output), args.errors.as_ref()].into_iter().flatten() {
        // What comes out of a pipe could not be gone on with.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Failure::io(format!("{} is no file: name one", path.display())));
        }
    }
    let same = |a: &Path, b: &Path| match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => a == b,
    };
    let outputs = [Some(&args.output), args.errors.as_ref()];
    if outputs.iter().flatten().any(|path| same(path, input)) {
        return Err(Failure::usage("the requests and the answers can't be in the same file"));
    }
    if args.errors.as_ref().is_some_and(|errors| same(errors, &args.output)) {
        return Err(Failure::usage("--errors: leave it out to have the errors among the answers"));
    }
    Ok(())
}

/// The model, loaded; none if there is nothing to ask it. The configuration gets the memory that is for bodies.
fn registry(
    args: &BatchArgs,
    found: &Survey,
    config: &mut Config,
    environment: &Environment,
) -> Outcome<Arc<Registry>> {
    if found.left == 0 {
        return Ok(Registry::new(Vec::new(), 0, Duration::ZERO, Arc::new(NoModels)));
    }
    let named = found.model.as_deref().map(OsStr::new).map(OsStr::to_owned);
    let model = args.model.clone().or(named).unwrap_or_else(model_file::default_name);
    let alias = |alias: &String| (alias.clone(), model.to_string_lossy().into_owned());
    let mut settings = Settings {
        aliases: args.alias.iter().map(alias).collect(),
        models: vec![model.clone()],
        memory: args.memory,
        ctx: args.ctx,
        threads: args.threads,
        queue_max: Limits::default().queue_max.max(4 * args.concurrency),
        sequences_max: Some(args.concurrency),
        load_wait: Duration::ZERO,
        server: Config { connections_max: 0, ..config.clone() },
        ..Settings::default()
    };
    let (fleet, registry) = fleet::prepare(&mut settings, environment)?;
    *config = settings.server;
    registry.insert(0, fleet.open_first(0, &mut terminal::loading())?);
    Ok(registry)
}

/// Answers all lines, and shows how far it is.
fn answer(runner: &Runner, task: &Task, found: &Survey, progress: &Progress) -> Outcome<Counts> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(2)
        .enable_time()
        .build()
        .map_err(|e| Failure::memory(format!("the threads cannot be started: {e}")))?;
    let bar = terminal::step_bar("batch", found.lines);
    bar.set_position(found.lines - found.left);
    bar.reset_eta();
    let started = Instant::now();
    let ended = runtime.block_on(async {
        let mut run = std::pin::pin!(runner.run(task, progress, std::future::pending()));
        loop {
            tokio::select! {
                ended = &mut run => return ended,
                () = tokio::time::sleep(TICK) => show(&bar, progress, started),
            }
        }
    });
    bar.finish_and_clear();
    match ended.map_err(failure)? {
        Ended::Done(counts) | Ended::Stopped(counts) => Ok(counts),
    }
}

fn show(bar: &ProgressBar, progress: &Progress, started: Instant) {
    let (_, generated) = progress.tokens();
    bar.set_position(progress.counts().done());
    bar.set_message(format!("batch {:.0} tokens/s", per_second(generated as usize, started.elapsed())));
}

/// The last line, for people.
fn tell(counts: Counts, found: &Survey, progress: &Progress, time: Duration) {
    let Counts { completed, failed } = counts;
    let before = match found.lines - found.left {
        0 => String::new(),
        _ if found.left == 0 => ", all of them before".to_owned(),
        before => format!(", {before} of them before"),
    };
    let (prompt, generated) = progress.tokens();
    output::note(format!(
        "{completed} completed, {failed} failed{before}; {prompt} + {generated} tokens in {:.1} s, {:.1} generated/s",
        time.as_secs_f64(),
        per_second(generated as usize, time)
    ));
}

fn failure(error: BatchError) -> Failure {
    match error {
        BatchError::File { doing, path, error } => Failure::file(doing, &path, &error),
        BatchError::Foreign { .. } => Failure::usage(error.to_string()),
        BatchError::Locked(_) => Failure::io(error.to_string()),
        BatchError::Stopped => Failure::model("the model has ended; what is answered stays"),
    }
}

/// Where there is nothing to ask.
struct NoModels;

impl Loader for NoModels {
    fn load(&self, _index: usize) -> Result<ServedModel, String> {
        Err("there are no models".to_owned())
    }
}
