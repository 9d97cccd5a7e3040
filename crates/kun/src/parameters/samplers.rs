//! The samplers that few need: a table of flags, which `/set` knows by the same names.

use clap::Args;
use engine::request::{Dry, Lz, Mirostat, MirostatVersion, Sampling};

use super::number;

/// A flag for each row, what is usual, and the range. All of them are numbers.
macro_rules! samplers {
    ($($(#[$doc:meta])* $field:ident $name:literal: $usual:literal, $min:literal to $max:literal;)*) => {
        /// The flags, as they were given.
        #[derive(Debug, Default, Args)]
        pub(crate) struct SamplerFlags {
            $(
                $(#[$doc])*
                #[arg(long, value_name = "X", value_parser = parse::$field, allow_negative_numbers = true)]
                pub(crate) $field: Option<f32>,
            )*
        }

        /// What holds.
        #[derive(Debug, Clone, PartialEq)]
        pub(super) struct Samplers {
            $($field: f32,)*
        }

        mod parse {
            $(
                pub(super) fn $field(text: &str) -> Result<f32, String> {
                    super::number(text, $min, $max)
                }
            )*
        }

        impl Default for Samplers {
            fn default() -> Self {
                Samplers { $($field: $usual,)* }
            }
        }

        impl Samplers {
            /// What is usual, changed by the flags that were given.
            pub(super) fn new(flags: &SamplerFlags) -> Self {
                Samplers { $($field: flags.$field.unwrap_or($usual),)* }
            }

            /// Changes one by its name; none if there is no such one.
            pub(super) fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
                let (field, parsed) = match name {
                    $($name => (&mut self.$field, parse::$field(value)),)*
                    _ => return None,
                };
                Some(parsed.map(|value| *field = value))
            }

            /// Names and values, for people.
            pub(super) fn shown(&self) -> Vec<(&'static str, String)> {
                vec![$(($name, self.$field.to_string()),)*]
            }
        }
    };
}

samplers! {
    /// How many of the last tokens the penalties look at; 0 is off [default: 64]
    repeat_last_n "repeat-last-n": 64.0, 0.0 to 1_000_000.0;
    /// Make tokens less probable for each time that the answer has them, -2 to 2 [default: 0]
    frequency_penalty "frequency-penalty": 0.0, -2.0 to 2.0;
    /// Make tokens less probable that the answer has, -2 to 2 [default: 0]
    presence_penalty "presence-penalty": 0.0, -2.0 to 2.0;
    /// Keep the tokens that are as surprising as was to be expected, with this total probability [default: 1]
    typical_p "typical-p": 1.0, 0.001 to 1.0;
    /// Keep the tokens within so many standard deviations of the best; 0 is off [default: 0]
    top_n_sigma "top-n-sigma": 0.0, 0.0 to 1000.0;
    /// How often the most probable tokens are left out in favour of others, 0 to 1 [default: 0]
    xtc_probability "xtc-probability": 0.0, 0.0 to 1.0;
    /// How probable those others must be [default: 0.1]
    xtc_threshold "xtc-threshold": 0.1, 0.001 to 1.0;
    /// How much the temperature changes with how sure the model is, 0 to 2 [default: 0]
    dynatemp_range "dynatemp-range": 0.0, 0.0 to 2.0;
    /// DRY: a penalty on what prolongs a repetition, 0 to 100; 0.8 is usual [default: 0]
    dry_multiplier "dry-multiplier": 0.0, 0.0 to 100.0;
    /// A penalty on what could be written as a copy, 0 to 10; 0.2 is usual [default: 0]
    lz_penalty "lz-penalty": 0.0, 0.0 to 10.0;
    /// 1 or 2 steers how surprising the answer is, in the place of what leaves tokens out [default: 0]
    mirostat "mirostat": 0.0, 0.0 to 2.0;
    /// The surprise that Mirostat is to come to, in bits [default: 5]
    mirostat_tau "mirostat-tau": 5.0, 0.0 to 100.0;
    /// How fast Mirostat gets there, 0 to 1 [default: 0.1]
    mirostat_eta "mirostat-eta": 0.1, 0.0 to 1.0;
}

impl Samplers {
    /// Adds them to what is said otherwise.
    pub(super) fn add_to(&self, sampling: Sampling) -> Sampling {
        let version = match self.mirostat.round() as u8 {
            0 => None,
            1 => Some(MirostatVersion::One),
            _ => Some(MirostatVersion::Two),
        };
        let (tau, eta) = (self.mirostat_tau, self.mirostat_eta);
        let dry = Dry {
            multiplier: self.dry_multiplier,
            base: 1.75,
            allowed_length: 2,
            window: usize::MAX,
            breakers: Vec::new(),
        };
        let lz = Lz { strength: self.lz_penalty, window: 512, buffer: 32 };
        Sampling {
            repeat_window: self.repeat_last_n as usize,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            typical_p: self.typical_p,
            top_n_sigma: self.top_n_sigma,
            xtc_probability: self.xtc_probability,
            xtc_threshold: self.xtc_threshold,
            dynatemp_range: self.dynatemp_range,
            dry: (self.dry_multiplier > 0.0).then_some(dry),
            lz: (self.lz_penalty > 0.0).then_some(lz),
            mirostat: version.map(|version| Mirostat { version, tau, eta }),
            ..sampling
        }
    }
}
