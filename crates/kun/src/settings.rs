//! The settings of `kun serve`: each is a row of one table, and so a flag, a variable and a key of a TOML file at once.
//!
//! `--max-queue 64`, `KUN_SERVE_MAX_QUEUE=64` and `max-queue = 64` say the same; the first goes before the second and that
//! before the third. Whatever it comes from, a value is text that the row's own function checks, so that no source takes
//! what another refuses.

mod arguments;
mod file;
mod printed;
mod table;
mod units;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use server::Config;

use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::front::FrontFiles;
use crate::log::{LogFormat, LogLevel};

pub(crate) use arguments::ServeArgs;
pub(crate) use printed::printed;
pub(crate) use table::{Memory, memory_flag};

/// What variables of the environment begin with.
pub(crate) const VARIABLE_PREFIX: &str = "KUN_SERVE_";

/// A row of the table.
pub(crate) struct Setting {
    /// As flags and files spell it: `max-queue`.
    pub(crate) name: &'static str,
    /// What help calls its value; nothing for a switch.
    value: &'static str,
    /// Whether it may be given several times: the value is a list.
    list: bool,
    /// The value when nothing is said, as text; nothing if there is none.
    default: &'static str,
    help: &'static str,
    /// Checks a value and writes it down; called once for each item of a list.
    set: fn(&mut Settings, &OsStr) -> Result<(), String>,
}

/// All settings, checked one by one. What depends on several, or on the models, is for `serve` to check.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) models: Vec<OsString>,
    /// Another name for a model, and the model as it was named.
    pub(crate) aliases: Vec<(String, String)>,
    pub(crate) pins: Vec<String>,
    pub(crate) memory: Memory,
    pub(crate) ctx: Option<usize>,
    pub(crate) threads: Option<usize>,
    pub(crate) queue_max: usize,
    /// None: as many as suit the memory.
    pub(crate) sequences_max: Option<usize>,
    /// None: as many as there is memory for.
    pub(crate) kv_tokens: Option<usize>,
    pub(crate) no_prefix_cache: bool,
    /// How long a request waits for a model that is being loaded.
    pub(crate) load_wait: std::time::Duration,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: LogLevel,
    /// Files that are read at the start and again on SIGHUP.
    pub(crate) front: FrontFiles,
    /// What the server itself keeps to.
    pub(crate) server: Config,
}

/// Where a value came from, the weightiest last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Variable,
    Flag,
}

/// A setting with its values, as text.
pub(crate) struct Given {
    pub(crate) setting: &'static Setting,
    /// One, but for lists.
    pub(crate) values: Vec<OsString>,
    pub(crate) origin: Origin,
}

impl Setting {
    /// `KUN_SERVE_MAX_QUEUE`.
    fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    fn is_switch(&self) -> bool {
        self.value.is_empty()
    }

    /// Checks a value by itself.
    fn check(&self, value: &OsStr) -> Result<(), String> {
        (self.set)(&mut Settings::default(), value)
    }
}

/// Everything that is set, by whatever weighs most; in the order of the table.
pub(crate) fn gather(args: &ServeArgs, environment: &Environment) -> Outcome<Vec<Given>> {
    let variables = variables(environment)?;
    let config = args.config.clone().or_else(|| variables.config.map(PathBuf::from));
    let file = match &config {
        Some(path) => file::read(path)?,
        None => Vec::new(),
    };
    let mut given: Vec<Given> = table::TABLE
        .iter()
        .map(|setting| {
            let values = if setting.default.is_empty() { vec![] } else { vec![setting.default.into()] };
            Given { setting, values, origin: Origin::Default }
        })
        .collect();
    let flags = args.given.iter().map(|(setting, values)| (*setting, values.clone(), Origin::Flag));
    let variables = variables.given.into_iter().map(|(setting, values)| (setting, values, Origin::Variable));
    let file = file
        .into_iter()
        .map(|(setting, values)| (setting, values, Origin::File(config.clone().expect("it was read"))));
    for (setting, values, origin) in file.chain(variables).chain(flags) {
        let slot = given.iter_mut().find(|known| std::ptr::eq(known.setting, setting));
        *slot.expect("every setting is in the table") = Given { setting, values, origin };
    }
    Ok(given)
}

/// The settings with these values, which were checked where they came from.
pub(crate) fn settle(given: &[Given]) -> Outcome<Settings> {
    let mut settings = Settings::default();
    for Given { setting, values, .. } in given {
        for value in values {
            (setting.set)(&mut settings, value)
                .map_err(|why| Failure::usage(format!("--{}: {why}", setting.name)))?;
        }
    }
    Ok(settings)
}

/// The settings with these values, by their names; all others have their defaults.
pub(crate) fn of(values: &[(&str, &str)]) -> Outcome<Settings> {
    let args = ServeArgs::of(values)?;
    settle(&gather(&args, &Environment::from(|_| None)?)?)
}

