//! An open model: weights in the engine, vocabulary and template beside it. The one place where the binary
//! touches loading and the engine's handle.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::batch::PAGE_TOKENS;
use engine::engine::{Generation, Handle};
use engine::limits::Limits;
use engine::model::Shape;
use engine::request::{Chunk, Finished, Request, TokenId};
use kernels::{Cpu, CpuError, CpuOptions};
use serde_json::{Map, Value};
use text::template::{ChatTemplate, TemplateLimits};
use text::tokenizer::Tokenizer;
use weights::gguf::{Gguf, Metadata};

use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::memory::{self, Need};
use crate::weight_traffic::WeightTraffic;
use crate::{model_file, output, terminal};

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

/// A model that answers.
pub(crate) struct Session {
    handle: Handle,
    template: Option<ChatTemplate>,
    /// `bos_token` and `eos_token` as templates know them.
    marker_tokens: Vec<(&'static str, String)>,
    cpu: Arc<Cpu>,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) shape: Shape,
    pub(crate) traffic: WeightTraffic,
    /// As the user named it.
    pub(crate) name: String,
    /// Tokens of context.
    pub(crate) ctx: usize,
    /// From opening the file to being ready.
    pub(crate) load_time: Duration,
}

impl Session {
    /// Fetches the model if it isn't here, and loads it.
    pub(crate) fn open(model: &OsStr, options: &Options, environment: &Environment) -> Outcome<Self> {
        let cpu = Arc::new(cpu(options.threads, environment)?);
        let gguf = model_file::open(model, environment)?;
        let name = model.to_string_lossy().into_owned();
        let started = Instant::now();
        let tokenizer = model_file::tokenizer(&gguf)?;
        let template = model_file::template(&gguf).unwrap_or_else(|failure| {
            // The model is of use all the same, with --raw.
            output::note(format!("warning: {failure}"));
            None
        });
        let ctx = choose_ctx(gguf.metadata(), options.ctx)?;
        let kv_tokens = ctx.max(options.kv_tokens);
        check_memory(&gguf, &name, ctx, kv_tokens)?;
        let bar = terminal::step_bar("loading", 100);
        let loaded = engine::load::load(&gguf, Arc::clone(&cpu), &mut |done| bar.set_position((100.0 * done) as u64));
        bar.finish_and_clear();
        let model = loaded?;
        let shape = model.shape().clone();
        let limits = Limits {
            context_tokens: ctx,
            sequences_max: options.sequences,
            // A page more for each sequence: none of them ends at a page's end.
            kv_pages: kv_tokens.div_ceil(PAGE_TOKENS) + options.sequences,
            ..Limits::default()
        };
        let handle = Handle::start(model, limits)?;
        Ok(Session {
            handle,
            template,
            marker_tokens: model_file::marker_tokens(&tokenizer),
            cpu,
            tokenizer,
            shape,
            traffic: WeightTraffic::of(&gguf),
            name,
            ctx,
            load_time: started.elapsed(),
        })
    }

    /// Is there no chat template that works?
    pub(crate) fn has_no_template(&self) -> bool {
        self.template.is_none()
    }

    /// The most tokens that a prompt may have: some of the context is left for the answer.
    pub(crate) fn prompt_room(&self) -> usize {
        self.ctx - (self.ctx / 8).clamp(1, 256)
    }

    /// Renders messages through the chat template and turns them into tokens.
    pub(crate) fn render(&self, messages: &[Value]) -> Outcome<Vec<TokenId>> {
        let template = self.template.as_ref().ok_or_else(|| Failure::model("this model has no chat template: use --raw"))?;
        let mut input: Map<String, Value> =
            self.marker_tokens.iter().map(|(name, text)| ((*name).to_owned(), text.as_str().into())).collect();
        input.insert("messages".to_owned(), messages.into());
        input.insert("add_generation_prompt".to_owned(), true.into());
        let prompt = template
            .render(&Value::Object(input), &template_limits())
            .map_err(|e| Failure::model(format!("{}: {e}\n--raw goes without the template", self.name)))?;
        Ok(self.tokenizer.encode_rendered(&prompt))
    }

    /// Gives a request to the engine.
    pub(crate) fn submit(&self, request: Request) -> Outcome<Generation> {
        Ok(self.handle.submit(request)?)
    }

    /// The log-probabilities of a prompt's tokens but the first.
    pub(crate) fn prompt_logprobs(&self, request: Request) -> Outcome<Vec<f32>> {
        let generation = self.submit(request)?;
        let mut logprobs = Vec::new();
        loop {
            let chunk = next(&generation)?;
            logprobs.extend(chunk.prompt_logprobs);
            if chunk.finished.is_some() {
                return Ok(logprobs);
            }
        }
    }

    /// Runs requests at the same time and gives how each ended, in their order.
    pub(crate) fn finish_all(&self, requests: Vec<Request>) -> Outcome<Vec<Finished>> {
        let generations = requests.into_iter().map(|request| self.submit(request)).collect::<Outcome<Vec<_>>>()?;
        generations
            .iter()
            .map(|generation| {
                loop {
                    if let Some(finished) = next(generation)?.finished {
                        return Ok(finished);
                    }
                }
            })
            .collect()
    }
}
