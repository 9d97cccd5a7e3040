//! The numbers that a user may set, each with its range, wherever they come from: a flag or `/set` in a chat.

mod samplers;

use std::collections::hash_map::RandomState;
use std::fmt::Display;
use std::hash::BuildHasher;
use std::str::FromStr;

use engine::request::{LoopGuard, Sampling};
use weights::catalogue::PromptDefaults;

use crate::cli::ParameterFlags;
use samplers::Samplers;

pub(crate) use samplers::SamplerFlags;

/// The longest context that can be asked for, whatever the model.
const CTX_MAX: usize = 1 << 20;
/// An answer is no longer than this unless the user says so: small models may never stop by themselves.
const MAX_TOKENS_DEFAULT: usize = 1024;

/// How answers are generated, checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameters {
    /// Everything but the seed, which is drawn anew for each answer unless it was given.
    sampling: Sampling,
    samplers: Samplers,
    seed: Option<u64>,
    /// The most tokens in an answer.
    pub(crate) max_tokens: usize,
    /// What is done when an answer repeats itself.
    pub(crate) loop_guard: LoopGuard,
}

impl Default for Parameters {
    fn default() -> Self {
        let sampling =
            Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, ..Sampling::default() };
        let samplers = Samplers::default();
        Parameters {
            sampling,
            samplers,
            seed: None,
            max_tokens: MAX_TOKENS_DEFAULT,
            loop_guard: LoopGuard::Recover,
        }
    }
}

impl Parameters {
    /// The defaults, changed by what suits the model and then by the flags that were given.
    pub(crate) fn new(flags: &ParameterFlags, model: &PromptDefaults) -> Self {
        let mut parameters = Parameters::default();
        let sampling = &mut parameters.sampling;
        let model_top_k = model.top_k.map(|k| k as usize);
        sampling.temperature = flags.temperature.or(model.temperature).unwrap_or(sampling.temperature);
        sampling.top_k = flags.top_k.or(model_top_k).unwrap_or(sampling.top_k);
        sampling.top_p = flags.top_p.or(model.top_p).unwrap_or(sampling.top_p);
        sampling.min_p = flags.min_p.unwrap_or(sampling.min_p);
        sampling.repeat_penalty = flags.repeat_penalty.unwrap_or(sampling.repeat_penalty);
        parameters.samplers = Samplers::new(&flags.samplers);
        parameters.seed = flags.seed;
        parameters.loop_guard = flags.loop_guard.unwrap_or(parameters.loop_guard);
        parameters.max_tokens = flags.max_tokens.unwrap_or(parameters.max_tokens);
        parameters
    }

    /// The sampling of one answer.
    pub(crate) fn sampling(&self) -> Sampling {
        // The standard library's hasher is the only source of randomness at hand, and a seed needs no more.
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one("seed"));
        self.samplers.add_to(Sampling { seed, ..self.sampling.clone() })
    }

    /// Changes one parameter by its name, as flags spell it.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let name = name.trim_start_matches('-').replace('_', "-");
        match name.as_str() {
            "max-tokens" => self.max_tokens = max_tokens(value)?,
            "temperature" => self.sampling.temperature = temperature(value)?,
            "top-k" => self.sampling.top_k = top_k(value)?,
            "top-p" => self.sampling.top_p = top_p(value)?,
            "min-p" => self.sampling.min_p = min_p(value)?,
            "repeat-penalty" => self.sampling.repeat_penalty = repeat_penalty(value)?,
            "loop-guard" => self.loop_guard = loop_guard(value)?,
            "seed" => self.seed = Some(seed(value)?),
            "ctx" | "threads" => {
                return Err(format!("{name} is fixed once the model is loaded: leave and use --{name}"));
            }
            _ if let Some(set) = self.samplers.set(&name, value) => set?,
            _ => {
                let names: Vec<&str> = self.shown().iter().map(|(name, _)| *name).collect();
                return Err(format!("no parameter {name}: there are {}", names.join(", ")));
            }
        }
        Ok(())
    }

    /// Names and values, for people.
    pub(crate) fn shown(&self) -> Vec<(&'static str, String)> {
        let s = &self.sampling;
        let mut shown = vec![
            ("temperature", s.temperature.to_string()),
            ("top-k", s.top_k.to_string()),
            ("top-p", s.top_p.to_string()),
            ("min-p", s.min_p.to_string()),
            ("repeat-penalty", s.repeat_penalty.to_string()),
            ("seed", self.seed.map_or("another one for each answer".to_owned(), |seed| seed.to_string())),
            ("max-tokens", self.max_tokens.to_string()),
            ("loop-guard", loop_guard_word(self.loop_guard).to_owned()),
        ];
        shown.extend(self.samplers.shown());
        shown
    }
}

/// Parses `--ctx`.
pub(crate) fn ctx(text: &str) -> Result<usize, String> {
    number(text, 16, CTX_MAX)
}

/// Parses `--threads`.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    number(text, 1, engine::THREADS_MAX)
}

