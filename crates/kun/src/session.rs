//! An open model: weights in the engine, vocabulary and template beside it. The one place where the binary
//! touches loading and the engine's handle.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::batch::PAGE_TOKENS;
use engine::engine::{Generation, Handle};
use engine::limits::Limits;
use engine::model::Shape;
use engine::request::{Chunk, FinishReason, Finished, Pooling, Request, TokenId};
use engine::{Cpu, CpuError, CpuOptions};
use serde::Serialize;
use serde_json::{Map, Value};
use server::{Defaults, Details, Forms, ServedModel, Speaking};
use text::template::{ChatTemplate, TemplateError};
use text::tokenizer::{Specials, Tokenizer};
use weights::gguf::{Gguf, Metadata};

use crate::cli::ParameterFlags;
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::memory::{self, Need};
use crate::parameters::Parameters;
use crate::weight_traffic::WeightTraffic;
use crate::{model_details, model_file, terminal};

/// The context is no longer than this unless the user says so: it costs memory.
const CTX_DEFAULT_MAX: usize = 8192;

/// How a model is to be opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) ctx: Ctx,
    pub(crate) threads: Option<usize>,
    /// Sequences that run at the same time.
    pub(crate) sequences: usize,
    /// Tokens of all sequences together that the KV cache has room for; at least one context's.
    pub(crate) kv_tokens: usize,
    /// Nothing is kept from one request for the next, and steps are as large as they can be.
    pub(crate) for_measuring: bool,
}

impl Options {
    /// For one answer at a time.
    pub(crate) fn one_sequence(ctx: Ctx, threads: Option<usize>) -> Self {
        Options { ctx, threads, sequences: 1, kv_tokens: 0, for_measuring: false }
    }
}

/// A context length.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ctx {
    /// What the model was made for, within reason.
    Default,
    /// What the user asked for; it is an error if the model can't.
    Exactly(usize),
    /// This many, or the model's own if that is less.
    AtMost(usize),
}

impl Ctx {
    /// A flag that may not have been given.
    pub(crate) fn of_flag(ctx: Option<usize>) -> Self {
        ctx.map_or(Ctx::Default, Ctx::Exactly)
    }
}

/// The two limits of a machine.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Machine {
    /// Bytes that all threads together read from memory.
    pub(crate) read_bytes_per_second: f64,
    /// Multiplications and additions of 8-bit integers by all threads together.
    pub(crate) int8_ops_per_second: f64,
}

impl Machine {
    /// Measures this machine; that takes a moment.
    pub(crate) fn measure(cpu: &Cpu) -> Self {
        Machine {
            read_bytes_per_second: engine::probe::read_bandwidth(cpu),
            int8_ops_per_second: engine::probe::int8_peak(cpu),
        }
    }
}

/// A model that answers.
pub(crate) struct Session {
    handle: Handle,
    /// None if the file has none; or why it can't be used.
    template: Outcome<Option<ChatTemplate>>,
    /// `bos_token` and `eos_token` as templates know them.
    marker_tokens: Vec<(&'static str, String)>,
    cpu: Arc<Cpu>,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) shape: Shape,
    pub(crate) traffic: WeightTraffic,
    /// As the user named it.
    pub(crate) name: String,
    /// Tokens of context.
    pub(crate) ctx: usize,
    /// From opening the file to being ready.
    pub(crate) load_time: Duration,
    details: Details,
    /// How a text becomes one vector, or why it can't.
    pooling: Result<Pooling, String>,
}

impl Session {
    /// Fetches the model if it isn't here, and loads it.
    pub(crate) fn open(model: &OsStr, options: &Options, environment: &Environment) -> Outcome<Self> {
        let cpu = Arc::new(cpu(options.threads, environment)?);
        let gguf = model_file::open(model, environment)?;
        let ctx = choose_ctx(gguf.metadata(), options.ctx)?;
        let kv_tokens = ctx.max(options.kv_tokens);
        check_memory(&gguf, &model.to_string_lossy(), ctx, kv_tokens)?;
        let limits = Limits {
            context_tokens: ctx,
            sequences_max: options.sequences,
            // A page more for each sequence: none of them ends at a page's end.
            kv_pages: kv_tokens.div_ceil(PAGE_TOKENS) + options.sequences,
            ..Limits::default()
        };
        let limits = match options.for_measuring {
            true => Limits { prefix_cache: false, stall_factor: None, ..limits },
            false => limits,
        };
        Session::load(&gguf, model, &cpu, &mut || limits, &mut terminal::loading())
    }

