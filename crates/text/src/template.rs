//! Chat templates: the Jinja programs that model files carry, rendered as HuggingFace transformers renders them.
//!
//! A template is data from a stranger. It runs in minijinja without a loader (include, import and extends find
//! nothing), on a budget of fuel that pays for instructions and for every byte that is built, under a cap on its
//! output. Where minijinja differs from Python's jinja2, the submodules put jinja2's behaviour back; the oracle is
//! `tests/templates/make_expected.py`. This module knows no clock: the caller says what time it is.

mod clock;
mod filters;
mod history;
mod input;
mod json;
mod methods;
mod numbers;
mod python;
mod source;
mod sums;

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, OnceLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind};

/// The name that minijinja knows the one template by.
const NAME: &str = "chat";

/// Room for a value of as many levels as the default fuel can nest, at about 100 bytes each. The operating system
/// gives memory only for what is touched.
const STACK_BYTES: usize = 256 << 20;

/// A chat template, parsed once and rendered for each request.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// What it wants of calls in the history, found out when it is first asked for.
    wants: Arc<OnceLock<history::Wants>>,
}

/// What one render may cost, and what it may know.
#[derive(Debug, Clone)]
pub struct TemplateLimits {
    /// Fuel: one unit pays for one instruction or for 64 bytes of text or list built, so it bounds time and memory.
    pub fuel: u64,
    /// Bytes of the rendered prompt.
    pub output_bytes_max: usize,
    /// How deeply the objects and lists of the input may nest.
    pub input_depth_max: usize,
    /// How deeply loops and macros may nest; a macro counts four. Values over 500 count as 500.
    pub recursion_max: usize,
    /// Seconds since 1970, taken as UTC, that `strftime_now` tells. Without it the function is not defined, which the
    /// templates that use it test for and then fall back to a fixed date.
    pub now_unix_seconds: Option<i64>,
}

impl Default for TemplateLimits {
    /// About 100 ms of one CPU, 64 MiB of memory and 16 MiB of output.
    fn default() -> Self {
        TemplateLimits {
            fuel: 1_000_000,
            output_bytes_max: 16 << 20,
            input_depth_max: 64,
            recursion_max: 200,
            now_unix_seconds: None,
        }
    }
}

/// Why a template could not be parsed or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The source is not a template that can be parsed.
    #[error("chat template, line {line}: {message}")]
    Syntax {
        /// Line of the source, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The template called `raise_exception`; its own text, meant for whoever sent the messages.
    #[error("{message}")]
    Raised {
        /// Line of the source, from 1.
        line: usize,
        /// The argument of `raise_exception`.
        message: String,
    },
    /// The render went over one of the [`TemplateLimits`].
    #[error("chat template, line {line}: over the limit of {limit}")]
    Limit {
        /// Line of the source, from 1; 0 when it is not the template that is at fault.
        line: usize,
        /// Which limit, in words.
        limit: &'static str,
    },
    /// Anything else that failed while rendering, such as an undefined variable.
    #[error("chat template, line {line}: {message}")]
    Render {
        /// Line of the source, from 1.
        line: usize,
        /// What failed.
        message: String,
    },
    /// The input is not an object of variables.
    #[error("chat template input must be an object of variables, not {found}")]
    Input {
        /// The JSON type that was given.
        found: &'static str,
    },
    /// Neither the template nor the input is at fault: the system gave no thread, or no stack for it.
    #[error("no thread to render the chat template on: {0}")]
    NoThread(String),
}

impl ChatTemplate {
    /// Parses a template.
    pub fn new(source: &str) -> Result<ChatTemplate, TemplateError> {
        let prepared = source::prepare(source)?;
        let mut environment = Environment::new();
        environment.set_debug(false);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .expect("the delimiters are the usual ones");
        environment.set_syntax(syntax);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_formatter(python::write);
        environment.set_unknown_method_callback(methods::call);
        // Prints the engine's internals, which is none of a template's business.
        environment.remove_global("debug");
        filters::add(&mut environment);
        environment.add_template_owned(NAME, prepared).map_err(syntax_error)?;
        Ok(ChatTemplate { environment, wants: Arc::default() })
    }

    /// Renders the prompt for `input`, an object: `messages`, `tools`, `add_generation_prompt`, `bos_token`,
    /// `eos_token` and whatever further variables the template knows.
    ///
    /// It runs on a stack of its own: dropping a value recurses once for each of its levels, and a template can
    /// nest as many of them as it has fuel for.
    pub fn render(
        &self,
        input: &serde_json::Value,
        limits: &TemplateLimits,
    ) -> Result<String, TemplateError> {
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new().name("template".to_owned()).stack_size(STACK_BYTES);
            let rendered = worker.spawn_scoped(scope, || self.render_here(input, limits));
            rendered
                .map_err(|error| TemplateError::NoThread(error.to_string()))?
                .join()
                .expect("a template that fails is an error, not a panic")
        })
    }

    fn render_here(
        &self,
        input: &serde_json::Value,
        limits: &TemplateLimits,
    ) -> Result<String, TemplateError> {
        let variables = input::variables(input, limits.input_depth_max)?;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(limits.fuel));
        environment.set_recursion_limit(limits.recursion_max);
        if let Some(now) = limits.now_unix_seconds {
            environment.add_function("strftime_now", move |format: &str| clock::strftime(now, format));
        }
        let mut output = CappedOutput { bytes: Vec::new(), bytes_max: limits.output_bytes_max };
        environment
            .get_template(NAME)
            .expect("the template was added when it was parsed")
            .render_captured_to(variables, &mut output)
            .map_err(render_error)?;
        Ok(String::from_utf8(output.bytes).expect("minijinja writes whole strings"))
    }
}

/// Collects the output and refuses the write that would go over the cap.
struct CappedOutput {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl io::Write for CappedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Marks the error of `raise_exception`, so that its text can be told from the engine's own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn raise_exception(message: String) -> Result<minijinja::Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Raised(message)))
}

fn syntax_error(error: Error) -> TemplateError {
    TemplateError::Syntax { line: error.line().unwrap_or(1), message: describe(&error) }
}

fn render_error(error: Error) -> TemplateError {
    // The innermost error that knows its line is nearest to the cause.
    let mut line = error.line().unwrap_or(0);
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(raised) = inner.downcast_ref::<Raised>() {
            return TemplateError::Raised { line, message: raised.0.clone() };
        }
        if let Some(inner) = inner.downcast_ref::<Error>() {
            line = inner.line().unwrap_or(line);
            if inner.kind() == ErrorKind::OutOfFuel {
                let limit = "fuel (instructions and bytes built)";
                return TemplateError::Limit { line, limit };
            }
        }
        if let Some(inner) = inner.downcast_ref::<io::Error>()
            && inner.kind() == io::ErrorKind::FileTooLarge
        {
            let limit = "output bytes";
            return TemplateError::Limit { line, limit };
        }
        cause = inner.source();
    }
    if error.detail() == Some("recursion limit exceeded") {
        let limit = "nested loops and macro calls";
        return TemplateError::Limit { line, limit };
    }
    TemplateError::Render { line, message: describe(&error) }
}

/// The kind and detail of an error without its place, which [`TemplateError`] tells by itself.
fn describe(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}
