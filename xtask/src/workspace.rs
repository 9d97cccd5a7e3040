//! Where things are: the repository and cargo's target folder.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    // Cargo says where it is now; the path of the build may be that of another checkout.
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(here).parent().expect("xtask is a folder of the repository").to_owned()
}

/// Cargo's target folder, wherever its configuration puts it.
pub(crate) fn target() -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let json = process::output(process::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Metadata = serde_json::from_str(&json).context("cargo metadata wrote something else")?;
    Ok(metadata.target_directory)
}
