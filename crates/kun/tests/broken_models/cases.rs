//! The table of ways to be broken. Each row takes the whole model and spoils one thing; the file is long because
//! the table is.

use weights::gguf::{Array, GgufWriter, Strings, Value};

use crate::model::{self, EMBEDDING, Shape, TENSORS};
use crate::vocabulary::{self, text};

/// A broken file.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// What the message must hold: the place and the trouble.
    pub(crate) expect: String,
}

/// Every broken file.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = truncations();
    for (name, spoil, expect) in BYTES {
        let mut bytes = whole();
        spoil(&mut bytes);
        cases.push(case(name, bytes, expect));
    }
    for (key, value, expect) in keys() {
        let name = format!("{key} = {value:?}");
        let mut writer = model::header();
        writer.set(&key, value);
        cases.push(case(&name[..name.len().min(80)], bytes_of(writer), &expect));
    }
    for key in NEEDED_KEYS {
        cases.push(case(&format!("without {key}"), without(key), key));
    }
    for (name, spoil, expect) in TABLES {
        let mut tensors: Vec<Tensor> = TENSORS.iter().map(|shape| Tensor::new(*shape, "F32")).collect();
        spoil(&mut tensors);
        cases.push(case(name, with_tensors(model::header(), &tensors), expect));
    }
    for (name, _) in TENSORS {
        let tensors: Vec<Shape> = TENSORS.into_iter().filter(|tensor| tensor.0 != name).collect();
        let bytes = model::with_tensors(model::header(), &tensors).to_bytes().expect("a file");
        cases.push(case(&format!("without {name}"), bytes, &format!("tensor {name} is missing")));
    }
    cases
}

/// What is wrong with a model of two parts, its files, and what the message must hold; nothing for a whole one.
pub(crate) type SplitCase = (&'static str, Vec<(&'static str, Vec<u8>)>, &'static str);

/// Models of two parts.
pub(crate) fn splits() -> Vec<SplitCase> {
    let (first, second) = ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf");
    let part = |writer: GgufWriter, number: u16, count: u16, tensors: &[Shape]| {
        let mut writer = writer;
        writer
            .set("split.no", number)
            .set("split.count", count)
            .set("split.tensors.count", TENSORS.len() as i32);
        model::with_tensors(writer, tensors).to_bytes().expect("a file")
    };
    let one = || part(model::header(), 0, 2, &TENSORS[..5]);
    let two = || part(GgufWriter::new(), 1, 2, &TENSORS[5..]);
    let mut stranger = GgufWriter::new();
    stranger.set("general.architecture", text("llama")).set("general.name", text("another"));
    let stranger = part(stranger, 1, 2, &TENSORS[5..]);
    let mut cut = two();
    cut.truncate(cut.len() - 40);
    vec![
        ("whole", vec![(first, one()), (second, two())], ""),
        ("part 2 is missing", vec![(first, one())], "part 2 of 2 is missing"),
        ("part 2 of another model", vec![(first, one()), (second, stranger)], "part of another model"),
        (
            "part 2 says that it is 1",
            vec![(first, one()), (second, one())],
            "named part 2 of 2, but is part 1",
        ),
        ("part 2 of 3", vec![(first, one()), (second, part(GgufWriter::new(), 1, 3, &[]))], "is part 2 of 3"),
        ("no split keys", vec![(first, one()), (second, whole())], "its metadata has no split.count"),
        (
            "tensors of part 1 again in part 2",
            vec![(first, one()), (second, part(GgufWriter::new(), 1, 2, &TENSORS[..6]))],
            "occurs twice",
        ),
        (
            "a tensor less than announced",
            vec![(first, one()), (second, part(GgufWriter::new(), 1, 2, &TENSORS[6..]))],
            "split.tensors.count is 11, but the parts have 10 tensors",
        ),
        (
            "part 2 is cut",
            vec![(first, one()), (second, cut)],
            "m-00002-of-00002.gguf: the file ends at byte",
        ),
        ("part 2 is empty", vec![(first, one()), (second, Vec::new())], "not a GGUF file (0 bytes)"),
    ]
}

