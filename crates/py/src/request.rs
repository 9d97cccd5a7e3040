//! A dict of the token-level seam as a request of the engine. What it does not know it refuses by name.

use std::sync::{Arc, OnceLock};

use engine::request::{Form, LoopGuard, Request, Sampling, TokenId};
use kun::local::Local;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use text::grammar::{GrammarError, GrammarLimits, GrammarSource, Grammars, close_objects};
use text::tokenizer::Tokenizer;

use crate::errors;

/// A request as it was said.
pub(crate) struct Asked {
    pub(crate) request: Request,
    /// Its form, and the key that it came from.
    pub(crate) form: Option<(&'static str, GrammarSource)>,
}

/// Reads a request.
pub(crate) fn read(dict: &Bound<'_, PyDict>, local: &Local) -> PyResult<Asked> {
    let py = dict.py();
    let reader = Reader { dict };
    let mut request = Request::new(reader.needed("token_ids")?, 0);
    request.sampling = sampling(&reader, local)?;
    let ignore_eos = reader.get("ignore_eos")?.unwrap_or(false);
    if !ignore_eos {
        request.stop_tokens = local.tokenizer.end_of_generation().to_vec();
    }
    for token in reader.get::<Vec<TokenId>>("stop_token_ids")?.unwrap_or_default() {
        if !request.stop_tokens.contains(&token) {
            request.stop_tokens.push(token);
        }
    }
    let room = local.handle.limits().context_tokens.saturating_sub(request.prompt.len());
    request.max_tokens = reader.get("max_tokens")?.unwrap_or(room.max(1));
    request.min_tokens = reader.get("min_tokens")?.unwrap_or(0);
    request.generated = reader.get("already_generated")?.unwrap_or(0);
    request.logprobs = reader.get("logprobs")?;
    request.prompt_logprobs = reader.get("prompt_logprobs")?;
    request.rank.priority = reader.get("priority")?.unwrap_or(0);
    request.loop_guard = match reader.get::<String>("loop_guard")?.as_deref() {
        None if ignore_eos => LoopGuard::Off,
        None | Some("recover") => LoopGuard::Recover,
        Some("stop") => LoopGuard::Stop,
        Some("off") => LoopGuard::Off,
        Some(other) => {
            let message = format!("loop_guard is {other:?}; it is one of off, stop and recover");
            return Err(errors::request(py, message, Some("loop_guard")));
        }
    };
    let form = form(&reader)?;
    if let Some(key) = reader.unknown()? {
        let known = KEYS.join(", ");
        let message = format!("{key} is no key of a request; known are: {known}");
        return Err(errors::request(py, message, Some(&key)));
    }
    Ok(Asked { request, form })
}

/// Every key that a request may have.
const KEYS: &[&str] = &[
    "already_generated",
    "choice",
    "frequency_penalty",
    "grammar",
    "ignore_eos",
    "json_schema",
    "logit_bias",
    "logprobs",
    "loop_guard",
    "max_tokens",
    "min_p",
    "min_tokens",
    "presence_penalty",
    "priority",
    "prompt_logprobs",
    "regex",
    "repeat_penalty",
    "repetition_penalty",
    "seed",
    "stop_token_ids",
    "temperature",
    "token_ids",
    "top_k",
    "top_p",
    "typical_p",
];

struct Reader<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
}

