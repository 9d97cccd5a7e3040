//! Text to tokens and back, for the kinds of vocabularies that GGUF files have: byte-level BPE, SentencePiece's
//! scores and WordPiece.
//!
//! A [`Tokenizer`] never fails and never panics once it is built: any text has tokens, any ids have bytes. Its
//! work grows with the length of the text and no faster than n log n, on any vocabulary.

mod bpe;
mod characters;
mod ends;
mod fim;
mod json;
mod merge;
mod pieces;
mod pretokenizers;
mod regex;
mod specials;
mod split;
mod spm;
mod wordpiece;

use std::borrow::Cow;

use crate::vocabulary::{TOKEN_BYTES_MAX, TokenKind, Vocabulary, VocabularyError};

use bpe::Bpe;
use merge::Merger;
use pieces::ByteStrings;
use pretokenizers::Spelling;
use specials::{Finder, Part};
use spm::Spm;
use wordpiece::WordPiece;

pub use fim::Fim;
pub use json::{ExportError, document};
pub use specials::Specials;

/// Encodes text with the vocabulary of one model, and decodes its tokens.
#[derive(Debug)]
pub struct Tokenizer {
    encoder: Encoder,
    specials: Finder,
    texts: ByteStrings,
    pieces: ByteStrings,
    kinds: Vec<TokenKind>,
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
    first: Option<u32>, // what a prompt begins with
    last: Option<u32>,  // what a prompt ends with
    ends: Vec<u32>,
    fim: Option<Fim>,
    drops_first_space: bool,
    longest: usize,
}

/// The three kinds of vocabularies.
#[derive(Debug)]
enum Encoder {
    Bpe(Bpe),
    Spm(Spm),
    WordPiece(WordPiece),
}

/// The names of the kinds, for the message about another one.
const MODELS: &str = "gpt2, gemma4 (BPE), llama (SentencePiece scores), bert (WordPiece)";

impl Tokenizer {
    /// Checks a vocabulary and builds what encoding needs.
    pub fn new(mut vocabulary: Vocabulary) -> Result<Tokenizer, VocabularyError> {
        check(&vocabulary)?;
        fill_in(&mut vocabulary);
        let ends = ends::mark(&mut vocabulary);
        let encoder = Encoder::new(&vocabulary)?;
        let spelling = encoder.spelling();
        let (add_bos, add_eos) = encoder.habits();
        let Vocabulary { tokens, kinds, bos, eos, .. } = &vocabulary;
        let pieces = tokens.iter().zip(kinds).map(|(text, &kind)| pieces::piece(text, kind, spelling));
        let pieces: ByteStrings = pieces.collect();
        let longest_text = tokens.iter().map(Vec::len).max().unwrap_or(0);
        let longest_piece =
            (0..pieces.len()).filter_map(|id| pieces.get(id)).map(<[u8]>::len).max().unwrap_or(0);
        Ok(Tokenizer {
            first: added(&BOS_KEYS, vocabulary.add_bos, add_bos, *bos)?,
            last: added(&EOS_KEYS, vocabulary.add_eos, add_eos, *eos)?,
            specials: Finder::new(&vocabulary)?,
            texts: tokens.iter().collect(),
            pieces,
            longest: longest_text.max(longest_piece).max(1),
            drops_first_space: encoder.adds_space(),
            encoder,
            ends,
            fim: fim::find(&vocabulary),
            bos: *bos,
            eos: *eos,
            pad: vocabulary.pad,
            kinds: vocabulary.kinds,
        })
    }

    /// The tokens of a text, without BOS and EOS.
    pub fn encode(&self, text: &str, specials: Specials) -> Vec<u32> {
        self.encode_part(text, specials, true)
    }

    /// The tokens of a text that stands behind other text: without the space that some vocabularies begin with.
    pub fn encode_inside(&self, text: &str, specials: Specials) -> Vec<u32> {
        self.encode_part(text, specials, false)
    }

    fn encode_part(&self, text: &str, specials: Specials, mut begins: bool) -> Vec<u32> {
        let mut ids = Vec::new();
        let (mut by_rank, mut by_score) = (Merger::new(), Merger::new());
        for part in self.specials.parts(text, specials) {
            match (part, &self.encoder) {
                (Part::Token(id), _) => ids.push(id),
                (Part::Text(text), Encoder::Bpe(bpe)) => bpe.encode(text, &mut by_rank, &mut ids),
                (Part::Text(text), Encoder::Spm(spm)) => spm.encode(text, begins, &mut by_score, &mut ids),
                (Part::Text(text), Encoder::WordPiece(wordpiece)) => wordpiece.encode(text, &mut ids),
            }
            begins = matches!(part, Part::Token(_));
        }
        ids
    }

    /// The tokens of a prompt: with BOS and EOS where the vocabulary wants them, unless the text has them already.
    pub fn encode_prompt(&self, text: &str, specials: Specials) -> Vec<u32> {
        let mut ids = self.encode(text, specials);
        if let Some(bos) = self.first
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        if let Some(eos) = self.last
            && ids.last() != Some(&eos)
        {
            ids.push(eos);
        }
        ids
    }

