//! `GET /v1/models` and `GET /v1/models/{id}` for clients of the Anthropic style.

use axum::extract::Query;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::date;
use crate::error::ApiError;
use crate::job::whole;
use crate::registry::Entry;
use crate::state::App;

/// Models on a page, if the client doesn't say.
const PAGE_DEFAULT: i64 = 20;
/// The most models on a page.
const PAGE_MAX: i64 = 1000;

/// Some of the models that are served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnthropicModelList {
    data: Vec<AnthropicModel>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

/// A model that is served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnthropicModel {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    display_name: String,
    /// When the model's file was written.
    created_at: String,
    lifecycle: &'static str,
    /// Tokens of context, prompt and answer together.
    max_input_tokens: usize,
    max_tokens: usize,
}

/// Which part of the list is asked for.
#[derive(Debug, Default, Deserialize)]
struct Page {
    limit: Option<i64>,
    after_id: Option<String>,
    before_id: Option<String>,
}

impl AnthropicModel {
    /// A model under one of its names.
    pub(crate) fn of(id: &str, entry: &Entry) -> Self {
        AnthropicModel {
            kind: "model",
            id: id.to_owned(),
            display_name: id.to_owned(),
            created_at: date::rfc3339(entry.details.modified_unix_seconds),
            lifecycle: "active",
            max_input_tokens: entry.context_tokens,
            max_tokens: entry.context_tokens,
        }
    }
}

/// The page that the query asks for.
pub(crate) fn list(app: &App, uri: &Uri) -> Result<AnthropicModelList, ApiError> {
    let Query(page) = Query::<Page>::try_from_uri(uri)
        .map_err(|_| ApiError::field("limit", "limit must be a whole number"))?;
    let listed = app.registry.list();
    let names = listed.iter().flat_map(|listed| {
        let entry = listed.entry;
        std::iter::once(&entry.name).chain(&entry.aliases).map(move |id| (id, entry))
    });
    let models: Vec<(&String, &Entry)> = names.collect();
    let place = |name: &'static str, id: &str| {
        let found = models.iter().position(|(known, _)| *known == id);
        found.ok_or_else(|| ApiError::field(name, format!("{name} is no model of the list")))
    };
    let limit = whole("limit", page.limit, 1, PAGE_MAX)?.unwrap_or(PAGE_DEFAULT) as usize;
    let (from, to) = match (&page.after_id, &page.before_id) {
        (Some(_), Some(_)) => {
            return Err(ApiError::field("before_id", "after_id and before_id exclude each other"));
        }
        (Some(id), None) => {
            let from = place("after_id", id)? + 1;
            (from, models.len().min(from + limit))
        }
        (None, Some(id)) => {
            let to = place("before_id", id)?;
            (to.saturating_sub(limit), to)
        }
        (None, None) => (0, models.len().min(limit)),
    };
    let has_more = if page.before_id.is_some() { from > 0 } else { to < models.len() };
    let data: Vec<AnthropicModel> =
        models[from..to].iter().map(|(id, entry)| AnthropicModel::of(id, entry)).collect();
    let id = |model: &AnthropicModel| model.id.clone();
    Ok(AnthropicModelList { has_more, first_id: data.first().map(id), last_id: data.last().map(id), data })
}
