//! `kun template`: messages through a chat template, to the exact prompt.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use text::template::ChatTemplate;

use crate::cli::TemplateArgs;
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::{model_file, output, terminal};

pub(crate) fn run(args: &TemplateArgs, environment: &Environment) -> Outcome {
    let mut variables = variables(&args.messages)?;
    let mut source = None;
    if let Some(model) = &args.model {
        let gguf = model_file::open(model, environment)?;
        for (name, token) in model_file::marker_tokens(&model_file::tokenizer(&gguf)?) {
            variables.insert(name.to_owned(), token.into());
        }
        source =
            model_file::template_source(&gguf).map(|s| (model.to_string_lossy().into_owned(), s.to_owned()));
    }
    if let Some(file) = &args.template {
        source = Some((file.display().to_string(), read_text(file)?));
    }
    let Some((name, source)) = source else {
        return Err(Failure::model("this model has no chat template\ngive one with --template FILE.jinja"));
    };
    let template = ChatTemplate::new(&source).map_err(|e| Failure::model(format!("{name}: {e}")))?;
    let prompt = template
        .render(&Value::Object(variables), &model_file::template_limits())
        .map_err(|e| Failure::model(format!("{name}: {e}")))?;
    output::write(prompt)
}

/// The JSON object that the template sees. A bare list is taken for the messages.
fn variables(file: &Path) -> Outcome<Map<String, Value>> {
    let text = if file.as_os_str() == OsStr::new("-") { terminal::read_input()? } else { read_text(file)? };
    let value = serde_json::from_str(&text)
        .map_err(|e| Failure::usage(format!("{} is not valid JSON: {e}", file.display())))?;
    match value {
        Value::Object(variables) if variables.get("messages").is_some_and(Value::is_array) => Ok(variables),
        Value::Array(messages) => Ok(Map::from_iter([("messages".to_owned(), Value::Array(messages))])),
        _ => Err(Failure::usage(format!(
            "{} must be a JSON object with a list \"messages\"\n\
             like {{\"messages\": [{{\"role\": \"user\", \"content\": \"Hi\"}}], \"add_generation_prompt\": true}}",
            file.display()
        ))),
    }
}

fn read_text(file: &Path) -> Outcome<String> {
    let bytes = fs::read(file).map_err(|e| Failure::file("read", file, &e))?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{} is not UTF-8 text", file.display())))
}
