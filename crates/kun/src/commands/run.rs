//! `kun run`: one answer to a prompt, or a chat.

use std::ffi::{OsStr, OsString};

use engine::request::Form;
use serde::Serialize;

use crate::answer::{self, Answer, Ask};
use crate::cli::RunArgs;
use crate::conversation::{Conversation, too_long};
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupts;
use crate::parameters::Parameters;
use crate::session::{self, Ctx, Session};
use crate::{chat, form, model_file, output, terminal};

/// What was asked for, checked.
#[derive(Debug, PartialEq)]
struct Plan {
    model: OsString,
    /// None: a chat.
    prompt: Option<String>,
}

/// The JSON of `kun run`.
#[derive(Serialize)]
struct Report<'a> {
    text: &'a str,
    prompt_tokens: usize,
    completion_tokens: usize,
    finish_reason: &'static str,
    timings: Timings,
}

#[derive(Serialize)]
struct Timings {
    load_s: f64,
    prompt_tokens_per_second: f64,
    generation_tokens_per_second: f64,
}

pub(crate) fn run(args: RunArgs, environment: &Environment, interrupts: &Interrupts) -> Outcome {
    let plan = plan(&args, model_file::is_name, terminal::is_interactive(), piped)?;
    let defaults = model_file::prompt_defaults(&plan.model);
    let parameters = Parameters::new(&args.parameters, &defaults);
    let options = session::Options::one_sequence(Ctx::of_flag(args.engine.ctx), args.engine.threads);
    let form = form::source(&args.form)?;
    let session = Session::open(&plan.model, &options, environment)?;
    let raw = args.raw || defaults.raw || session.has_no_template()?;
    if raw && !args.raw {
        output::note("note: this model has no chat template: it continues the prompt as it is (--raw)");
    }
    let form = form::compiled(form.as_ref(), &session)?;
    let conversation = Conversation::new(args.system.or(defaults.system));
    match plan.prompt {
        Some(prompt) => {
            once(&session, conversation, &prompt, &parameters, Style { raw, json: args.json, form })
        }
        None => chat::run(
            &session,
            conversation,
            parameters,
            chat::Surroundings { raw, form, environment, interrupts },
        ),
    }
}

/// How a prompt goes in and its answer comes out.
struct Style {
    raw: bool,
    json: bool,
    form: Option<Box<Form>>,
}

fn once(
    session: &Session,
    mut conversation: Conversation,
    prompt: &str,
    parameters: &Parameters,
    style: Style,
) -> Outcome {
    let tokens = if style.raw {
        let tokens = session.raw_prompt(prompt);
        if tokens.len() > session.prompt_room() {
            return Err(too_long(tokens.len(), session.prompt_room()));
        }
        tokens
    } else {
        conversation.say(prompt);
        conversation.prompt(session.prompt_room(), |messages| session.render(messages))?.tokens
    };
    if tokens.is_empty() {
        return Err(Failure::usage(
            "the prompt is empty: give a text as in kun run \"Why is the sea salty?\"",
        ));
    }
    let on_text = |piece: &str| if style.json { Ok(()) } else { output::write(piece) };
    let ask = Ask { prompt: tokens, form: style.form };
    let answer = answer::generate(session, ask, parameters, on_text, || false)?;
    let Answer { text, finished: Some(finished) } = answer else {
        return Err(Failure::interrupted());
    };
    if style.json {
        return output::json(&Report {
            text: &text,
            prompt_tokens: finished.prompt_tokens,
            completion_tokens: finished.completion_tokens,
            finish_reason: answer::reason_word(&finished.reason),
            timings: Timings {
                load_s: session.load_time.as_secs_f64(),
                prompt_tokens_per_second: answer::prompt_speed(&finished),
                generation_tokens_per_second: answer::generation_speed(&finished),
            },
        });
    }
    if !text.ends_with('\n') {
        output::write("\n")?;
    }
    output::note(answer::speeds(&finished));
    Ok(())
}

/// The text of a pipe, if there is one; `wanted` if nothing else can be the prompt.
fn piped(wanted: bool) -> Outcome<Option<String>> {
    if wanted || terminal::has_piped_input() { terminal::read_input().map(Some) } else { Ok(None) }
}

