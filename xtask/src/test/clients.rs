//! The clients that people have, run against the real server with the default model: official libraries for Python and
//! Node, a framework's own suite, a fuzzer of the OpenAPI document, and the chat page in a browser.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::debian;
use super::totals::Totals;
use crate::process;
use crate::python::Python;
use crate::steps::Steps;

/// The clients of Python. New versions of them are new tests, so each is a version that was looked at.
const PACKAGES: &[&str] = &[
    "pytest==9.2.0",
    "pytest-asyncio==1.5.0",
    "openai==3.57.0",
    "anthropic==2.14.0",
    "ollama==0.6.3",
    "langchain-openai==1.7.4",
    "langchain-tests==1.1.9",
    "litellm==1.110.2",
    "schemathesis==4.32.5",
    "pyzmq==27.3.0",
    "msgpack==1.2.4",
    "tokenizers==0.23.3",
];
/// Those that want other versions of their libraries than the clients above, below `others`.
const OTHER_PACKAGES: &[&str] =
    &["pytest==9.2.0", "pytest-asyncio==1.5.0", "instructor==1.17.0", "lm-eval[api]==0.4.13"];
/// How many examples the fuzzer makes for a route.
const EXAMPLES: &str = "200";
/// The fuzzer's checks: what must hold whatever is sent.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// The browser, as Debian has it.
const BROWSER: &str = "chromium";

/// Runs all of them and adds up what they say.
pub(super) fn run(steps: &mut Steps, root: &Path, target: &Path, totals: &mut Totals) -> Result<()> {
    let data = target.join("test-data");
    let kun = target.join("debug").join("kun");
    let python = steps.step("clients: Python", || Python::with_packages(&data.join("clients"), PACKAGES))?;
    let others = steps.step("clients: more of Python", || {
        Python::with_packages(&data.join("clients-others"), OTHER_PACKAGES)
    })?;
    let node = steps
        .step("clients: Node", || node_folder(&root.join("xtask/clients"), &data.join("clients-node")))?;
    let page = steps.step("clients: the page's tools", || {
        debian::provide(BROWSER, BROWSER)?;
        node_folder(&root.join("crates/server/page"), &data.join("page"))
    })?;
    steps.step("page: types, and the bundle that is committed", || {
        process::run(npm(&page).args(["run", "check"]))
    })?;
    let server =
        Served::start(&kun, &data, &["--kv-events", "127.0.0.1:0", "--kv-events-topic", "kv@{model}"])?;
    steps.step("clients: Python's tests", || {
        let mut pytest = python.command();
        pytest.args(["-m", "pytest", "-q", "-rs", "--ignore=others"]).current_dir(root.join("xtask/clients"));
        pytest.env("KUN_TEST_URL", &server.url).env("KUN_TEST_KV_EVENTS", &server.kv_events);
        // For what a client has of a model without a server.
        pytest.env("KUN_TEST_BINARY", &kun).env("KUN_HOME", data.join("home"));
        count(&mut pytest, totals)
    })?;
    steps.step("clients: Python's other tests", || {
        let mut pytest = others.command();
        pytest.args(["-m", "pytest", "-q", "-rs", "others"]).current_dir(root.join("xtask/clients"));
        // All that they need is here.
        pytest.env("KUN_TEST_URL", &server.url).env("HF_HUB_OFFLINE", "1").env("HF_HOME", data.join("hf"));
        count(&mut pytest, totals)
    })?;
    steps.step("clients: Node's tests", || {
        count(npm(&node).arg("test").env("KUN_TEST_URL", &server.url), totals)
    })?;
    steps.step("clients: the page in a browser", || {
        let screenshots = data.join("screenshots");
        fs::create_dir_all(&screenshots)?;
        let mut npm = npm(&page);
        npm.arg("test").env("KUN_TEST_URL", &server.url).env("KUN_TEST_SCREENSHOTS", screenshots);
        count(&mut npm, totals)
    })?;
    drop(server);
    // Whatever the fuzzer asks for is answered shortly.
    let server = Served::start(&kun, &data, &["--max-tokens-limit", "8", "--ctx", "512"])?;
    steps.step("clients: the OpenAPI document, fuzzed", || {
        let mut schemathesis = Command::new(data.join("clients/bin/schemathesis"));
        schemathesis.args(["run", &format!("{}/openapi.json", server.url), "--max-examples", EXAMPLES]);
        schemathesis.args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--seed", "1"]);
        schemathesis.args(["--request-timeout", "60", "--no-color"]).current_dir(&data);
        process::run(&mut schemathesis)?;
        totals.passed += 1;
        Ok(())
    })
}

/// A server with the default model, ended when it is dropped.
struct Served {
    child: Child,
    url: String,
    /// Where it tells of its prefix cache, if it does.
    kv_events: String,
}

impl Served {
    fn start(kun: &Path, data: &Path, flags: &[&str]) -> Result<Self> {
        let log = data.join("server.log");
        let state = data.join("state");
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        let mut command = Command::new(kun);
        command
            .args(["serve", "--port", "0", "--state-dir"])
            .arg(state)
            .args(flags)
            .env("KUN_HOME", data.join("home"));
        command.stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        let child = command.spawn().map_err(|e| process::not_started(&command, &e))?;
        let mut server = Served { child, url: String::new(), kv_events: String::new() };
        let started = Instant::now();
        loop {
            let text = fs::read_to_string(&log)?;
            let word = |begin: &str| text.split_whitespace().find(|word| word.starts_with(begin));
            // What it says is written at once, and this stands last.
            if let (Some(url), true) = (word("http://127.0.0.1:"), text.contains("curl")) {
                server.url = url.trim_end_matches('/').to_owned();
                server.kv_events = word("tcp://").unwrap_or_default().to_owned();
                println!("{}, log in {}", server.url, log.display());
                return Ok(server);
            }
            if server.child.try_wait()?.is_some() || started.elapsed() > Duration::from_secs(60) {
                bail!("kun serve does not come up: {text}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A copy of a folder of ours with the packages of its lock file, so that nothing is installed into the repository.
fn node_folder(from: &Path, to: &Path) -> Result<PathBuf> {
    fs::create_dir_all(to)?;
    copy(from, to)?;
    let lock = fs::read(from.join("package-lock.json"))?;
    let installed = to.join("node_modules").join("installed-lock.json");
    if fs::read(&installed).is_ok_and(|had| had == lock) {
        return Ok(to.to_owned());
    }
    process::run(npm(to).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts=false"]))?;
    fs::write(&installed, lock)?;
    Ok(to.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "node_modules" {
            continue;
        }
        if path.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

fn npm(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(folder);
    npm
}

/// Runs a test runner, passes its output on and adds up its totals.
pub(super) fn count(command: &mut Command, totals: &mut Totals) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| process::not_started(command, &e))?;
    let before = totals.passed + totals.failed;
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let line = line?;
        totals.read_client(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    if totals.passed + totals.failed == before {
        bail!("the runner ended with {status} and ran no test");
    }
    if !status.success() && totals.failed == 0 {
        bail!("the runner ended with {status}");
    }
    Ok(())
}