    /// Loads an open file. The limits are asked for when the weights are in memory; `loading` is told what share of them
    /// is there.
    pub(crate) fn load(
        gguf: &Gguf,
        name: &OsStr,
        cpu: &Arc<Cpu>,
        limits: &mut dyn FnMut() -> Limits,
        loading: &mut dyn FnMut(f32),
    ) -> Outcome<Self> {
        let started = Instant::now();
        let tokenizer = model_file::tokenizer(gguf)?;
        // With a broken one the model is of use all the same: raw, and where no template is asked for.
        let template = model_file::template(gguf);
        let model = engine::load::load(gguf, cpu, loading)?;
        let shape = model.shape().clone();
        let handle = Handle::start(model, limits())?;
        let ctx = handle.limits().context_tokens;
        Ok(Session {
            handle,
            template,
            marker_tokens: model_file::marker_tokens(&tokenizer),
            cpu: Arc::clone(cpu),
            tokenizer: Arc::new(tokenizer),
            shape,
            traffic: WeightTraffic::of(gguf),
            details: model_details::details(gguf),
            pooling: model_details::pooling(gguf),
            name: name.to_string_lossy().into_owned(),
            ctx,
            load_time: started.elapsed(),
        })
    }

    /// Does the file have no chat template? One that is broken is a failure.
    pub(crate) fn has_no_template(&self) -> Outcome<bool> {
        match &self.template {
            Ok(template) => Ok(template.is_none()),
            Err(failure) => Err(Failure::model(format!(
                "{}: {failure}\n--raw goes without the template; or convert the model again",
                self.name
            ))),
        }
    }

    /// The model as the server takes it, under the name that clients ask for.
    pub(crate) fn into_served(self, name: String) -> ServedModel {
        let catalogue = model_file::prompt_defaults(self.name.as_ref());
        let sampling = Parameters::new(&ParameterFlags::default(), &catalogue).sampling();
        let defaults = Defaults {
            system: catalogue.system,
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
        };
        ServedModel {
            name,
            handle: self.handle,
            tokenizer: self.tokenizer,
            template: self.template.map_err(|failure| failure.to_string()),
            marker_tokens: self.marker_tokens,
            defaults,
            pooling: self.pooling,
            details: self.details,
            forms: Forms::default(),
            speaking: Speaking::default(),
        }
    }

    /// The most tokens that a prompt may have: some of the context is left for the answer.
    pub(crate) fn prompt_room(&self) -> usize {
        self.ctx - (self.ctx / 8).clamp(1, 256)
    }

    /// Renders messages through the chat template and turns them into tokens.
    pub(crate) fn render(&self, messages: &[Value]) -> Outcome<Vec<TokenId>> {
        let template = self.template.as_ref().ok().and_then(Option::as_ref);
        let template =
            template.ok_or_else(|| Failure::model("this model has no chat template: use --raw"))?;
        let mut input: Map<String, Value> = self
            .marker_tokens
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.as_str().into()))
            .collect();
        input.insert("messages".to_owned(), messages.into());
        input.insert("add_generation_prompt".to_owned(), true.into());
        let prompt =
            template.render(&Value::Object(input), &model_file::template_limits()).map_err(|error| {
                match error {
                    TemplateError::NoThread(_) => Failure::memory(format!("{}: {error}", self.name)),
                    _ => Failure::model(format!("{}: {error}\n--raw goes without the template", self.name)),
                }
            })?;
        Ok(self.tokenizer.encode_prompt(&prompt, Specials::Parse))
    }

    /// The tokens of a prompt that goes in as it is.
    pub(crate) fn raw_prompt(&self, text: &str) -> Vec<TokenId> {
        self.tokenizer.encode_prompt(text, Specials::Parse)
    }

    /// What this machine can do at best.
    pub(crate) fn machine(&self) -> Machine {
        Machine::measure(&self.cpu)
    }

    /// Gives a request to the engine.
    pub(crate) fn submit(&self, request: Request) -> Outcome<Generation> {
        Ok(self.handle.submit(request)?)
    }

    /// The log-probabilities of a prompt's tokens but the first.
    pub(crate) fn prompt_logprobs(&self, request: Request) -> Outcome<Vec<f32>> {
        let mut generation = self.submit(request)?;
        let mut logprobs = Vec::new();
        loop {
            let chunk = next(&mut generation)?;
            logprobs.extend(chunk.prompt_logprobs.iter().map(|token| token.logprob));
            if let Some(finished) = chunk.finished {
                checked(finished)?;
                return Ok(logprobs);
            }
        }
    }

    /// Runs requests at the same time and gives how each ended, in their order.
    pub(crate) fn finish_all(&self, requests: Vec<Request>) -> Outcome<Vec<Finished>> {
        let mut generations =
            requests.into_iter().map(|request| self.submit(request)).collect::<Outcome<Vec<_>>>()?;
        generations
            .iter_mut()
            .map(|generation| {
                loop {
                    if let Some(finished) = next(generation)?.finished {
                        return checked(finished);
                    }
                }
            })
            .collect()
    }
}

