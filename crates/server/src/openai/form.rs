//! The fields that give an answer's form: OpenAI's `response_format`, vLLM's `guided_…` and `structured_outputs`,
//! llama.cpp's `grammar` and `json_schema`.

use serde::Deserialize;
use serde_json::Value;
use text::grammar::{GrammarSource, close_objects};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::forms::Wanted;

/// What an answer must look like; at most one of them.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct FormFields {
    /// `{"type": "text"}`, `{"type": "json_object"}`, or
    /// `{"type": "json_schema", "json_schema": {"name": …, "schema": …}}`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    response_format: Option<Value>,
    /// A JSON schema.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    guided_json: Option<Value>,
    /// A regular expression for the whole answer.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    guided_regex: Option<Value>,
    /// The texts to choose from.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    guided_choice: Option<Value>,
    /// A grammar, in Lark or in llama.cpp's form.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    guided_grammar: Option<Value>,
    /// The same five as one object: `json`, `regex`, `choice`, `grammar`, `json_object`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    structured_outputs: Option<Value>,
    /// A grammar in llama.cpp's form.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    grammar: Option<Value>,
    /// A JSON schema.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    json_schema: Option<Value>,
}

impl FormFields {
    /// The form that is asked for, if one is.
    pub(crate) fn wanted(&self) -> Result<Option<Wanted>, ApiError> {
        let mut wanted = Vec::new();
        let fields = [
            ("guided_json", &self.guided_json),
            ("guided_regex", &self.guided_regex),
            ("guided_choice", &self.guided_choice),
            ("guided_grammar", &self.guided_grammar),
            ("grammar", &self.grammar),
            ("json_schema", &self.json_schema),
        ];
        for (field, value) in fields {
            wanted.extend(set(value).map(|value| (field.to_owned(), value)));
        }
        if let Some(outputs) = set(&self.structured_outputs) {
            const FIELD: &str = "structured_outputs";
            let outputs = outputs.as_object().ok_or_else(|| wrong(FIELD, "must be an object"))?;
            for (key, value) in outputs.iter().filter(|(_, value)| !value.is_null()) {
                wanted.push((format!("{FIELD}.{key}"), value));
            }
        }
        let mut forms: Vec<Wanted> = Vec::new();
        forms.extend(set(&self.response_format).map(response_format).transpose()?.flatten());
        for (field, value) in wanted {
            forms.extend(one(&field, value)?);
        }
        match forms.len() {
            0 | 1 => Ok(forms.pop()),
            _ => {
                let message = format!(
                    "{} and {} both give the answer's form: leave one out",
                    forms[0].field, forms[1].field
                );
                Err(ApiError::field(forms[1].field.clone(), message))
            }
        }
    }
}

fn set(value: &Option<Value>) -> Option<&Value> {
    value.as_ref().filter(|value| !value.is_null())
}

/// A field whose last name says what it holds.
fn one(field: &str, value: &Value) -> Result<Option<Wanted>, ApiError> {
    let text = || value.as_str().ok_or_else(|| wrong(field, "must be a text"));
    let source = match field.rsplit('.').next().unwrap_or(field) {
        "json" | "guided_json" | "json_schema" => return schema(field, value).map(Some),
        "regex" | "guided_regex" => GrammarSource::Regex(text()?.to_owned()),
        "choice" | "guided_choice" => {
            let list = value.as_array().ok_or_else(|| wrong(field, "must be a list of texts"))?;
            let texts = list.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>();
            GrammarSource::Choice(texts.ok_or_else(|| wrong(field, "must be a list of texts"))?)
        }
        // An empty one is how some clients of llama.cpp say none.
        "grammar" if text()?.is_empty() => return Ok(None),
        "grammar" | "guided_grammar" => GrammarSource::of_grammar(text()?),
        "json_object" => match value.as_bool() {
            Some(true) => GrammarSource::JsonObject,
            Some(false) => return Ok(None),
            None => return Err(wrong(field, "must be true or false")),
        },
        _ => return Err(ApiError::unsupported(field, format!("{field} is not supported: leave it out"))),
    };
    Ok(Some(Wanted { source, field: field.to_owned() }))
}

fn response_format(format: &Value) -> Result<Option<Wanted>, ApiError> {
    const FIELD: &str = "response_format";
    let object = format.as_object().ok_or_else(|| wrong(FIELD, "must be an object"))?;
    let kind = object.get("type").and_then(Value::as_str);
    match kind {
        Some("text") => Ok(None),
        Some("json_object") => match object.get("schema").filter(|schema| !schema.is_null()) {
            Some(value) => schema("response_format.schema", value).map(Some),
            None => Ok(Some(Wanted { source: GrammarSource::JsonObject, field: FIELD.to_owned() })),
        },
        Some("json_schema") => {
            const SCHEMA: &str = "response_format.json_schema.schema";
            let inner = object.get("json_schema").and_then(Value::as_object);
            let inner = inner
                .ok_or_else(|| wrong("response_format.json_schema", "must be an object with a schema"))?;
            let value = inner.get("schema").filter(|schema| !schema.is_null());
            required(SCHEMA, value.ok_or_else(|| invalid(SCHEMA, "is missing"))?).map(Some)
        }
        _ => Err(wrong("response_format.type", "must be text, json_object or json_schema")),
    }
}

/// A schema that stands where one must: one that says nothing is a mistake there.
pub(crate) fn required(field: &str, value: &Value) -> Result<Wanted, ApiError> {
    match value.as_object() {
        Some(object) if object.is_empty() => {
            Err(invalid(field, "says nothing about the answer: give it a type, or ask for json_object"))
        }
        _ => schema(field, value),
    }
}

/// A schema, as an object or as text.
pub(crate) fn schema(field: &str, value: &Value) -> Result<Wanted, ApiError> {
    let mut schema = match value {
        Value::String(text) => {
            serde_json::from_str(text).map_err(|error| invalid(field, &format!("is no JSON: {error}")))?
        }
        other => other.clone(),
    };
    close_objects(&mut schema);
    Ok(Wanted { source: GrammarSource::JsonSchema(schema), field: field.to_owned() })
}

fn invalid(field: &str, what: &str) -> ApiError {
    wrong(field, what).with_code("invalid_json_schema")
}

fn wrong(field: &str, what: &str) -> ApiError {
    ApiError::field(field, format!("{field} {what}"))
}
