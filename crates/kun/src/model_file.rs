//! From the name of a model to its file, its vocabulary and its template. No weights are touched.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use text::template::{ChatTemplate, TemplateLimits};
use text::tokenizer::Tokenizer;
use weights::catalogue::{Catalogue, PromptDefaults};
use weights::gguf::Gguf;
use weights::store::Store;

use crate::download;
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};

/// What names of models on the hub begin with.
const HUB_PREFIX: &str = "hf:";
/// The metadata key of the chat template.
pub(crate) const TEMPLATE_KEY: &str = "tokenizer.chat_template";

/// The model that runs when none is named.
pub(crate) fn default_name() -> OsString {
    Catalogue::builtin().default_model().name.clone().into()
}

/// What the catalogue says of prompting this model; nothing for one that it doesn't know.
pub(crate) fn prompt_defaults(model: &OsStr) -> PromptDefaults {
    let catalogue = Catalogue::builtin();
    model.to_str().and_then(|name| catalogue.find(name)).map(|known| known.prompt.clone()).unwrap_or_default()
}

/// Does this word name a model rather than being a prompt? It does if it is a name of the catalogue, begins
/// with `hf:` or ends in `.gguf`; a text with blanks only if there is such a file.
pub(crate) fn is_name(word: &OsStr) -> bool {
    let Some(text) = word.to_str() else {
        // No text to answer, so it can only be a path.
        return true;
    };
    let is_one_word = !text.contains(char::is_whitespace);
    Catalogue::builtin().find(text).is_some()
        || (text.starts_with(HUB_PREFIX) && is_one_word)
        || (ends_in_gguf(text) && (is_one_word || Path::new(text).is_file()))
}

/// Opens a model file, which is fetched first if it has a name and is not here yet.
pub(crate) fn open(model: &OsStr, environment: &Environment) -> Outcome<Gguf> {
    let path = locate(model, environment)?;
    Ok(Gguf::open(&path)?)
}

/// The file of a model, which is fetched first if it has a name and is not here yet.
pub(crate) fn locate(model: &OsStr, environment: &Environment) -> Outcome<PathBuf> {
    let name = match model.to_str() {
        Some(name) if !is_path(name) => name,
        // What is wrong with a path, opening it tells. It needs no store.
        _ => return Ok(PathBuf::from(model)),
    };
    let store = Store::new(environment.home()?);
    match store.resolve(name)? {
        Some(path) => Ok(path),
        None => download::pull(&store, name, environment),
    }
}

/// Is this a path rather than the name of a model?
pub(crate) fn is_path(name: &str) -> bool {
    let is_name = name.starts_with(HUB_PREFIX) || Catalogue::builtin().find(name).is_some();
    !is_name && (ends_in_gguf(name) || name.contains('/') || Path::new(name).exists())
}

fn ends_in_gguf(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".gguf")
}

/// The vocabulary of a file.
pub(crate) fn tokenizer(gguf: &Gguf) -> Outcome<Tokenizer> {
    let vocabulary = engine::vocabulary::vocabulary(gguf.metadata())?;
    Tokenizer::new(vocabulary).map_err(|e| {
        Failure::model(format!(
            "{}: {e}\nthe vocabulary is broken: download or convert the model again",
            path(gguf)
        ))
    })
}

/// The model's file, or its first one, for messages.
pub(crate) fn path(gguf: &Gguf) -> String {
    gguf.paths().next().map_or_else(String::new, |path| path.display().to_string())
}

/// The source of the model's chat template.
pub(crate) fn template_source(gguf: &Gguf) -> Option<&str> {
    gguf.metadata().get(TEMPLATE_KEY)?.text()
}

/// The model's chat template, parsed.
pub(crate) fn template(gguf: &Gguf) -> Outcome<Option<ChatTemplate>> {
    template_source(gguf)
        .map(|source| ChatTemplate::new(source).map_err(|e| Failure::model(e.to_string())))
        .transpose()
}

/// The texts of the tokens that templates know by name: `bos_token`, `eos_token`.
pub(crate) fn marker_tokens(tokenizer: &Tokenizer) -> Vec<(&'static str, String)> {
    [("bos_token", tokenizer.bos()), ("eos_token", tokenizer.eos())]
        .into_iter()
        .filter_map(|(name, id)| Some((name, tokenizer.token_text(id?)?.into_owned())))
        .collect()
}

/// What a template may cost, and the time of day for those that ask.
pub(crate) fn template_limits() -> TemplateLimits {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_secs()).ok());
    TemplateLimits { now_unix_seconds: now, ..TemplateLimits::default() }
}
