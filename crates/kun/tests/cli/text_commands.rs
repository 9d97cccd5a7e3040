//! `tokenize`, `detokenize`, `template` and `inspect`, on a file that holds only a vocabulary.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::kun::{Ended, Scratch};
use crate::vocabulary::{self, BOS, EOS, HE, HELL};

struct Small {
    scratch: Scratch,
    model: PathBuf,
}

impl Small {
    fn new() -> Self {
        let scratch = Scratch::new();
        let model = vocabulary::write(&scratch, "small.gguf");
        Small { scratch, model }
    }

    fn model(&self) -> &str {
        self.model.to_str().expect("UTF-8")
    }

    fn tokenize(&self, flags: &[&str], text: &str) -> Ended {
        self.scratch.run_with([&["tokenize", self.model()], flags].concat(), text)
    }

    fn detokenize(&self, ids: &str) -> Ended {
        self.scratch.run_with(["detokenize", self.model()], ids)
    }

    fn template(&self, flags: &[&str], messages: &str) -> Ended {
        let file = self.scratch.file("messages.json", messages);
        let messages = ["--messages", file.to_str().expect("UTF-8")];
        self.scratch.run([&["template"], flags, &messages].concat())
    }
}

#[test]
fn text_becomes_ids_and_pieces() {
    let small = Small::new();
    let o = u32::from(b'o');
    for (flags, text, ids, pieces) in [
        (&[][..], "hello", vec![HELL, o], json!(["hell", "o"])),
        (&[], "he he", vec![HE, HE + 3], json!(["he", " he"])),
        (&["--bos"], "he", vec![BOS, HE], json!(["<|begin|>", "he"])),
        (&["--special"], "he<|end|>", vec![HE, EOS], json!(["he", "<|end|>"])),
        (&[], "é", vec![0xc3, 0xa9], json!(["\u{fffd}", "\u{fffd}"])),
        (&[], "", vec![], json!([])),
    ] {
        let json = small.tokenize(&[flags, &["--json"]].concat(), text).json();
        assert_eq!(json, json!({"ids": ids, "pieces": pieces}), "{flags:?} {text:?}");
    }
    let as_text = small.tokenize(&["--json"], "<|end|>").json();
    assert_eq!(as_text["ids"].as_array().map(Vec::len), Some(7), "without --special it is text");
    assert_eq!(small.tokenize(&[], "hell\n").output(), "258\thell\n10\t\\n\n");
}

#[test]
fn ids_become_the_same_text_again_to_the_byte() {
    let small = Small::new();
    for text in ["hello, world", "  two  spaces\n\n", "naïve 日本語 🦀", "tab\tnul\0end", ""] {
        let json = small.tokenize(&["--json"], text).output();
        assert_eq!(small.detokenize(&json).output(), text);
        let ids = serde_json::from_str::<Value>(&json).expect("JSON")["ids"].to_string();
        assert_eq!(small.detokenize(&ids).output(), text, "a list");
    }
    assert_eq!(small.detokenize("258 111\n").output(), "hello");
    assert_eq!(small.detokenize("256 261").output(), "he<|end|>");
    let json = small.scratch.run_with(["detokenize", small.model(), "--json"], "[256]").json();
    assert_eq!(json, json!({"text": "he"}));
}

#[test]
fn what_is_no_text_and_no_id_is_a_usage_error() {
    let small = Small::new();
    small.detokenize("262").fails(2, &["262", "0 to 261"]);
    small.detokenize("[1, ").fails(2, &["JSON"]);
    small.detokenize("he").fails(2, &["'he'"]);
    small.scratch.run_with(["tokenize", small.model()], [b'a', 0xff]).fails(2, &["UTF-8", "byte 1"]);
}

