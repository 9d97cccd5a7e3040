//! `config.json` and `generation_config.json`: a model's hyper-parameters by the names that transformers has for them.

use serde_json::{Map, Value, json};
use text::tokenizer::Tokenizer;
use weights::gguf::Gguf;

use crate::failure::{Failure, Outcome};
use crate::model_file;

/// An architecture, as the two sides call it.
struct Family {
    gguf: &'static str,
    class: &'static str,
    model_type: &'static str,
    /// The name of the activation's field, and the activation.
    activation: (&'static str, &'static str),
}

const FAMILIES: [Family; 4] = [
    Family {
        gguf: "llama",
        class: "LlamaForCausalLM",
        model_type: "llama",
        activation: ("hidden_act", "silu"),
    },
    Family {
        gguf: "qwen2",
        class: "Qwen2ForCausalLM",
        model_type: "qwen2",
        activation: ("hidden_act", "silu"),
    },
    Family {
        gguf: "qwen3",
        class: "Qwen3ForCausalLM",
        model_type: "qwen3",
        activation: ("hidden_act", "silu"),
    },
    Family {
        gguf: "gemma3",
        class: "Gemma3ForCausalLM",
        model_type: "gemma3_text",
        activation: ("hidden_activation", "gelu_pytorch_tanh"),
    },
];

/// Tokens of context that the model was made for.
pub(super) fn context_length(gguf: &Gguf) -> Option<u64> {
    number(gguf, "context_length")
}

/// The configuration.
pub(super) fn config(gguf: &Gguf, tokenizer: &Tokenizer) -> Outcome<Value> {
    let architecture = gguf.metadata().architecture()?;
    let Some(family) = FAMILIES.iter().find(|family| family.gguf == architecture) else {
        let known = FAMILIES.map(|family| family.gguf).join(", ");
        return Err(Failure::model(format!(
            "{}: there is no configuration for the architecture {architecture}; there is for {known}",
            model_file::path(gguf)
        )));
    };
    let heads = number(gguf, "attention.head_count");
    let width = number(gguf, "embedding_length");
    let head_dim =
        number(gguf, "attention.key_length").or(width.zip(heads).and_then(|(w, h)| w.checked_div(h)));
    // Of a file without weights the vocabulary tells.
    let rows = gguf.tensor("token_embd.weight").and_then(|tensor| tensor.info.shape.get(1).copied());
    let mut config = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            config.insert(name.to_owned(), value);
        }
    };
    put("architectures", json!([family.class]));
    put("model_type", family.model_type.into());
    put("vocab_size", rows.unwrap_or(tokenizer.len() as u64).into());
    put("max_position_embeddings", context_length(gguf).into());
    put("hidden_size", width.into());
    put("intermediate_size", number(gguf, "feed_forward_length").into());
    put("num_hidden_layers", number(gguf, "block_count").into());
    put("num_attention_heads", heads.into());
    put("num_key_value_heads", number(gguf, "attention.head_count_kv").or(heads).into());
    put("head_dim", head_dim.into());
    put(family.activation.0, family.activation.1.into());
    put("rms_norm_eps", float(gguf, "attention.layer_norm_rms_epsilon").into());
    put("rope_theta", float(gguf, "rope.freq_base").unwrap_or(10_000.0).into());
    put("rope_scaling", scaling(gguf));
    put("sliding_window", number(gguf, "attention.sliding_window").into());
    if family.gguf == "gemma3" {
        put("query_pre_attn_scalar", head_dim.into());
        put("rope_local_base_freq", 10_000.0.into());
        put("sliding_window_pattern", 6.into());
    }
    put("tie_word_embeddings", gguf.tensor("output.weight").is_none().into());
    put("bos_token_id", tokenizer.bos().into());
    put("eos_token_id", ends(tokenizer));
    put("pad_token_id", tokenizer.pad().into());
    put("torch_dtype", "bfloat16".into());
    Ok(json!(config))
}

/// How an answer is generated, as far as the file knows.
pub(super) fn generation(tokenizer: &Tokenizer) -> Value {
    let mut config = Map::new();
    for (name, value) in [
        ("bos_token_id", json!(tokenizer.bos())),
        ("eos_token_id", ends(tokenizer)),
        ("pad_token_id", json!(tokenizer.pad())),
    ] {
        if !value.is_null() {
            config.insert(name.to_owned(), value);
        }
    }
    json!(config)
}

/// The token that ends an answer, or all that do.
fn ends(tokenizer: &Tokenizer) -> Value {
    match tokenizer.end_of_generation() {
        [] => Value::Null,
        [one] => json!(one),
        several => json!(several),
    }
}

fn scaling(gguf: &Gguf) -> Value {
    let kind = key(gguf, "rope.scaling.type").and_then(|value| value.text());
    match (kind, float(gguf, "rope.scaling.factor")) {
        (Some(kind), Some(factor)) if kind != "none" => {
            let original = number(gguf, "rope.scaling.original_context_length");
            let mut scaling = json!({"rope_type": kind, "factor": factor});
            if let Some(original) = original {
                scaling["original_max_position_embeddings"] = original.into();
            }
            scaling
        }
        _ => Value::Null,
    }
}

fn key<'a>(gguf: &'a Gguf, name: &str) -> Option<&'a weights::gguf::Value> {
    let architecture = gguf.metadata().architecture().ok()?;
    gguf.metadata().get(&format!("{architecture}.{name}"))
}

fn number(gguf: &Gguf, name: &str) -> Option<u64> {
    key(gguf, name)?.integer()?.try_into().ok()
}

/// A number as it is written shortest: the file has it in 32 bits.
fn float(gguf: &Gguf, name: &str) -> Option<f64> {
    let value = key(gguf, name)?.float()? as f32;
    value.to_string().parse().ok()
}