/// Vocabularies that are odd and can be lived with: what they lack is never produced.
pub(crate) fn odd_vocabularies() -> Vec<(&'static str, Vec<u8>)> {
    let strings = |texts: Vec<String>| Value::Array(Array::String(texts.into_iter().collect::<Strings>()));
    let size = vocabulary::SIZE;
    let with = |values: Vec<(&str, Value)>| {
        let mut writer = model::header();
        for (key, value) in values {
            writer.set(key, value);
        }
        bytes_of(writer)
    };
    let merges = |merges: &[&str]| strings(merges.iter().map(|text| (*text).to_owned()).collect());
    let many: Vec<String> = (0..size).map(|n| format!("token {n}")).collect();
    let no_byte = |start: &str| {
        let tokens: Vec<String> = (0..size).map(|n| format!("{start}{n}>")).collect();
        with(vec![
            ("tokenizer.ggml.model", text("llama")),
            ("tokenizer.ggml.tokens", strings(tokens)),
            ("tokenizer.ggml.scores", vec![-1f32; size].into()),
        ])
    };
    vec![
        (
            "tokens that are all the same",
            with(vec![("tokenizer.ggml.tokens", strings(vec!["a".into(); size]))]),
        ),
        ("empty tokens", with(vec![("tokenizer.ggml.tokens", strings(vec![String::new(); size]))])),
        ("no byte has a token", with(vec![("tokenizer.ggml.tokens", strings(many))])),
        (
            "merges of and to what is no token",
            with(vec![("tokenizer.ggml.merges", merges(&["zz yy", "a b", "h e"]))]),
        ),
        ("merges that are none", with(vec![("tokenizer.ggml.merges", merges(&["", "x", "a b c", "  "]))])),
        ("kinds that nobody knows", with(vec![("tokenizer.ggml.token_type", vec![-77i32; size].into())])),
        ("every token is unused", with(vec![("tokenizer.ggml.token_type", vec![5i32; size].into())])),
        ("scores without bytes", no_byte("<0x-")),
    ]
}

fn case(name: &str, bytes: Vec<u8>, expect: &str) -> Case {
    Case { name: name.to_owned(), bytes, expect: expect.to_owned() }
}

fn whole() -> Vec<u8> {
    bytes_of(model::header())
}

fn bytes_of(writer: GgufWriter) -> Vec<u8> {
    model::with_tensors(writer, &TENSORS).to_bytes().expect("a file")
}

/// The file cut at each kind of place.
fn truncations() -> Vec<Case> {
    let ends = |bytes: &[u8]| format!("the file ends at byte {}, ", bytes.len());
    let kinds: [(&str, Value); 13] = [
        ("u8", 1u8.into()),
        ("i8", 1i8.into()),
        ("u16", 1u16.into()),
        ("i16", 1i16.into()),
        ("u32", 1u32.into()),
        ("i32", 1i32.into()),
        ("f32", 1f32.into()),
        ("u64", 1u64.into()),
        ("i64", 1i64.into()),
        ("f64", 1f64.into()),
        ("bool", true.into()),
        ("string", text("some text")),
        ("array", vec![1u32, 2].into()),
    ];
    let mut cases = Vec::new();
    for (kind, value) in kinds {
        let mut writer = model::header();
        writer.set("last.key", value);
        let bytes = bytes_of(writer);
        let value = after(&bytes, "last.key") + 4;
        let wide = !["u8", "i8", "bool"].contains(&kind);
        let cut = &bytes[..value + usize::from(wide)];
        cases.push(case(&format!("cut in a {kind}"), cut.to_vec(), &ends(cut)));
    }
    let bytes = whole();
    let key = after(&bytes, "llama.block_count");
    let merges = after(&bytes, "tokenizer.ggml.merges");
    let tensor = after(&bytes, "blk.0.attn_q.weight");
    let data = (tensors_end(&bytes)).next_multiple_of(32);
    for (place, at) in [
        ("the version", 6),
        ("the tensor count", 12),
        ("the key count", 20),
        ("the length of a key", key - 20),
        ("the name of a key", key - 3),
        ("the kind of a value", key + 2),
        ("the kind of an array's elements", merges + 6),
        ("the length of an array", merges + 10),
        ("a string of an array", merges + 4 + 4 + 8 + 10),
        ("the name of a tensor", tensor - 3),
        ("the number of dimensions", tensor + 2),
        ("a dimension", tensor + 7),
        ("the type of a tensor", tensor + 21),
        ("the offset of a tensor", tensor + 27),
        ("the padding before the data", data - 1),
        ("the start of the data", data),
        ("the middle of a tensor", data + 5000),
        ("the last tensor", bytes.len() - 1),
    ] {
        cases.push(case(&format!("cut in {place}"), bytes[..at].to_vec(), &ends(&bytes[..at])));
    }
    cases.push(case("empty", Vec::new(), "not a GGUF file (0 bytes)"));
    cases.push(case("three bytes", b"GGU".to_vec(), "not a GGUF file (3 bytes)"));
    cases
}

