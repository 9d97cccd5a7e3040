//! The tools that a request offers, and whether one has to be called: checked once, whatever the API.
//!
//! A tool is a function of the client's. It is never run here: the model is told of it, and what the model wants to call is
//! told to the client.

pub(crate) mod told;
pub(crate) mod wire;

use serde_json::{Map, Value, json};
use text::grammar::{close_objects, spelt};
use text::speech::{Forced, Format, Tool};

use crate::error::ApiError;

/// Tools of one request.
const TOOLS_MAX: usize = 128;
/// Characters of a name.
const NAME_MAX: usize = 64;
/// Bytes of all tools as JSON.
const BYTES_MAX: usize = 512 << 10;
/// Levels of a schema, which go into a template's input.
const DEPTH_MAX: usize = 48;

/// The tools of a request. Without any, answers have no calls.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    list: Vec<Offered>,
    choice: Choice,
    /// Whether an answer may have more than one call.
    pub(crate) parallel: bool,
}

/// A tool as it was offered.
#[derive(Debug)]
struct Offered {
    tool: Tool,
    description: Option<String>,
}

/// Whether a tool has to be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The model decides.
    #[default]
    Auto,
    /// None may be.
    None,
    /// One or more have to be.
    Required,
    /// This one has to be.
    Named(String),
}

/// A tool of a request, with the names that its fields have there.
struct Draft<'a> {
    name: Option<&'a Value>,
    name_field: String,
    description: Option<&'a Value>,
    description_field: String,
    parameters: Option<&'a Value>,
    parameters_field: String,
}

impl Tools {
    /// The tools of drafts. `choice` comes from the field `tool_choice`.
    fn new(drafts: &[Draft<'_>], choice: Choice, parallel: bool) -> Result<Tools, ApiError> {
        if drafts.len() > TOOLS_MAX {
            let message = format!("tools has {} tools, at most {TOOLS_MAX} are possible", drafts.len());
            return Err(ApiError::field("tools", message));
        }
        let mut list: Vec<Offered> = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let offered = draft.check()?;
            if list.iter().any(|known| known.tool.name == offered.tool.name) {
                let field = &draft.name_field;
                let message = format!("{field} is {:?}, as that of another tool is", offered.tool.name);
                return Err(ApiError::field(field, message));
            }
            list.push(offered);
        }
        let missing = |message: String| Err(ApiError::field("tool_choice", message));
        match &choice {
            Choice::Required | Choice::Named(_) if list.is_empty() => {
                return missing("tool_choice asks for a tool, but the request has none".to_owned());
            }
            Choice::Named(name) if !list.iter().any(|known| known.tool.name == *name) => {
                let shown: String = name.chars().take(NAME_MAX).collect();
                return missing(format!("tool_choice names {shown:?}, which is none of tools"));
            }
            // What the model is not told of it can't call.
            Choice::None => list.clear(),
            _ => {}
        }
        let tools = Tools { list, choice, parallel };
        match serde_json::to_string(&tools.shown()).map_or(usize::MAX, |text| text.len()) {
            bytes if bytes > BYTES_MAX => {
                let message = format!("tools has {bytes} bytes of JSON, at most {BYTES_MAX} are possible");
                Err(ApiError::field("tools", message))
            }
            _ => Ok(tools),
        }
    }

    /// Whether there is none that could be called.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Gives them to a template.
    pub(crate) fn tell(&self, variables: &mut Map<String, Value>) {
        if !self.is_empty() {
            variables.insert("tools".to_owned(), self.shown().into());
        }
    }

    /// As templates know them.
    fn shown(&self) -> Vec<Value> {
        let shown = self.list.iter().map(|Offered { tool, description }| {
            json!({"type": "function", "function": {
                "name": tool.name,
                "description": description.as_deref().unwrap_or_default(),
                "parameters": tool.parameters,
            }})
        });
        shown.collect()
    }

    /// The grammar of answers that have to be calls; none if they don't.
    pub(crate) fn forced(&self, format: &Format, special: &dyn Fn(&str) -> Option<u32>) -> Option<String> {
        let (only, how) = match &self.choice {
            Choice::Auto | Choice::None => return None,
            Choice::Required if self.parallel => (None, Forced::Many),
            Choice::Required => (None, Forced::One),
            Choice::Named(name) => (Some(name), Forced::One),
        };
        let tools = self.list.iter().map(|offered| &offered.tool);
        let tools = tools.filter(|tool| only.is_none_or(|only| tool.name == *only)).map(|tool| {
            let mut parameters = tool.parameters.clone();
            close_objects(&mut parameters);
            Tool { name: tool.name.clone(), parameters: spelt(parameters) }
        });
        format.call_grammar(&tools.collect::<Vec<_>>(), how, special)
    }

    /// For the reader of answers.
    pub(crate) fn into_list(self) -> Vec<Tool> {
        self.list.into_iter().map(|offered| offered.tool).collect()
    }
}

impl Draft<'_> {
    fn check(&self) -> Result<Offered, ApiError> {
        let wrong = |field: &str, what: &str| ApiError::field(field, format!("{field} {what}"));
        let name = self.name.and_then(Value::as_str).filter(|name| is_name(name)).ok_or_else(|| {
            let what = format!("must be 1 to {NAME_MAX} letters, digits, _, - or .");
            wrong(&self.name_field, &what)
        })?;
        let description = match self.description {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(wrong(&self.description_field, "must be a string")),
        };
        let parameters = match self.parameters {
            None | Some(Value::Null) => json!({"type": "object", "properties": {}}),
            Some(object @ Value::Object(_)) if depth(object) <= DEPTH_MAX => object.clone(),
            Some(Value::Object(_)) => {
                let what = format!("is nested deeper than {DEPTH_MAX} levels");
                return Err(wrong(&self.parameters_field, &what));
            }
            Some(_) => return Err(wrong(&self.parameters_field, "must be a JSON schema, an object")),
        };
        Ok(Offered { tool: Tool { name: name.to_owned(), parameters }, description })
    }
}

/// Whether a tool may have this name.
fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_part)
}

/// How deep a value is nested. A body is read only up to some depth, so that this can go down by itself.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
