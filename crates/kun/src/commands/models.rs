//! `kun models`: the models that can be had by name and those that are here.

use serde::Serialize;
use weights::store::{Store, StoredModel};

use crate::cli::ModelsArgs;
use crate::environment::Environment;
use crate::failure::Outcome;
use crate::output;
use crate::terminal::bytes;

/// An element of the JSON list.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    bytes: u64,
    licence: String,
    /// One line about it; none for a model that is not in the catalogue.
    description: Option<String>,
    /// Is it in the store?
    here: bool,
    /// Its file, if it is.
    path: Option<String>,
}

pub(crate) fn run(args: &ModelsArgs, environment: &Environment) -> Outcome {
    let store = Store::new(environment.home()?);
    let rows = rows(&store, store.list()?);
    if args.json { output::json(&rows) } else { output::write(table(&rows)) }
}

/// The catalogue's models in its order, then what else is in the store.
fn rows(store: &Store, stored: Vec<StoredModel>) -> Vec<Row> {
    let known = store.catalogue().models().iter().map(|model| {
        let found = stored.iter().find(|s| s.name == model.name);
        Row {
            name: model.name.clone(),
            bytes: model.bytes,
            licence: model.licence.clone(),
            description: Some(model.description.clone()),
            here: found.is_some(),
            path: found.map(|s| s.path.display().to_string()),
        }
    });
    let others = stored.iter().filter(|s| store.catalogue().find(&s.name).is_none()).map(|s| Row {
        name: s.name.clone(),
        bytes: s.bytes,
        licence: s.licence.clone(),
        description: None,
        here: true,
        path: Some(s.path.display().to_string()),
    });
    known.chain(others).collect()
}

fn table(rows: &[Row]) -> String {
    let width =
        |column: fn(&Row) -> &str| rows.iter().map(|r| column(r).chars().count()).max().unwrap_or(0).max(7);
    let (name, licence) = (width(|r| &r.name), width(|r| &r.licence));
    let mut text = format!("{:name$}  {:>10}  {:4}  {:licence$}  ABOUT\n", "NAME", "SIZE", "HERE", "LICENCE");
    for row in rows {
        let here = if row.here { "yes" } else { "no" };
        let about = row.description.as_deref().unwrap_or("");
        let line = format!(
            "{:name$}  {:>10}  {here:4}  {:licence$}  {about}",
            row.name,
            bytes(row.bytes),
            row.licence
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
