//! `GET /openapi.json`: the routes and their shapes, for programs that read such documents.
//!
//! Each handler describes itself; what all of them share (who may call, how errors look) is added here from the table of
//! routes, so that it can't be forgotten on one of them.

use std::sync::OnceLock;

use axum::http::{HeaderValue, Method, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder};
use utoipa::{OpenApi, ToSchema};

use crate::anthropic::messages;
use crate::error::Dialect;
use crate::ollama;
use crate::openai::{batches, chat, completions, embeddings, files, models, responses};
use crate::router::{Access, Route, routes};
use crate::{health, metrics, page, tokens};

/// The document with what the handlers say of themselves.
#[derive(OpenApi)]
#[openapi(
    info(title = "Kun", description = "Large language models on CPUs, behind the APIs that clients know."),
    paths(
        chat::complete,
        completions::complete,
        models::list,
        models::show,
        embeddings::embed,
        responses::respond,
        files::upload,
        files::list,
        files::show,
        files::remove,
        files::content,
        batches::create,
        batches::list,
        batches::show,
        batches::cancel,
        tokens::tokenize,
        tokens::detokenize,
        tokens::info,
        tokens::apply_template,
        messages::create,
        messages::count_tokens,
        ollama::chat::complete,
        ollama::generate::complete,
        ollama::embed::create,
        ollama::embed::create_one,
        ollama::models::tags,
        ollama::models::ps,
        ollama::models::show,
        ollama::models::version,
        ollama::not_done::pull,
        ollama::not_done::push,
        ollama::not_done::create,
        ollama::not_done::copy,
        ollama::not_done::remove,
        show,
        health::live,
        health::ready,
        metrics::show,
        page::index,
        page::script,
        page::style,
        page::icon,
    ),
    components(schemas(OpenAiError, AnthropicError, OllamaError))
)]
struct Handlers;

/// The name of the way to show a key.
const BEARER: &str = "bearer";

/// Describes the service.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "service",
    responses((status = 200, content_type = "application/json", body = Object))
)]
pub(crate) async fn show() -> impl IntoResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| written(&document()).to_string());
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text.as_str())
}

/// The whole document.
pub(crate) fn document() -> Document {
    let mut document = Handlers::openapi();
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key of the server's, where it asks for one. The header x-api-key does as well."))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(key));
    for route in routes() {
        let operation = document
            .paths
            .paths
            .get_mut(&template(route.path))
            .and_then(|item| operation_mut(item, &route.method));
        if let Some(operation) = operation {
            complete(operation, &route);
        }
    }
    document
}

/// The document as JSON. What a stream sends is an event with the answer's piece as its data, which the library has no
/// word for.
fn written(document: &Document) -> Value {
    let mut document = serde_json::to_value(document).expect("it has string keys only");
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations =
        paths.flat_map(|item| item.as_object_mut().into_iter().flat_map(|item| item.values_mut()));
    for operation in operations {
        // What goes wrong in a stream that has begun is told in it.
        let failure = operation["responses"]["default"]["content"]["application/json"]["schema"].clone();
        let Some(answer) = operation.pointer_mut("/responses/200/content/text~1event-stream/schema") else {
            continue;
        };
        let piece = json!({"anyOf": [answer.take(), failure]});
        *answer = json!({
            "type": "object",
            "required": ["data"],
            "properties": {
                "event": {"type": "string"},
                "data": {"anyOf": [
                    {"type": "string", "contentMediaType": "application/json", "contentSchema": piece},
                    {"const": "[DONE]"},
                ]},
            },
        });
    }
    document
}

/// Adds what a route has in common with its like.
fn complete(operation: &mut Operation, route: &Route) {
    match route.access {
        Access::Key => {
            // Without keys there is no need of one, which is what the empty requirement says.
            let optional = [SecurityRequirement::default(), SecurityRequirement::new(BEARER, [""; 0])];
            operation.security = Some(optional.into());
        }
        Access::Open => operation.security = Some(Vec::new()),
    }
    let schema = match Dialect::of(route.path, false) {
        Dialect::OpenAi => "OpenAiError",
        Dialect::Anthropic => "AnthropicError",
        Dialect::Ollama => "OllamaError",
    };
    let content = || ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with('4'), response)
            && response.content.is_empty()
        {
            response.content.insert("application/json".to_owned(), content().into());
        }
    }
    for (status, description, wants) in ERRORS {
        let applies = match wants {
            Wants::Anything => true,
            Wants::Key => route.access == Access::Key,
            Wants::Body => operation.request_body.is_some(),
        };
        if !applies || operation.responses.responses.contains_key(status) {
            continue;
        }
        let mut response =
            ResponseBuilder::new().description(description).content("application/json", content());
        if ["429", "503"].contains(&status) {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
            let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds.")).build();
            response = response.header("Retry-After", header);
        }
        operation.responses.responses.insert(status.to_owned(), response.build().into());
    }
}

