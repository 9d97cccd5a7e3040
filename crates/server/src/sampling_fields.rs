//! The fields of a request that say how its tokens are chosen and where it ends, the same for the chat, completion and
//! response routes and for Ollama's `options`.
//!
//! They are written once and put into each request's own struct by a macro. (serde's `flatten` would read them from a copy,
//! and an error could not say any more which field it is about.)

/// A request's struct with these fields behind its own.
macro_rules! with_sampling_fields {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        $visibility struct $name {
            $($own)*

            /// 0 to 2; 0 takes the most probable token.
            #[serde(default)]
            #[schema(minimum = 0, maximum = 2)]
            temperature: Option<f32>,
            #[serde(default)]
            #[schema(exclusive_minimum = 0, maximum = 1)]
            top_p: Option<f32>,
            /// Choose among the K most probable tokens; 0 or -1 for all.
            #[serde(default)]
            #[schema(minimum = -1, maximum = 2147483647)]
            top_k: Option<i64>,
            #[serde(default)]
            #[schema(minimum = 0, maximum = 1)]
            min_p: Option<f32>,
            #[serde(default)]
            #[schema(exclusive_minimum = 0, maximum = 1)]
            typical_p: Option<f32>,
            #[serde(default, alias = "repetition_penalty")]
            #[schema(minimum = 0.1, maximum = 10)]
            repeat_penalty: Option<f32>,
            /// How many of the last tokens the penalties look at; -1 for all. Without it `repeat_penalty` looks at 64, the
            /// others at the whole answer.
            #[serde(default)]
            #[schema(minimum = -1, maximum = 2147483647)]
            repeat_last_n: Option<i64>,
            #[serde(default)]
            #[schema(minimum = -2, maximum = 2)]
            frequency_penalty: Option<f32>,
            #[serde(default)]
            #[schema(minimum = -2, maximum = 2)]
            presence_penalty: Option<f32>,
            /// From token ids to what is added to their logits, -100 to 100, or `false` for a ban; or a list of pairs, where
            /// a text may stand for all of its tokens.
            #[serde(default)]
            #[schema(value_type = Option<crate::bias::BiasesDocument>)]
            logit_bias: Option<crate::bias::Biases>,
            #[serde(default)]
            #[schema(value_type = Option<i64>)]
            seed: Option<crate::job::Seed>,
            /// Keep the tokens within so many standard deviations of the best; -1 or 0 is off.
            #[serde(default)]
            #[schema(minimum = -1, maximum = 1000)]
            top_n_sigma: Option<f32>,
            /// How often the most probable tokens are left out in favour of others.
            #[serde(default)]
            #[schema(minimum = 0, maximum = 1)]
            xtc_probability: Option<f32>,
            #[serde(default)]
            #[schema(exclusive_minimum = 0, maximum = 1)]
            xtc_threshold: Option<f32>,
            #[serde(default)]
            #[schema(minimum = 0, maximum = 2)]
            dynatemp_range: Option<f32>,
            #[serde(default)]
            #[schema(minimum = 0, maximum = 100)]
            dynatemp_exponent: Option<f32>,
            /// A penalty on what prolongs a repetition; 0 is off.
            #[serde(default)]
            #[schema(minimum = 0, maximum = 100)]
            dry_multiplier: Option<f32>,
            #[serde(default)]
            #[schema(minimum = 1, maximum = 100)]
            dry_base: Option<f32>,
            #[serde(default)]
            #[schema(minimum = 0, maximum = 2147483647)]
            dry_allowed_length: Option<i64>,
            /// -1 for all.
            #[serde(default)]
            #[schema(minimum = -1, maximum = 2147483647)]
            dry_penalty_last_n: Option<i64>,
            /// Texts at which a repetition ends.
            #[serde(default)]
            dry_sequence_breakers: Option<Vec<String>>,
            /// A penalty on what could be written as a copy; 0 is off, 0.2 is usual.
            #[serde(default)]
            #[schema(minimum = 0, maximum = 10)]
            lz_penalty: Option<f32>,
            /// How many of the last tokens it looks at; -1 for all.
            #[serde(default)]
            #[schema(minimum = -1, maximum = 2147483647)]
            lz_window: Option<i64>,
            /// From how many tokens on a copy counts.
            #[serde(default)]
            #[schema(minimum = 1, maximum = 2147483647)]
            lz_buffer: Option<i64>,
            /// 1 or 2 steers the surprise of the answer, in the place of all that leaves tokens out; 0 is off.
            #[serde(default)]
            #[schema(minimum = 0, maximum = 2)]
            mirostat: Option<i64>,
            /// The wanted surprise, in bits.
            #[serde(default)]
            #[schema(minimum = 0, maximum = 100)]
            mirostat_tau: Option<f32>,
            #[serde(default)]
            #[schema(minimum = 0, maximum = 1)]
            mirostat_eta: Option<f32>,
            /// What changes the logits and in which order; what is not named is off.
            #[serde(default)]
            samplers: Option<Vec<String>>,
            #[serde(default)]
            #[schema(value_type = Option<crate::openai::OneOrManyTexts>)]
            stop: Option<crate::openai::Texts>,
            /// Texts that the answer must not have: it goes back and says something else.
            #[serde(default)]
            banned_strings: Option<Vec<String>>,
            #[serde(default)]
            stop_token_ids: Option<Vec<i64>>,
            #[serde(default)]
            #[schema(minimum = 0, maximum = 2147483647)]
            min_tokens: Option<i64>,
            #[serde(default)]
            ignore_eos: Option<bool>,
            #[serde(default)]
            skip_special_tokens: Option<bool>,
            /// Lower comes first.
            #[serde(default)]
            #[schema(minimum = -1000, maximum = 1000)]
            priority: Option<i64>,
            /// The request is of no use after so many milliseconds.
            #[serde(default)]
            #[schema(minimum = 1)]
            deadline_ms: Option<i64>,
            /// What is done when the answer repeats itself; without it what the server was started with.
            #[serde(default)]
            loop_guard: Option<crate::openai::LoopGuard>,
        }

        impl $name {
            /// What these fields say.
            fn said(&self) -> crate::job::Parameters {
                crate::job::Parameters {
                    temperature: self.temperature,
                    top_p: self.top_p,
                    top_k: self.top_k,
                    min_p: self.min_p,
                    typical_p: self.typical_p,
                    repeat_penalty: self.repeat_penalty,
                    repeat_window: self.repeat_last_n,
                    frequency_penalty: self.frequency_penalty,
                    presence_penalty: self.presence_penalty,
                    logit_bias: self.logit_bias.clone().unwrap_or_default(),
                    samplers: crate::job::Samplers {
                        top_n_sigma: self.top_n_sigma,
                        xtc_probability: self.xtc_probability,
                        xtc_threshold: self.xtc_threshold,
                        dynatemp_range: self.dynatemp_range,
                        dynatemp_exponent: self.dynatemp_exponent,
                        dry_multiplier: self.dry_multiplier,
                        dry_base: self.dry_base,
                        dry_allowed_length: self.dry_allowed_length,
                        dry_penalty_last_n: self.dry_penalty_last_n,
                        dry_sequence_breakers: self.dry_sequence_breakers.clone(),
                        lz_penalty: self.lz_penalty,
                        lz_window: self.lz_window,
                        lz_buffer: self.lz_buffer,
                        mirostat: self.mirostat,
                        mirostat_tau: self.mirostat_tau,
                        mirostat_eta: self.mirostat_eta,
                        chain: self.samplers.clone(),
                    },
                    seed: self.seed,
                    stop_field: "stop",
                    stop: self.stop.clone().unwrap_or_default().0,
                    banned_strings: self.banned_strings.clone().unwrap_or_default(),
                    stop_token_ids: self.stop_token_ids.clone().unwrap_or_default(),
                    min_tokens: self.min_tokens,
                    ignore_eos: self.ignore_eos.unwrap_or(false),
                    show_specials: !self.skip_special_tokens.unwrap_or(true),
                    priority: self.priority,
                    deadline_ms: self.deadline_ms,
                    loop_guard: self.loop_guard.map(Into::into),
                    ..crate::job::Parameters::default()
                }
            }
        }
    };
}

pub(crate) use with_sampling_fields;
