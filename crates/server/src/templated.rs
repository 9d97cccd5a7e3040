//! Messages through a model's chat template: the text of a prompt, and its tokens.

use std::sync::Arc;

use engine::request::TokenId;
use serde_json::{Map, Value, json};

use crate::cache_doctor::Origin;
use crate::error::ApiError;
use crate::lowering::beside;
use crate::model::ServedModel;

/// What a template may be given beside the messages.
const VARIABLES_BYTES_MAX: usize = 64 << 10;
/// Variables of templates that are the server's to set.
const RESERVED: [&str; 7] =
    ["messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token", "tokenize"];
/// What clients can ask for of a model that reasons.
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// A message as templates take it, and the field of the request that its content came from.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) field: String,
    pub(crate) message: Value,
}

/// Messages that became a prompt.
pub(crate) struct Templated {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) text: String,
    said: Vec<Said>,
}

impl Templated {
    /// For the cache doctor.
    pub(crate) fn origin(&self) -> Origin {
        Origin::Messages { said: self.said.clone(), text: self.text.clone() }
    }
}

/// Puts the model's own first message before those that have no system message.
pub(crate) fn add_default_system(said: &mut Vec<Said>, model: &ServedModel) {
    let has_system = said.iter().any(|said| said.message["role"] == "system");
    if let (false, Some(system)) = (has_system, &model.defaults.system) {
        let field = "the model's default system message".to_owned();
        said.insert(0, Said { field, message: json!({"role": "system", "content": system}) });
    }
}

/// Runs the template. `answer` asks for the beginning of an answer; `field` is what the messages came from.
pub(crate) async fn templated(
    model: &Arc<ServedModel>,
    said: Vec<Said>,
    variables: Map<String, Value>,
    answer: bool,
    field: &'static str,
) -> Result<Templated, ApiError> {
    let model = Arc::clone(model);
    let render = move || {
        let messages: Vec<Value> = said.iter().map(|said| said.message.clone()).collect();
        let text = model.render(&messages, &variables, answer).map_err(|error| error.with_param(field))?;
        model.check_length(&text, field)?;
        Ok(Templated { tokens: model.tokenize(&text), text, said })
    };
    beside(render).await
}

/// What a template is given beside the messages. `effort` has its field's name.
pub(crate) fn variables(
    kwargs: Option<Map<String, Value>>,
    effort: Option<(&'static str, &str)>,
) -> Result<Map<String, Value>, ApiError> {
    const FIELD: &str = "chat_template_kwargs";
    let mut variables = kwargs.unwrap_or_default();
    if let Some(name) = RESERVED.into_iter().find(|name| variables.contains_key(*name)) {
        let message = format!("{FIELD} must not set {name}, which is the server's");
        return Err(ApiError::field(FIELD, message));
    }
    let bytes = serde_json::to_string(&variables).map_or(usize::MAX, |text| text.len());
    if bytes > VARIABLES_BYTES_MAX {
        return Err(ApiError::field(FIELD, format!("{FIELD} is larger than {VARIABLES_BYTES_MAX} bytes")));
    }
    if let Some((field, effort)) = effort {
        if !EFFORTS.contains(&effort) {
            return Err(ApiError::field(field, format!("{field} must be one of {}", EFFORTS.join(", "))));
        }
        variables.entry("reasoning_effort").or_insert_with(|| effort.into());
    }
    Ok(variables)
}
