//! Which crate may depend on which, and why a library of others is used at all.
//!
//! The documents are the table: a row of ARCHITECTURE.md's workspace is `| `name` | holds | may depend on | … |`, and
//! a row of CONTRIBUTING.md's dependencies `| `name` | why |`.

use std::collections::{BTreeMap, BTreeSet};

use super::repository::Repository;

/// Our crates: name, path of the manifest, names of all dependencies.
struct Manifest<'a> {
    path: &'a str,
    name: String,
    dependencies: BTreeSet<String>,
}

/// Every dependency between our crates stands in the table of the workspace, and every crate has a row.
pub(super) fn dependencies_are_drawn(repository: &Repository) -> Vec<String> {
    let (manifests, mut problems) = manifests(repository);
    let rows = table(repository.text("ARCHITECTURE.md").unwrap_or(""), "may depend on");
    let allowed: BTreeMap<&str, BTreeSet<String>> =
        rows.iter().map(|(name, cell)| (name.as_str(), names(cell).collect())).collect();
    let ours: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    for manifest in &manifests {
        let Some(allowed) = allowed.get(manifest.name.as_str()) else {
            problems.push(format!(
                "{}: ARCHITECTURE.md has no row for the crate {}",
                manifest.path, manifest.name
            ));
            continue;
        };
        for other in manifest.dependencies.iter().filter(|name| ours.contains(name.as_str())) {
            if !allowed.contains(other) {
                problems.push(format!(
                    "{}: {} depends on {other}, which ARCHITECTURE.md does not allow",
                    manifest.path, manifest.name
                ));
            }
        }
    }
    for name in allowed.keys().filter(|name| !ours.contains(*name)) {
        problems.push(format!("ARCHITECTURE.md: there is no crate {name}"));
    }
    problems
}

/// Every library of others is explained once, and nothing is explained that is not used.
pub(super) fn libraries_have_reasons(repository: &Repository) -> Vec<String> {
    let (manifests, mut problems) = manifests(repository);
    let ours: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    let used: BTreeSet<&str> = manifests
        .iter()
        .flat_map(|manifest| manifest.dependencies.iter().map(String::as_str))
        .filter(|name| !ours.contains(name))
        .collect();
    let reasons: BTreeMap<String, String> =
        table(repository.text("CONTRIBUTING.md").unwrap_or(""), "why").into_iter().collect();
    for name in &used {
        match reasons.get(*name) {
            None => problems.push(format!("CONTRIBUTING.md: {name} is a dependency without a sentence")),
            Some(reason) if !reason.ends_with('.') => {
                problems.push(format!("CONTRIBUTING.md: what is said of {name} is not a sentence"));
            }
            Some(_) => {}
        }
    }
    for name in reasons.keys().filter(|name| !used.contains(name.as_str())) {
        problems.push(format!("CONTRIBUTING.md: {name} is explained but is no dependency"));
    }
    let shared = repository.text("Cargo.toml").and_then(|text| text.parse::<toml::Table>().ok());
    let shared = shared.as_ref().and_then(|root| root.get("workspace")?.get("dependencies")?.as_table());
    for name in shared.into_iter().flat_map(toml::Table::keys) {
        if !used.contains(name.as_str()) && !ours.contains(name.as_str()) {
            problems.push(format!("Cargo.toml: {name} is listed for the workspace but no crate uses it"));
        }
    }
    problems
}

fn manifests(repository: &Repository) -> (Vec<Manifest<'_>>, Vec<String>) {
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    for (path, text) in repository.texts(&["/Cargo.toml"]) {
        let manifest = match text.parse::<toml::Table>() {
            Ok(manifest) => manifest,
            Err(error) => {
                problems.push(format!("{path}: {}", error.message()));
                continue;
            }
        };
        let Some(name) = manifest.get("package").and_then(|package| package.get("name")?.as_str()) else {
            problems.push(format!("{path}: no package name"));
            continue;
        };
        manifests.push(Manifest { path, name: name.to_owned(), dependencies: dependencies(&manifest) });
    }
    (manifests, problems)
}