/// The next chunk of an answer whose last one was not read yet.
fn next(generation: &mut Generation) -> Outcome<Chunk> {
    Ok(generation.next().expect("the last chunk says that it is the last"))
}

/// An answer's end, if it ended by itself.
pub(crate) fn checked(finished: Finished) -> Outcome<Finished> {
    match &finished.reason {
        FinishReason::Stop | FinishReason::Length | FinishReason::Repetition => Ok(finished),
        FinishReason::Cancelled | FinishReason::TimedOut => Err(Failure::interrupted()),
        FinishReason::Impossible(why) => Err(Failure::usage(why)),
        FinishReason::Error(why) => {
            Err(Failure::model(format!("the model can't go on with this prompt: {why}")))
        }
    }
}

/// The processor, with as many threads as the flag says and the instruction set of the environment.
pub(crate) fn cpu(threads: Option<usize>, environment: &Environment) -> Outcome<Cpu> {
    let isa = match environment.isa.as_deref().map(str::parse) {
        None => None,
        Some(Ok(isa)) => Some(isa),
        Some(Err(why)) => return Err(Failure::usage(format!("KUN_ISA: {why}\nunset it to use the fastest"))),
    };
    Cpu::new(CpuOptions { threads, isa }).map_err(|e| match e {
        CpuError::Isa(_) => Failure::usage(format!("KUN_ISA: {e}")),
        CpuError::Threads(_) => Failure::usage(format!("--threads: {e}")),
        CpuError::Spawn(_) => Failure::memory(e.to_string()),
    })
}

/// The context of a model when nothing is said about it; none if the file doesn't tell what it was made for.
pub(crate) fn default_ctx(metadata: &Metadata) -> Option<usize> {
    context_length(metadata).map(|made_for| made_for.min(CTX_DEFAULT_MAX))
}

fn context_length(metadata: &Metadata) -> Option<usize> {
    let architecture = metadata.architecture().ok()?;
    metadata.get(&format!("{architecture}.context_length"))?.integer()?.try_into().ok()
}

pub(crate) fn choose_ctx(metadata: &Metadata, wanted: Ctx) -> Outcome<usize> {
    // Without a length in the file, loading will fail and say so; until then any will do.
    let made_for = context_length(metadata).unwrap_or(CTX_DEFAULT_MAX).max(1);
    match wanted {
        Ctx::Default => Ok(made_for.min(CTX_DEFAULT_MAX)),
        Ctx::AtMost(ctx) => Ok(made_for.min(ctx)),
        Ctx::Exactly(ctx) if ctx > made_for => Err(Failure::usage(format!(
            "--ctx {ctx}: this model was made for at most {made_for} tokens of context"
        ))),
        Ctx::Exactly(ctx) => Ok(ctx),
    }
}

fn check_memory(gguf: &Gguf, name: &str, ctx: usize, kv_tokens: usize) -> Outcome {
    let weights = gguf.tensors().map(|t| t.bytes()).sum();
    let per_token = memory::kv_bytes_per_token_of_tensors(gguf);
    Need { weights, kv: per_token.saturating_mul(kv_tokens as u64) }.check(name, ctx)
}