/// What a route needs for an error to come from it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Anything,
    Key,
    Body,
}

/// The errors that routes have in common.
const ERRORS: [(&str, &str, Wants); 11] = [
    ("400", "The request is wrong: the message names the field.", Wants::Body),
    ("401", "The key is missing or unknown.", Wants::Key),
    ("403", "The host or the origin is not allowed.", Wants::Anything),
    ("404", "There is no such route or model.", Wants::Anything),
    ("408", "The request or its answer took too long.", Wants::Body),
    ("413", "The body is larger than the limit.", Wants::Body),
    ("415", "The body is not plain JSON.", Wants::Body),
    ("429", "Too many requests, or a quota is used up.", Wants::Key),
    ("500", "A fault of the server's.", Wants::Anything),
    ("503", "The model is being loaded, or the server shuts down.", Wants::Anything),
    ("default", "What else can go wrong.", Wants::Anything),
];

/// A path as the document writes it: axum's wildcards are parameters like others.
fn template(path: &str) -> String {
    path.replace("{*", "{")
}

fn operation_mut<'a>(item: &'a mut PathItem, method: &Method) -> Option<&'a mut Operation> {
    match method.as_str() {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "DELETE" => item.delete.as_mut(),
        "HEAD" => item.head.as_mut(),
        _ => None,
    }
}

/// An error.
#[derive(Serialize, ToSchema)]
struct OpenAiError {
    error: OpenAiErrorDetails,
}

/// What went wrong. Some errors have more fields, with numbers that the message has in words.
#[derive(Serialize, ToSchema)]
struct OpenAiErrorDetails {
    message: String,
    r#type: String,
    /// The field that is at fault.
    #[schema(required)]
    param: Option<String>,
    #[schema(required)]
    code: Option<String>,
}

/// An error.
#[derive(Serialize, ToSchema)]
struct AnthropicError {
    /// `error`.
    r#type: String,
    error: AnthropicErrorDetails,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
struct AnthropicErrorDetails {
    r#type: String,
    message: String,
}

/// An error.
#[derive(Serialize, ToSchema)]
struct OllamaError {
    error: String,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let routes: BTreeSet<(String, String)> = routes()
            .iter()
            .map(|route| (route.method.as_str().to_lowercase(), template(route.path)))
            .collect();
        let document = serde_json::to_value(document()).expect("it is JSON");
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                described.insert((method.clone(), path.clone()));
                let responses = &operation["responses"];
                assert!(responses["default"].is_object(), "{method} {path} has no error");
                assert!(operation["tags"][0].is_string(), "{method} {path} has no tag");
            }
        }
        assert_eq!(described, routes);
    }

    /// Of two schemas with one name the document has the last only, and answers of the other are not as it says.
    #[test]
    fn no_two_schemas_have_one_name() {
        let mut names = Vec::new();
        add_schema_names(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut names);
        assert!(names.len() > 50, "{names:?}");
        let mut known = BTreeSet::new();
        for name in &names {
            assert!(known.insert(name), "two schemas have the name {name}: say #[schema(as = …)]");
        }
    }

    /// The names of the types in a folder's files that derive a schema.
    fn add_schema_names(folder: &Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                add_schema_names(&path, names);
                continue;
            }
            let source = std::fs::read_to_string(&path).expect("text");
            for derived in source.split("#[derive(").skip(1) {
                let (traits, rest) = derived.split_once(")]").expect("it ends");
                if !traits.split(", ").any(|name| name == "ToSchema") {
                    continue;
                }
                let (attributes, rest) = rest
                    .split_once("struct ")
                    .into_iter()
                    .chain(rest.split_once("enum "))
                    .min_by_key(|(before, _)| before.len())
                    .expect("a type");
                let name = match attributes.split_once("schema(as = ") {
                    Some((_, name)) => name.split(')').next(),
                    None => rest.split(|c: char| !c.is_alphanumeric()).next(),
                };
                names.push(name.expect("a name").to_owned());
            }
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let text = serde_json::to_string(&document()).expect("it is JSON");
        let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let schemas = value["components"]["schemas"].as_object().expect("schemas");
        for rest in text.split("\"#/components/schemas/").skip(1) {
            let name = rest.split('"').next().expect("it ends");
            assert!(schemas.contains_key(name), "{name} is not described");
        }
    }
}
