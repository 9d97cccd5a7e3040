//! The models of the comparison: two real ones, and the shape of a larger one with random weights, since no
//! model of that size can be had everywhere.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::kun::Kun;
use super::shape::{TESTS, Test};
use crate::python::Python;
use crate::{model_store, process};

/// A model of the comparison: a row of the table.
struct Standard {
    title: &'static str,
    file: &'static str,
    source: Source,
    /// Is it measured at a depth, too?
    deep: bool,
}

enum Source {
    /// A name of the catalogue.
    Pull(&'static str),
    /// The 1B shape in this quantisation.
    Synthetic(&'static str),
}

/// In the title of the smallest.
pub(super) const SMALLEST: &str = "SmolLM2";

const STANDARD: &[Standard] = &[
    Standard {
        title: "SmolLM2 135M, Q4_1",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        source: Source::Pull("smollm2:135m"),
        deep: true,
    },
    Standard {
        title: "Gemma 3 270M, Q4_K_M",
        file: "gemma-3-270m-q4_k_m.gguf",
        source: Source::Pull("gemma3:270m"),
        deep: false,
    },
    synthetic("1B shape, Q4_0", "llama1b-Q4_0.gguf", "Q4_0"),
    synthetic("1B shape, Q4_K_M", "llama1b-Q4_K_M.gguf", "Q4_K_M"),
    synthetic("1B shape, Q8_0", "llama1b-Q8_0.gguf", "Q8_0"),
];

const fn synthetic(title: &'static str, file: &'static str, quantisation: &'static str) -> Standard {
    Standard { title, file, source: Source::Synthetic(quantisation), deep: false }
}

/// What makes files of the 1B shape.
const PACKAGES: &[&str] = &["numpy>=2,<3", "gguf==0.19.0"];

/// A model to measure.
pub(super) struct Subject {
    pub(super) title: String,
    pub(super) file: PathBuf,
    pub(super) tests: Vec<&'static Test>,
}

/// Those models of the comparison that have `only` in their titles, from the folders given if they are there, else
/// fetched and made; or the files given.
pub(super) fn find(
    given: &[PathBuf],
    only: Option<&str>,
    kun: &Kun,
    compare: &Path,
    root: &Path,
) -> Result<Vec<Subject>> {
    let (folders, files): (Vec<_>, Vec<_>) = given.iter().partition(|path| path.is_dir());
    if !files.is_empty() && !folders.is_empty() {
        bail!("--models takes folders or files, not both");
    }
    if files.is_empty() {
        let wanted = STANDARD.iter().filter(|model| only.is_none_or(|only| model.title.contains(only)));
        return wanted.map(|model| model.subject(&folders, kun, compare, root)).collect();
    }
    files
        .into_iter()
        .map(|file| {
            let name = file.file_name().and_then(|name| name.to_str()).context("a model has a name")?;
            match STANDARD.iter().find(|model| model.file == name) {
                Some(model) => Ok(model.with_file(file.clone())),
                None => Ok(Subject {
                    title: name.trim_end_matches(".gguf").to_owned(),
                    file: file.clone(),
                    tests: TESTS.iter().filter(|test| !test.is_slow()).collect(),
                }),
            }
        })
        .collect()
}

impl Standard {
    fn subject(&self, folders: &[&PathBuf], kun: &Kun, compare: &Path, root: &Path) -> Result<Subject> {
        let here = folders.iter().map(|folder| folder.join(self.file)).find(|file| file.is_file());
        let file = match (here, &self.source) {
            (Some(file), _) => file,
            (None, Source::Pull(name)) => model_store::pull(&kun.binary, &compare.join("home"), name)?,
            (None, Source::Synthetic(quantisation)) => {
                let file = compare.join(self.file);
                if !file.is_file() {
                    make(&file, quantisation, kun, compare, root)?;
                }
                file
            }
        };
        Ok(self.with_file(file))
    }

    fn with_file(&self, file: PathBuf) -> Subject {
        let tests = TESTS.iter().filter(|test| self.deep || !test.is_slow()).collect();
        Subject { title: self.title.to_owned(), file, tests }
    }
}

/// Makes a file of the 1B shape, with SmolLM2's tokenizer.
fn make(file: &Path, quantisation: &str, kun: &Kun, compare: &Path, root: &Path) -> Result<()> {
    println!("making {}", file.display());
    let python = Python::with_packages(&compare.join("python"), PACKAGES)?;
    let tokenizer = model_store::pull(&kun.binary, &compare.join("home"), "smollm2:135m")?;
    let part = file.with_extension("part");
    process::run(
        python
            .command()
            .arg(root.join("xtask/compare/make_synthetic.py"))
            .args(["--shape", "llama-1b", "--quant", quantisation, "--tokenizer-from"])
            .arg(&tokenizer)
            .arg("--out")
            .arg(&part),
    )?;
    fs::rename(&part, file).with_context(|| format!("cannot rename {}", part.display()))
}
