//! The command line as it is typed. Clap checks each value by itself; what depends on several values or
//! on the disk is checked by the command that uses it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use engine::request::LoopGuard;

use crate::commands::batch::BatchArgs;
use crate::commands::check::CheckArgs;
use crate::commands::export_hf::ExportArgs;
use crate::commands::load::LoadArgs;
use crate::parameters;
use crate::settings::ServeArgs;

/// Runs language models on this machine's CPU.
#[derive(Debug, Parser)]
#[command(name = "kun", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer a prompt, or chat
    Run(RunArgs),
    /// Serve models over HTTP
    Serve(ServeArgs),
    /// Make a key for a server
    Key(KeyArgs),
    /// Fetch a model into the store
    Pull(PullArgs),
    /// List the models that are known and those that are here
    Models(ModelsArgs),
    /// Remove a model from the store
    Rm(RmArgs),
    /// Show what is in a model file and the memory it needs
    Inspect(InspectArgs),
    /// Write the tokenizer and the configuration as Hugging Face's libraries want them
    ExportHf(ExportArgs),
    /// Turn text from standard input into token ids
    Tokenize(TokenizeArgs),
    /// Turn token ids from standard input into text
    Detokenize(DetokenizeArgs),
    /// Render messages with a chat template
    Template(TemplateArgs),
    /// Find loops in texts and data sets
    Check(CheckArgs),
    /// Measure how well a model predicts a text
    Perplexity(PerplexityArgs),
    /// Answer a file of requests into a file, without a server
    Batch(BatchArgs),
    /// Measure this machine, and how near to its limits a model runs
    Bench(BenchArgs),
    /// Measure a server under load: this one or any other that speaks as OpenAI's does
    Load(LoadArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
One argument is the prompt, unless it is a name from `kun models`, begins with hf: or ends in .gguf; of two, \
the first is the model. Text from a pipe is the prompt, or stands below the one given. Without either it is a \
chat; /help lists its commands. A model of the catalogue may have its own temperature, top-k and top-p.")]
pub(crate) struct RunArgs {
    /// Model, prompt, or both in this order [without a prompt: chat, or read it from a pipe]
    #[arg(value_names = ["MODEL", "PROMPT"], num_args = 0..=2)]
    pub(crate) words: Vec<OsString>,
    /// The model: a name from `kun models`, hf:OWNER/REPO[/FILE or :QUANT], or a path [default: smollm2:135m]
    #[arg(long, short, value_name = "MODEL")]
    pub(crate) model: Option<OsString>,
    /// What the model is told before the conversation; "" tells it nothing [default: the catalogue's, if any]
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) parameters: ParameterFlags,
    #[command(flatten)]
    pub(crate) form: FormFlags,
    #[command(flatten)]
    pub(crate) engine: EngineFlags,
    /// Give the prompt to the model as it is, without the chat template
    #[arg(long)]
    pub(crate) raw: bool,
    /// Print one JSON object instead of streaming the answer
    #[arg(long)]
    pub(crate) json: bool,
}

/// How an answer is generated.
#[derive(Debug, Default, Args)]
pub(crate) struct ParameterFlags {
    /// The most tokens in an answer, 1 to 1048576 [default: 1024, or what is left of the context]
    #[arg(long, value_name = "N", value_parser = parameters::max_tokens, allow_negative_numbers = true)]
    pub(crate) max_tokens: Option<usize>,
    /// Randomness, 0 to 5; 0 takes the most probable token [default: 0.8]
    #[arg(long, value_name = "T", value_parser = parameters::temperature, allow_negative_numbers = true)]
    pub(crate) temperature: Option<f32>,
    /// Choose among the K most probable tokens; 0 for all [default: 40]
    #[arg(long, value_name = "K", value_parser = parameters::top_k, allow_negative_numbers = true)]
    pub(crate) top_k: Option<usize>,
    /// Choose among the fewest tokens with this total probability, above 0 to 1 [default: 0.95]
    #[arg(long, value_name = "P", value_parser = parameters::top_p, allow_negative_numbers = true)]
    pub(crate) top_p: Option<f32>,
    /// Drop tokens below this fraction of the best one's probability, 0 to 1 [default: 0.05]
    #[arg(long, value_name = "P", value_parser = parameters::min_p, allow_negative_numbers = true)]
    pub(crate) min_p: Option<f32>,
    /// Make the last 64 tokens less probable, 0.1 to 10; 1 is off [default: 1]
    #[arg(long, value_name = "R", value_parser = parameters::repeat_penalty, allow_negative_numbers = true)]
    pub(crate) repeat_penalty: Option<f32>,
    /// What is done when the answer repeats itself: off, stop there, or recover: go another way
    /// [default: recover]
    #[arg(long, value_name = "WAY", value_parser = parameters::loop_guard)]
    pub(crate) loop_guard: Option<LoopGuard>,
    /// The same seed gives the same answer [default: another one each time]
    #[arg(long, value_name = "N", value_parser = parameters::seed, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) samplers: parameters::SamplerFlags,
}

