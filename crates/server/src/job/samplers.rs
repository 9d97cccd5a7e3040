//! The samplers that only some clients know, under llama.cpp's names.

use engine::request::{Breaker, Dry, Lz, Mirostat, MirostatVersion, Sampling, Stage, TokenId};
use text::tokenizer::Specials;

use super::{Parameters, above_zero, whole, within};
use crate::error::ApiError;
use crate::model::ServedModel;

/// Breakers of a request, and the bytes of one.
const BREAKERS_MAX: usize = 64;
const BREAKER_BYTES_MAX: usize = 40;
/// How surprising an answer is to be if nothing is said, and how fast that is come to, as llama.cpp and Ollama have it.
const TAU_DEFAULT: f32 = 5.0;
const ETA_DEFAULT: f32 = 0.1;
/// How many tokens the LZ penalty looks at if nothing is said, and from how many on a copy counts, as its authors have it.
const LZ_WINDOW_DEFAULT: usize = 512;
const LZ_BUFFER_DEFAULT: usize = 32;
/// What `samplers` calls the stages: llama.cpp's names.
const STAGES: [(&str, Stage); 10] = [
    ("penalties", Stage::Penalties),
    ("dry", Stage::Dry),
    ("lz", Stage::Lz),
    ("top_n_sigma", Stage::TopNSigma),
    ("top_k", Stage::TopK),
    ("typ_p", Stage::Typical),
    ("top_p", Stage::TopP),
    ("min_p", Stage::MinP),
    ("xtc", Stage::Xtc),
    ("temperature", Stage::Temperature),
];
/// What breaks a repetition if nothing is said.
const BREAKERS_DEFAULT: [&str; 4] = ["\n", ":", "\"", "*"];

/// What was said of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samplers {
    pub(crate) top_n_sigma: Option<f32>,
    pub(crate) xtc_probability: Option<f32>,
    pub(crate) xtc_threshold: Option<f32>,
    pub(crate) dynatemp_range: Option<f32>,
    pub(crate) dynatemp_exponent: Option<f32>,
    pub(crate) dry_multiplier: Option<f32>,
    pub(crate) dry_base: Option<f32>,
    pub(crate) dry_allowed_length: Option<i64>,
    pub(crate) dry_penalty_last_n: Option<i64>,
    pub(crate) dry_sequence_breakers: Option<Vec<String>>,
    pub(crate) lz_penalty: Option<f32>,
    pub(crate) lz_window: Option<i64>,
    pub(crate) lz_buffer: Option<i64>,
    pub(crate) mirostat: Option<i64>,
    pub(crate) mirostat_tau: Option<f32>,
    pub(crate) mirostat_eta: Option<f32>,
    /// `samplers`: which of them, and in which order.
    pub(crate) chain: Option<Vec<String>>,
}

impl Parameters {
    /// Adds what was said to what is usual.
    pub(super) fn add_samplers(&self, sampling: Sampling, model: &ServedModel) -> Result<Sampling, ApiError> {
        let said = &self.samplers;
        Ok(Sampling {
            // -1 is how llama.cpp's clients say "off".
            top_n_sigma: within("top_n_sigma", said.top_n_sigma, -1.0, 1000.0)?.unwrap_or(0.0).max(0.0),
            xtc_probability: within("xtc_probability", said.xtc_probability, 0.0, 1.0)?.unwrap_or(0.0),
            xtc_threshold: above_zero("xtc_threshold", said.xtc_threshold)?.unwrap_or(sampling.xtc_threshold),
            dynatemp_range: within("dynatemp_range", said.dynatemp_range, 0.0, 2.0)?.unwrap_or(0.0),
            dynatemp_exponent: within("dynatemp_exponent", said.dynatemp_exponent, 0.0, 100.0)?
                .unwrap_or(1.0),
            dry: self.dry(model)?,
            lz: self.lz()?,
            mirostat: self.mirostat()?,
            chain: self.chain()?,
            ..sampling
        })
    }

    /// Everything is checked, even if the multiplier is 0 and nothing comes of it.
    fn dry(&self, model: &ServedModel) -> Result<Option<Dry>, ApiError> {
        let said = &self.samplers;
        let multiplier = within("dry_multiplier", said.dry_multiplier, 0.0, 100.0)?.unwrap_or(0.0);
        let base = within("dry_base", said.dry_base, 1.0, 100.0)?.unwrap_or(1.75);
        let most = i64::from(i32::MAX);
        let allowed_length =
            whole("dry_allowed_length", said.dry_allowed_length, 0, most)?.unwrap_or(2) as usize;
        let last = whole("dry_penalty_last_n", said.dry_penalty_last_n, -1, most)?;
        let window = last.map_or(usize::MAX, |last| usize::try_from(last).unwrap_or(usize::MAX));
        let texts = self.breakers()?;
        if multiplier == 0.0 {
            return Ok(None);
        }
        let breakers = breakers_of(&texts, model);
        Ok(Some(Dry { multiplier, base, allowed_length, window, breakers }))
    }

