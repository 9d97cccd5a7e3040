//! What was measured: every single value, kept in `docs/measurements.json` under the model's title.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

const FILE: &str = "docs/measurements.json";

/// One model on one machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ModelResult {
    pub(super) title: String,
    pub(super) bytes: u64,
    pub(super) machine: String,
    pub(super) date: String,
    pub(super) commit: String,
    pub(super) kun: String,
    pub(super) isa: String,
    pub(super) peer: String,
    pub(super) threads: usize,
    pub(super) rounds: usize,
    /// Of the processor, before the measurement, from 0 to 1.
    pub(super) use_by_others: f64,
    /// Before and after.
    pub(super) read_bytes_per_second: [f64; 2],
    pub(super) tests: Vec<TestResult>,
}

/// Tokens per second of each program, round by round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TestResult {
    pub(super) name: String,
    pub(super) kun: Vec<f64>,
    pub(super) peer: Vec<f64>,
}

impl TestResult {
    /// How much faster Kun's median is.
    pub(super) fn ratio(&self) -> f64 {
        Spread::of(&self.kun).median / Spread::of(&self.peer).median
    }
}

/// The middle and the ends of some values.
#[derive(Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of at least one value.
    pub(super) fn of(values: &[f64]) -> Spread {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let (min, max) = (values[0], values[values.len() - 1]);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Spread { median, min, max }
    }
}

/// All that has been kept.
pub(super) fn kept(root: &Path) -> Result<Vec<ModelResult>> {
    match fs::read_to_string(root.join(FILE)) {
        Ok(json) => serde_json::from_str(&json).with_context(|| format!("{FILE} is broken: delete it")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {FILE}")),
    }
}

/// Keeps a result, in place of an older one of the same model.
pub(super) fn keep(root: &Path, result: ModelResult) -> Result<()> {
    let mut all = kept(root)?;
    put(&mut all, result);
    fs::write(root.join(FILE), serde_json::to_string_pretty(&all)? + "\n")
        .with_context(|| format!("cannot write {FILE}"))
}

fn put(all: &mut Vec<ModelResult>, result: ModelResult) {
    match all.iter_mut().find(|old| old.title == result.title) {
        Some(old) => *old = result,
        None => all.push(result),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A made-up result.
    pub(in super::super) fn result(title: &str, kun: &[f64], peer: &[f64]) -> ModelResult {
        ModelResult {
            title: title.to_owned(),
            bytes: 98_362_432,
            machine: "Abacus, 2 cores".to_owned(),
            date: "2026-01-31".to_owned(),
            commit: "abc".to_owned(),
            kun: "0.1.0".to_owned(),
            isa: "avx2".to_owned(),
            peer: "b1".to_owned(),
            threads: 2,
            rounds: kun.len(),
            use_by_others: 0.013,
            read_bytes_per_second: [30e9, 31.04e9],
            tests: vec![TestResult { name: "pp512".to_owned(), kun: kun.to_vec(), peer: peer.to_vec() }],
        }
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of(&[7.0]), Spread { median: 7.0, min: 7.0, max: 7.0 });
    }

    #[test]
    fn a_new_result_takes_the_place_of_the_old_one() {
        let mut all = vec![result("a", &[1.0], &[1.0]), result("b", &[1.0], &[1.0])];
        put(&mut all, result("a", &[2.0], &[1.0]));
        put(&mut all, result("c", &[3.0], &[1.0]));
        let speeds: Vec<_> = all.iter().map(|r| (r.title.as_str(), r.tests[0].kun[0])).collect();
        assert_eq!(speeds, [("a", 2.0), ("b", 1.0), ("c", 3.0)]);
    }
}
