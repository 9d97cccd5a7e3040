//! The data of the tests, kept in `target/test-data` from one run to the next and safe to delete. Tests find
//! it by environment variables.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::python::Python;
use crate::steps::Steps;
use crate::{model_store, process};

/// A source package of which a folder is used.
struct Source {
    package: &'static str,
    version: &'static str,
    sha256: &'static str,
    /// The name of the archive's only folder, and of the archive without its ending.
    name: &'static str,
    /// The folder in it that is used.
    inside: &'static str,
}

/// Vocabularies with reference tokens, and chat templates.
const REFERENCES: Source = Source {
    package: "llama-cpp-python",
    version: "0.3.36",
    sha256: "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
    name: "llama_cpp_python-0.3.36",
    inside: "vendor/llama.cpp/models",
};

/// The JSON-Schema-Test-Suite.
const SCHEMAS: Source = Source {
    package: "jsonschema",
    version: "4.25.1",
    sha256: "e4a9655ce0da0c0b67a085847e00a3a51449e1157f4f75e9fb5aa545e122eb85",
    name: "jsonschema-4.25.1",
    inside: "json/tests/draft2020-12",
};

/// What renders the templates for comparison.
const PACKAGES: &[&str] = &["jinja2==3.1.6", "numpy>=2,<3", "gguf==0.19.0"];

/// The catalogue's models that tests run.
const MODELS: &[&str] = &["smollm2:135m", "gemma3:270m"];

/// Fetches everything and gives the variables to set.
pub(super) fn fetch(steps: &mut Steps, root: &Path, target: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let folder = target.join("test-data");
    fs::create_dir_all(&folder)?;
    let python = steps.step("data: Python", || Python::with_packages(&folder.join("venv"), PACKAGES))?;
    let references =
        steps.step("data: vocabularies and templates", || unpacked(&REFERENCES, &python, &folder))?;
    let schemas = steps.step("data: schemas", || unpacked(&SCHEMAS, &python, &folder))?;
    let templates = references.join("templates");
    let expected = folder.join("templates-expected.json");
    steps.step("data: expected prompts", || {
        let script = root.join("crates/text/tests/templates/make_expected.py");
        process::run(python.command().arg(script).arg("corpus").arg(&templates).arg(&expected))
    })?;
    let models = steps.step("data: models", || models(target, &folder))?;
    Ok(vec![
        ("KUN_TEST_MODELS", models),
        ("KUN_TEST_SCHEMAS", schemas),
        ("KUN_TEST_VOCABULARIES", references),
        ("KUN_TEST_TEMPLATES", templates),
        ("KUN_TEST_TEMPLATES_EXPECTED", expected),
    ])
}

/// The folder of a source package that is used, fetched once.
fn unpacked(source: &Source, python: &Python, folder: &Path) -> Result<PathBuf> {
    let Source { package, version, sha256, name, inside } = source;
    let unpacked = folder.join("references").join(name).join(inside);
    let complete = folder.join("references").join(format!("{name}.complete"));
    if fs::read_to_string(&complete).is_ok_and(|hash| hash == *sha256) {
        return Ok(unpacked);
    }
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, format!("{package}=={version} --hash=sha256:{sha256}\n"))?;
    // `--no-binary` for this package alone: for all, pip would build its build tools from source too.
    process::run(
        python
            .pip("download")
            .args(["--no-deps", "--no-binary", package, "--require-hashes", "--requirement"])
            .arg(&requirements)
            .arg("--dest")
            .arg(folder),
    )?;
    let references = folder.join("references");
    fs::create_dir_all(&references)?;
    let archive = folder.join(format!("{name}.tar.gz"));
    let used = format!("{name}/{inside}");
    process::run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&references).arg(&used))?;
    if !unpacked.is_dir() {
        bail!("{} has no {used}", archive.display());
    }
    fs::remove_file(&archive)?;
    fs::write(&complete, sha256)?;
    Ok(unpacked)
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
