//! `kun export-hf`: its files, and what can't be written so. That the tokenizer is right is shown with the library that reads it.

use serde_json::{Value, json};

use crate::kun::Scratch;
use crate::vocabulary;

#[test]
fn four_files_are_written_and_written_over() {
    let scratch = Scratch::new();
    let model = vocabulary::write(&scratch, "small.gguf");
    let folder = scratch.path("a/b");
    let (model, folder) = (model.to_str().expect("UTF-8"), folder.to_str().expect("UTF-8"));
    for _ in 0..2 {
        let output = scratch.run(["export-hf", model, folder]).output();
        assert_eq!(output.lines().count(), 4, "{output}");
        assert_eq!(std::fs::read_dir(folder).expect("it is there").count(), 4, "nothing is left beside them");
    }
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(format!("{folder}/{name}")).expect("it was written");
        serde_json::from_str(&text).expect("JSON")
    };
    let config = read("config.json");
    assert_eq!(config["architectures"], json!(["LlamaForCausalLM"]));
    assert_eq!(
        (&config["max_position_embeddings"], &config["vocab_size"]),
        (&json!(4096), &json!(vocabulary::SIZE))
    );
    assert_eq!((&config["head_dim"], &config["eos_token_id"]), (&json!(16), &json!(vocabulary::EOS)));
    assert_eq!(read("generation_config.json")["bos_token_id"], vocabulary::BOS);
    assert_eq!(read("tokenizer_config.json")["chat_template"], vocabulary::TEMPLATE);
    let tokenizer = read("tokenizer.json");
    assert_eq!(tokenizer["model"]["merges"][3], json!(["\u{120}", "he"]));
    assert_eq!(tokenizer["added_tokens"][0]["content"], "<|begin|>");
    assert_eq!(tokenizer["post_processor"]["single"][0]["SpecialToken"]["id"], "<|begin|>");
}

#[test]
fn what_has_no_such_form_is_told() {
    let scratch = Scratch::new();
    let write = |name: &str, key: &str, value: &str| {
        let mut writer = vocabulary::writer();
        writer.set(key, vocabulary::text(value));
        let path = scratch.path(name);
        writer.write_file(&path).expect("the target folder can be written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let folder = scratch.path("out");
    let folder = folder.to_str().expect("UTF-8");
    let other = write("a.gguf", "general.architecture", "mamba");
    scratch.run(["export-hf", &other, folder]).fails(3, &["mamba", "llama, qwen2"]);
    let bert = write("b.gguf", "tokenizer.ggml.model", "bert");
    scratch.run(["export-hf", &bert, folder]).fails(3, &["\"bert\"", "tokenizer.json"]);
    assert!(!scratch.path("out").exists(), "nothing is made where nothing is written");
    let file = scratch.file("file", "");
    let model = vocabulary::write(&scratch, "small.gguf");
    scratch
        .run(["export-hf", model.to_str().expect("UTF-8"), file.to_str().expect("UTF-8")])
        .fails(4, &["cannot write"]);
}
