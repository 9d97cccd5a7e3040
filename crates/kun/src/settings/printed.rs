//! What is set, as a file that sets the same.

use std::ffi::OsStr;
use std::fmt::Write;

use super::{Given, Origin};

/// The column where origins stand.
const ORIGIN_COLUMN: usize = 40;

/// The settings, each with where its value came from.
pub(crate) fn printed(given: &[Given]) -> String {
    let mut out = String::new();
    for Given { setting, values, origin } in given {
        let name = setting.name;
        let line = match values.as_slice() {
            [] if setting.list => format!("{name} = []"),
            [] => format!("# {name} is not set"),
            values if setting.list => {
                let items: Vec<String> = values.iter().map(|value| text(value)).collect();
                format!("{name} = [{}]", items.join(", "))
            }
            values => format!("{name} = {}", scalar(&values[0])),
        };
        let origin = match origin {
            Origin::Default => "default".to_owned(),
            Origin::File(path) => path.display().to_string().escape_debug().to_string(),
            Origin::Variable => setting.variable(),
            Origin::Flag => format!("--{name}"),
        };
        writeln!(out, "{line:ORIGIN_COLUMN$} # {origin}").expect("a String takes everything");
    }
    out
}

/// A value as TOML: numbers and switches stand bare.
fn scalar(value: &OsStr) -> String {
    match value.to_str() {
        Some(bare) if bare == "true" || bare == "false" => bare.to_owned(),
        Some(bare) if bare.parse::<i64>().is_ok_and(|number| number.to_string() == bare) => bare.to_owned(),
        _ => text(value),
    }
}

fn text(value: &OsStr) -> String {
    toml::Value::String(value.to_string_lossy().into_owned()).to_string()
}
