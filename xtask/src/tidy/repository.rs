//! The files of the repository, as the rules see them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Folders that hold no sources: what is built or fetched.
const SKIPPED: &[&str] = &[".git", "target", "node_modules", "__pycache__"];

/// All files by their path from the root, with `/` between folders; no text where a file is not UTF-8.
#[derive(Default)]
pub(super) struct Repository {
    files: BTreeMap<String, Option<String>>,
}

impl Repository {
    /// Reads everything below `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut repository = Repository::default();
        repository.read_folder(root, "")?;
        Ok(repository)
    }

    /// A made-up one.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())));
        Repository { files: files.collect() }
    }

    /// The text of a file; none if it isn't there.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Is there a file or a folder of this path?
    pub(super) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.range(folder.clone()..).next().is_some_and(|(file, _)| file.starts_with(&folder))
    }

    /// Paths and texts of all text files that end in one of `ends`.
    pub(super) fn texts<'a>(&'a self, ends: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let texts = self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)));
        texts.filter(|(path, _)| ends.iter().any(|end| path.ends_with(end)))
    }

    /// Names without extension, and texts, of the Rust files that lie in a folder itself.
    pub(super) fn modules<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts(&[".rs"]).filter_map(move |(path, text)| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
            (!name.contains('/')).then_some((name, text))
        })
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) && !name.starts_with(".venv") {
                    self.read_folder(&entry.path(), &format!("{path}/"))?;
                }
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                self.files.insert(path, String::from_utf8(bytes).ok());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_there_if_a_file_is_in_them() {
        let repository = Repository::of(&[("docs/adr/0001.md", ""), ("docs.rs", "")]);
        assert!(repository.has("docs") && repository.has("docs/adr") && repository.has("docs/adr/0001.md"));
        assert!(!repository.has("docs/ad") && !repository.has("doc"));
    }

    #[test]
    fn modules_of_a_folder_are_not_those_below() {
        let repository = Repository::of(&[("a/b.rs", "1"), ("a/b/c.rs", "2"), ("ab/d.rs", "3")]);
        assert_eq!(repository.modules("a").collect::<Vec<_>>(), [("b", "1")]);
    }
}