    fn breakers(&self) -> Result<Vec<String>, ApiError> {
        const FIELD: &str = "dry_sequence_breakers";
        let usual = || BREAKERS_DEFAULT.map(str::to_owned).to_vec();
        let said = self.samplers.dry_sequence_breakers.clone().unwrap_or_else(usual);
        if said.len() > BREAKERS_MAX {
            let message = format!("{FIELD} has {} strings, at most {BREAKERS_MAX} are possible", said.len());
            return Err(ApiError::field(FIELD, message));
        }
        match said.iter().position(|text| !(1..=BREAKER_BYTES_MAX).contains(&text.len())) {
            Some(index) => {
                let message = format!("{FIELD}[{index}] must have 1 to {BREAKER_BYTES_MAX} bytes");
                Err(ApiError::field(FIELD, message))
            }
            None => Ok(said),
        }
    }

    fn lz(&self) -> Result<Option<Lz>, ApiError> {
        let said = &self.samplers;
        let most = i64::from(i32::MAX);
        let strength = within("lz_penalty", said.lz_penalty, 0.0, 10.0)?.unwrap_or(0.0);
        let window = whole("lz_window", said.lz_window, -1, most)?;
        let window = window.map_or(LZ_WINDOW_DEFAULT, |window| usize::try_from(window).unwrap_or(usize::MAX));
        let buffer = whole("lz_buffer", said.lz_buffer, 1, most)?.map_or(LZ_BUFFER_DEFAULT, |n| n as usize);
        Ok((strength > 0.0).then_some(Lz { strength, window, buffer }))
    }

    fn mirostat(&self) -> Result<Option<Mirostat>, ApiError> {
        let said = &self.samplers;
        let tau = within("mirostat_tau", said.mirostat_tau, 0.0, 100.0)?.unwrap_or(TAU_DEFAULT);
        let eta = within("mirostat_eta", said.mirostat_eta, 0.0, 1.0)?.unwrap_or(ETA_DEFAULT);
        let version = match whole("mirostat", said.mirostat, 0, 2)? {
            Some(1) => MirostatVersion::One,
            Some(2) => MirostatVersion::Two,
            _ => return Ok(None),
        };
        Ok(Some(Mirostat { version, tau, eta }))
    }

    fn chain(&self) -> Result<Option<Vec<Stage>>, ApiError> {
        let Some(names) = &self.samplers.chain else { return Ok(None) };
        let refused = |index: usize, why: &str| {
            let field = format!("samplers[{index}]");
            let shown: String = names[index].chars().take(40).collect();
            let message = format!("{field} is {shown:?}, {why}");
            Err(ApiError::field(field, message))
        };
        let mut stages = Vec::with_capacity(names.len().min(STAGES.len()));
        for (index, name) in names.iter().enumerate() {
            // Ollama and others spell one of them out.
            let name = if name == "typical_p" { "typ_p" } else { name };
            let Some(&(_, stage)) = STAGES.iter().find(|(known, _)| *known == name) else {
                let known = STAGES.map(|(known, _)| known).join(", ");
                return refused(index, &format!("which is no sampler; there are {known}"));
            };
            if stages.contains(&stage) {
                return refused(index, "which is in the list already");
            }
            stages.push(stage);
        }
        Ok(Some(stages))
    }
}

/// How tokens can write these texts: those that have all of one in them, and those that end with its beginning, with
/// the tokens of the rest behind them.
fn breakers_of(texts: &[String], model: &ServedModel) -> Vec<Breaker> {
    let piece = |token: TokenId| model.tokenizer.piece(token).unwrap_or_default();
    let tokens = 0..model.handle.shape().vocabulary as TokenId;
    let find = |needle: &[u8], piece: &[u8]| piece.windows(needle.len()).any(|part| part == needle);
    let whole = tokens.clone().filter(|&token| texts.iter().any(|text| find(text.as_bytes(), piece(token))));
    let mut breakers = vec![Breaker { heads: whole.collect(), tail: Vec::new() }];
    for text in texts {
        for (cut, _) in text.char_indices().skip(1) {
            let (begin, rest) = text.split_at(cut);
            let heads = tokens.clone().filter(|&token| piece(token).ends_with(begin.as_bytes()));
            let tail = model.tokenizer.encode_inside(rest, Specials::AsText);
            breakers.push(Breaker { heads: heads.collect(), tail });
        }
    }
    breakers.retain(|breaker| !breaker.heads.is_empty());
    breakers
}
