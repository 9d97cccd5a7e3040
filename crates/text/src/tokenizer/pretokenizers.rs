//! The table of pre-tokenizers: which name in a model file means which way of cutting text into words.
//!
//! The names are those of the `tokenizer.ggml.pre` key, which the GGUF converter chooses by a fingerprint of the
//! original tokenizer; the rules are the regular expressions of the original `tokenizer.json`, quoted at each.

use super::characters::{CASELESS, LETTER, LOWER, MARK, NUMBER, PUNCTUATION, SPACE, SYMBOL, Set, UPPER};
use super::split::{Cased, Rule, Run, Stage};

/// A row of the table.
#[derive(Debug)]
pub(crate) struct PreTokenizer {
    /// The names that it goes by.
    pub(crate) names: &'static [&'static str],
    /// How text is cut into words.
    pub(crate) stages: &'static [Stage],
    /// Whether a word that is a token stays whole, whatever the merges say.
    pub(crate) whole_words: bool,
    /// Whether a prompt begins with BOS if the vocabulary does not say.
    pub(crate) adds_bos: bool,
    /// How the tokens spell the bytes of a text.
    pub(crate) spelling: Spelling,
}

/// How the tokens of a BPE vocabulary spell text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Each byte is a printable character of its own: GPT-2's alphabet.
    Bytes,
    /// As it is, with `▁` for a space; characters without a token are spelt `<0xE2>`. A word of newlines alone that
    /// is a token stays whole.
    Plain,
}

/// Finds the row for a name.
pub(crate) fn find(name: &str) -> Option<&'static PreTokenizer> {
    TABLE.iter().find(|row| row.names.contains(&name))
}

/// The names that begin most like `name`, the nearest first, for the message about an unknown one.
pub(crate) fn nearest(name: &str) -> String {
    const SHOWN: usize = 5;
    let common = |known: &str| known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    let mut names: Vec<&str> = TABLE.iter().flat_map(|row| row.names).copied().collect();
    names.sort_by_key(|known| std::cmp::Reverse(common(known)));
    format!("{} of {}", names[..SHOWN].join(", "), names.len())
}

const PLAIN: PreTokenizer =
    PreTokenizer { names: &[], stages: &[], whole_words: false, adds_bos: false, spelling: Spelling::Bytes };

static TABLE: &[PreTokenizer] = &[
    PreTokenizer { names: &["default"], stages: DEFAULT, ..PLAIN },
    PreTokenizer {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        stages: LLAMA3,
        whole_words: true,
        adds_bos: true,
        ..PLAIN
    },
    PreTokenizer { names: &["dbrx", "smaug-bpe", "chatglm-bpe"], stages: LLAMA3, ..PLAIN },
    PreTokenizer { names: &["glm4", "glm5"], stages: LLAMA3, whole_words: true, ..PLAIN },
    PreTokenizer {
        names: &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "megrez",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "grok-2",
            "bailingmoe",
            "bailingmoe2",
            "llada-moe",
        ],
        stages: QWEN2,
        ..PLAIN
    },
    PreTokenizer { names: &["qwen35"], stages: QWEN35, ..PLAIN },
    PreTokenizer { names: &["ufakzeka"], stages: UFAKZEKA, ..PLAIN },
    PreTokenizer { names: &["seed-coder"], stages: SEED_CODER, ..PLAIN },
    PreTokenizer { names: &["laguna"], stages: LAGUNA, ..PLAIN },
    PreTokenizer { names: &["minicpm5"], stages: MINICPM5, whole_words: true, ..PLAIN },
    PreTokenizer {
        names: &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "roberta-bpe",
            "jina-es",
            "jina-de",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
        ],
        stages: GPT2,
        ..PLAIN
    },
    PreTokenizer {
        names: &[
            "starcoder",
            "refact",
            "command-r",
            "smollm",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        stages: STARCODER,
        ..PLAIN
    },
    PreTokenizer { names: &["falcon"], stages: FALCON, ..PLAIN },
    PreTokenizer { names: &["deepseek-llm"], stages: DEEPSEEK_LLM, ..PLAIN },
    PreTokenizer { names: &["deepseek-coder"], stages: DEEPSEEK_CODER, ..PLAIN },
    PreTokenizer {
        names: &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        stages: DEEPSEEK_V3,
        ..PLAIN
    },
    PreTokenizer { names: &["poro-chat", "bloom", "gpt3-finnish"], stages: BLOOM, ..PLAIN },
    PreTokenizer { names: &["viking"], stages: VIKING, ..PLAIN },
    PreTokenizer { names: &["tekken"], stages: TEKKEN, whole_words: true, adds_bos: true, ..PLAIN },
    PreTokenizer { names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], stages: GPT4O, ..PLAIN },
    // The converter's flag for BOS is wrong in the first files of Gemma 4, so BOS is not only the default there.
    PreTokenizer { names: &["gemma4"], stages: LINES, adds_bos: true, spelling: Spelling::Plain, ..PLAIN },
    PreTokenizer { names: &["sarvam-moe"], stages: LINES, spelling: Spelling::Plain, ..PLAIN },
];

