//! Logits of tiny models, against llama.cpp (`golden/make_models.py`).

use crate::tiny::{self, Tiny};

const VOCABULARY: usize = 96;

#[test]
fn every_architecture_computes_what_llama_cpp_does() {
    let models = tiny::all();
    for row in engine::models::TABLE {
        let count = models.iter().filter(|m| m.architecture() == row.name).count();
        assert!(count >= 2, "{} has {count} goldens: add some to make_models.py", row.name);
    }
    let wrong: Vec<String> = models.iter().filter_map(|model| check(model).err()).collect();
    assert!(wrong.is_empty(), "not what llama.cpp computes:\n{}", wrong.join("\n"));
}

fn check(tiny: &Tiny) -> Result<(), String> {
    let tokens = tiny.tokens();
    let mut model = tiny.load_changed(&tiny::cpu(2), |_| ()).map_err(|e| format!("{}: {e}", tiny.name()))?;
    let logits = tiny::logits(&mut *model, &tokens, tokens.len());
    let (mut worst, mut place) = (0f32, (0, 0));
    for (position, expected) in tiny.expected() {
        let row = &logits[position * VOCABULARY..][..VOCABULARY];
        let got = row[position % 6..].iter().step_by(6);
        assert_eq!(got.len(), expected.len());
        for (i, (got, expected)) in got.zip(&expected).enumerate() {
            let distance = (got - expected).abs();
            if distance.is_nan() || distance > worst {
                (worst, place) = (distance, (position, position % 6 + 6 * i));
            }
        }
    }
    let tolerance = tiny.tolerance();
    eprintln!("{}: {worst} of {tolerance}", tiny.name());
    if worst <= tolerance {
        return Ok(());
    }
    let (position, token) = place;
    Err(format!("{}: {worst} > {tolerance} away at position {position}, token {token}", tiny.name()))
}
