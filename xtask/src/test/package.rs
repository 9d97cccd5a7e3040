//! The Python package, as the workspace has just been built: put together in a folder of its own and run by its own tests.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::clients::count;
use super::totals::Totals;
use crate::process;
use crate::python::Python;
use crate::steps::Steps;

/// What the package and its tests import.
const PACKAGES: &[&str] =
    &["pytest==9.2.0", "numpy>=2,<3", "tqdm==4.70.1", "ray[data]==2.60.0", "pyarrow==26.0.1"];
/// The module as cargo builds it, and as Python looks for it.
const BUILT: &str = "lib_kun.so";
const MODULE: &str = "_kun.abi3.so";

/// Builds the module, puts the package together and runs its tests.
pub(super) fn run(steps: &mut Steps, root: &Path, target: &Path, totals: &mut Totals) -> Result<()> {
    let data = target.join("test-data");
    let python =
        steps.step("python: environment", || Python::with_packages(&data.join("package-venv"), PACKAGES))?;
    let folder = data.join("package");
    steps.step("python: build", || {
        // The whole workspace with its tests, as anything less would have other features and be built anew.
        process::run(process::cargo().args(["build", "--workspace", "--lib", "--bins", "--tests"]))?;
        let package = folder.join("kun");
        fs::create_dir_all(&package)?;
        for entry in fs::read_dir(root.join("crates/py/python/kun"))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), package.join(entry.file_name()))?;
            }
        }
        let module = package.join(MODULE);
        // Whoever has loaded the old one keeps it.
        let _ = fs::remove_file(&module);
        let built = target.join("debug").join(BUILT);
        fs::copy(&built, &module).with_context(|| format!("cannot copy {}", built.display()))?;
        Ok(())
    })?;
    steps.step("python: the package", || {
        let mut pytest = python.command();
        pytest.args(["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]);
        pytest.current_dir(root.join("crates/py")).env("PYTHONPATH", &folder);
        pytest.env("PYTHONDONTWRITEBYTECODE", "1").env("KUN_HOME", data.join("home"));
        count(&mut pytest, totals)
    })
}