const LETTERS: Set = Set::of(LETTER);
const NUMBERS: Set = Set::of(NUMBER);
const DIGITS: Set = Set::ranges(&[('0', '9')]);
const SPACE_ONLY: Set = Set::ranges(&[(' ', ' ')]);
const ANY_SPACE: Set = Set::of(SPACE);
const LINE_ENDS: Set = Set::ranges(&[('\r', '\r'), ('\n', '\n')]);
const LINE_ENDS_SLASH: Set = Set::ranges(&[('\r', '\r'), ('\n', '\n'), ('/', '/')]);
/// `[^\s\p{L}\p{N}]`
const SIGNS: Set = Set::of(SPACE | LETTER | NUMBER).not();
/// `[^\r\n\p{L}\p{N}]`
const LEADS: Set = Set::of(LETTER | NUMBER).and(&[('\r', '\r'), ('\n', '\n')]).not();

const CONTRACTION: Rule = Rule::Contraction { any_case: false };
const CONTRACTION_ANY_CASE: Rule = Rule::Contraction { any_case: true };
/// ` ?\p{L}+`
const SPACED_LETTERS: Rule = Run::of(LETTERS).after(SPACE_ONLY).rule();
/// ` ?\p{N}+`
const SPACED_NUMBERS: Rule = Run::of(NUMBERS).after(SPACE_ONLY).rule();
/// ` ?[^\s\p{L}\p{N}]+`
const SPACED_SIGNS: Rule = Run::of(SIGNS).after(SPACE_ONLY).rule();
/// ` ?[^\s\p{L}\p{N}]+[\r\n]*`
const SPACED_SIGNS_LINES: Rule = Run::of(SIGNS).after(SPACE_ONLY).then(LINE_ENDS).rule();
/// `[^\r\n\p{L}\p{N}]?\p{L}+`
const LED_LETTERS: Rule = Run::of(LETTERS).after(LEADS).rule();
/// `\p{N}`
const NUMBER_EACH: Rule = Run::of(NUMBERS).times(1, 1).rule();
/// `\p{N}{1,3}`
const NUMBERS_BY_THREE: Rule = Run::of(NUMBERS).times(1, 3).rule();
/// `[0-9][0-9][0-9]`
const THREE_DIGITS: Rule = Run::of(DIGITS).times(3, 3).rule();

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
const GPT2_WORDS: Stage = Stage::Rules(&[
    CONTRACTION,
    SPACED_LETTERS,
    SPACED_NUMBERS,
    SPACED_SIGNS,
    Rule::SpacesBeforeWord,
    Rule::Spaces,
]);
const GPT2: &[Stage] = &[GPT2_WORDS];

/// `\p{N}`, then as GPT-2
const STARCODER: &[Stage] = &[Stage::Rules(&[NUMBER_EACH]), GPT2_WORDS];

/// `[\p{P}$+<=>^~|]+`, then as GPT-2, then `\p{N}+`, then `[0-9][0-9][0-9]`
const DEFAULT: &[Stage] = &[
    Stage::Rules(&[Run::of(Set::of(PUNCTUATION).and(&[
        ('$', '$'),
        ('+', '+'),
        ('<', '>'),
        ('^', '^'),
        ('~', '~'),
        ('|', '|'),
    ]))
    .rule()]),
    GPT2_WORDS,
    Stage::Rules(&[Run::of(NUMBERS).rule()]),
    Stage::Rules(&[THREE_DIGITS]),
];

