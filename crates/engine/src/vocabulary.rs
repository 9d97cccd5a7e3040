//! What a model file's metadata say about its tokens, as the plain data that a tokenizer is built from.
//!
//! Nothing is checked here but types and what must be there: [`text::tokenizer::Tokenizer::new`] checks the rest.

use text::vocabulary::{TokenKind, Vocabulary};
use weights::error::Error;
use weights::gguf::Metadata;

/// The vocabulary of a file.
///
/// # Errors
/// If there is no `tokenizer.ggml.model`, no `tokens` or, for BPE, no `merges`, or if a value is not of its type.
pub fn vocabulary(metadata: &Metadata) -> Result<Vocabulary, Error> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let id = |name: &str| metadata.opt_u32(&key(name));
    let flag = |name: &str| metadata.opt_bool(&key(name));
    let tokens: Vec<Vec<u8>> = metadata.byte_strings(&key("tokens"))?.iter().map(<[u8]>::to_vec).collect();
    let kinds = metadata.opt_i32s(&key("token_type"))?.unwrap_or_default();
    let model = metadata.str(&key("model"))?.to_owned();
    // Without its merges a BPE vocabulary would spell everything by bytes, which no model understands.
    let merges = match model.as_str() {
        "gpt2" | "gemma4" => metadata.strings(&key("merges"))?,
        _ => metadata.opt_strings(&key("merges"))?.unwrap_or_default(),
    };
    // Padding and masks are for training only, and files that name a token which they lack for them are common.
    let unused = |name: &str| Ok::<_, Error>(id(name)?.filter(|&id| (id as usize) < tokens.len()));
    // The second name is that of older files.
    let either = |name: &str, old: &str| Ok::<_, Error>(id(name)?.or(id(old)?));
    let mut vocabulary = Vocabulary {
        model,
        pre: metadata.opt_str(&key("pre"))?.map(str::to_owned),
        scores: metadata.opt_f32s(&key("scores"))?.unwrap_or_default(),
        kinds: kinds.into_iter().map(TokenKind::from_ggml).collect(),
        merges: merges.into_iter().map(str::to_owned).collect(),
        bos: id("bos_token_id")?,
        eos: id("eos_token_id")?,
        eot: id("eot_token_id")?,
        eom: id("eom_token_id")?,
        unk: id("unknown_token_id")?,
        // The format's own spelling.
        sep: id("seperator_token_id")?,
        pad: unused("padding_token_id")?,
        cls: id("cls_token_id")?,
        mask: unused("mask_token_id")?,
        fim_prefix: either("fim_pre_token_id", "prefix_token_id")?,
        fim_suffix: either("fim_suf_token_id", "suffix_token_id")?,
        fim_middle: either("fim_mid_token_id", "middle_token_id")?,
        add_bos: flag("add_bos_token")?,
        add_eos: flag("add_eos_token")?,
        add_space_prefix: flag("add_space_prefix")?,
        lowercase: flag("normalizer.lowercase")?,
        strip_accents: flag("normalizer.strip_accents")?,
        tokens,
        strip_before: Vec::new(),
        strip_after: Vec::new(),
    };
    add_stripping(metadata, &mut vocabulary)?;
    Ok(vocabulary)
}

