//! The form that `kun run` gives to its answers: a schema, an expression or a grammar.

use std::path::Path;
use std::sync::Arc;

use engine::request::Form;
use text::grammar::{GrammarLimits, GrammarSource, Grammars, close_objects};

use crate::cli::FormFlags;
use crate::failure::{Failure, Outcome};
use crate::session::Session;

/// Reads what the flags name; none if they name nothing.
pub(crate) fn source(flags: &FormFlags) -> Outcome<Option<GrammarSource>> {
    if let Some(path) = &flags.json_schema {
        let mut schema = serde_json::from_str(&read(path)?).map_err(|error| {
            Failure::usage(format!("--json-schema: {} is no JSON: {error}", path.display()))
        })?;
        close_objects(&mut schema);
        return Ok(Some(GrammarSource::JsonSchema(schema)));
    }
    if let Some(path) = &flags.grammar {
        return Ok(Some(GrammarSource::of_grammar(&read(path)?)));
    }
    Ok(flags.regex.clone().map(GrammarSource::Regex))
}

/// The form for a model's answers.
pub(crate) fn compiled(source: Option<&GrammarSource>, session: &Session) -> Outcome<Option<Box<Form>>> {
    let Some(source) = source else { return Ok(None) };
    let flag = match source {
        GrammarSource::Regex(_) => "--regex",
        GrammarSource::Gbnf(_) | GrammarSource::Lark(_) => "--grammar",
        _ => "--json-schema",
    };
    let compile = || Grammars::new(Arc::clone(&session.tokenizer), GrammarLimits::default())?.compile(source);
    let constraint = compile().map_err(|error| Failure::usage(format!("{flag}: {error}")))?;
    Ok(Some(Box::new(Form { constraint, begins_after: Vec::new() })))
}

fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|error| Failure::io(format!("{}: {error}", path.display())))
}
