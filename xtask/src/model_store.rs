//! The catalogue's models, fetched by the product itself into a store below the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// What `kun models --json` says of a model.
#[derive(Deserialize)]
struct Listed {
    name: String,
    path: Option<PathBuf>,
}

/// Fetches a model with `kun` unless it is in the store at `home`, and gives its file.
pub(crate) fn pull(kun: &Path, home: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(home)?;
    process::run(Command::new(kun).args(["pull", name]).env("KUN_HOME", home))?;
    let list = process::output(Command::new(kun).args(["models", "--json"]).env("KUN_HOME", home))?;
    let models: Vec<Listed> =
        serde_json::from_str(&list).context("kun models --json wrote something else")?;
    let model = models.into_iter().find(|model| model.name == name);
    model.and_then(|model| model.path).with_context(|| format!("kun models knows no file of {name}"))
}

/// Puts a file into a folder under its own name, without copying it where that can be.
pub(crate) fn link(file: &Path, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let to = folder.join(file.file_name().context("a model is a file")?);
    if to.exists() {
        fs::remove_file(&to)?;
    }
    if fs::hard_link(file, &to).is_err() {
        fs::copy(file, &to).with_context(|| format!("cannot copy {} to {}", file.display(), to.display()))?;
    }
    Ok(to)
}
