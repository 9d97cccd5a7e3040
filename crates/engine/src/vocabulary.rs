//! What a model file's metadata say about its tokens, as the plain data that a tokenizer is built from.
//!
//! Nothing is checked here but types: [`text::tokenizer::Tokenizer::new`] checks the rest.

use text::vocabulary::{TokenKind, Vocabulary};
use weights::error::Error;
use weights::gguf::Metadata;

/// The vocabulary of a file. A file that says nothing about tokens gives an empty one.
///
/// # Errors
/// If a key's value is not of its type.
pub fn vocabulary(metadata: &Metadata) -> Result<Vocabulary, Error> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let id = |name: &str| metadata.opt_u32(&key(name));
    let flag = |name: &str| metadata.opt_bool(&key(name));
    let tokens: Vec<Vec<u8>> = metadata.byte_strings(&key("tokens"))?.iter().map(<[u8]>::to_vec).collect();
    let kinds = metadata.opt_i32s(&key("token_type"))?.unwrap_or_default();
    let merges = metadata.opt_strings(&key("merges"))?.unwrap_or_default();
    let mut vocabulary = Vocabulary {
        model: metadata.str(&key("model"))?.to_owned(),
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
        pad: id("padding_token_id")?,
        cls: id("cls_token_id")?,
        mask: id("mask_token_id")?,
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