/// ``[\p{P}$+<=>^~|`]+``, then as GPT-2, then `[0-9][0-9][0-9]`
const FALCON: &[Stage] = &[
    Stage::Rules(&[Run::of(Set::of(PUNCTUATION).and(&[
        ('$', '$'),
        ('+', '+'),
        ('<', '>'),
        ('^', '^'),
        ('`', '`'),
        ('~', '~'),
        ('|', '|'),
    ]))
    .rule()]),
    GPT2_WORDS,
    Stage::Rules(&[THREE_DIGITS]),
];

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
const LLAMA3: &[Stage] = &[Stage::Rules(&[
    CONTRACTION_ANY_CASE,
    LED_LETTERS,
    NUMBERS_BY_THREE,
    SPACED_SIGNS_LINES,
    Rule::Newlines,
    Rule::SpacesBeforeWord,
    Rule::Spaces,
])];

/// As Llama 3, but `\p{N}`
const QWEN2_WORDS: Stage = Stage::Rules(&[
    CONTRACTION_ANY_CASE,
    LED_LETTERS,
    NUMBER_EACH,
    SPACED_SIGNS_LINES,
    Rule::Newlines,
    Rule::SpacesBeforeWord,
    Rule::Spaces,
]);
const QWEN2: &[Stage] = &[QWEN2_WORDS];

/// As Qwen 2, but `[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+` and ` ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*`
const QWEN35: &[Stage] = &[Stage::Rules(&[
    CONTRACTION_ANY_CASE,
    Run::of(Set::of(LETTER | MARK)).after(LEADS).rule(),
    NUMBER_EACH,
    Run::of(Set::of(SPACE | LETTER | MARK | NUMBER).not()).after(SPACE_ONLY).then(LINE_ENDS).rule(),
    Rule::Newlines,
    Rule::SpacesBeforeWord,
    Rule::Spaces,
])];

/// As Qwen 2, without contractions: in Turkish a suffix follows the apostrophe
const UFAKZEKA: &[Stage] = &[Stage::Rules(&[
    LED_LETTERS,
    NUMBER_EACH,
    SPACED_SIGNS_LINES,
    Rule::Newlines,
    Rule::SpacesBeforeWord,
    Rule::Spaces,
])];

/// As Qwen 2, but ` ?[^\s\p{L}\p{N}]+`
const SEED_CODER: &[Stage] = &[Stage::Rules(&[
    CONTRACTION_ANY_CASE,
    LED_LETTERS,
    NUMBER_EACH,
    SPACED_SIGNS,
    Rule::Newlines,
    Rule::SpacesBeforeWord,
    Rule::Spaces,
])];

/// `[^\n]+|[\n]+`
const LINES_ONLY: Stage = Stage::Rules(&[
    Run::of(Set::ranges(&[('\n', '\n')]).not()).rule(),
    Run::of(Set::ranges(&[('\n', '\n')])).rule(),
]);
const LINES: &[Stage] = &[LINES_ONLY];

/// Lines, then as Qwen 2
const LAGUNA: &[Stage] = &[LINES_ONLY, QWEN2_WORDS];

/// `\p{N}{1,3}`, then as Llama 3, but `\p{N}+`
const MINICPM5: &[Stage] = &[
    Stage::Rules(&[NUMBERS_BY_THREE]),
    Stage::Rules(&[
        CONTRACTION_ANY_CASE,
        LED_LETTERS,
        Run::of(NUMBERS).rule(),
        SPACED_SIGNS_LINES,
        Rule::Newlines,
        Rule::SpacesBeforeWord,
        Rule::Spaces,
    ]),
];

/// `[一-龥ࠀ-一가-퟿]+`: the original's ranges, which overlap
const CJK: Rule = Run::of(Set::ranges(&[('一', '龥'), ('ࠀ', '一'), ('가', '\u{d7ff}')])).rule();

/// `[\r\n]`, `\s?\p{L}+`, `\s?\p{P}+`, CJK, `\p{N}`
const DEEPSEEK_CODER: &[Stage] = &[
    Stage::Rules(&[Run::of(LINE_ENDS).times(1, 1).rule()]),
    Stage::Rules(&[Run::of(LETTERS).after(ANY_SPACE).rule()]),
    Stage::Rules(&[Run::of(Set::of(PUNCTUATION)).after(ANY_SPACE).rule()]),
    Stage::Rules(&[CJK]),
    Stage::Rules(&[NUMBER_EACH]),
];

