//! The table as flags of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Setting;
use super::table::TABLE;
use crate::failure::{Failure, Outcome};

const CONFIG: &str = "config";
const PRINT_CONFIG: &str = "print-config";

/// What was said on the command line of `kun serve`.
#[derive(Default)]
pub(crate) struct ServeArgs {
    /// The settings that were given.
    pub(super) given: Vec<(&'static Setting, Vec<OsString>)>,
    /// A file with more of them.
    pub(super) config: Option<PathBuf>,
    /// Show what is set instead of serving.
    pub(crate) print_config: bool,
}

impl ServeArgs {
    /// As though these settings had been given.
    pub(super) fn of(values: &[(&str, &str)]) -> Outcome<Self> {
        let find = |&(name, value): &(&str, &str)| {
            let setting = TABLE.iter().find(|setting| setting.name == name);
            let setting = setting.ok_or_else(|| Failure::usage(format!("{name} is no setting")))?;
            Ok((setting, vec![value.into()]))
        };
        let given = values.iter().map(find).collect::<Outcome<_>>()?;
        Ok(ServeArgs { given, ..ServeArgs::default() })
    }
}

impl std::fmt::Debug for ServeArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given = self.given.iter().map(|(setting, values)| (setting.name, values));
        f.debug_map().entries(given).finish()
    }
}

impl clap::Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Read settings from this TOML file; its keys are the names of the flags");
        let print = Arg::new(PRINT_CONFIG)
            .long(PRINT_CONFIG)
            .action(ArgAction::SetTrue)
            .help("Print what is set, and by what, as such a file, and end");
        command
            .args(TABLE.iter().map(Setting::argument))
            .args([config, print])
            .after_help(
                "Each flag is also a variable, KUN_SERVE_MAX_QUEUE for --max-queue, and a key of the file; a flag goes \
                 before a variable, and that before the file. Lists in variables are parted by commas.",
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = ServeArgs::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in TABLE {
            if matches.value_source(setting.name) == Some(ValueSource::CommandLine) {
                let values = matches.get_many::<OsString>(setting.name).into_iter().flatten().cloned();
                self.given.push((setting, values.collect()));
            }
        }
        self.config = matches.get_one::<PathBuf>(CONFIG).cloned();
        self.print_config = matches.get_flag(PRINT_CONFIG);
        Ok(())
    }
}

impl Setting {
    fn argument(&'static self) -> Arg {
        let checked =
            OsStringValueParser::new().try_map(move |value: OsString| self.check(&value).map(|()| value));
        let mut argument = Arg::new(self.name).value_parser(checked).help(self.described());
        if self.name == "models" {
            return argument.value_name(self.value).num_args(0..).action(ArgAction::Append);
        }
        argument = argument.long(self.name).allow_hyphen_values(self.list).allow_negative_numbers(true);
        if self.list {
            argument = argument.action(ArgAction::Append);
        }
        if self.is_switch() {
            return argument
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_name("BOOL");
        }
        argument.value_name(self.value)
    }

    fn described(&self) -> String {
        match self.default {
            "" | "false" => self.help.to_owned(),
            default => format!("{} [default: {default}]", self.help),
        }
    }
}