/// Sorts out which word is the model and what the prompt is.
fn plan(
    args: &RunArgs,
    is_model: impl Fn(&OsStr) -> bool,
    interactive: bool,
    piped: impl Fn(bool) -> Outcome<Option<String>>,
) -> Outcome<Plan> {
    let (model, prompt) = match (&args.model, args.words.as_slice()) {
        (Some(_), [_, _]) => {
            return Err(Failure::usage("two models: give --model MODEL and a prompt, or MODEL and a prompt"));
        }
        (Some(model), [prompt]) => (Some(model), Some(prompt)),
        (Some(model), _) => (Some(model), None),
        (None, []) => (None, None),
        (None, [word]) if is_model(word) => (Some(word), None),
        (None, [prompt]) => (None, Some(prompt)),
        (None, [model, prompt, ..]) => (Some(model), Some(prompt)),
    };
    let given = match prompt.map(|p| p.clone().into_string()) {
        None => None,
        Some(Ok(prompt)) => Some(prompt),
        Some(Err(_)) => return Err(Failure::usage("the prompt is not valid UTF-8 text")),
    };
    let prompt = match (given, interactive) {
        (Some(prompt), true) => Some(prompt),
        (Some(prompt), false) => Some(match piped(false)? {
            Some(more) if !more.trim().is_empty() => format!("{prompt}\n{more}"),
            _ => prompt,
        }),
        (None, true) => None,
        (None, false) => piped(true)?,
    };
    if prompt.as_ref().is_some_and(|p| p.trim().is_empty()) {
        return Err(Failure::usage(
            "the prompt is empty: give a text as in kun run \"Why is the sea salty?\"",
        ));
    }
    if prompt.is_none() && args.json {
        return Err(Failure::usage("--json needs a prompt: give one, or send it through a pipe"));
    }
    Ok(Plan { model: model.cloned().unwrap_or_else(model_file::default_name), prompt })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn planned(line: &[&str], interactive: bool, pipe: &str) -> Outcome<(String, Option<String>)> {
        let cli = Cli::try_parse_from(["kun", "run"].iter().chain(line)).expect("valid for clap");
        let Command::Run(args) = cli.command else { panic!("it is run") };
        let piped = |_| Ok(Some(pipe.to_owned()));
        let plan = plan(&args, |word| word == "known", interactive, piped)?;
        Ok((plan.model.into_string().expect("UTF-8"), plan.prompt))
    }

    #[test]
    fn words_are_model_and_prompt() {
        let default = model_file::default_name();
        let default = default.to_str().expect("UTF-8");
        for (line, model, prompt) in [
            (&["Why?"][..], default, Some("Why?")),
            (&["known"], "known", None),
            (&["known", "Why?"], "known", Some("Why?")),
            (&["other", "Why?"], "other", Some("Why?")),
            (&["--model", "other", "known"], "other", Some("known")),
            (&["-m", "other"], "other", None),
            (&[], default, None),
        ] {
            let planned = planned(line, true, "not read").expect("a plan");
            assert_eq!(planned, (model.to_owned(), prompt.map(str::to_owned)), "{line:?}");
        }
        assert_eq!(planned(&["-m", "a", "b", "c"], true, "").expect_err("two models").exit_code(), 2);
    }

    #[test]
    fn a_pipe_is_the_prompt_or_stands_below_it() {
        for (line, pipe, prompt) in [
            (&["known"][..], "piped\n", "piped\n"),
            (&["Sum up:"], "long text", "Sum up:\nlong text"),
            (&["Why?"], "", "Why?"),
        ] {
            assert_eq!(planned(line, false, pipe).expect("a plan").1.as_deref(), Some(prompt), "{line:?}");
        }
        assert_eq!(planned(&[], false, " \n").expect_err("empty").exit_code(), 2);
    }

    #[test]
    fn json_is_not_for_a_chat() {
        assert_eq!(planned(&["--json"], true, "").expect_err("no prompt").exit_code(), 2);
        assert!(planned(&["--json", "Why?"], true, "").is_ok());
    }
}