#[test]
fn messages_are_rendered_to_the_exact_prompt() {
    let small = Small::new();
    let messages = r#"[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?\n"}]"#;
    let object =
        format!(r#"{{"messages": {messages}, "add_generation_prompt": true, "bos_token": "not this"}}"#);
    let rendered = small.template(&[small.model()], &object).output();
    assert_eq!(rendered, "<|begin|>[user] Hi<|end|>[assistant] Yes?\n<|end|>[assistant] ");
    let bare = small.template(&[small.model()], messages).output();
    assert_eq!(bare, "<|begin|>[user] Hi<|end|>[assistant] Yes?\n<|end|>");
    let stdin = small.scratch.run_with(["template", small.model(), "--messages", "-"], messages).output();
    assert_eq!(stdin, bare);
}

#[test]
fn a_template_file_needs_no_model_and_takes_its_tokens_from_the_json() {
    let small = Small::new();
    let file = small.scratch.file("a.jinja", "{{ bos_token }}{{ messages | length }}{{ extra }}\n");
    let file = file.to_str().expect("UTF-8");
    let object = r#"{"messages": [{}, {}], "bos_token": "<s>", "extra": "!"}"#;
    assert_eq!(small.template(&["--template", file], object).output(), "<s>2!");
    assert_eq!(small.template(&[small.model(), "--template", file], object).output(), "<|begin|>2!");
}

#[test]
fn messages_that_are_none_are_a_usage_error_and_templates_that_fail_are_the_models() {
    let small = Small::new();
    small.template(&[small.model()], "{").fails(2, &["messages.json", "line 1 column 1"]);
    small.template(&[small.model()], "{}").fails(2, &["messages.json", "\"messages\""]);
    small.template(&[small.model()], "5").fails(2, &["messages.json"]);
    let file = small.scratch.file("b.jinja", "a\n{{ raise_exception('roles must alternate') }}");
    let file = file.to_str().expect("UTF-8");
    small.template(&["--template", file], "[]").fails(3, &["b.jinja", "roles must alternate"]);
    let absent = small.scratch.path("absent.json");
    let absent = absent.to_str().expect("UTF-8");
    small
        .scratch
        .run(["template", small.model(), "--messages", absent])
        .fails(4, &["absent.json", "No such file"]);
}

#[test]
fn inspect_shows_what_is_in_the_file() {
    let small = Small::new();
    let json = small.scratch.run(["inspect", small.model(), "--json"]).json();
    let keys: Vec<&String> = json.as_object().expect("an object").keys().collect();
    let expect =
        ["paths", "version", "architecture", "parameters", "metadata", "tensors", "chat_template", "memory"];
    assert_eq!(keys, expect);
    assert_eq!(json["paths"], json!([small.model()]));
    assert_eq!((&json["version"], &json["architecture"]), (&json!(3), &json!("llama")));
    assert_eq!(json["chat_template"], vocabulary::TEMPLATE);
    assert_eq!(json["metadata"]["llama.block_count"], 2);
    let tokens = json!({"type": "string", "length": vocabulary::SIZE, "first": ["Ā", "ā", "Ă", "ă"]});
    assert_eq!(json["metadata"]["tokenizer.ggml.tokens"], tokens);
    // Two layers, two heads of 16 numbers, keys and values, two bytes each.
    let memory = json!({"ctx": 4096, "weights_bytes": 0, "kv_bytes": 4096 * 256, "total_bytes": 4096 * 256});
    assert_eq!(json["memory"], memory);
    let shorter = small.scratch.run(["inspect", small.model(), "--json", "--ctx", "100"]).json();
    assert_eq!(shorter["memory"]["kv_bytes"], 25_600);
}

#[test]
fn inspect_lists_tensors_with_their_sizes() {
    let small = Small::new();
    let f32 = weights::gguf::formats::by_name("F32").expect("every build reads it");
    let path = small.scratch.path("tensors.gguf");
    vocabulary::writer()
        .tensor("token_embd.weight", &[8, 4], f32, vec![0; 128])
        .tensor("output_norm.weight", &[8], f32, vec![0; 32])
        .write_file(&path)
        .expect("written");
    let path = path.to_str().expect("UTF-8");
    let json = small.scratch.run(["inspect", path, "--json"]).json();
    let embedding = json!({"name": "token_embd.weight", "format": "F32", "shape": [8, 4], "bytes": 128});
    assert_eq!(json["tensors"][0], embedding);
    assert_eq!((&json["parameters"], &json["memory"]["weights_bytes"]), (&json!(40), &json!(160)));
    let text = small.scratch.run(["inspect", path]).output();
    for part in ["token_embd.weight", "8 x 4", "llama.context_length", "[assistant]", "4096: 160 B weights"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn a_broken_template_leaves_the_model_of_use_and_tells_its_line() {
    let small = Small::new();
    let path = small.scratch.path("broken.gguf");
    let source = "{{ bos_token }}\n{% for m in messages %}\n{% if m %}";
    vocabulary::writer()
        .set("tokenizer.chat_template", vocabulary::text(source))
        .write_file(&path)
        .expect("written");
    let path = path.to_str().expect("UTF-8");
    let json = small.scratch.run(["inspect", path, "--json"]).json();
    assert_eq!(json["chat_template"], source);
    let tokens = small.scratch.run_with(["tokenize", path, "--json"], "he").json();
    assert_eq!(tokens["ids"], json!([HE]));
    small.template(&[path], "[]").fails(3, &["broken.gguf", "line 3"]);
    // Another template does.
    let file = small.scratch.file("c.jinja", "{{ messages|length }}");
    let whole = small.template(&[path, "--template", file.to_str().expect("UTF-8")], "[]");
    assert_eq!(whole.output(), "0");
}

#[test]
fn a_template_that_never_ends_is_stopped_and_says_why() {
    let small = Small::new();
    for (source, part) in [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "fuel"),
        ("{% macro m() %}{{ m() }}{% endmacro %}\n{{ m() }}", "nested loops and macro calls"),
        ("{{ 'a' * 99999999 }}", "fuel"),
        (
            "{% set n = namespace(l=[]) %}{% for a in range(99999) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l }}",
            "deeper",
        ),
    ] {
        let file = small.scratch.file("hostile.jinja", source);
        let file = file.to_str().expect("UTF-8");
        small.template(&["--template", file], "[]").fails(3, &["hostile.jinja", "line 1", part]);
    }
}

#[test]
fn a_prompt_has_no_byte_more_than_the_template_gives() {
    let small = Small::new();
    for (source, expect) in
        [("{{ messages|length }}", "0"), ("x\n", "x"), ("x\n\n", "x\n"), ("", ""), ("\r\n é", "\n é")]
    {
        let file = small.scratch.file("exact.jinja", source);
        let file = file.to_str().expect("UTF-8");
        assert_eq!(small.template(&["--template", file], "[]").output(), expect, "{source:?}");
    }
}

#[test]
fn one_megabyte_of_one_letter_is_tokenized() {
    let small = Small::new();
    let text = "l".repeat(1 << 20);
    let json = small.tokenize(&["--json"], &text).json();
    let ids = json["ids"].as_array().expect("a list");
    assert_eq!(ids.len(), 1 << 19);
    assert!(ids.iter().all(|id| *id == HELL - 1), "every pair is the token \"ll\"");
    assert_eq!(small.detokenize(&json["ids"].to_string()).output(), text);
}