/// A name, what is done to the bytes of the whole file, and what the message must hold.
type Spoiled = (&'static str, fn(&mut Vec<u8>), &'static str);

const BYTES: &[Spoiled] = &[
    ("magic swapped", |b| b[..4].copy_from_slice(b"FUGG"), "a big-endian GGUF file"),
    ("magic zero", |b| b[..4].fill(0), "starts with bytes 00 00 00 00"),
    ("version 0", |b| b[4] = 0, "byte 4: GGUF version 0 is not supported"),
    ("version 1", |b| b[4] = 1, "byte 4: GGUF version 1 is not supported"),
    ("version 99", |b| b[4] = 99, "this build reads GGUF versions 2 and 3"),
    ("version 3 the other way round", |b| b[4..8].rotate_left(1), "big-endian"),
    ("2^64-1 tensors", |b| b[8..16].fill(255), "byte 8: the tensor count is 18446744073709551615"),
    ("2^64-1 keys", |b| b[16..24].fill(255), "byte 16: the metadata key count is 18446744073709551615"),
    ("a key fewer than there are", |b| b[16] -= 1, "tensor"),
    ("a key more than there are", |b| b[16] += 1, "the length of the name of tensor 0 of 11"),
    ("a tensor more than there are", |b| b[8] += 1, "tensor"),
    ("a key of length 2^63", |b| b[31] = 0x80, "byte 24: the length of the name of metadata key 0"),
    ("a key that is not UTF-8", |b| b[33] = 0xff, "metadata key 0 of"),
    (
        "a string of length 2^63",
        |b| put_key(b, "k", 8, &(1u64 << 63).to_le_bytes()),
        "key \"k\" is 9223372036854775808",
    ),
    ("a value of kind 13", |b| put_key(b, "k", 13, &[0; 8]), "metadata key \"k\" is of type 13"),
    ("a bool of 2", |b| put_key(b, "k", 7, &[2]), "metadata key \"k\" has a bool of value 2"),
    ("arrays 1,000 deep", |b| put_key(b, "k", 9, &array(9, 1).repeat(1000)), "nests more than 4 deep"),
    ("an array of 2^40 bools", |b| put_key(b, "k", 9, &array(7, 1 << 40)), "is 1099511627776, the limit"),
    (
        "an array of 2^61 f64",
        |b| put_key(b, "k", 9, &array(12, 1 << 61)),
        "is 2305843009213693952, the limit",
    ),
    (
        "a key twice",
        |b| put_key(b, "llama.block_count", 4, &[1, 0, 0, 0]),
        "\"llama.block_count\" occurs twice",
    ),
    ("a key that commands the terminal twice", twice, "\"\\u{1b}[2J\" occurs twice"),
    ("alignment 0", |b| put_key(b, "general.alignment", 4, &[0; 4]), "\"general.alignment\" is 0"),
    ("alignment 3", |b| put_key(b, "general.alignment", 4, &[3, 0, 0, 0]), "\"general.alignment\" is 3"),
    (
        "alignment 2^31",
        |b| put_key(b, "general.alignment", 4, &[0, 0, 0, 128]),
        "\"general.alignment\" is 2147483648",
    ),
    (
        "alignment as text",
        |b| put_key(b, "general.alignment", 8, &[0; 8]),
        "\"general.alignment\" is a string",
    ),
    ("0 dimensions", |b| put(b, QUERY, 0, &0u32.to_le_bytes()), "attn_q.weight\": has 0 dimensions"),
    ("5 dimensions", |b| put(b, QUERY, 0, &5u32.to_le_bytes()), "attn_q.weight\": has 5 dimensions"),
    ("a dimension of 0", |b| put(b, QUERY, 4, &0u64.to_le_bytes()), "attn_q.weight\": shape [0, 32]"),
    ("a dimension of 2^33", |b| put(b, QUERY, 4, &(1u64 << 33).to_le_bytes()), "a dimension of 8589934592"),
    (
        "dimensions that overflow",
        |b| put(b, QUERY, 4, &[&[0, 0, 0, 64, 0, 0, 0, 0u8][..]; 2].concat()),
        "attn_q.weight",
    ),
    (
        "type 250",
        |b| put(b, QUERY, 20, &250u32.to_le_bytes()),
        "attn_q.weight\": type 250 unknown; this build reads",
    ),
    (
        "a row that is no multiple of a block",
        |b| put(b, QUERY, 20, &12u32.to_le_bytes()),
        "Q4_K's block of 256",
    ),
    ("an offset past the end", |b| put(b, QUERY, 24, &(1u64 << 40).to_le_bytes()), "attn_q.weight\" needs"),
    ("an offset beyond 64 bits", |b| put(b, QUERY, 24, &(u64::MAX - 31).to_le_bytes()), "is beyond any file"),
    ("an offset that overlaps", |b| put(b, QUERY, 24, &32u64.to_le_bytes()), "overlaps tensor"),
    (
        "an offset that is not aligned",
        |b| put(b, QUERY, 24, &33u64.to_le_bytes()),
        "offset 33 is not a multiple",
    ),
    (
        "a name twice",
        |b| rename(b, "blk.0.attn_q.weight", "blk.0.attn_k.weight"),
        "\"blk.0.attn_k.weight\": occurs twice",
    ),
    (
        "a name that is not UTF-8",
        |b| {
            let at = after(b, QUERY);
            b[at - 1] = 0xff
        },
        "is not UTF-8",
    ),
    (
        "a name that nobody knows",
        |b| rename(b, QUERY, "blk.0.attn_z.weight"),
        "blk.0.attn_q.weight is missing",
    ),
];

