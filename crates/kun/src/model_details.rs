//! What a model file says of itself, for those who ask the server.

use std::fs;
use std::time::UNIX_EPOCH;

use engine::load::LoadError;
use engine::request::Pooling;
use serde_json::{Map, Number, Value};
use server::Details;
use weights::gguf::{self, Gguf, Metadata};
use weights::store;

use crate::model_file;

/// What a file is.
pub(crate) fn details(gguf: &Gguf) -> Details {
    let metadata = gguf.metadata();
    let path = gguf.paths().next();
    let modified = path.and_then(|path| fs::metadata(path).ok()?.modified().ok());
    Details {
        architecture: metadata.architecture().unwrap_or_default().to_owned(),
        parameters: gguf.tensors().map(|t| t.elements()).sum(),
        quantisation: quantisation(gguf),
        file_bytes: gguf.file_bytes(),
        sha256: path.and_then(store::recorded_sha256),
        template_source: model_file::template_source(gguf).map(str::to_owned),
        modified_unix_seconds: modified
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_secs()),
        metadata: as_json(metadata),
    }
}

/// How a text becomes one vector, or why it can't with this model.
pub(crate) fn pooling(gguf: &Gguf) -> Result<Pooling, String> {
    engine::load::pooling(gguf).map_err(|error| match error {
        // Without the path, which is no client's business.
        LoadError::Hyper { key, problem, .. } => format!("{key}: {problem}"),
        _ => "the file does not say how".to_owned(),
    })
}

/// The name of the mix of formats that the file says it is in; else the format of most of its weights.
fn quantisation(gguf: &Gguf) -> String {
    let said = gguf.metadata().get("general.file_type").and_then(gguf::Value::integer);
    if let Some((_, name)) = FILE_TYPES.iter().find(|(number, _)| said == Some(*number)) {
        return (*name).to_owned();
    }
    let mut elements: Vec<(&str, u64)> = Vec::new();
    for tensor in gguf.tensors() {
        let name = tensor.format.name;
        match elements.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += tensor.elements(),
            None => elements.push((name, tensor.elements())),
        }
    }
    elements.iter().max_by_key(|(_, sum)| *sum).map_or_else(String::new, |(name, _)| (*name).to_owned())
}

/// The numbers of `general.file_type`, as the GGUF specification has them.
const FILE_TYPES: &[(i128, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4"),
];

/// The metadata as JSON. Lists, which are vocabularies as a rule, are null, and so is what is no text or number; the
/// template has its own place.
fn as_json(metadata: &Metadata) -> Map<String, Value> {
    let value = |value: &gguf::Value| match value {
        gguf::Value::Bool(value) => Value::Bool(*value),
        gguf::Value::String(_) => value.text().map_or(Value::Null, Value::from),
        // In its own precision: as an f64, 1e-5f32 would be 0.000009999999747378752.
        gguf::Value::F32(value) => value.to_string().parse().map_or(Value::Null, Value::Number),
        gguf::Value::F64(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        gguf::Value::Array(_) => Value::Null,
        integer => integer.integer().and_then(|n| i64::try_from(n).ok()).map_or(Value::Null, Value::from),
    };
    let entries = metadata.iter().filter(|(key, _)| *key != model_file::TEMPLATE_KEY);
    entries.map(|(key, entry)| (key.to_owned(), value(entry))).collect()
}