/// `[\r\n]`, `\s?` and letters with case, `\s?[!-/:-~！-／：-～‘-‟　-。]+`, `\s+$`, CJK, `\p{N}+`
const DEEPSEEK_LLM: &[Stage] = &[
    Stage::Rules(&[Run::of(LINE_ENDS).times(1, 1).rule()]),
    Stage::Rules(&[Run::of(Set::ranges(CASED_LETTERS)).after(ANY_SPACE).rule()]),
    Stage::Rules(&[Run::of(Set::ranges(&[
        ('!', '/'),
        (':', '~'),
        ('！', '／'),
        ('：', '～'),
        ('‘', '‟'),
        ('\u{3000}', '。'),
    ]))
    .after(ANY_SPACE)
    .rule()]),
    Stage::TrailingSpaces,
    Stage::Rules(&[CJK]),
    Stage::Rules(&[Run::of(NUMBERS).rule()]),
];

/// `\p{N}{1,3}`, `[一-龥぀-ゟ゠-ヿ]+`, then ASCII signs with the letters behind them, words, signs, space
const DEEPSEEK_V3: &[Stage] = &[
    Stage::Rules(&[NUMBERS_BY_THREE]),
    Stage::Rules(&[Run::of(Set::ranges(&[('一', '龥'), ('\u{3040}', 'ヿ')])).rule()]),
    Stage::Rules(&[
        Run::of(Set::ranges(&[('A', 'Z'), ('a', 'z')]))
            .only_after(Set::ranges(&[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]))
            .rule(),
        Run::of(Set::of(LETTER | MARK))
            .after(Set::of(LETTER | PUNCTUATION | SYMBOL).and(&[('\r', '\r'), ('\n', '\n')]).not())
            .rule(),
        Run::of(Set::of(PUNCTUATION | SYMBOL)).after(SPACE_ONLY).then(LINE_ENDS).rule(),
        Rule::Newlines,
        Rule::SpacesBeforeWord,
        Rule::Spaces,
    ]),
];

/// ` ?[^(\s|.,!?…。，、।۔،)]+`
const BLOOM_WORDS: Stage = Stage::Rules(&[Run::of(
    Set::of(SPACE)
        .and(&[
            ('(', ')'),
            ('|', '|'),
            ('.', '.'),
            (',', ','),
            ('!', '!'),
            ('?', '?'),
            ('…', '…'),
            ('、', '。'),
            ('，', '，'),
            ('।', '।'),
            ('۔', '۔'),
            ('،', '،'),
        ])
        .not(),
)
.after(SPACE_ONLY)
.rule()]);
const BLOOM: &[Stage] = &[BLOOM_WORDS];
const VIKING: &[Stage] = &[BLOOM_WORDS, Stage::Rules(&[NUMBER_EACH])];

/// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
const CAMEL: Cased = Cased {
    lead: LEADS,
    first: Set::of(UPPER | CASELESS | MARK),
    last: Set::of(LOWER | CASELESS | MARK),
    needs_first: false,
    contraction: false,
};

/// `CAMEL|…|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
const TEKKEN: &[Stage] = &[Stage::Rules(&[
    Rule::Cased(CAMEL),
    Rule::Cased(Cased { needs_first: true, ..CAMEL }),
    NUMBER_EACH,
    Run::of(SIGNS).after(SPACE_ONLY).then(LINE_ENDS_SLASH).rule(),
    Rule::Newlines,
    Rule::SpacesBeforeWord,
    Rule::Spaces,
])];

/// As Tekken, but words with `(?i:'s|'t|'re|'ve|'m|'ll|'d)?` and `\p{N}{1,3}`
const GPT4O: &[Stage] = &[Stage::Rules(&[
    Rule::Cased(Cased { contraction: true, ..CAMEL }),
    Rule::Cased(Cased { contraction: true, needs_first: true, ..CAMEL }),
    NUMBERS_BY_THREE,
    Run::of(SIGNS).after(SPACE_ONLY).then(LINE_ENDS_SLASH).rule(),
    Rule::Newlines,
    Rule::SpacesBeforeWord,
    Rule::Spaces,
])];

