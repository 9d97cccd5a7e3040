//! What is served, as Ollama's clients ask for it.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::find;
use crate::body::Json;
use crate::date;
use crate::error::ApiError;
use crate::model::{Details, ServedModel};
use crate::registry::Entry;
use crate::state::App;

/// When a model goes that stays as long as the server.
const NEVER: &str = "9999-12-31T23:59:59Z";

/// The models that are served.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaTagList)]
pub(crate) struct TagList {
    models: Vec<Tag>,
}

/// A model that is served.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaTag)]
pub(crate) struct Tag {
    name: String,
    model: String,
    modified_at: String,
    /// Bytes of the file.
    size: u64,
    /// SHA-256 of the file; of what is known about it, if it is not from the store.
    digest: String,
    details: TagDetails,
}

/// The models that are loaded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaProcessList)]
pub(crate) struct ProcessList {
    models: Vec<Process>,
}

/// A model that is loaded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaProcess)]
pub(crate) struct Process {
    name: String,
    model: String,
    size: u64,
    digest: String,
    details: TagDetails,
    expires_at: &'static str,
    size_vram: u64,
    context_length: usize,
}

/// What a model is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaDetails)]
pub(crate) struct TagDetails {
    parent_model: &'static str,
    format: &'static str,
    family: String,
    families: Vec<String>,
    parameter_size: String,
    quantization_level: String,
}

/// A request about one model.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OllamaShowRequest)]
pub(crate) struct ShowRequest {
    #[serde(default, alias = "name")]
    model: Option<String>,
    #[serde(default)]
    verbose: Option<bool>,
}

/// All that is known of a model.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaShowAnswer)]
pub(crate) struct ShowAnswer {
    /// What suits the model where a request says nothing, a line each.
    parameters: String,
    template: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    details: TagDetails,
    /// The file's metadata; lists are null.
    #[schema(value_type = Object)]
    model_info: Map<String, Value>,
    capabilities: Vec<&'static str>,
    modified_at: String,
}

/// The server's version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OllamaVersion)]
pub(crate) struct VersionAnswer {
    version: &'static str,
}

/// Lists the models.
#[utoipa::path(get, path = "/api/tags", tag = "ollama", responses((status = 200, body = TagList)))]
pub(crate) async fn tags(State(app): State<Arc<App>>) -> axum::Json<TagList> {
    let tag = |name: &String, details: &Details| Tag {
        name: name.clone(),
        model: name.clone(),
        modified_at: date::rfc3339(details.modified_unix_seconds),
        size: details.file_bytes,
        digest: digest(name, details),
        details: TagDetails::of(details),
    };
    let tags = app.registry.list().into_iter().flat_map(|listed| {
        let Entry { name, aliases, details, .. } = listed.entry;
        std::iter::once(name).chain(aliases).map(|name| tag(name, details)).collect::<Vec<_>>()
    });
    axum::Json(TagList { models: tags.collect() })
}

/// Lists the models that are loaded.
#[utoipa::path(get, path = "/api/ps", tag = "ollama", responses((status = 200, body = ProcessList)))]
pub(crate) async fn ps(State(app): State<Arc<App>>) -> axum::Json<ProcessList> {
    let process = |model: &Arc<ServedModel>| Process {
        name: model.name.clone(),
        model: model.name.clone(),
        size: model.details.file_bytes,
        digest: digest(&model.name, &model.details),
        details: TagDetails::of(&model.details),
        expires_at: NEVER,
        size_vram: 0,
        context_length: model.context_tokens(),
    };
    axum::Json(ProcessList { models: app.models().iter().map(process).collect() })
}

/// Shows one model.
#[utoipa::path(
    post,
    path = "/api/show",
    tag = "ollama",
    request_body = ShowRequest,
    responses((status = 200, body = ShowAnswer))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Json(request): Json<ShowRequest>,
) -> Result<axum::Json<ShowAnswer>, ApiError> {
    if request.verbose == Some(true) {
        let message = "verbose is not supported: lists of the file's metadata are not kept";
        return Err(ApiError::unsupported("verbose", message));
    }
    let (model, _) = find(&app, request.model.as_deref()).await?;
    let defaults = &model.defaults;
    let parameters = [
        format!("temperature {}", defaults.temperature),
        format!("top_k {}", defaults.top_k),
        format!("top_p {}", defaults.top_p),
        format!("min_p {}", defaults.min_p),
    ];
    Ok(axum::Json(ShowAnswer {
        parameters: parameters.join("\n"),
        template: model.details.template_source.clone().unwrap_or_default(),
        system: defaults.system.clone(),
        details: TagDetails::of(&model.details),
        model_info: model.details.metadata.clone(),
        capabilities: ["completion"].into_iter().chain(model.tokenizer.fim().map(|_| "insert")).collect(),
        modified_at: date::rfc3339(model.details.modified_unix_seconds),
    }))
}

/// Says what is running.
#[utoipa::path(get, path = "/api/version", tag = "ollama", responses((status = 200, body = VersionAnswer)))]
pub(crate) async fn version() -> axum::Json<VersionAnswer> {
    axum::Json(VersionAnswer { version: env!("CARGO_PKG_VERSION") })
}

impl TagDetails {
    fn of(details: &Details) -> Self {
        TagDetails {
            parent_model: "",
            format: "gguf",
            family: details.architecture.clone(),
            families: vec![details.architecture.clone()],
            parameter_size: parameter_size(details.parameters),
            quantization_level: details.quantisation.clone(),
        }
    }
}

/// What tells a model's file from others.
fn digest(name: &str, details: &Details) -> String {
    if let Some(sha256) = &details.sha256 {
        return sha256.clone();
    }
    let mut hash = Sha256::new();
    hash.update(name);
    hash.update(details.file_bytes.to_le_bytes());
    hash.update(details.modified_unix_seconds.to_le_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number of weights for people.
fn parameter_size(parameters: u64) -> String {
    let count = parameters as f64;
    match parameters {
        0..1_000 => format!("{parameters}"),
        1_000..1_000_000 => format!("{:.2}K", count / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2}M", count / 1e6),
        _ => format!("{:.1}B", count / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::parameter_size;

    #[test]
    fn numbers_of_weights_are_for_people() {
        for (parameters, text) in
            [(0, "0"), (999, "999"), (17_000, "17.00K"), (134_515_008, "134.52M"), (1_235_814_432, "1.2B")]
        {
            assert_eq!(parameter_size(parameters), text);
        }
    }
}
