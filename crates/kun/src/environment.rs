//! Everything that Kun reads from the environment, read once. Nothing below the binary reads any of it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use weights::download::HubConfig;

use crate::failure::{Failure, Outcome};
use crate::settings::VARIABLE_PREFIX;

/// The environment, checked.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// Where models and the chat's history are kept; none if nothing says where.
    home: Option<PathBuf>,
    /// How the hub is reached: `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and the proxy's variables.
    pub(crate) hub: HubConfig,
    /// `KUN_ISA`: the name of the instruction set to use instead of the best one.
    pub(crate) isa: Option<String>,
    /// `OPENAI_API_KEY`: the key for servers that `kun load` measures.
    pub(crate) openai_key: Option<String>,
    /// The variables that are settings of `kun serve`, which checks them.
    pub(crate) serve: Vec<(String, OsString)>,
}

impl Environment {
    /// Reads the process's environment.
    pub(crate) fn read() -> Outcome<Self> {
        let mut environment = Self::read_without_settings()?;
        let is_setting = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(VARIABLE_PREFIX))?;
            (!value.is_empty()).then_some((name, value))
        };
        environment.serve = env::vars_os().filter_map(is_setting).collect();
        environment.serve.sort();
        Ok(environment)
    }

    /// The same without what `kun serve` is set to by it.
    pub(crate) fn read_without_settings() -> Outcome<Self> {
        Self::from(|name| env::var_os(name))
    }

    /// Reads an environment; an empty variable is as good as none.
    pub(crate) fn from(get: impl Fn(&str) -> Option<OsString>) -> Outcome<Self> {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        let text = |name: &str| match set(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(Failure::usage(format!("{name} is not valid UTF-8: correct it or unset it"))),
        };
        let home = set("KUN_HOME")
            .map(PathBuf::from)
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("kun")))
            .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache").join("kun")));
        for name in ["HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE"] {
            text(name)?;
        }
        Ok(Environment {
            home,
            hub: HubConfig::from_variables(|name| text(name).ok().flatten()),
            isa: text("KUN_ISA")?,
            openai_key: text("OPENAI_API_KEY")?,
            serve: Vec::new(),
        })
    }

    /// Kun's folder, which may not exist yet.
    pub(crate) fn home(&self) -> Outcome<PathBuf> {
        self.home.clone().ok_or_else(|| {
            Failure::io(
                "no folder for models: none of KUN_HOME, XDG_CACHE_HOME and HOME is set\n\
                 set KUN_HOME to a folder that you may write to, or name a .gguf file by its path",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Outcome<Environment> {
        Environment::from(|name| variables.iter().find(|v| v.0 == name).map(|v| v.1.into()))
    }

    fn home(variables: &[(&str, &str)]) -> Option<PathBuf> {
        environment(variables).expect("valid").home().ok()
    }

    #[test]
    fn the_folder_is_kun_home_then_the_cache_folder_then_below_home() {
        let all = [("KUN_HOME", "/k"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(home(&all), Some("/k".into()));
        assert_eq!(home(&all[1..]), Some("/x/kun".into()));
        assert_eq!(home(&all[2..]), Some("/h/.cache/kun".into()));
        assert_eq!(home(&[("KUN_HOME", ""), ("HOME", "/h")]), Some("/h/.cache/kun".into()));
        assert_eq!(home(&[]), None);
    }

    #[test]
    fn a_hub_setting_that_is_no_text_is_refused_and_named() {
        use std::os::unix::ffi::OsStringExt;
        let broken = OsString::from_vec(vec![0xff]);
        let failure =
            Environment::from(|name| (name == "HF_TOKEN").then(|| broken.clone())).expect_err("no text");
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("HF_TOKEN"), "{failure}");
        assert!(environment(&[("HF_HUB_OFFLINE", "1")]).expect("valid").hub.offline);
    }
}