/// Which special tokens swallow white space stands in `tokenizer.json` and is lost in the conversion to GGUF. It
/// is known for these families, by the name of the rule or of the model.
fn add_stripping(metadata: &Metadata, vocabulary: &mut Vocabulary) -> Result<(), Error> {
    let name = metadata.opt_str("general.name")?.unwrap_or_default().to_lowercase();
    let pre = vocabulary.pre.as_deref().unwrap_or_default();
    let ids_of = |vocabulary: &Vocabulary, wanted: &dyn Fn(&[u8], TokenKind) -> bool| {
        let tokens = vocabulary.tokens.iter().zip(0..);
        let kind = |id: u32| vocabulary.kinds.get(id as usize).copied().unwrap_or_default();
        tokens.filter(|(text, id)| wanted(text, kind(*id))).map(|(_, id)| id).collect()
    };
    if ["jina-v2-de", "jina-v2-es", "jina-v2-code"].contains(&pre) {
        vocabulary.strip_before = ids_of(vocabulary, &|text, _| text == b"<mask>");
    } else if name.contains("modern-bert") {
        vocabulary.strip_before = ids_of(vocabulary, &|text, _| text == b"[MASK]");
    } else if name.contains("phi-3") || name.contains("phi3") {
        let plain = |text: &[u8]| [&b"<unk>"[..], b"<s>", b"<|endoftext|>"].contains(&text);
        let special = |kind| matches!(kind, TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined);
        vocabulary.strip_after =
            ids_of(vocabulary, &|text, kind| (special(kind) || text == b"</s>") && !plain(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use text::tokenizer::Tokenizer;
    use weights::gguf::Value;

    use super::*;

    /// A small vocabulary with some keys changed; a value of `None` takes the key away.
    fn read(changes: &[(&str, Option<Value>)]) -> Result<Vocabulary, Error> {
        let tokens = ["<unk>", "<s>", "</s>", "<|end|>", "<|endoftext|>", "<mask>", "[MASK]", "a"];
        let mut entries: Vec<(String, Value)> = vec![
            ("tokenizer.ggml.model".into(), "llama".into()),
            ("tokenizer.ggml.tokens".into(), tokens.as_slice().into()),
            ("tokenizer.ggml.scores".into(), vec![0f32; 8].into()),
            ("tokenizer.ggml.token_type".into(), vec![2i32, 3, 1, 3, 3, 1, 1, 9].into()),
        ];
        for (key, value) in changes {
            entries.retain(|(present, _)| present != key);
            entries.extend(value.clone().map(|value| (key.to_string(), value)));
        }
        vocabulary(&Metadata::new(Path::new("small.gguf"), entries).expect("no key occurs twice"))
    }

    #[test]
    fn every_key_has_its_place() {
        let names = [
            "bos_token_id",
            "eos_token_id",
            "eot_token_id",
            "eom_token_id",
            "unknown_token_id",
            "seperator_token_id",
            "padding_token_id",
            "cls_token_id",
            "mask_token_id",
            "fim_pre_token_id",
            "fim_suf_token_id",
            "fim_mid_token_id",
        ];
        let flags = ["add_bos_token", "add_eos_token", "add_space_prefix", "normalizer.lowercase"];
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        // Each id another one, and of another width than the next.
        let ids = names.iter().zip(0..).map(|(name, id)| {
            (key(name), Some(if id % 2 == 0 { Value::U32(id % 8) } else { Value::I64(i64::from(id % 8)) }))
        });
        let flags = flags.iter().enumerate().map(|(i, name)| (key(name), Some(Value::Bool(i % 2 == 0))));
        let more = [
            (key("pre"), Some("default".into())),
            (key("normalizer.strip_accents"), Some(true.into())),
            (key("merges"), Some(["a b", "ab c"].as_slice().into())),
        ];
        let changes: Vec<(String, Option<Value>)> = ids.chain(flags).chain(more).collect();
        let changes: Vec<(&str, Option<Value>)> =
            changes.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        let read = read(&changes).expect("all types fit");
        let ids = [read.bos, read.eos, read.eot, read.eom, read.unk, read.sep, read.pad, read.cls, read.mask];
        assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6, 7, 0].map(Some));
        assert_eq!([read.fim_prefix, read.fim_suffix, read.fim_middle], [1, 2, 3].map(Some));
        let flags = [read.add_bos, read.add_eos, read.add_space_prefix, read.lowercase, read.strip_accents];
        assert_eq!(flags, [true, false, true, false, true].map(Some));
        assert_eq!((read.model.as_str(), read.pre.as_deref()), ("llama", Some("default")));
        assert_eq!(
            (read.scores.len(), read.merges.as_slice()),
            (8, &["a b".to_owned(), "ab c".to_owned()][..])
        );
        assert_eq!(read.tokens[7], b"a");
        assert_eq!(
            [read.kinds[0], read.kinds[1], read.kinds[2], read.kinds[7]],
            [TokenKind::Unknown, TokenKind::Control, TokenKind::Normal, TokenKind::Undefined]
        );
    }

    #[test]
    fn the_tokens_around_a_gap_go_by_two_names() {
        let read = read(&[
            ("tokenizer.ggml.prefix_token_id", Some(1u32.into())),
            ("tokenizer.ggml.suffix_token_id", Some(2u32.into())),
            ("tokenizer.ggml.middle_token_id", Some(3u32.into())),
            ("tokenizer.ggml.fim_mid_token_id", Some(4u32.into())),
        ])
        .expect("all types fit");
        assert_eq!([read.fim_prefix, read.fim_suffix, read.fim_middle], [1, 2, 4].map(Some));
    }

    #[test]
    fn what_is_absent_is_left_to_the_tokenizer() {
        let read = read(&[]).expect("the rest is optional");
        assert_eq!((read.bos, read.pre, read.add_bos, read.add_space_prefix), (None, None, None, None));
        assert!(read.merges.is_empty() && read.strip_before.is_empty() && read.strip_after.is_empty());
    }

    #[test]
    fn a_file_without_a_vocabulary_is_told_which_key_it_lacks() {
        for (changes, key) in [
            (vec![("tokenizer.ggml.model", None)], "tokenizer.ggml.model"),
            (vec![("tokenizer.ggml.tokens", None)], "tokenizer.ggml.tokens"),
            (vec![("tokenizer.ggml.model", Some("gpt2".into()))], "tokenizer.ggml.merges"),
            (vec![("tokenizer.ggml.model", Some(5u32.into()))], "tokenizer.ggml.model"),
            (vec![("tokenizer.ggml.tokens", Some("a".into()))], "tokenizer.ggml.tokens"),
            (vec![("tokenizer.ggml.scores", Some(["a"].as_slice().into()))], "tokenizer.ggml.scores"),
            (vec![("tokenizer.ggml.bos_token_id", Some((-1i32).into()))], "tokenizer.ggml.bos_token_id"),
            (vec![("tokenizer.ggml.add_bos_token", Some(1u32.into()))], "tokenizer.ggml.add_bos_token"),
        ] {
            let error = read(&changes).expect_err(key).to_string();
            assert!(error.contains(key) && error.contains("small.gguf"), "{error}");
        }
    }

    #[test]
    fn ids_that_nothing_uses_may_point_nowhere_and_others_may_not() {
        let with = |key| read(&[(key, Some(8u32.into()))]).expect("it is an integer");
        assert_eq!(with("tokenizer.ggml.padding_token_id").pad, None);
        assert_eq!(with("tokenizer.ggml.mask_token_id").mask, None);
        let error = Tokenizer::new(with("tokenizer.ggml.eos_token_id")).expect_err("there are ids 0 to 7");
        assert!(error.to_string().contains("eos_token_id"), "{error}");
    }

    #[test]
    fn which_tokens_strip_goes_by_the_family() {
        let named = |name: &str| read(&[("general.name", Some(name.into()))]).expect("read");
        // All special tokens but three, and </s>, which is none here.
        for name in ["Phi-3 mini", "my PHI3"] {
            assert_eq!((named(name).strip_after, named(name).strip_before), (vec![2, 3], vec![]), "{name}");
        }
        assert_eq!(named("ModernBERT").strip_before, [] as [u32; 0]);
        assert_eq!(named("answerdotai Modern-BERT").strip_before, [6]);
        for pre in ["jina-v2-de", "jina-v2-es", "jina-v2-code"] {
            let read = read(&[("tokenizer.ggml.pre", Some(pre.into()))]).expect("read");
            assert_eq!((read.strip_before, read.strip_after), (vec![5], vec![]), "{pre}");
        }
        let plain = named("Llama");
        assert!(plain.strip_before.is_empty() && plain.strip_after.is_empty());
    }
}