    /// The bytes that a token stands for, not necessarily whole characters. None for an id outside the vocabulary,
    /// no bytes for a control token.
    pub fn piece(&self, id: u32) -> Option<&[u8]> {
        self.pieces.get(id as usize)
    }

    /// The token's text as the vocabulary has it: `Ġthe`, `▁the`, `<|im_end|>`. Bytes that are no UTF-8 are
    /// replaced. None for an id outside the vocabulary.
    pub fn token_text(&self, id: u32) -> Option<Cow<'_, str>> {
        self.texts.get(id as usize).map(String::from_utf8_lossy)
    }

    /// The bytes that the tokens of a whole text stand for, with the texts of special tokens or without them.
    /// Ids outside the vocabulary stand for nothing. The space that encoding puts before a text is taken away.
    pub fn decode(&self, ids: &[u32], show_specials: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut drop_space = self.drops_first_space;
        for &id in ids {
            let piece = if show_specials && self.is_special(id) {
                self.texts.get(id as usize)
            } else {
                self.piece(id)
            };
            let piece = piece.unwrap_or_default();
            let piece = if drop_space { piece.strip_prefix(b" ").unwrap_or(piece) } else { piece };
            drop_space &= self.is_special(id);
            bytes.extend_from_slice(piece);
        }
        bytes
    }

    /// The most bytes of a text that one token can stand for, unless the vocabulary lacks tokens for some.
    pub fn longest_token_bytes(&self) -> usize {
        self.longest
    }

    /// How many tokens there are; ids are below it.
    #[expect(clippy::len_without_is_empty, reason = "no vocabulary is empty")]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// The token that a sequence begins with.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that a sequence ends with.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The token that fills short sequences up in training.
    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// The token that [`Tokenizer::encode_prompt`] puts first.
    pub fn bos_to_add(&self) -> Option<u32> {
        self.first
    }

    /// The tokens that end an answer: end of sequence, of turn, of message. No token occurs twice.
    pub fn end_of_generation(&self) -> &[u32] {
        &self.ends
    }

    /// The tokens around a gap that the model can fill in, if it was trained to.
    pub fn fim(&self) -> Option<Fim> {
        self.fim
    }

    /// The token whose text in the vocabulary is this, as [`Tokenizer::token_text`] gives it: `Ġthe`, `<|im_end|>`.
    /// Of several the first counts. It looks through all of them: about a millisecond in a large vocabulary.
    pub fn id_of(&self, text: &[u8]) -> Option<u32> {
        (0..self.texts.len()).find(|&id| self.texts.get(id) == Some(text)).map(|id| id as u32)
    }

    /// Whether a token is structure and not text: control tokens and the unknown token.
    pub fn is_special(&self, id: u32) -> bool {
        matches!(self.kinds.get(id as usize), Some(TokenKind::Control | TokenKind::Unknown))
    }
}

impl Encoder {
    fn new(vocabulary: &Vocabulary) -> Result<Encoder, VocabularyError> {
        match vocabulary.model.as_str() {
            "gpt2" => Bpe::new(
                vocabulary,
                vocabulary.pre.as_deref().filter(|pre| !pre.is_empty()).unwrap_or("default"),
            )
            .map(Encoder::Bpe),
            "gemma4" => Bpe::new(vocabulary, "gemma4").map(Encoder::Bpe),
            "llama" => Spm::new(vocabulary).map(Encoder::Spm),
            "bert" => Ok(Encoder::WordPiece(WordPiece::new(vocabulary))),
            model => {
                Err(VocabularyError::UnknownModel { model: model.chars().take(64).collect(), known: MODELS })
            }
        }
    }

    fn spelling(&self) -> Spelling {
        match self {
            Encoder::Bpe(bpe) => bpe.pre().spelling,
            Encoder::Spm(_) | Encoder::WordPiece(_) => Spelling::Plain,
        }
    }

    /// Whether BOS and EOS are added to a prompt if the vocabulary does not say.
    fn habits(&self) -> (bool, bool) {
        match self {
            Encoder::Bpe(bpe) => (bpe.pre().adds_bos, false),
            Encoder::Spm(_) => (true, false),
            Encoder::WordPiece(_) => (true, true),
        }
    }

    /// Whether encoded text begins with a space that the text itself does not have.
    fn adds_space(&self) -> bool {
        match self {
            Encoder::Bpe(_) => false,
            Encoder::Spm(spm) => spm.space_prefix(),
            Encoder::WordPiece(_) => true,
        }
    }
}

/// The metadata keys of a token that may be added to prompts: of the flag and of the id.
struct AddedKeys {
    flag: &'static str,
    id: &'static str,
}

const BOS_KEYS: AddedKeys =
    AddedKeys { flag: "tokenizer.ggml.add_bos_token", id: "tokenizer.ggml.bos_token_id" };
