//! Clusters on this host, and on two that are namespaces of it: the package as Dynamo's workers, beside its frontend. All are
//! processes of the tests.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::clients::count;
use super::debian;
use super::totals::Totals;
use crate::python::Python;
use crate::steps::Steps;
use crate::{model_store, process};

/// The runtime that workers need, and what the tests import.
const PACKAGES: &[&str] =
    &["ai-dynamo-runtime==1.6.1", "jsonschema==4.26.0", "numpy>=2,<3", "openai==3.57.0", "pytest==9.2.0"];
/// The model that is served, as `crates/py/tests/cluster/processes.py` has it.
const MODEL: &str = "smollm2:135m";

/// Runs the cluster's tests with the package that has been put together for its own.
pub(super) fn run(steps: &mut Steps, root: &Path, target: &Path, totals: &mut Totals) -> Result<()> {
    let data = target.join("test-data");
    let python =
        steps.step("cluster: environment", || Python::with_packages(&data.join("cluster-venv"), PACKAGES))?;
    let tokenizer = data.join("tokenizer");
    steps.step("cluster: tokenizer", || {
        let kun = target.join("debug").join("kun");
        model_store::pull(&kun, &data.join("home"), MODEL)?;
        let mut export = Command::new(kun);
        process::run(export.args(["export-hf", MODEL]).arg(&tokenizer).env("KUN_HOME", data.join("home")))
    })?;
    let pytest = |tests: &[&str]| {
        let mut pytest = python.command();
        pytest.args(["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]).args(tests);
        pytest.current_dir(root.join("crates/py")).env("PYTHONPATH", data.join("package"));
        pytest.env("PYTHONDONTWRITEBYTECODE", "1").env("KUN_HOME", data.join("home"));
        pytest.env("KUN_TEST_TOKENIZER", &tokenizer);
        pytest
    };
    steps.step("cluster", || count(&mut pytest(&["tests/cluster"]), totals))?;
    steps.step("cluster: two hosts", || {
        debian::provide("etcd", "etcd-server")?;
        debian::provide("ip", "iproute2")?;
        count(&mut in_own_network(&pytest(&["-o", "pythonpath=tests/cluster", "tests/hosts"])), totals)
    })
}

/// A command in a network and with a `/run` of its own, which end with it. Nobody has to be root for it.
fn in_own_network(command: &Command) -> Command {
    let mut own = Command::new("unshare");
    own.args(["--map-root-user", "--net", "--mount", "sh", "-c"]);
    own.arg("mount -t tmpfs tmpfs /run && exec \"$@\"").arg("sh");
    own.arg(command.get_program()).args(command.get_args());
    own.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        own.current_dir(folder);
    }
    own.env("KUN_TEST_OWN_NETWORK", "1");
    own
}
