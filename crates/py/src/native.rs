//! An open model, as the package's Python sees it.

use std::ffi::OsStr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use engine::batch::PAGE_TOKENS;
use kun::local::{Local, Opening};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use server::Answer;
use text::speech::Format;
use text::tokenizer::Specials;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weights::download::Progress;

use crate::events::KvSubscription;
use crate::inbox::{Ends, Inbox, Piece};
use crate::request::Forms;
use crate::streams::{ByteStream, Task, TokenStream, post};
use crate::wakes::Wakes;
use crate::{errors, request};

/// Threads that take answers over. The engine's threads do the work that takes time.
const RUNTIME_THREADS: usize = 2;
/// Threads for what blocks: templates, and what compiles the forms of answers.
const BLOCKING_THREADS: usize = 8;
/// How long what still runs may take to notice that it is over.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// When those ask again who found the queue full.
const AGAIN: Duration = Duration::from_millis(20);

/// A model in this process.
#[pyclass(frozen, module = "kun._kun")]
pub(crate) struct Native {
    /// None once it is closed.
    open: RwLock<Option<Arc<Open>>>,
    /// Its threads are in the process that made it.
    process: u32,
}

struct Open {
    local: Local,
    forms: Forms,
    /// None only while it is being dropped.
    runtime: Option<Runtime>,
    wakes: Arc<Wakes>,
}

impl Open {
    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the drop")
    }
}