const EOS_KEYS: AddedKeys =
    AddedKeys { flag: "tokenizer.ggml.add_eos_token", id: "tokenizer.ggml.eos_token_id" };

/// The token that is added to a prompt, by the vocabulary's flag or else by the habit of its kind.
fn added(
    keys: &AddedKeys,
    wanted: Option<bool>,
    habit: bool,
    id: Option<u32>,
) -> Result<Option<u32>, VocabularyError> {
    match (wanted, id) {
        (Some(true), None) => Err(VocabularyError::NothingToAdd { flag: keys.flag, key: keys.id }),
        (wanted, id) => Ok(id.filter(|_| wanted.unwrap_or(habit))),
    }
}

/// Fills in what a file may leave out because its kind of vocabulary has it by convention.
fn fill_in(vocabulary: &mut Vocabulary) {
    let find =
        |text: &str| vocabulary.tokens.iter().position(|token| token == text.as_bytes()).map(|id| id as u32);
    match vocabulary.model.as_str() {
        "llama" => {
            vocabulary.bos = vocabulary.bos.or_else(|| find("<s>"));
            vocabulary.eos = vocabulary.eos.or_else(|| find("</s>"));
            vocabulary.unk = vocabulary.unk.or_else(|| find("<unk>"));
        }
        // What begins and ends a text goes by other names here.
        "bert" => {
            vocabulary.bos = vocabulary.cls.or(vocabulary.bos).or_else(|| find("[CLS]"));
            vocabulary.eos = vocabulary.sep.or(vocabulary.eos).or_else(|| find("[SEP]"));
            vocabulary.unk = vocabulary.unk.or_else(|| find("[UNK]"));
        }
        // The first files of Gemma 4 say that there is no BOS, and the model is lost without it.
        "gemma4" => vocabulary.add_bos = None,
        _ => {}
    }
    if vocabulary.kinds.is_empty() {
        let has_bytes = vocabulary.model != "gpt2";
        let kind = |text: &Vec<u8>| match pieces::byte_token(text) {
            Some(_) if has_bytes => TokenKind::Byte,
            _ => TokenKind::Normal,
        };
        vocabulary.kinds = vocabulary.tokens.iter().map(kind).collect();
        for id in [vocabulary.bos, vocabulary.eos, vocabulary.eot, vocabulary.eom].into_iter().flatten() {
            vocabulary.kinds[id as usize] = TokenKind::Control;
        }
    }
}

/// Checks what all kinds of vocabularies have in common.
fn check(vocabulary: &Vocabulary) -> Result<(), VocabularyError> {
    let tokens = vocabulary.tokens.len();
    if tokens == 0 {
        return Err(VocabularyError::Empty);
    }
    // A merge may bring three texts that are no tokens, and the two greatest numbers mark unknown symbols.
    let numbers = vocabulary.merges.len().checked_mul(3).and_then(|texts| texts.checked_add(tokens));
    if numbers.is_none_or(|numbers| numbers >= u32::MAX as usize - 1) {
        return Err(VocabularyError::TooMany { tokens, merges: vocabulary.merges.len() });
    }
    if let Some((id, token)) = vocabulary.tokens.iter().enumerate().find(|(_, t)| t.len() > TOKEN_BYTES_MAX) {
        return Err(VocabularyError::TokenTooLong { id, bytes: token.len() });
    }
    let lengths = [
        ("tokenizer.ggml.scores", vocabulary.scores.len()),
        ("tokenizer.ggml.token_type", vocabulary.kinds.len()),
    ];
    for (key, found) in lengths {
        if found != 0 && found != tokens {
            return Err(VocabularyError::Length { key, found, tokens });
        }
    }
    let ids = [
        ("tokenizer.ggml.bos_token_id", vocabulary.bos),
        ("tokenizer.ggml.eos_token_id", vocabulary.eos),
        ("tokenizer.ggml.eot_token_id", vocabulary.eot),
        ("tokenizer.ggml.eom_token_id", vocabulary.eom),
        ("tokenizer.ggml.unknown_token_id", vocabulary.unk),
        ("tokenizer.ggml.seperator_token_id", vocabulary.sep), // so spelt in the format
        ("tokenizer.ggml.padding_token_id", vocabulary.pad),
        ("tokenizer.ggml.cls_token_id", vocabulary.cls),
        ("tokenizer.ggml.mask_token_id", vocabulary.mask),
        ("tokenizer.ggml.fim_pre_token_id", vocabulary.fim_prefix),
        ("tokenizer.ggml.fim_suf_token_id", vocabulary.fim_suffix),
        ("tokenizer.ggml.fim_mid_token_id", vocabulary.fim_middle),
    ];
    let strips = vocabulary.strip_before.iter().chain(&vocabulary.strip_after);
    let ids = ids.into_iter().chain(strips.map(|&id| ("tokens that strip white space", Some(id))));
    for (key, id) in ids {
        if let Some(id) = id.filter(|&id| id as usize >= tokens) {
            return Err(VocabularyError::IdOutOfRange { key, id, last: tokens - 1 });
        }
    }
    Ok(())
}