/// What the environment sets.
struct Variables {
    given: Vec<(&'static Setting, Vec<OsString>)>,
    config: Option<OsString>,
}

fn variables(environment: &Environment) -> Outcome<Variables> {
    let mut variables = Variables { given: Vec::new(), config: None };
    for (name, value) in &environment.serve {
        if *name == format!("{VARIABLE_PREFIX}CONFIG") {
            variables.config = Some(value.clone());
            continue;
        }
        let Some(setting) = table::TABLE.iter().find(|setting| setting.variable() == *name) else {
            let names = table::TABLE.iter().map(Setting::variable).collect::<Vec<_>>();
            let meant = did_you_mean(name, names.iter().map(String::as_str));
            return Err(Failure::usage(format!("{name} is no setting{meant}\nsee kun serve --help")));
        };
        let values = if setting.list { split(value) } else { vec![value.clone()] };
        for value in &values {
            let wrong = |why| Failure::usage(format!("{name} is {:?}: {why}", value.to_string_lossy()));
            setting.check(value).map_err(wrong)?;
        }
        variables.given.push((setting, values));
    }
    Ok(variables)
}

/// The items of a list in a variable, which commas part.
fn split(value: &OsStr) -> Vec<OsString> {
    match value.to_str() {
        Some(text) => text.split(',').map(|item| item.trim().into()).collect(),
        None => vec![value.to_owned()],
    }
}

/// `; did you mean x?`, if a name is near to the one that was written.
pub(crate) fn did_you_mean<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> String {
    const NEAR: f64 = 0.8;
    let near = names.map(|name| (strsim::jaro(written, name), name)).filter(|(likeness, _)| *likeness > NEAR);
    match near.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, name)) => format!("; did you mean {name}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(serve: &[(&str, &OsStr)]) -> Environment {
        let mut environment = Environment::from(|_| None).expect("an empty one is valid");
        environment.serve =
            serve.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment
    }

    #[test]
    fn every_setting_takes_its_own_default_and_has_a_name_of_its_own() {
        for (index, setting) in table::TABLE.iter().enumerate() {
            if !setting.default.is_empty() {
                setting
                    .check(setting.default.as_ref())
                    .unwrap_or_else(|why| panic!("{}: {why}", setting.name));
            }
            assert!(table::TABLE[..index].iter().all(|other| other.name != setting.name), "{}", setting.name);
            let spelled = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(setting.name.chars().all(spelled) && setting.name != "config", "{}", setting.name);
        }
    }

    #[test]
    fn the_defaults_of_the_table_are_those_of_the_server() {
        let args = ServeArgs::default();
        let environment = environment(&[]);
        let settings = settle(&gather(&args, &environment).expect("nothing is set")).expect("defaults");
        assert_eq!(format!("{:?}", settings.server), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_flag_goes_before_a_variable_and_that_before_the_file() {
        let folder = std::env::temp_dir().join(format!("kun-settings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("kun.toml");
        std::fs::write(&path, "port = 1\nmax-queue = 2\nctx = 64\nmodels = ['a', 'b']\n").expect("written");
        let row = |name: &str| table::TABLE.iter().find(|s| s.name == name).expect("in the table");
        let environment = environment(&[
            ("KUN_SERVE_MAX_QUEUE", "3".as_ref()),
            ("KUN_SERVE_CTX", "128".as_ref()),
            ("KUN_SERVE_CONFIG", path.as_os_str()),
        ]);
        let args = ServeArgs { given: vec![(row("ctx"), vec!["256".into()])], ..ServeArgs::default() };
        let settings = settle(&gather(&args, &environment).expect("valid")).expect("valid");
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!((settings.server.address.port(), settings.queue_max, settings.ctx), (1, 3, Some(256)));
        assert_eq!(settings.models, ["a", "b"]);
    }

    #[test]
    fn a_variable_that_is_wrong_or_no_setting_is_named() {
        for (name, value, parts) in [
            ("KUN_SERVE_PORT", "tcp://10.0.0.1:80", &["KUN_SERVE_PORT", "tcp:", "0 to 65535"][..]),
            ("KUN_SERVE_PROT", "1", &["KUN_SERVE_PROT is no setting; did you mean KUN_SERVE_PORT?"]),
            ("KUN_SERVE_PIN", "a, b c", &["KUN_SERVE_PIN", "b c"]),
        ] {
            let environment = environment(&[(name, value.as_ref())]);
            let failure = gather(&ServeArgs::default(), &environment).err().expect(name);
            assert_eq!(failure.exit_code(), 2);
            assert!(parts.iter().all(|part| failure.to_string().contains(part)), "{failure}");
        }
    }
}
