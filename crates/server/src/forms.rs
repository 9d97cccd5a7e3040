//! The forms of answers, compiled for a model: with a deadline, few at a time, and the last ones kept.
//!
//! Every way in that names a form comes through [`compiled`], so the limits are the same for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use text::grammar::{Constraint, GrammarError, GrammarLimits, GrammarSource, Grammars};
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::model::ServedModel;

/// What a compilation may take, the wait for its turn included.
const DEADLINE: Duration = Duration::from_secs(5);
/// How many compile at a time: one that does not end leaves room for another.
const AT_ONCE: usize = 2;
/// How many compiled forms are kept.
const KEPT_MAX: usize = 32;
/// Bytes of the sources of all that are kept.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// What a model needs to compile forms. It costs nothing until the first one.
#[derive(Debug)]
pub struct Forms {
    grammars: OnceLock<Result<Grammars, GrammarError>>,
    kept: Mutex<Kept>,
    turns: Arc<Semaphore>,
}

impl Default for Forms {
    fn default() -> Self {
        Forms { grammars: OnceLock::new(), kept: Mutex::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// A form as a request gave it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) source: GrammarSource,
    /// The field that it came from.
    pub(crate) field: String,
}

/// The beginning of an answer that must have this form.
pub(crate) async fn compiled(model: &Arc<ServedModel>, wanted: Wanted) -> Result<Constraint, ApiError> {
    let Wanted { source, field } = wanted;
    let key = key(&source);
    if let Some(kept) = model.forms.kept().get(&key) {
        return Ok(kept);
    }
    let slow = || {
        let message = format!("{field} took longer than {} s to compile; simplify it", DEADLINE.as_secs());
        ApiError::field(field.as_str(), message).with_code("grammar_too_complex")
    };
    let compile = async {
        let turn = Arc::clone(&model.forms.turns).acquire_owned().await.expect("it is never closed");
        let model = Arc::clone(model);
        let compile = move || {
            let constraint = model.forms.compile(&model, &source);
            drop(turn);
            constraint
        };
        tokio::task::spawn_blocking(compile).await
    };
    let compiled = tokio::time::timeout(DEADLINE, compile).await.map_err(|_| slow())?;
    let constraint = compiled
        .map_err(|_| ApiError::internal("the form of the answer could not be compiled"))?
        .map_err(|error| refused(&error, &field))?;
    model.forms.kept().put(key, &constraint);
    Ok(constraint)
}

impl Forms {
    fn compile(&self, model: &ServedModel, source: &GrammarSource) -> Result<Constraint, GrammarError> {
        let new = || Grammars::new(Arc::clone(&model.tokenizer), GrammarLimits::default());
        self.grammars.get_or_init(new).as_ref().map_err(Clone::clone)?.compile(source)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // What a panic left is a map all the same.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(error: &GrammarError, field: &str) -> ApiError {
    let code = match error {
        GrammarError::Schema(_) | GrammarError::Unsatisfiable(_) => "invalid_json_schema",
        GrammarError::TooLarge { .. } => "grammar_too_complex",
        GrammarError::Syntax(_) if field.contains("schema") || field.contains("json") => {
            "invalid_json_schema"
        }
        GrammarError::Syntax(_) => "invalid_grammar",
        GrammarError::Vocabulary(_) => "unsupported_parameter",
    };
    ApiError::field(field, format!("{field}: {error}")).with_code(code)
}

/// What tells two forms apart: the kind and the whole text.
fn key(source: &GrammarSource) -> String {
    match source {
        GrammarSource::JsonObject => "object".to_owned(),
        GrammarSource::JsonSchema(schema) => format!("schema {schema}"),
        GrammarSource::Regex(text) => format!("regex {text}"),
        GrammarSource::Choice(texts) => format!("choice {texts:?}"),
        GrammarSource::Lark(text) => format!("lark {text}"),
        GrammarSource::Gbnf(text) => format!("gbnf {text}"),
    }
}

/// The last forms, by their sources.
#[derive(Debug, Default)]
struct Kept {
    forms: HashMap<String, (Constraint, u64)>,
    bytes: usize,
    uses: u64,
}

impl Kept {
    fn get(&mut self, key: &str) -> Option<Constraint> {
        self.uses += 1;
        let (constraint, used) = self.forms.get_mut(key)?;
        *used = self.uses;
        Some(constraint.fresh())
    }

    fn put(&mut self, key: String, constraint: &Constraint) {
        if key.len() > KEPT_BYTES_MAX / 4 || self.forms.contains_key(&key) {
            return;
        }
        self.uses += 1;
        self.bytes += key.len();
        self.forms.insert(key, (constraint.fresh(), self.uses));
        while self.forms.len() > KEPT_MAX || self.bytes > KEPT_BYTES_MAX {
            let oldest = self.forms.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            self.bytes -= oldest.len();
            self.forms.remove(&oldest);
        }
    }
}