impl Drop for Open {
    /// Whoever drops it may hold the interpreter, which threads of the runtime may wait for: they are not waited for.
    fn drop(&mut self) {
        self.local.shut_down();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A request's number, and its status and body.
type Ended = (usize, u16, Vec<u8>);

impl Piece for Result<Ended, String> {
    fn join(&mut self, next: Self) -> Option<Self> {
        Some(next)
    }
}

#[pymethods]
impl Native {
    /// Opens a model: settings are those of `kun serve`, by name; `told` is called with what is done, how much of it is
    /// done, and how much there is to do.
    #[new]
    #[pyo3(signature = (model, settings, told=None))]
    fn new(
        py: Python<'_>,
        model: Option<&str>,
        settings: Vec<(String, String)>,
        told: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let opened = py.detach(|| open(model, &settings, told.as_ref()));
        let local = opened.map_err(|error| match error {
            NotOpened::Failure(failure) => errors::opening(py, &failure),
            NotOpened::Python(error) => error,
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("kun-answers")
            .enable_all()
            .build()
            .map_err(errors::internal)?;
        let wakes = Wakes::new(runtime.handle().clone());
        let open = Arc::new(Open { local, forms: Forms::default(), runtime: Some(runtime), wakes });
        Ok(Native { open: RwLock::new(Some(open)), process: std::process::id() })
    }

    /// Asks a route without a body, or with one of JSON: the status and the bytes of the answer.
    fn get<'py>(&self, py: Python<'py>, path: String) -> PyResult<(u16, Bound<'py, PyBytes>)> {
        let open = self.open(py)?;
        let get = "GET".parse().expect("it is a method");
        let answer = py.detach(|| {
            open.runtime().block_on(async {
                let Answer { status, body } = open.local.service.call(get, &path, Vec::new()).await;
                (status.as_u16(), body.all().await)
            })
        });
        let bytes = answer.1.map_err(errors::internal)?;
        Ok((answer.0, PyBytes::new(py, &bytes)))
    }

    /// Asks a route many times, `at_once` at a time, and waits for all. `ended` is called with the number, status and
    /// body of each as it ends; what it raises ends the others. The patient ask again while others fill the queue.
    fn post_all(
        &self,
        py: Python<'_>,
        path: String,
        bodies: Vec<Vec<u8>>,
        at_once: usize,
        patient: bool,
        ended: Py<PyAny>,
    ) -> PyResult<()> {
        let open = self.open(py)?;
        let answers = Arc::new(Inbox::<Result<Ended, String>>::new(&open.wakes));
        let (service, places) = (open.local.service.clone(), Arc::new(Semaphore::new(at_once.max(1))));
        let ends = Ends(Arc::clone(&answers));
        let all = async move {
            let mut running = JoinSet::new();
            for (number, body) in bodies.into_iter().enumerate() {
                let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes it");
                let (service, path, to) = (service.clone(), path.clone(), Arc::clone(&ends.0));
                running.spawn(async move {
                    let ended = loop {
                        let Answer { status, body: answer } = service.call(post(), &path, body.clone()).await;
                        let ended = answer.all().await;
                        if patient && status.as_u16() == 429 && ended.as_ref().is_ok_and(says_full) {
                            tokio::time::sleep(AGAIN).await;
                            continue;
                        }
                        break ended.map(|bytes| (number, status.as_u16(), bytes.into()));
                    };
                    drop(place);
                    to.push(ended);
                });
                while running.try_join_next().is_some() {}
            }
            while running.join_next().await.is_some() {}
        };
        let task = Task(open.runtime().spawn(all));
        while let Some(answer) = answers.next(py)? {
            let (number, status, bytes) = answer.map_err(errors::internal)?;
            ended.call1(py, (number, status, PyBytes::new(py, &bytes)))?;
        }
        drop(task);
        Ok(())
    }

    /// Asks a route and gives the answer as it comes.
    fn post(&self, py: Python<'_>, path: String, body: Vec<u8>) -> PyResult<ByteStream> {
        let open = self.open(py)?;
        Ok(ByteStream::new(open.local.service.clone(), path, body, open.runtime().handle(), &open.wakes))
    }

    /// Hands a request of token ids to the engine.
    fn submit(&self, py: Python<'_>, request: &Bound<'_, PyDict>) -> PyResult<TokenStream> {
        let open = self.open(py)?;
        let mut asked = request::read(request, &open.local)?;
        if let Some((key, source)) = asked.form {
            let form = py.detach(|| open.forms.compile(&source, &open.local.tokenizer));
            asked.request.form =
                Some(form.map_err(|why| errors::request(py, format!("{key}: {why}"), Some(key)))?);
        }
        let submitted = py.detach(|| open.local.handle.submit(asked.request));
        let generation = submitted.map_err(|refused| errors::refused(py, &refused))?;
        Ok(TokenStream::new(generation, open.runtime().handle(), &open.wakes))
    }

    /// The token ids of a text.
    fn tokenize(&self, py: Python<'_>, text: &str, begin: bool, specials: bool) -> PyResult<Vec<u32>> {
        let open = self.open(py)?;
        let specials = if specials { Specials::Parse } else { Specials::AsText };
        Ok(py.detach(|| match begin {
            true => open.local.tokenizer.encode_prompt(text, specials),
            false => open.local.tokenizer.encode(text, specials),
        }))
    }

    /// The text of token ids.
    fn detokenize(&self, py: Python<'_>, token_ids: Vec<u32>, specials: bool) -> PyResult<String> {
        let open = self.open(py)?;
        let tokenizer = &open.local.tokenizer;
        if let Some(at) = token_ids.iter().position(|&id| id as usize >= tokenizer.len()) {
            let message =
                format!("token_ids[{at}] is {}; token ids are 0 to {}", token_ids[at], tokenizer.len() - 1);
            return Err(errors::request(py, message, Some("token_ids")));
        }
        let bytes = py.detach(|| tokenizer.decode(&token_ids, specials));
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What the engine has counted.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.open(py)?.local.handle.stats();
        let dict = PyDict::new(py);
        for (name, count) in [
            ("open", stats.open),
            ("queued", stats.queued),
            ("running", stats.running),
            ("sequences_max", stats.sequences_max),
            ("tokens_ahead", stats.tokens_ahead),
            ("pages_used", stats.pages_used),
            ("pages_cached", stats.pages_cached),
            ("pages_total", stats.pages_total),
            ("step_sequences", stats.step_sequences),
            ("step_tokens", stats.step_tokens),
            ("prompt_tokens_per_second", stats.prompt_tokens_per_second),
        ] {
            dict.set_item(name, count)?;
        }
        for (name, count) in [
            ("steps", stats.steps),
            ("computed_tokens", stats.computed_tokens),
            ("generated_tokens", stats.generated_tokens),
            ("prefix_tokens_queried", stats.prefix_tokens_queried),
            ("prefix_tokens_hit", stats.prefix_tokens_hit),
            ("preemptions", stats.preemptions),
            ("loops_caught", stats.loops_caught),
            ("loops_recovered", stats.loops_recovered),
            ("loops_stopped", stats.loops_stopped),
            ("finished", stats.finished),
            ("cancelled", stats.cancelled),
            ("timed_out", stats.timed_out),
            ("failed", stats.failed),
        ] {
            dict.set_item(name, count)?;
        }
        dict.set_item("step_seconds", stats.step_time.as_secs_f64())?;
        dict.set_item("busy_seconds", stats.busy_for.map(|time| time.as_secs_f64()))?;
        Ok(dict)
    }

    /// What the model is, and what the engine has room for.
    fn model_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let open = self.open(py)?;
        let Local { name, handle, tokenizer, details, .. } = &open.local;
        let (shape, limits) = (handle.shape(), handle.limits());
        let dict = PyDict::new(py);
        dict.set_item("name", name)?;
        dict.set_item("architecture", &details.architecture)?;
        dict.set_item("parameters", details.parameters)?;
        dict.set_item("quantisation", &details.quantisation)?;
        dict.set_item("file_bytes", details.file_bytes)?;
        dict.set_item("sha256", &details.sha256)?;
        dict.set_item("context_tokens", limits.context_tokens)?;
        dict.set_item("vocabulary", shape.vocabulary)?;
        dict.set_item("embedding", shape.embedding)?;
        dict.set_item("page_tokens", PAGE_TOKENS)?;
        dict.set_item("pages", limits.kv_pages)?;
        dict.set_item("sequences", limits.sequences_max)?;
        dict.set_item("queue", limits.queue_max)?;
        dict.set_item("batch_tokens", limits.batch_tokens)?;
        dict.set_item("bos_id", tokenizer.bos())?;
        dict.set_item("eos_ids", tokenizer.end_of_generation())?;
        dict.set_item("chat_template", &details.template_source)?;
        // How it writes its thoughts and calls.
        let speech = details.template_source.as_deref().map(|source| Format::of_template(source).name());
        dict.set_item("speech", speech)?;
        Ok(dict)
    }

    /// Tells `told` what changes in the prefix cache, lists of events at a time.
    fn kv_events(&self, py: Python<'_>, told: Py<PyAny>) -> PyResult<KvSubscription> {
        KvSubscription::start(self.open(py)?.local.handle.kv_events(), told)
    }

    /// Ends what still runs, and gives the memory back.
    fn close(&self, py: Python<'_>) {
        if self.process != std::process::id() {
            return;
        }
        py.detach(|| {
            let open = self.open.write().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            let Some(open) = open else { return };
            open.local.shut_down();
            // Whoever waits for an answer has the engine still, and lets it go when told.
            if let Ok(mut open) = Arc::try_unwrap(open)
                && let Some(runtime) = open.runtime.take()
            {
                runtime.shutdown_timeout(LAST_WORDS);
            }
        });
    }
}

impl Native {
    fn open(&self, py: Python<'_>) -> PyResult<Arc<Open>> {
        if self.process != std::process::id() {
            let message =
                "the engine is in the process that this one was forked from: open one after the fork";
            return Err(errors::request(py, message, None));
        }
        let open = py.detach(|| self.open.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone());
        open.ok_or_else(|| errors::closed(py))
    }
}

/// Whether an answer says that the queue is full, which passes.
fn says_full(body: &impl AsRef<[u8]>) -> bool {
    let told: Option<serde_json::Value> = serde_json::from_slice(body.as_ref()).ok();
    told.is_some_and(|told| told["error"]["code"] == "queue_full")
}

enum NotOpened {
    Failure(kun::local::Failure),
    /// What the function that was told has raised.
    Python(PyErr),
}

fn open(
    model: Option<&str>,
    settings: &[(String, String)],
    told: Option<&Py<PyAny>>,
) -> Result<Local, NotOpened> {
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut raised = None;
    let mut tell = |what: &str, done: f64, total: f64| {
        let Some(told) = told.filter(|_| raised.is_none()) else { return };
        if let Some(Err(error)) = Python::try_attach(|py| told.call1(py, (what, done, total)).map(drop)) {
            raised = Some(error);
        }
    };
    let opened = Local::open(model.map(OsStr::new), &settings, &mut |opening| match opening {
        Opening::Loading(share) => tell("loading", f64::from(share), 1.0),
        Opening::Fetching(Progress::Bytes { done, total }) => tell("fetching", *done as f64, *total as f64),
        Opening::Fetching(Progress::Verifying { done, total }) => {
            tell("verifying", *done as f64, *total as f64);
        }
        Opening::Fetching(_) => {}
    });
    match raised {
        Some(error) => Err(NotOpened::Python(error)),
        None => opened.map_err(NotOpened::Failure),
    }
}