/// Of all kinds and for all targets.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
    std::iter::once(manifest)
        .chain(targets)
        .flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flat_map(|table| table.iter())
        .map(|(name, value)| value.get("package").and_then(toml::Value::as_str).unwrap_or(name).to_owned())
        .collect()
}

/// The rows of a Markdown table that has a column of this title: first cell's name and the cell in that column.
/// A first cell may hold several names.
fn table(text: &str, title: &str) -> Vec<(String, String)> {
    let mut column = None;
    let mut rows = Vec::new();
    for line in text.lines() {
        let Some(line) = line.trim().strip_prefix('|') else {
            column = None;
            continue;
        };
        let cells: Vec<&str> = line.trim_end_matches('|').split('|').map(str::trim).collect();
        match column {
            None => column = Some(cells.iter().position(|cell| *cell == title)),
            Some(Some(column)) => {
                let cell = cells.get(column).copied().unwrap_or("");
                rows.extend(names(cells[0]).map(|name| (name, cell.to_owned())));
            }
            Some(None) => {}
        }
    }
    rows
}

/// What stands in backticks; of a path, its last part.
fn names(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(|name| name.rsplit('/').next().unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARCHITECTURE: &str = "
| crate | holds | may depend on |
| --- | --- | --- |
| `crates/top` | all | `low` |
| `crates/low` | less | nothing of ours |
";

    fn manifest(name: &str, dependencies: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{dependencies}")
    }

    fn check_drawn(top: &str, low: &str, architecture: &str) -> Vec<String> {
        dependencies_are_drawn(&Repository::of(&[
            ("ARCHITECTURE.md", architecture),
            ("crates/top/Cargo.toml", &manifest("top", top)),
            ("crates/low/Cargo.toml", &manifest("low", low)),
        ]))
    }

    #[test]
    fn what_is_drawn_may_be_and_what_is_not_may_not() {
        let down = "[dependencies]\nlow.workspace = true\nserde = \"1\"";
        assert_eq!(check_drawn(down, "", ARCHITECTURE), [""; 0]);
        for up in [
            "[dependencies]\ntop.workspace = true",
            "[dev-dependencies]\nt = { path = \"../top\", package = \"top\" }",
            "[target.'cfg(unix)'.build-dependencies]\ntop = { path = \"../top\" }",
        ] {
            let problems = check_drawn(down, up, ARCHITECTURE);
            assert_eq!(
                problems,
                ["crates/low/Cargo.toml: low depends on top, which ARCHITECTURE.md does not allow"],
                "{up}"
            );
        }
    }

    #[test]
    fn crates_and_rows_are_the_same() {
        let problems = check_drawn("", "", &ARCHITECTURE.replace("`crates/low`", "`crates/lower`"));
        assert_eq!(
            problems,
            [
                "crates/low/Cargo.toml: ARCHITECTURE.md has no row for the crate low",
                "ARCHITECTURE.md: there is no crate lower"
            ]
        );
    }

    fn check_reasons(contributing: &str) -> Vec<String> {
        libraries_have_reasons(&Repository::of(&[
            ("CONTRIBUTING.md", contributing),
            (
                "Cargo.toml",
                "[workspace.dependencies]\nserde = \"1\"\ntop = { path = \"crates/top\" }\nold = \"1\"",
            ),
            ("crates/top/Cargo.toml", &manifest("top", "[dependencies]\nserde.workspace = true")),
        ]))
    }

    #[test]
    fn a_library_has_a_sentence_and_a_sentence_a_library() {
        let head = "| library | why |\n| --- | --- |\n";
        let unused = "Cargo.toml: old is listed for the workspace but no crate uses it";
        assert_eq!(check_reasons(&format!("{head}| `serde` | It reads JSON. |")), [unused]);
        assert_eq!(
            check_reasons(&format!("{head}| `serde` | JSON |\n| `rand` | It draws. |")),
            [
                "CONTRIBUTING.md: what is said of serde is not a sentence",
                "CONTRIBUTING.md: rand is explained but is no dependency",
                unused
            ]
        );
        assert_eq!(check_reasons("").len(), 2);
    }
}
