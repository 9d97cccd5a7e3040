//! `kun export-hf`: what Hugging Face's libraries want beside the weights, made of a GGUF file: tokenizer, template,
//! configuration. The same file gives the same bytes.

mod config;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};
use text::tokenizer::{ExportError, Tokenizer, document};
use weights::gguf::Gguf;

use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::{model_file, output};

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The model: a name, hf:OWNER/REPO[/FILE or :QUANT], or a path
    model: OsString,
    /// The folder, which is made if need be
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: &ExportArgs, environment: &Environment) -> Outcome {
    let gguf = model_file::open(&args.model, environment)?;
    let vocabulary = engine::vocabulary::vocabulary(gguf.metadata())?;
    let tokenizer = model_file::tokenizer(&gguf)?;
    let document = document(&vocabulary).map_err(|error| match error {
        ExportError::Vocabulary(error) => Failure::model(format!("{}: {error}", model_file::path(&gguf))),
        ExportError::Kind(_) => Failure::model(error.to_string()),
    })?;
    let files = [
        ("config.json", config::config(&gguf, &tokenizer)?),
        ("generation_config.json", config::generation(&tokenizer)),
        ("tokenizer.json", document),
        ("tokenizer_config.json", tokenizer_config(&gguf, &tokenizer)),
    ];
    fs::create_dir_all(&args.folder).map_err(|e| Failure::file("write", &args.folder, &e))?;
    for (name, content) in &files {
        let path = args.folder.join(name);
        write(&path, content).map_err(|e| Failure::file("write", &path, &e))?;
    }
    output::write(format!(
        "{}\n",
        files.map(|(name, _)| args.folder.join(name).display().to_string()).join("\n")
    ))
}

fn tokenizer_config(gguf: &Gguf, tokenizer: &Tokenizer) -> Value {
    let text = |id: Option<u32>| id.and_then(|id| Some(tokenizer.token_text(id)?.into_owned()));
    let mut config = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            config.insert(name.to_owned(), value);
        }
    };
    put("tokenizer_class", "PreTrainedTokenizerFast".into());
    put("bos_token", text(tokenizer.bos()).into());
    put("eos_token", text(tokenizer.eos()).into());
    put("pad_token", text(tokenizer.pad()).into());
    let unknown = gguf.metadata().get("tokenizer.ggml.unknown_token_id").and_then(|id| id.integer());
    put("unk_token", text(unknown.and_then(|id| u32::try_from(id).ok())).into());
    put("add_bos_token", tokenizer.bos_to_add().is_some().into());
    put("clean_up_tokenization_spaces", false.into());
    put("model_max_length", config::context_length(gguf).into());
    put("chat_template", model_file::template_source(gguf).into());
    json!(config)
}

/// Writes a file so that it is there as a whole or not at all.
fn write(path: &Path, content: &Value) -> io::Result<()> {
    let part = path.with_extension(format!("json.part-{}", std::process::id()));
    let written = (|| {
        let mut file = File::create(&part)?;
        let mut text = serde_json::to_vec_pretty(content)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&part, path)
    })();
    if written.is_err() {
        // What is left of it is of no use.
        let _ = fs::remove_file(&part);
    }
    written
}
