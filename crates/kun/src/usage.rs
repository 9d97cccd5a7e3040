//! Mistakes in the command line, told in at most three lines: what is wrong, what was probably meant,
//! where help is. Clap's own text is longer.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use crate::cli::Cli;
use crate::failure::Kind;
use crate::output;

/// The command line; or the exit code, when help was asked for or a mistake was told.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that went away has seen enough of the help.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(Kind::Usage as u8)
        }
        _ => {
            output::note(three_lines(&error.render().to_string(), &help_command(&error)));
            ExitCode::from(Kind::Usage as u8)
        }
    })
}

/// Clap's text, less what is not needed: its paragraphs become a line each, the usage is dropped.
fn three_lines(rendered: &str, help_command: &str) -> String {
    let paragraphs: Vec<String> = rendered
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|p| !p.is_empty() && !p.starts_with("Usage:") && !p.starts_with("For more information"))
        .collect();
    let mut lines: Vec<String> = paragraphs.into_iter().take(2).collect();
    if let Some(first) = lines.first_mut() {
        *first = first.replacen("error:", "kun:", 1);
    }
    lines.push(format!("see {help_command}"));
    lines.join("\n")
}

/// `kun run --help` if the mistake is in a call of `run`.
fn help_command(error: &clap::Error) -> String {
    // Clap tells the subcommand only within its usage line.
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let named = Cli::command()
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .find(|name| usage.split_whitespace().any(|word| word == name));
    match named {
        Some(name) => format!("kun {name} --help"),
        None => "kun --help".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &[&str]) -> String {
        let error = Cli::try_parse_from(line).expect_err("a mistake");
        three_lines(&error.render().to_string(), &help_command(&error))
    }

    #[test]
    fn a_typo_is_told_with_what_was_meant_and_where_help_is() {
        let text = told(&["kun", "run", "--temprature", "1"]);
        assert!(text.starts_with("kun: unexpected argument '--temprature'"), "{text}");
        assert!(text.contains("'--temperature'"), "{text}");
        assert!(text.ends_with("see kun run --help"), "{text}");
        assert!(told(&["kun", "rum"]).contains("'run'"));
    }

    #[test]
    fn no_mistake_takes_more_than_three_lines() {
        for line in [
            &["kun", "rum"][..],
            &["kun", "inspect"],
            &["kun", "inspect", "a", "b"],
            &["kun", "run", "--ctx", "-1"],
            &["kun", "run", "--system"],
            &["kun", "run", "--raw", "--system", "x"],
            &["kun", "template", "--template", "x"],
            &["kun", "bench", "x", "--only", "pp511"],
            &["kun", "-x"],
        ] {
            let text = told(line);
            assert!(text.lines().count() <= 3, "{line:?}: {text}");
            assert!(text.starts_with("kun: "), "{text}");
        }
    }
}
