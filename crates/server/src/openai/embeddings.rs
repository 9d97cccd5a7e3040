//! `POST /v1/embeddings`: texts or tokens as vectors.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json as Answer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::prompts::Prompts;
use super::{Timings, note_user};
use crate::answers::Totals;
use crate::body::Json;
use crate::embedding::{self, Embedded, INPUTS_MAX};
use crate::error::ApiError;
use crate::job::{Caller, whole};
use crate::lowering::beside;
use crate::running;
use crate::state::App;

/// A request to `/v1/embeddings`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct EmbeddingRequest {
    input: Prompts,
    /// The first model that is served, if none is named.
    #[serde(default)]
    model: Option<String>,
    /// `float`, or `base64` for the bytes of little-endian numbers of 32 bits.
    #[serde(default)]
    encoding_format: Option<String>,
    /// How many numbers of the vector are wanted. What is left is made 1 long again.
    #[serde(default)]
    #[schema(minimum = 1)]
    dimensions: Option<i64>,
    #[serde(default)]
    user: Option<String>,
}

/// Vectors, in the order of the inputs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingList {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: EmbeddingUsage,
    timings: Timings,
}

/// The vector of one input, of length 1.
#[derive(Debug, Serialize, ToSchema)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

/// A vector as it was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

/// Tokens of all inputs.
#[derive(Debug, Serialize, ToSchema)]
struct EmbeddingUsage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// Makes vectors.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    tag = "embeddings",
    request_body = EmbeddingRequest,
    responses((status = 200, body = EmbeddingList))
)]
pub(crate) async fn embed(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<EmbeddingRequest>,
) -> Result<Answer<EmbeddingList>, ApiError> {
    let EmbeddingRequest { input, model, encoding_format, dimensions, user } = request;
    let (model, place) = app.admit(model.as_deref()).await?;
    note_user([&user]);
    let base64 = match encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            let message = "encoding_format must be float or base64";
            return Err(ApiError::field("encoding_format", message));
        }
    };
    let width = model.handle.shape().embedding;
    let dimensions = whole("dimensions", dimensions, 1, width as i64)?.map_or(width, |n| n as usize);
    input.check_count("input", INPUTS_MAX)?;
    let inputs = {
        let model = Arc::clone(&model);
        beside(move || input.tokens("input", &model, true)).await?
    };
    drop(place);
    let embedded = embedding::embed(&model, inputs, "input", caller).await?;
    let (usage, timings) = accounts(&embedded);
    let data = embedded.vectors.into_iter().enumerate().map(|(index, vector)| {
        let vector = shortened(vector, dimensions);
        let embedding = if base64 { Vector::Base64(packed(&vector)) } else { Vector::Float(vector) };
        Embedding { object: "embedding", index, embedding }
    });
    Ok(Answer(EmbeddingList {
        object: "list",
        data: data.collect(),
        model: model.name.clone(),
        usage,
        timings,
    }))
}

fn accounts(embedded: &Embedded) -> (EmbeddingUsage, Timings) {
    let prompt_tokens = embedded.prompt_tokens;
    let usage = running::Usage { prompt_tokens, ..running::Usage::default() };
    let timings = Timings::of(&Totals { usage, timings: embedded.timings });
    (EmbeddingUsage { prompt_tokens, total_tokens: prompt_tokens }, timings)
}

/// The first numbers of a vector, made 1 long again. No direction, 0, stays as it is.
pub(crate) fn shortened(mut vector: Vec<f32>, dimensions: usize) -> Vec<f32> {
    if dimensions >= vector.len() {
        return vector;
    }
    vector.truncate(dimensions);
    let length = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
    vector
}

fn packed(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_vector_is_1_long_again() {
        for (vector, dimensions, expect) in [
            (vec![0.6, 0.0, 0.8], 3, vec![0.6, 0.0, 0.8]),
            (vec![0.6, 0.0, 0.8], 1, vec![1.0]),
            (vec![0.3, -0.4, 0.8], 2, vec![0.6, -0.8]),
            (vec![0.0, 1.0], 1, vec![0.0]),
        ] {
            assert_eq!(shortened(vector.clone(), dimensions), expect, "{vector:?} {dimensions}");
        }
    }

    #[test]
    fn packed_numbers_are_little_endian() {
        assert_eq!(packed(&[1.0, -2.0]), "AACAPwAAAMA=");
    }
}