/// Letters with case, as DeepSeek LLM's `tokenizer.json` lists them: an older Unicode than today's `[\p{Lu}\p{Ll}\p{Lt}]`.
#[rustfmt::skip]
const CASED_LETTERS: &[(char, char)] = &[
    ('A', 'Z'), ('a', 'z'), ('\u{b5}', '\u{b5}'), ('\u{c0}', '\u{d6}'), ('\u{d8}', '\u{f6}'), ('\u{f8}', '\u{1ba}'),
    ('\u{1bc}', '\u{1bf}'), ('\u{1c4}', '\u{293}'), ('\u{295}', '\u{2af}'), ('\u{370}', '\u{373}'),
    ('\u{376}', '\u{376}'), ('\u{377}', '\u{377}'), ('\u{37b}', '\u{37d}'), ('\u{37f}', '\u{37f}'),
    ('\u{386}', '\u{386}'), ('\u{388}', '\u{38a}'), ('\u{38c}', '\u{38c}'), ('\u{38e}', '\u{3a1}'),
    ('\u{3a3}', '\u{3f5}'), ('\u{3f7}', '\u{481}'), ('\u{48a}', '\u{52f}'), ('\u{531}', '\u{556}'),
    ('\u{10a0}', '\u{10c5}'), ('\u{13a0}', '\u{13f5}'), ('\u{13f8}', '\u{13fd}'), ('\u{1c90}', '\u{1cba}'),
    ('\u{1cbd}', '\u{1cbf}'), ('\u{1d00}', '\u{1d2b}'), ('\u{1d6b}', '\u{1d77}'), ('\u{1d79}', '\u{1d9a}'),
    ('\u{1e00}', '\u{1f15}'), ('\u{1f18}', '\u{1f1d}'), ('\u{1f20}', '\u{1f45}'), ('\u{1f48}', '\u{1f4d}'),
    ('\u{1f50}', '\u{1f57}'), ('\u{1f59}', '\u{1f59}'), ('\u{1f5b}', '\u{1f5b}'), ('\u{1f5d}', '\u{1f5d}'),
    ('\u{1f5f}', '\u{1f7d}'), ('\u{1f80}', '\u{1fb4}'), ('\u{1fb6}', '\u{1fbc}'), ('\u{1fbe}', '\u{1fbe}'),
    ('\u{1fc2}', '\u{1fc4}'), ('\u{1fc6}', '\u{1fcc}'), ('\u{1fd0}', '\u{1fd3}'), ('\u{1fd6}', '\u{1fdb}'),
    ('\u{1fe0}', '\u{1fec}'), ('\u{1ff2}', '\u{1ff4}'), ('\u{1ff6}', '\u{1ffc}'), ('\u{2102}', '\u{2102}'),
    ('\u{2107}', '\u{2107}'), ('\u{210a}', '\u{2113}'), ('\u{2115}', '\u{2115}'), ('\u{2119}', '\u{211d}'),
    ('\u{2124}', '\u{2124}'), ('\u{2126}', '\u{2126}'), ('\u{2128}', '\u{2128}'), ('\u{212a}', '\u{212d}'),
    ('\u{212f}', '\u{2134}'), ('\u{2139}', '\u{2139}'), ('\u{213c}', '\u{213f}'), ('\u{2145}', '\u{2149}'),
    ('\u{214e}', '\u{214e}'), ('\u{2183}', '\u{2183}'), ('\u{2184}', '\u{2184}'), ('\u{2c00}', '\u{2c7b}'),
    ('\u{2c7e}', '\u{2ce4}'), ('\u{2ceb}', '\u{2cee}'), ('\u{2cf2}', '\u{2cf2}'), ('\u{2cf3}', '\u{2cf3}'),
    ('\u{a640}', '\u{a66d}'), ('\u{a680}', '\u{a69b}'), ('\u{a722}', '\u{a76f}'), ('\u{a771}', '\u{a787}'),
    ('\u{a78b}', '\u{a78e}'), ('\u{ab70}', '\u{abbf}'), ('\u{fb00}', '\u{fb06}'), ('\u{fb13}', '\u{fb17}'),
    ('\u{ff21}', '\u{ff3a}'), ('\u{ff41}', '\u{ff5a}'), ('\u{10400}', '\u{1044f}'), ('\u{104b0}', '\u{104d3}'),
    ('\u{104d8}', '\u{104fb}'), ('\u{10c80}', '\u{10cb2}'), ('\u{10cc0}', '\u{10cf2}'), ('\u{118a0}', '\u{118df}'),
    ('\u{1e900}', '\u{1e943}'),
];

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_names_are_those_that_begin_alike() {
        assert!(nearest("qwen2.5").starts_with("qwen2, "), "{}", nearest("qwen2.5"));
        assert!(nearest("llama-bpe-2").starts_with("llama-bpe, "), "{}", nearest("llama-bpe-2"));
        assert!(nearest("").len() < 120, "{}", nearest(""));
    }
}
