//! Dynamic temperature: cooler where the model is sure, hotter where it is not.
//!
//! kalomaze, 2023, as llama.cpp has it (`temp_ext`): the entropy of what is left to choose from, as a share of the most
//! that it could be, raised to an exponent, says where between the temperature less and plus the range it is.

use super::exponential::exp;
use super::selection::Candidate;

/// The temperature for these candidates, the most probable of which has the logit `peak`. It may be 0.
pub(super) fn temperature(candidates: &[Candidate], peak: f32, usual: f32, range: f32, exponent: f32) -> f32 {
    if candidates.len() < 2 {
        return usual;
    }
    let (mut mass, mut sum) = (0.0, 0.0);
    for candidate in candidates {
        let weight = f64::from(exp(candidate.logit - peak));
        if weight > 0.0 {
            mass += weight;
            sum += weight * f64::from(candidate.logit - peak);
        }
    }
    let entropy = mass.ln() - sum / mass;
    let share = (entropy / (candidates.len() as f64).ln()).clamp(0.0, 1.0);
    let (low, high) = ((usual - range).max(0.0), usual + range);
    low + (high - low) * share.powf(f64::from(exponent)) as f32
}