/// Parses `--max-tokens`.
pub(crate) fn max_tokens(text: &str) -> Result<usize, String> {
    number(text, 1, CTX_MAX)
}

/// Parses `--temperature`.
pub(crate) fn temperature(text: &str) -> Result<f32, String> {
    number(text, 0.0, 5.0)
}

/// Parses `--top-k`.
pub(crate) fn top_k(text: &str) -> Result<usize, String> {
    number(text, 0, 1_000_000)
}

/// Parses `--top-p`.
pub(crate) fn top_p(text: &str) -> Result<f32, String> {
    let value = number(text, 0.0, 1.0)?;
    if value > 0.0 { Ok(value) } else { Err("it must be above 0 and at most 1".to_owned()) }
}

/// Parses `--min-p`.
pub(crate) fn min_p(text: &str) -> Result<f32, String> {
    number(text, 0.0, 1.0)
}

/// Parses `--repeat-penalty`.
pub(crate) fn repeat_penalty(text: &str) -> Result<f32, String> {
    number(text, 0.1, 10.0)
}

/// Parses `--loop-guard`.
pub(crate) fn loop_guard(text: &str) -> Result<LoopGuard, String> {
    let ways = [LoopGuard::Off, LoopGuard::Stop, LoopGuard::Recover];
    let way = ways.into_iter().find(|&way| loop_guard_word(way) == text.trim());
    way.ok_or_else(|| "it must be off, stop or recover".to_owned())
}

fn loop_guard_word(way: LoopGuard) -> &'static str {
    match way {
        LoopGuard::Off => "off",
        LoopGuard::Stop => "stop",
        LoopGuard::Recover => "recover",
    }
}

/// Parses `--seed`.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    number(text, 0, u64::MAX)
}

/// A number within a range; NaN is in none.
pub(crate) fn number<T: FromStr + PartialOrd + Display>(text: &str, min: T, max: T) -> Result<T, String> {
    match text.trim().parse::<T>() {
        Ok(value) if value >= min && value <= max => Ok(value),
        _ => Err(format!("it must be a number from {min} to {max}")),
    }
}

#[cfg(test)]
mod tests {
    use engine::request::MirostatVersion;

    use super::*;

    #[test]
    fn numbers_outside_their_range_are_refused_and_the_range_is_named() {
        for bad in ["-0.1", "5.1", "NaN", "inf", "1e400", "hot", ""] {
            let message = temperature(bad).expect_err(bad);
            assert!(message.contains("from 0 to 5"), "{bad}: {message}");
        }
        assert_eq!(temperature("5"), Ok(5.0));
        assert!(top_p("0").is_err() && top_p("-0").is_err());
        assert_eq!(top_p("1"), Ok(1.0));
        assert!(ctx("0").is_err() && ctx("1000000000000").is_err() && ctx("-1").is_err());
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn set_knows_every_parameter_that_it_shows_and_names_them_for_one_that_it_does_not() {
        let mut parameters = Parameters::default();
        for (name, _) in Parameters::default().shown() {
            let value = if name == "loop-guard" { "off" } else { "1" };
            parameters.set(name, value).expect(name);
        }
        let sampling = parameters.sampling();
        assert_eq!((sampling.seed, sampling.repeat_window, sampling.typical_p), (1, 1, 1.0));
        let mirostat = sampling.mirostat.expect("it is on");
        assert_eq!((mirostat.version, mirostat.tau, mirostat.eta), (MirostatVersion::One, 1.0, 1.0));
        assert!(sampling.dry.is_some_and(|dry| dry.multiplier == 1.0) && sampling.lz.is_some());
        let is_set = |value: &str| value == "1" || value == "off";
        assert!(parameters.shown().iter().all(|(_, value)| is_set(value)), "{:?}", parameters.shown());
        parameters.set("top_p", "0.5").expect("underscores do as well");
        assert_eq!(parameters.sampling().top_p, 0.5);
        assert!(parameters.set("heat", "1").expect_err("unknown").contains("repeat-penalty"));
        assert!(parameters.set("ctx", "64").expect_err("fixed").contains("--ctx"));
    }

    #[test]
    fn a_flag_goes_before_what_suits_the_model_and_that_before_the_default() {
        let model = PromptDefaults { temperature: Some(0.2), top_p: Some(0.9), ..Default::default() };
        let flags = ParameterFlags { temperature: Some(1.5), ..Default::default() };
        let sampling = Parameters::new(&flags, &model).sampling();
        assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (1.5, 0.9, 40));
    }

    #[test]
    fn a_seed_that_was_given_is_used_and_otherwise_each_answer_has_its_own() {
        let drawn = Parameters::default();
        assert_ne!(drawn.sampling().seed, drawn.sampling().seed);
        let flags = ParameterFlags { seed: Some(7), ..Default::default() };
        assert_eq!(Parameters::new(&flags, &PromptDefaults::default()).sampling().seed, 7);
    }
}