const QUERY: &str = "blk.0.attn_q.weight";

/// Keys that nothing goes without.
const NEEDED_KEYS: [&str; 8] = [
    "general.architecture",
    "llama.block_count",
    "llama.context_length",
    "llama.embedding_length",
    "llama.feed_forward_length",
    "llama.attention.layer_norm_rms_epsilon",
    "tokenizer.ggml.model",
    "tokenizer.ggml.tokens",
];

/// A key, the value that it gets, and what the message must hold beside the key.
fn keys() -> Vec<(String, Value, String)> {
    let tokens = |count: usize| -> Value {
        Value::Array(Array::String((0..count).map(|n| format!("t{n}")).collect::<Strings>()))
    };
    let rows: Vec<(&str, Value, &str)> = vec![
        ("general.architecture", text("foo"), "\"foo\" is not supported\nthis build runs llama, qwen2"),
        ("general.architecture", text(""), "\"\" is not supported"),
        ("general.architecture", text("lama"), "the nearest is llama"),
        ("general.architecture", text("a\u{1b}[2J\n\n\n\n"), "is not supported"),
        ("general.architecture", 5u32.into(), "is the u32 5, expected a string"),
        ("llama.block_count", 0u32.into(), "0 is not between 1 and 1024"),
        ("llama.block_count", 2u32.into(), "tensor blk.1.attn_norm.weight is missing"),
        ("llama.block_count", 1_000_000_000u32.into(), "1000000000 is not between"),
        ("llama.block_count", u64::MAX.into(), "is not between"),
        ("llama.block_count", (-1i32).into(), "is the i32 -1"),
        ("llama.block_count", text("1"), "is a string, expected an integer"),
        ("llama.attention.head_count", 0u32.into(), "0 is not between 1 and 4096"),
        ("llama.attention.head_count", 3u32.into(), "between 16 and"),
        ("llama.attention.head_count", u32::MAX.into(), "4294967295 is not between"),
        ("llama.attention.head_count", vec![2u32].into(), "is an array of 1 u32"),
        ("llama.attention.head_count_kv", 0u32.into(), "0 is not between"),
        ("llama.attention.head_count_kv", 3u32.into(), "3 is not between 1 and 2"),
        (
            "llama.attention.head_count_kv",
            2u32.into(),
            "tensor blk.0.attn_k.weight is F32 32 x 16, expected 32 x 32",
        ),
        ("llama.attention.key_length", 7u32.into(), "7 is not between 16 and"),
        ("llama.attention.key_length", 24u32.into(), "multiples of 16"),
        ("llama.attention.key_length", 32u32.into(), "attn_q.weight is F32 32 x 32, expected 32 x 64"),
        ("llama.attention.value_length", 32u32.into(), "equal multiples of 16"),
        ("llama.embedding_length", 0u32.into(), "0 is not between"),
        ("llama.embedding_length", 64u32.into(), "token_embd.weight is F32 32 x 262, expected 64 x 262"),
        ("llama.embedding_length", u32::MAX.into(), "4294967295 is not between"),
        ("llama.feed_forward_length", 0u32.into(), "0 is not between"),
        ("llama.feed_forward_length", 33u32.into(), "33 is not a multiple of 32"),
        ("llama.feed_forward_length", 96u32.into(), "tensor blk.0.ffn_gate.weight is F32 32 x 64"),
        ("llama.context_length", 0u32.into(), "0 is not between"),
        ("llama.context_length", u64::MAX.into(), "is not between"),
        ("llama.rope.dimension_count", 7u32.into(), "7 is not even"),
        ("llama.rope.dimension_count", 0u32.into(), "0 is not between"),
        ("llama.rope.dimension_count", 18u32.into(), "18 is not between 2 and 16"),
        ("llama.rope.freq_base", f32::NAN.into(), "is the f32 NaN"),
        ("llama.rope.freq_base", 0f32.into(), "0 is not a positive number"),
        (
            "llama.rope.scaling.type",
            text("spiral"),
            "\"spiral\" is not implemented; none, linear and yarn are",
        ),
        ("llama.rope.scaling.type", 1u32.into(), "is the u32 1"),
        ("llama.attention.layer_norm_rms_epsilon", f32::NAN.into(), "is the f32 NaN"),
        ("llama.attention.layer_norm_rms_epsilon", (-1e-5f32).into(), "is not a positive number"),
        ("llama.attention.layer_norm_rms_epsilon", f32::INFINITY.into(), "is the f32 inf"),
        ("llama.expert_count", 8u32.into(), "8 is not implemented"),
        ("tokenizer.ggml.model", text("telepathy"), "\"telepathy\" is not supported"),
        ("tokenizer.ggml.pre", text("telepathy"), "\"telepathy\" is not supported"),
        ("tokenizer.ggml.tokens", tokens(0), "the vocabulary is empty"),
        ("tokenizer.ggml.tokens", tokens(vocabulary::SIZE - 1), "262 entries for 261 tokens"),
        ("tokenizer.ggml.tokens", vec![1u32].into(), "is an array of 1 u32, expected an array of strings"),
        ("tokenizer.ggml.token_type", vec![1i32; 3].into(), "3 entries for 262 tokens"),
        ("tokenizer.ggml.token_type", tokens(vocabulary::SIZE), "expected an array of integers"),
        ("tokenizer.ggml.token_type", vec![1f32; vocabulary::SIZE].into(), "element 0 is the f32 1.0"),
        ("tokenizer.ggml.scores", vec![1f32; 5].into(), "5 entries for 262 tokens"),
        ("tokenizer.ggml.merges", 5u32.into(), "is the u32 5, expected an array of strings"),
        ("tokenizer.ggml.bos_token_id", 262u32.into(), "262 is no token, the vocabulary has ids 0 to 261"),
        ("tokenizer.ggml.bos_token_id", u32::MAX.into(), "4294967295 is no token"),
        ("tokenizer.ggml.bos_token_id", (-1i32).into(), "is the i32 -1"),
        ("tokenizer.ggml.eos_token_id", 262u32.into(), "262 is no token"),
        ("tokenizer.ggml.eos_token_id", text("</s>"), "is a string"),
        ("tokenizer.ggml.add_eos_token", 1u32.into(), "is the u32 1, expected a bool"),
        ("tokenizer.ggml.model", text("llama"), "tokenizer.ggml.scores"),
    ];
    let mut rows: Vec<_> =
        rows.into_iter().map(|(key, value, expect)| (key.to_owned(), value, expect.to_owned())).collect();
    let template = text("fine\n{% if %}");
    rows.push(("tokenizer.chat_template".into(), template, "chat template, line 2".into()));
    rows
}

