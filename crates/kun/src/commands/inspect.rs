//! `kun inspect`: what is in a model file, and the memory that it needs.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use weights::gguf::{Array, Gguf, Value};

use crate::cli::InspectArgs;
use crate::environment::Environment;
use crate::failure::Outcome;
use crate::memory::{self, Need};
use crate::terminal::bytes;
use crate::{model_file, output, session};

/// Arrays are shown up to this many elements, longer ones by their first few.
const ARRAY_SHOWN_WHOLE: usize = 8;
const ARRAY_FIRST: usize = 4;
/// Texts in the table of metadata are cut here; the template stands whole at the end.
const TEXT_CHARS: usize = 60;

/// The JSON of `kun inspect`.
#[derive(Serialize)]
struct Report {
    /// The files; more than one if the model is split.
    paths: Vec<String>,
    version: u32,
    architecture: Option<String>,
    parameters: u64,
    metadata: Map<String, Json>,
    tensors: Vec<TensorRow>,
    chat_template: Option<String>,
    memory: Option<MemoryRow>,
}

#[derive(Serialize)]
struct TensorRow {
    name: String,
    format: &'static str,
    /// As the file has it: the dimension that is contiguous in memory first.
    shape: Vec<u64>,
    bytes: u64,
}

#[derive(Serialize)]
struct MemoryRow {
    ctx: usize,
    weights_bytes: u64,
    kv_bytes: u64,
    total_bytes: u64,
}

pub(crate) fn run(args: &InspectArgs, environment: &Environment) -> Outcome {
    let gguf = model_file::open(&args.model, environment)?;
    let report = report(&gguf, args.ctx);
    if args.json { output::json(&report) } else { output::write(shown(&gguf, &report)) }
}

fn report(gguf: &Gguf, ctx: Option<usize>) -> Report {
    let metadata = gguf.metadata();
    let tensors: Vec<TensorRow> = gguf
        .tensors()
        .map(|t| TensorRow {
            name: t.name.clone(),
            format: t.format.name,
            shape: t.shape.clone(),
            bytes: t.bytes(),
        })
        .collect();
    let weights = tensors.iter().map(|t| t.bytes).sum();
    let memory = memory::kv_bytes_per_token(metadata).and_then(|per_token| {
        let ctx = ctx.or_else(|| session::default_ctx(metadata))?;
        let need = Need { weights, kv: per_token.saturating_mul(ctx as u64) };
        Some(MemoryRow { ctx, weights_bytes: need.weights, kv_bytes: need.kv, total_bytes: need.total() })
    });
    Report {
        paths: gguf.paths().map(|path| path.display().to_string()).collect(),
        version: gguf.version(),
        architecture: metadata.get("general.architecture").and_then(Value::text).map(str::to_owned),
        parameters: tensors.iter().map(|t| t.shape.iter().product::<u64>()).sum(),
        metadata: metadata.iter().map(|(key, value)| (key.to_owned(), json_value(value))).collect(),
        tensors,
        chat_template: model_file::template_source(gguf).map(str::to_owned),
        memory,
    }
}

fn json_value(value: &Value) -> Json {
    match value {
        Value::Bool(b) => json!(b),
        Value::String(bytes) => json!(String::from_utf8_lossy(bytes)),
        Value::Array(array) => json_array(array),
        number => match (number.integer(), number.float()) {
            // 64-bit numbers are the widest there are, so one of the two conversions fits.
            (Some(n), _) => u64::try_from(n).map(|n| json!(n)).unwrap_or_else(|_| json!(n as i64)),
            (None, Some(x)) => json!(x),
            (None, None) => Json::Null,
        },
    }
}

fn json_array(array: &Array) -> Json {
    let first = |n: usize| (0..n).filter_map(|i| array.get(i)).map(|v| json_value(&v)).collect::<Vec<_>>();
    if array.len() <= ARRAY_SHOWN_WHOLE {
        return first(array.len()).into();
    }
    json!({ "type": array.kind().name(), "length": array.len(), "first": first(ARRAY_FIRST) })
}

/// The report for people.
fn shown(gguf: &Gguf, report: &Report) -> String {
    write_report(gguf, report).expect("a String takes everything")
}

fn write_report(gguf: &Gguf, report: &Report) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "file          {}", report.paths.join(", "))?;
    writeln!(out, "format        GGUF version {}", report.version)?;
    writeln!(out, "architecture  {}", printable(report.architecture.as_deref().unwrap_or("not named")))?;
    writeln!(out, "parameters    {}", count(report.parameters))?;
    if let Some(m) = &report.memory {
        let (total, weights, kv) = (bytes(m.total_bytes), bytes(m.weights_bytes), bytes(m.kv_bytes));
        writeln!(
            out,
            "memory        {total} with a context of {}: {weights} weights, {kv} keys and values",
            m.ctx
        )?;
    }
    writeln!(out, "\nmetadata ({})", report.metadata.len())?;
    let width = report.metadata.keys().map(|key| key.chars().count()).max().unwrap_or(0);
    for (key, value) in gguf.metadata().iter() {
        writeln!(out, "  {:width$}  {}", printable(key), short(value))?;
    }
    writeln!(out, "\ntensors ({})", report.tensors.len())?;
    let width = report.tensors.iter().map(|t| t.name.chars().count()).max().unwrap_or(0);
    for t in &report.tensors {
        let shape = t.shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
        writeln!(out, "  {:width$}  {:8}{shape:>20}  {:>10}", printable(&t.name), t.format, bytes(t.bytes))?;
    }
    match &report.chat_template {
        Some(template) => writeln!(out, "\nchat template\n{}", printable_lines(template))?,
        None => writeln!(out, "\nno chat template")?,
    }
    Ok(out)
}

/// A value on one line.
fn short(value: &Value) -> String {
    match value {
        Value::String(bytes) => cut(&String::from_utf8_lossy(bytes)),
        Value::Array(array) => {
            let whole = array.len() <= ARRAY_SHOWN_WHOLE;
            let shown = if whole { array.len() } else { ARRAY_FIRST };
            let elements: Vec<String> = (0..shown).filter_map(|i| array.get(i)).map(|v| short(&v)).collect();
            let rest =
                if whole { String::new() } else { format!(", … {} {}", array.len(), array.kind().name()) };
            format!("[{}{rest}]", elements.join(", "))
        }
        other => json_value(other).to_string(),
    }
}

fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(TEXT_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    printable(&short)
}

/// A file's text may hold terminal commands; they are shown, not carried out.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// `134.5 M`.
fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1} thousand", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} million", n as f64 / 1e6),
        _ => format!("{:.2} billion", n as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_text_cannot_command_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(cut(&"é".repeat(100)).chars().count(), TEXT_CHARS + 1);
    }

    #[test]
    fn long_arrays_are_abbreviated_and_short_ones_are_whole() {
        assert_eq!(json_array(&Array::U8(vec![1, 2])), json!([1, 2]));
        let long = json_array(&Array::I32((0..100).collect()));
        assert_eq!(long, json!({"type": "i32", "length": 100, "first": [0, 1, 2, 3]}));
        assert_eq!(short(&Value::Array(Array::I32((0..100).collect()))), "[0, 1, 2, 3, … 100 i32]");
    }
}
