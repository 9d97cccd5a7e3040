//! `options` of an Ollama-style request.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::job::{Parameters, Seed, whole};
use crate::model::ServedModel;
use crate::sampling_fields::with_sampling_fields;

with_sampling_fields! {
    /// What an answer is to be like.
    ///
    /// Options of loading that change the speed alone (`num_thread`, `num_gpu`, `main_gpu`, `num_batch`, `num_keep`, `numa`,
    /// `low_vram`, `f16_kv`, `use_mmap`, `use_mlock`) are taken and have no effect here.
    #[derive(Debug, Default, Deserialize, ToSchema)]
    #[schema(as = OllamaOptions)]
    pub(crate) struct Options {
        /// The most tokens of an answer; -1 and -2 for as many as there is room for.
        #[serde(default)]
        num_predict: Option<i64>,
        /// The context that is at least wanted.
        #[serde(default)]
        num_ctx: Option<i64>,
        /// 1: it is off.
        #[serde(default)]
        tfs_z: Option<f32>,
        #[serde(default)]
        penalize_newline: Option<bool>,
    }
}

impl Options {
    /// What they ask of a model.
    pub(crate) fn parameters(self, model: &ServedModel) -> Result<Parameters, ApiError> {
        self.refuse(model)?;
        Ok(Parameters {
            seed: self.seed.filter(|&seed| seed != RANDOM),
            max_tokens: self.num_predict.filter(|n| !ALL.contains(n)).map(|n| (n, "num_predict")),
            ..self.said()
        })
    }

    /// Options that are known and can't be honoured.
    pub(crate) fn refuse(&self, model: &ServedModel) -> Result<(), ApiError> {
        let context = model.context_tokens();
        if let Some(wanted) = whole("num_ctx", self.num_ctx, 1, i64::MAX)?
            && wanted > context as i64
        {
            let message = format!(
                "num_ctx is {wanted}, but this model is served with a context of {context} tokens; ask for no more, or \
                 start the server with --ctx"
            );
            return Err(ApiError::field("num_ctx", message));
        }
        for (param, is_set, possible) in [
            ("tfs_z", self.tfs_z.is_some_and(|z| z != 1.0), "1"),
            ("penalize_newline", self.penalize_newline == Some(false), "true"),
        ] {
            if is_set {
                let message = format!("{param} is not supported: leave it out or set it to {possible}");
                return Err(ApiError::unsupported(param, message));
            }
        }
        Ok(())
    }
}

/// How -1 arrives.
const RANDOM: Seed = Seed(u64::MAX);
/// Without an end, and to the end of the context, which is the same here.
const ALL: [i64; 2] = [-1, -2];
