//! Hyper-parameters and tensors that this build would compute wrongly are refused by name.

use crate::tiny;
use kernels::formats;
use weights::gguf::GgufWriter;

#[test]
fn what_would_be_computed_wrongly_is_refused() {
    let f32 = formats::by_name("F32").unwrap();
    let ones = |count: usize| 1f32.to_le_bytes().repeat(count);
    let biases_of_one_block = |writer: &mut GgufWriter| {
        for name in ["q", "k", "v"] {
            writer.tensor(&format!("blk.1.attn_{name}.bias"), &[64], f32, ones(64));
        }
    };
    let head_norms = |writer: &mut GgufWriter| {
        for block in 0..2 {
            for name in ["q", "k"] {
                writer.tensor(&format!("blk.{block}.attn_{name}_norm.weight"), &[16], f32, ones(16));
            }
        }
    };
    check("llama", "blk.1 has not the same tensors as blk.0", biases_of_one_block);
    check("llama", "no block of llama has norms on heads", head_norms);
    check("llama", "rope_freqs: 0 is not a positive number", |writer| {
        writer.tensor("rope_freqs.weight", &[8], f32, vec![0; 32]);
    });
    check("llama", "\"longrope\" is not implemented; none, linear and yarn are", |writer| {
        writer.set("llama.rope.scaling.type", "longrope");
    });
    check("llama", "rope.scaling.factor: -1 is not a positive number", |writer| {
        writer.set("llama.rope.scaling.factor", -1f32);
    });
    check("gemma3", "sliding_window_pattern: 2 entries for 7 layers", |writer| {
        writer.set("gemma3.attention.sliding_window_pattern", vec![true, false]);
    });
}

fn check(model: &str, expect: &str, change: impl FnOnce(&mut GgufWriter)) {
    let tiny = tiny::all().into_iter().find(|m| m.name() == model).expect("it is in the file");
    let error = tiny.load_changed(&tiny::cpu(1), change).map(drop).unwrap_err().to_string();
    assert!(error.contains(expect), "{error}");
}