/// What an answer must look like.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct FormFlags {
    /// Answer with JSON that this JSON schema allows
    #[arg(long, value_name = "FILE")]
    pub(crate) json_schema: Option<PathBuf>,
    /// Answer with a text that this regular expression matches as a whole
    #[arg(long, value_name = "PATTERN")]
    pub(crate) regex: Option<String>,
    /// Answer with a text of this grammar, in llama.cpp's form (GBNF) or in llguidance's Lark
    #[arg(long, value_name = "FILE")]
    pub(crate) grammar: Option<PathBuf>,
}

/// How the model is loaded.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct EngineFlags {
    /// Tokens of context, 16 to 1048576 [default: what the model was made for, at most 8192]
    #[arg(long, value_name = "TOKENS", value_parser = parameters::ctx, allow_negative_numbers = true)]
    pub(crate) ctx: Option<usize>,
    /// Threads to compute with, 1 to 512 [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parameters::threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key: the key, which is shown this once, and the entry for the file of --keys
    New {
        /// Whose key it is; the name stands in logs
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// A name from `kun models`, or hf:OWNER/REPO[/FILE or :QUANT]
    pub(crate) model: OsString,
}

#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    /// Print a JSON list
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// A name from `kun models`
    pub(crate) model: OsString,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The model: a name, hf:OWNER/REPO[/FILE or :QUANT], or a path
    pub(crate) model: OsString,
    /// Tokens of context to reckon the memory for, 16 to 1048576 [default: as for `kun run`]
    #[arg(long, value_name = "TOKENS", value_parser = parameters::ctx, allow_negative_numbers = true)]
    pub(crate) ctx: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokenizeArgs {
    /// The model, or a file that holds only a vocabulary
    pub(crate) model: OsString,
    /// Read `<|special|>` tokens in the text as such
    #[arg(long)]
    pub(crate) special: bool,
    /// Begin with the beginning-of-text token where the vocabulary asks for one
    #[arg(long)]
    pub(crate) bos: bool,
    /// Print one JSON object: ids, pieces
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DetokenizeArgs {
    /// The model, or a file that holds only a vocabulary
    pub(crate) model: OsString,
    /// Print one JSON object: text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TemplateArgs {
    /// The model whose template is rendered
    #[arg(required_unless_present = "template")]
    pub(crate) model: Option<OsString>,
    /// Render this Jinja file instead of the model's template
    #[arg(long, value_name = "FILE.jinja")]
    pub(crate) template: Option<PathBuf>,
    /// A JSON object of messages, tools, add_generation_prompt and further variables; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) messages: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PerplexityArgs {
    /// The model: a name, hf:OWNER/REPO[/FILE or :QUANT], or a path
    pub(crate) model: OsString,
    /// The text to predict
    pub(crate) file: PathBuf,
    /// Tokens in a chunk of the text, 16 to 1048576
    #[arg(
        long,
        value_name = "TOKENS",
        value_parser = parameters::ctx,
        default_value = "512",
        allow_negative_numbers = true
    )]
    pub(crate) ctx: usize,
    /// Threads to compute with, 1 to 512 [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parameters::threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Print one JSON object: perplexity, tokens, chunks, seconds
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The model: a name, hf:OWNER/REPO[/FILE or :QUANT], or a path [without one: this machine alone]
    pub(crate) model: Option<OsString>,
    /// Run these tests only
    #[arg(
        long,
        value_name = "NAME",
        num_args = 1..,
        value_delimiter = ',',
        requires = "model",
        value_parser = crate::commands::bench::test_name
    )]
    pub(crate) only: Vec<String>,
    /// How often each test runs, 1 to 100; the median counts
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=100),
        allow_negative_numbers = true
    )]
    pub(crate) repeat: usize,
    /// Threads to compute with, 1 to 512 [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parameters::threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Print a JSON list; of this machine alone, a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        super::Cli::command().debug_assert();
    }
}
