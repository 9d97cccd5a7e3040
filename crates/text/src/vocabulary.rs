//! The vocabulary of a model as plain data, before anything is built from it.
//!
//! Whoever reads the model file fills a [`Vocabulary`]; [`Tokenizer::new`](crate::tokenizer::Tokenizer::new)
//! checks it. Nothing in it is trusted: texts may repeat, be empty or be no UTF-8, ids may point nowhere.

/// What a model file says about its tokens. The names are those of the `tokenizer.ggml.*` keys of GGUF.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vocabulary {
    /// The kind of tokenizer: `"gpt2"` (byte-level BPE), `"llama"` (SentencePiece scores), `"bert"` (WordPiece)
    /// or `"gemma4"` (BPE over plain text).
    pub model: String,
    /// The name of the rule by which BPE cuts text into words; absent means `"default"`.
    pub pre: Option<String>,
    /// The tokens' texts, by id. They are bytes, as some converters write texts that are no UTF-8.
    pub tokens: Vec<Vec<u8>>,
    /// One score a token, or none at all. The `"llama"` kind needs them.
    pub scores: Vec<f32>,
    /// One kind a token, or none at all, which means that every token is normal.
    pub kinds: Vec<TokenKind>,
    /// Merges of BPE, the first to be tried first: two texts with a space between them.
    pub merges: Vec<String>,
    /// Beginning of sequence.
    pub bos: Option<u32>,
    /// End of sequence.
    pub eos: Option<u32>,
    /// End of turn.
    pub eot: Option<u32>,
    /// End of message, after which the model waits for a tool.
    pub eom: Option<u32>,
    /// Stands for what the vocabulary has no token for.
    pub unk: Option<u32>,
    /// Separator of segments.
    pub sep: Option<u32>,
    /// Padding.
    pub pad: Option<u32>,
    /// Beginning of a classified text.
    pub cls: Option<u32>,
    /// A token to be guessed.
    pub mask: Option<u32>,
    /// What comes before the gap that a model is to fill in.
    pub fim_prefix: Option<u32>,
    /// What comes behind that gap.
    pub fim_suffix: Option<u32>,
    /// After this the model fills the gap in.
    pub fim_middle: Option<u32>,
    /// Whether a prompt begins with `bos`; absent leaves it to the kind of tokenizer.
    pub add_bos: Option<bool>,
    /// Whether a prompt ends with `eos`; absent leaves it to the kind of tokenizer.
    pub add_eos: Option<bool>,
    /// Whether a space is put before text that begins a prompt or follows a special token. Only the `"llama"`
    /// kind looks at it; there it is on unless this says otherwise.
    pub add_space_prefix: Option<bool>,
    /// Whether WordPiece works on lower-case text; absent means that it does.
    pub lowercase: Option<bool>,
    /// Whether WordPiece drops accents; absent means as `lowercase` says.
    pub strip_accents: Option<bool>,
    /// Special tokens that swallow the white space before them.
    pub strip_before: Vec<u32>,
    /// Special tokens that swallow the white space after them.
    pub strip_after: Vec<u32>,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenKind {
    /// A piece of text.
    #[default]
    Normal,
    /// Stands for what the vocabulary has no token for.
    Unknown,
    /// Structure, not text: ends, roles, padding.
    Control,
    /// Text that is found before everything else and never cut.
    UserDefined,
    /// A number without a meaning.
    Unused,
    /// One byte, written `<0x0A>`.
    Byte,
    /// A kind that the format leaves undefined.
    Undefined,
}

impl TokenKind {
    /// The kind behind a number of `tokenizer.ggml.token_type`. Numbers that the format does not define give
    /// [`TokenKind::Undefined`].
    pub fn from_ggml(number: i32) -> TokenKind {
        match number {
            1 => TokenKind::Normal,
            2 => TokenKind::Unknown,
            3 => TokenKind::Control,
            4 => TokenKind::UserDefined,
            5 => TokenKind::Unused,
            6 => TokenKind::Byte,
            _ => TokenKind::Undefined,
        }
    }
}

/// The most bytes that a token's text may have. Real ones have up to 1,024; without a limit, a made-up
/// vocabulary could make every position of a text cost as much as the text is long.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Why no tokenizer can be built from a vocabulary.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum VocabularyError {
    /// A kind of tokenizer that there is no code for.
    #[error("tokenizer.ggml.model: \"{}\" is not supported; this build knows {known}", model.escape_debug())]
    UnknownModel {
        /// The name in the file.
        model: String,
        /// The names that would work.
        known: &'static str,
    },
    /// A rule for cutting text into words that there is no code for. Any other rule would give wrong tokens.
    #[error("tokenizer.ggml.pre: \"{}\" is not supported; the nearest that this build knows: {nearest}", pre.escape_debug())]
    UnknownPre {
        /// The name in the file, cut.
        pre: String,
        /// Names that would work and begin alike, and how many there are.
        nearest: String,
    },
    /// There are no tokens.
    #[error("tokenizer.ggml.tokens: the vocabulary is empty; convert the model again with its tokenizer")]
    Empty,
    /// More tokens and merges than ids can count.
    #[error("tokenizer.ggml.tokens: {tokens} tokens and {merges} merges are more than 32-bit ids can number")]
    TooMany {
        /// How many tokens there are.
        tokens: usize,
        /// How many merges there are.
        merges: usize,
    },
    /// A list that goes with the tokens has another length than theirs.
    #[error("{key}: {found} entries for {tokens} tokens; there must be one for each, or none at all")]
    Length {
        /// The list.
        key: &'static str,
        /// Its length.
        found: usize,
        /// The number of tokens.
        tokens: usize,
    },
    /// A list is missing without which this kind of tokenizer cannot work.
    #[error("{key}: missing, and a \"{model}\" tokenizer needs it; convert the model again")]
    Missing {
        /// The list.
        key: &'static str,
        /// The kind of tokenizer.
        model: String,
    },
    /// An id outside the vocabulary.
    #[error("{key}: {id} is no token, the vocabulary has ids 0 to {last}")]
    IdOutOfRange {
        /// Where the id stands.
        key: &'static str,
        /// The id.
        id: u32,
        /// The greatest id that there is.
        last: usize,
    },
    /// A token is to be added to every prompt and no such token is named.
    #[error("{flag} is true, but there is no {key}; set the id, or the flag to false")]
    NothingToAdd {
        /// The flag.
        flag: &'static str,
        /// The id that is missing.
        key: &'static str,
    },
    /// A token of kind "byte" whose text is not of the form `<0x0A>`.
    #[error(
        "tokenizer.ggml.tokens: token {id} is a byte token, but its text is \"{text}\", not \"<0x00>\" to \"<0xFF>\""
    )]
    ByteToken {
        /// The token.
        id: usize,
        /// Its text, escaped and cut.
        text: String,
    },
    /// A token that is longer than any real one.
    #[error("tokenizer.ggml.tokens: token {id} has {bytes} bytes, the limit is {TOKEN_BYTES_MAX}")]
    TokenTooLong {
        /// The token.
        id: usize,
        /// Its length.
        bytes: usize,
    },
    /// A score that is not a number.
    #[error("tokenizer.ggml.scores: the score of token {id} is not a number")]
    Score {
        /// The token.
        id: usize,
    },
    /// The special tokens are too many for the automaton that finds them.
    #[error("tokenizer.ggml.tokens: the special tokens cannot be searched for: {reason}")]
    Specials {
        /// What the automaton says.
        reason: String,
    },
}