/// A tensor of the table, to be spoiled.
struct Tensor {
    name: String,
    shape: Vec<u64>,
    format: &'static str,
}

impl Tensor {
    fn new((name, shape): Shape, format: &'static str) -> Tensor {
        Tensor { name: name.to_owned(), shape: shape.to_vec(), format }
    }
}

type SpoiledTable = (&'static str, fn(&mut Vec<Tensor>), &'static str);

const TABLES: &[SpoiledTable] = &[
    (
        "a tensor too many",
        |t| t.push(Tensor::new(("blk.0.attn_sinks.weight", &[2]), "F32")),
        "tensor \"blk.0.attn_sinks.weight\" is not part of architecture llama",
    ),
    (
        "a tensor too many with a name that commands the terminal",
        |t| t.push(Tensor::new(("\u{1b}[2J\n\n\n", &[2]), "F32")),
        "tensor \"\\u{1b}[2J\\n\\n\\n\" is not part",
    ),
    (
        "a norm in blocks",
        |t| t[1].format = "Q4_0",
        "blk.0.attn_norm.weight is Q4_0 32, expected plain numbers",
    ),
    ("a norm of another length", |t| t[1].shape = vec![64], "blk.0.attn_norm.weight is F32 64, expected 32"),
    ("a norm of two dimensions", |t| t[1].shape = vec![32, 2], "blk.0.attn_norm.weight is F32 32 x 2"),
    (
        "a matrix of one dimension",
        |t| t[2].shape = vec![1024],
        "blk.0.attn_q.weight is F32 1024, expected 32 x 32",
    ),
    (
        "a matrix of three dimensions",
        |t| t[2].shape = vec![32, 32, 2],
        "blk.0.attn_q.weight is F32 32 x 32 x 2",
    ),
    ("a matrix the wrong way round", |t| t[7].shape.reverse(), "blk.0.ffn_gate.weight is F32 64 x 32"),
    (
        "an embedding of one row too few",
        |t| t[0].shape[1] -= 1,
        "262 tokens, but token_embd.weight has 261 rows",
    ),
    (
        "an embedding of one row too many",
        |t| t[0].shape[1] += 1,
        "262 tokens, but token_embd.weight has 263 rows",
    ),
    (
        "an embedding of one dimension",
        |t| t[0].shape = vec![32 * 262],
        "token_embd.weight is F32 8384, expected",
    ),
    (
        "an output matrix of another vocabulary",
        |t| t.push(Tensor::new(("output.weight", &[EMBEDDING, 100]), "F32")),
        "output.weight is F32 32 x 100, expected 32 x 262",
    ),
    (
        "queries with a bias, keys without",
        |t| t.push(Tensor::new(("blk.0.attn_q.bias", &[32]), "F32")),
        "tensor blk.0.attn_k.bias is missing",
    ),
    ("no tensors", Vec::clear, "tensor token_embd.weight is missing"),
];