impl<'py> Reader<'_, 'py> {
    /// What stands under a key; None is as good as nothing.
    fn get<T>(&self, key: &'static str) -> PyResult<Option<T>>
    where
        T: for<'a> FromPyObject<'a, 'py>,
        for<'a> <T as FromPyObject<'a, 'py>>::Error: Into<PyErr>,
    {
        debug_assert!(KEYS.contains(&key), "{key} is missing in the list");
        let Some(value) = self.dict.get_item(key)?.filter(|value| !value.is_none()) else { return Ok(None) };
        let wrong = |error: PyErr| {
            let message = format!("{key}: {}", error.value(self.dict.py()));
            errors::request(self.dict.py(), message, Some(key))
        };
        value.extract().map(Some).map_err(|error: <T as FromPyObject<'_, 'py>>::Error| wrong(error.into()))
    }

    fn needed(&self, key: &'static str) -> PyResult<Vec<TokenId>> {
        let missing = || {
            errors::request(self.dict.py(), format!("{key} is missing: give a list of token ids"), Some(key))
        };
        self.get(key)?.ok_or_else(missing)
    }

    /// The first key that is none.
    fn unknown(&self) -> PyResult<Option<String>> {
        for key in self.dict.keys() {
            let key = key.str()?.to_string();
            if !KEYS.contains(&key.as_str()) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}

/// Where nothing is said, what suits the model.
fn sampling(reader: &Reader<'_, '_>, local: &Local) -> PyResult<Sampling> {
    let (defaults, plain) = (&local.defaults, Sampling::default());
    // -1 is how some clients say "all".
    let top_k = reader.get::<i64>("top_k")?.map(|k| usize::try_from(k).unwrap_or(0));
    let repeat_penalty = match reader.get("repeat_penalty")? {
        None => reader.get("repetition_penalty")?,
        given => given,
    };
    let mut logit_bias: Vec<(TokenId, f32)> = reader
        .get::<std::collections::HashMap<TokenId, f32>>("logit_bias")?
        .unwrap_or_default()
        .into_iter()
        // The least bias is a ban.
        .map(|(token, bias)| (token, if bias <= -100.0 { f32::NEG_INFINITY } else { bias }))
        .collect();
    logit_bias.sort_unstable_by_key(|(token, _)| *token);
    Ok(Sampling {
        temperature: reader.get("temperature")?.unwrap_or(defaults.temperature),
        top_k: top_k.unwrap_or(defaults.top_k),
        top_p: reader.get("top_p")?.unwrap_or(defaults.top_p),
        min_p: reader.get("min_p")?.unwrap_or(defaults.min_p),
        typical_p: reader.get("typical_p")?.unwrap_or(plain.typical_p),
        repeat_penalty: repeat_penalty.unwrap_or(plain.repeat_penalty),
        frequency_penalty: reader.get("frequency_penalty")?.unwrap_or(0.0),
        presence_penalty: reader.get("presence_penalty")?.unwrap_or(0.0),
        logit_bias,
        seed: seed(reader)?,
        ..plain
    })
}

/// Any whole number of 64 bits, with or without sign; without one the system's.
fn seed(reader: &Reader<'_, '_>) -> PyResult<u64> {
    if let Some(seed) = reader.get::<i128>("seed")? {
        // Two's complement: every number is a seed of its own.
        let own = u64::try_from(seed).ok().or_else(|| i64::try_from(seed).ok().map(|seed| seed as u64));
        let message = "seed: a whole number between -2^63 and 2^64 - 1 is wanted";
        return own.ok_or_else(|| errors::request(reader.dict.py(), message, Some("seed")));
    }
    getrandom::u64().map_err(errors::internal)
}

/// The form that is asked for; at most one.
fn form(reader: &Reader<'_, '_>) -> PyResult<Option<(&'static str, GrammarSource)>> {
    let py = reader.dict.py();
    let mut forms = Vec::new();
    if let Some(text) = reader.get::<String>("json_schema")? {
        let mut schema = serde_json::from_str(&text).map_err(|error| {
            errors::request(py, format!("json_schema is no JSON: {error}"), Some("json_schema"))
        })?;
        close_objects(&mut schema);
        forms.push(("json_schema", GrammarSource::JsonSchema(schema)));
    }
    if let Some(regex) = reader.get("regex")? {
        forms.push(("regex", GrammarSource::Regex(regex)));
    }
    if let Some(text) = reader.get::<String>("grammar")? {
        forms.push(("grammar", GrammarSource::of_grammar(&text)));
    }
    if let Some(choices) = reader.get("choice")? {
        forms.push(("choice", GrammarSource::Choice(choices)));
    }
    match forms.as_slice() {
        [first, second, ..] => {
            let message = format!("{} and {} do not go together: give one form", first.0, second.0);
            Err(errors::request(py, message, Some(second.0)))
        }
        _ => Ok(forms.pop()),
    }
}

/// What compiles the forms of a model's answers. It costs nothing until the first one.
#[derive(Default)]
pub(crate) struct Forms(OnceLock<Result<Grammars, GrammarError>>);

impl Forms {
    /// Compiles a form; that may take seconds. An error says what is wrong with it.
    pub(crate) fn compile(
        &self,
        source: &GrammarSource,
        tokenizer: &Arc<Tokenizer>,
    ) -> Result<Box<Form>, String> {
        let new = || Grammars::new(Arc::clone(tokenizer), GrammarLimits::default());
        let grammars = self.0.get_or_init(new).as_ref().map_err(ToString::to_string)?;
        let constraint = grammars.compile(source).map_err(|error| error.to_string())?;
        Ok(Box::new(Form { constraint, begins_after: Vec::new() }))
    }
}