fn with_tensors(mut writer: GgufWriter, tensors: &[Tensor]) -> Vec<u8> {
    for tensor in tensors {
        let format = model::format(tensor.format);
        let blocks = tensor.shape.iter().product::<u64>() / format.block_len as u64;
        let bytes = vec![0; blocks as usize * format.block_bytes];
        writer.tensor(&tensor.name, &tensor.shape, format, bytes);
    }
    writer.to_bytes().expect("a file")
}

/// The file without a key: its name is spoiled, so that nobody finds it.
fn without(key: &str) -> Vec<u8> {
    let mut bytes = whole();
    let end = after(&bytes, key);
    bytes[end - 1] = b'~';
    bytes
}

/// Where a name ends in the file; it stands there once as a name, after its length.
fn after(bytes: &[u8], name: &str) -> usize {
    let wanted = [&(name.len() as u64).to_le_bytes(), name.as_bytes()].concat();
    let found = bytes.windows(wanted.len()).position(|window| window == wanted);
    found.expect("the name is in the file") + wanted.len()
}

/// Where the table of tensors ends: behind the number of dimensions, one dimension, type and offset of the last.
fn tensors_end(bytes: &[u8]) -> usize {
    after(bytes, TENSORS[TENSORS.len() - 1].0) + 4 + 8 + 4 + 8
}

/// Overwrites bytes of a tensor's entry, `at` bytes behind its name.
fn put(bytes: &mut [u8], tensor: &str, at: usize, value: &[u8]) {
    let at = after(bytes, tensor) + at;
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Puts a key before all others.
fn put_key(bytes: &mut Vec<u8>, key: &str, kind: u32, value: &[u8]) {
    let entry = [&(key.len() as u64).to_le_bytes()[..], key.as_bytes(), &kind.to_le_bytes(), value].concat();
    bytes.splice(24..24, entry);
    bytes[16] += 1;
}

fn array(kind: u32, count: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat()
}

fn rename(bytes: &mut [u8], name: &str, to: &str) {
    let end = after(bytes, name);
    bytes[end - name.len()..end].copy_from_slice(to.as_bytes());
}

fn twice(bytes: &mut Vec<u8>) {
    put_key(bytes, "\u{1b}[2J", 0, &[1]);
    put_key(bytes, "\u{1b}[2J", 0, &[1]);
}
