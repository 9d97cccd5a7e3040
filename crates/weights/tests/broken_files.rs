//! Broken and hostile files: each is refused with a message that says what is wrong, none panics, none makes the
//! reader allocate much.
//!
//! The files are put together from raw pieces, as the writer refuses to write most of them. The file is long
//! because most of it is one table, a row for each way of being broken.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use weights::gguf::Gguf;

const ALLOCATION_MAX: usize = 64 << 20;

#[test]
fn every_broken_file_is_refused_by_name() {
    let path = scratch("broken.gguf");
    let cases = cases();
    assert!(cases.len() >= 70, "{} cases", cases.len());
    let mut failures = Vec::new();
    for Case { name, bytes, zeros, expect } in cases {
        let mut file = File::create(&path).unwrap();
        file.write_all(&bytes).unwrap();
        // A hole: a large file that takes up no disk.
        file.set_len(bytes.len() as u64 + zeros).unwrap();
        let (opened, peak) = peak_allocation(|| Gguf::open(&path).map(drop));
        let Err(error) = opened else {
            failures.push(format!("{name}: opens"));
            continue;
        };
        let message = error.to_string();
        if error.is_io() || !message.starts_with(path.to_str().unwrap()) || message.lines().count() > 3 {
            failures.push(format!("{name}: {message}"));
        }
        if !message.contains(expect) {
            failures.push(format!("{name}: expected {expect:?} in:\n{message}"));
        }
        if peak >= ALLOCATION_MAX {
            failures.push(format!("{name}: allocated {peak} bytes"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    fs::remove_file(path).unwrap();
}

#[test]
fn the_unbroken_file_opens() {
    let path = scratch("unbroken.gguf");
    fs::write(&path, Raw::valid().bytes()).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    assert_eq!(gguf.metadata().len(), 5);
    assert_eq!(gguf.tensors().len(), 2);
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let path = scratch("cut.gguf");
    let whole = Raw::valid().bytes();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (opened, peak) = peak_allocation(|| Gguf::open(&path).map(drop));
        let error = opened.expect_err("a file that was cut");
        let expect = match length {
            0..4 => format!("not a GGUF file ({length} bytes)"),
            _ => format!("the file ends at byte {length}, "),
        };
        assert!(error.to_string().contains(&expect), "cut at {length}: {error}");
        assert!(!error.is_io(), "cut at {length}: {error}");
        assert!(peak < ALLOCATION_MAX, "cut at {length}: allocated {peak} bytes");
    }
}

#[test]
fn a_file_with_any_byte_changed_opens_or_is_refused() {
    let path = scratch("changed.gguf");
    let whole = Raw::valid().bytes();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        let position = random() as usize % bytes.len();
        bytes[position] ^= 1 + (random() % 255) as u8;
        fs::write(&path, &bytes).unwrap();
        let (result, peak) = peak_allocation(|| Gguf::open(&path));
        assert!(peak < ALLOCATION_MAX, "byte {position} is {}: allocated {peak} bytes", bytes[position]);
        match result {
            Ok(gguf) => {
                opened += 1;
                for info in gguf.tensors() {
                    let tensor = gguf.tensor(&info.name).expect("a tensor of the table is found");
                    assert_eq!(tensor.bytes.len() as u64, info.bytes());
                }
                for (key, value) in gguf.metadata().iter() {
                    assert!(gguf.metadata().get(key).is_some());
                    // Every getter on every type: an error or a value, never a panic.
                    let metadata = gguf.metadata();
                    let _ = (metadata.u32(key), metadata.f32(key), metadata.str(key), metadata.u32s(key));
                    let _ = (metadata.strings(key), metadata.f32s(key), metadata.bool(key), value.kind());
                }
            }
            Err(error) => {
                refused += 1;
                assert!(!error.is_io(), "byte {position} is {}: {error}", bytes[position]);
                assert!(error.to_string().lines().count() <= 3, "byte {position}: {error}");
            }
        }
    }
    // Most bytes are data or text, which may be anything; many are lengths, which may not.
    assert!(opened > 1000 && refused > 1000, "{opened} opened, {refused} refused");
}

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    /// So many zeros follow, as a hole in the file.
    zeros: u64,
    expect: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |name, bytes, expect| Case { name, bytes, zeros: 0, expect };
    let mut cases = Vec::new();
    cases.extend(not_gguf().into_iter().map(|(name, bytes, expect)| case(name, bytes, expect)));
    for (name, change, expect) in counts_and_keys().into_iter().chain(alignments()).chain(tensors()) {
        let mut raw = Raw::valid();
        change(&mut raw);
        cases.push(case(name, raw.bytes(), expect));
    }
    cases.extend(large_files());
    cases
}

fn not_gguf() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let version = |version: u32| {
        let mut bytes = Raw::valid().bytes();
        bytes[4..8].copy_from_slice(&version.to_le_bytes());
        bytes
    };
    vec![
        ("empty", vec![], "not a GGUF file (0 bytes)"),
        ("three bytes", b"GGU".to_vec(), "not a GGUF file (3 bytes)"),
        ("magic alone", b"GGUF".to_vec(), "the file ends at byte 4, the version needs 8"),
        ("zeros", vec![0; 4096], "not a GGUF file (it starts with bytes 00 00 00 00)"),
        ("lower-case magic", b"gguf\x03\0\0\0".to_vec(), "it starts with bytes 67 67 75 66"),
        ("magic in big-endian order", b"FUGG\0\0\0\x03".to_vec(), "a big-endian GGUF file"),
        ("version in big-endian order", version(3u32.swap_bytes()), "byte 4: GGUF version 3 in big-endian"),
        ("version 0", version(0), "GGUF version 0 is not supported\nthis build reads GGUF versions 2 and 3"),
        ("version 1", version(1), "GGUF version 1 is not supported"),
        ("version 4", version(4), "GGUF version 4 is not supported"),
        ("version 99", version(99), "GGUF version 99 is not supported"),
        ("GGML", b"lmgg\x01\0\0\0".to_vec(), "GGML, the format before GGUF"),
        ("GGJT", b"tjgg\x03\0\0\0".to_vec(), "download a GGUF version"),
        ("pickle", b"PK\x03\x04archive/data.pkl".to_vec(), "a zip archive, perhaps a PyTorch pickle"),
        ("LFS pointer", b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "git lfs pull"),
        ("web page", b"<!doctype html><title>404".to_vec(), "a web page"),
        ("JSON", b"{\"error\":\"gated\"}".to_vec(), "JSON text"),
    ]
}

type Change = (&'static str, fn(&mut Raw), &'static str);

fn counts_and_keys() -> Vec<Change> {
    vec![
        (
            "2^64-1 tensors",
            |r| r.tensor_count = Some(u64::MAX),
            "the tensor count is 18446744073709551615, the limit is 65536",
        ),
        (
            "2^63 tensors",
            |r| r.tensor_count = Some(1 << 63),
            "byte 8: the tensor count is 9223372036854775808",
        ),
        (
            "2^64-1 keys",
            |r| r.key_count = Some(u64::MAX),
            "byte 16: the metadata key count is 18446744073709551615",
        ),
        (
            "2^32 keys",
            |r| r.key_count = Some(1 << 32),
            "the metadata key count is 4294967296, the limit is 65536",
        ),
        (
            "60,000 keys announced",
            |r| r.key_count = Some(60_000),
            "the metadata key count 60000 needs 840024",
        ),
        (
            "60,000 tensors announced",
            |r| r.tensor_count = Some(60_000),
            "the tensor count 60000 needs 1980016",
        ),
        (
            "one key too many announced",
            |r| r.key_count = Some(6),
            "the length of the name of tensor 0 of 2 is 844424930131968",
        ),
        ("one key too few announced", |r| r.key_count = Some(4), r#"tensor "nested": has 9 dimensions"#),
        ("one tensor too many announced", |r| r.tensor_count = Some(3), "tensor 2 of 3"),
        (
            "key of length 2^63",
            |r| r.keys.push(length(1 << 63)),
            "the length of the name of metadata key 5 of 6 is 9223372036854775808",
        ),
        ("key of 65,536 bytes", |r| r.key(&"k".repeat(65_536), U8, &[1]), "is 65536, the limit is 65535"),
        (
            "key beyond the end",
            |r| r.keys.push(length(60_000)),
            "the length of the name of metadata key 5 of 6 60000 needs",
        ),
        ("empty key", |r| r.key("", U8, &[1]), "the name of metadata key 5 of 6 is empty"),
        (
            "key of invalid UTF-8",
            |r| r.keys.push([length(2), vec![0xc3, 0x28], U8.to_le_bytes().into(), vec![0]].concat()),
            "metadata key 5 of 6 is not UTF-8",
        ),
        (
            "key twice",
            |r| r.key("general.architecture", U8, &[1]),
            r#"metadata key "general.architecture" occurs twice"#,
        ),
        (
            "key with control characters twice",
            |r| {
                r.key("a\n\x1b[2J\n\n", U8, &[1]);
                r.key("a\n\x1b[2J\n\n", U8, &[1])
            },
            r#""a\n\u{1b}[2J\n\n" occurs twice"#,
        ),
        (
            "value of type 13",
            |r| r.key("k", 13, &[0; 8]),
            r#"metadata key "k" is of type 13, the last known is 12"#,
        ),
        ("value of type 2^32-1", |r| r.key("k", u32::MAX, &[0; 8]), "is of type 4294967295"),
        ("bool of 2", |r| r.key("k", BOOL, &[2]), r#"metadata key "k" has a bool of value 2"#),
        (
            "string of length 2^63",
            |r| r.key("k", STRING, &length(1 << 63)),
            r#"the length of the value of metadata key "k" is 9223372036854775808"#,
        ),
        (
            "string of length 2^64-1",
            |r| r.key("k", STRING, &length(u64::MAX)),
            "is 18446744073709551615, the limit is 41943040",
        ),
        (
            "string beyond the end",
            |r| r.key("k", STRING, &length(1 << 20)),
            r#"the value of metadata key "k" 1048576 needs"#,
        ),
        (
            "array of 2^40 bools",
            |r| r.key("k", ARRAY, &array(BOOL, 1 << 40)),
            "is 1099511627776, the limit is 33554432",
        ),
        (
            "array of 2^64-1 strings",
            |r| r.key("k", ARRAY, &array(STRING, u64::MAX)),
            "is 18446744073709551615, the limit is 33554432",
        ),
        (
            "array of 2^61 f64, whose bytes overflow",
            |r| r.key("k", ARRAY, &array(12, 1 << 61)),
            "is 2305843009213693952, the limit",
        ),
        (
            "array beyond the end",
            |r| r.key("k", ARRAY, &array(U32, 1 << 20)),
            r#"the length of the array of metadata key "k" 1048576 needs"#,
        ),
        ("array of type 13", |r| r.key("k", ARRAY, &array(13, 0)), "is of type 13"),
        (
            "array with a bool of 255",
            |r| r.key("k", ARRAY, &[array(BOOL, 2), vec![1, 255]].concat()),
            "a bool of value 255",
        ),
        (
            "strings, the last of length 2^62",
            |r| r.key("k", ARRAY, &[array(STRING, 2), length(0), length(1 << 62)].concat()),
            r#"string 1 of metadata key "k" is 4611686018427387904"#,
        ),
        (
            "strings, the last beyond the end",
            |r| r.key("k", ARRAY, &[array(STRING, 2), length(0), length(1 << 16)].concat()),
            r#"string 1 of metadata key "k" 65536 needs"#,
        ),
        (
            "arrays 5 deep",
            |r| r.key("k", ARRAY, &[array(ARRAY, 1).repeat(4), array(U8, 0)].concat()),
            "nests more than 4 deep",
        ),
        (
            "arrays 1,000 deep",
            |r| r.key("k", ARRAY, &[array(ARRAY, 1).repeat(1000), array(U8, 0)].concat()),
            "nests more than 4 deep",
        ),
        (
            "arrays of 2^60 arrays",
            |r| r.key("k", ARRAY, &array(ARRAY, 1 << 60)),
            "is 1152921504606846976, the limit",
        ),
        (
            "split count 2 in a file of its own",
            |r| {
                r.key("split.count", U32, &[2, 0, 0, 0]);
                r.key("split.no", U32, &[0; 4])
            },
            "is part 1 of 2; the others can't be found",
        ),
        (
            "split without number",
            |r| r.key("split.count", U32, &[2, 0, 0, 0]),
            r#"metadata key "split.no" is missing"#,
        ),
        (
            "split count that is a string",
            |r| r.key("split.count", STRING, &text("2")),
            r#"metadata key "split.count" is a string, expected an integer"#,
        ),
    ]
}

fn alignments() -> Vec<Change> {
    const KEY: &str = "general.alignment";
    vec![
        (
            "alignment 0",
            |r| r.key(KEY, U32, &0u32.to_le_bytes()),
            r#"metadata key "general.alignment" is 0, expected a power of two"#,
        ),
        (
            "alignment 3",
            |r| r.key(KEY, U32, &3u32.to_le_bytes()),
            "is 3, expected a power of two up to 1048576",
        ),
        (
            "alignment 2^31",
            |r| r.key(KEY, U32, &(1u32 << 31).to_le_bytes()),
            "is 2147483648, expected a power of two",
        ),
        (
            "alignment 2^63",
            |r| r.key(KEY, U64, &(1u64 << 63).to_le_bytes()),
            "is 9223372036854775808, expected a power",
        ),
        (
            "alignment -32",
            |r| r.key(KEY, I32, &(-32i32).to_le_bytes()),
            "is the i32 -32, expected an integer of 0",
        ),
        (
            "alignment as text",
            |r| r.key(KEY, STRING, &text("32")),
            r#"metadata key "general.alignment" is a string, expected an integer"#,
        ),
        (
            "alignment as f32",
            |r| r.key(KEY, F32, &32f32.to_le_bytes()),
            "is the f32 32.0, expected an integer",
        ),
        (
            "alignment as array",
            |r| r.key(KEY, ARRAY, &[array(U32, 1), vec![32, 0, 0, 0]].concat()),
            "is an array of 1 u32",
        ),
        (
            "alignment larger than what the offsets have",
            |r| r.key(KEY, U32, &4096u32.to_le_bytes()),
            "the file ends at byte",
        ),
    ]
}

fn tensors() -> Vec<Change> {
    vec![
        ("no dimensions", |r| r.tensor("x", &[], 0, 160), r#"tensor "x": has 0 dimensions, expected 1 to 4"#),
        ("5 dimensions", |r| r.tensor("x", &[8, 1, 1, 1, 1], 0, 160), "has 5 dimensions"),
        (
            "2^32-1 dimensions",
            |r| r.tensors.push([text("x"), vec![255; 4], vec![0; 64]].concat()),
            "has 4294967295 dimensions",
        ),
        (
            "a dimension of 0",
            |r| r.tensor("x", &[8, 0], 0, 160),
            "shape [8, 0] has a dimension of 0, expected 1 to 2147483647",
        ),
        ("a first dimension of 0", |r| r.tensor("x", &[0, 8], 0, 160), "has a dimension of 0"),
        ("a dimension of 2^33", |r| r.tensor("x", &[1 << 33], 0, 160), "has a dimension of 8589934592"),
        (
            "a dimension of 2^64-1",
            |r| r.tensor("x", &[u64::MAX], 0, 160),
            "has a dimension of 18446744073709551615",
        ),
        (
            "dimensions whose product overflows",
            |r| r.tensor("x", &[1 << 30, 1 << 30, 1 << 30], 0, 160),
            "more weights than can be counted",
        ),
        (
            "dimensions whose product wraps to 0",
            |r| r.tensor("x", &[1 << 16, 1 << 16, 1 << 16, 1 << 16], 0, 160),
            "more weights than can be counted",
        ),
        (
            "weights whose bytes overflow",
            |r| r.tensor("x", &[1 << 30, 1 << 30, 2], 0, 160),
            "more weights than can be counted",
        ),
        (
            "weights of 2^60 bytes",
            |r| r.tensor("x", &[1 << 29, 1 << 29], 0, 160),
            r#"tensor "x" needs 1152921504606847"#,
        ),
        (
            "type 250",
            |r| r.tensor("x", &[32], 250, 160),
            r#"tensor "x": type 250 unknown; this build reads: F32, F16,"#,
        ),
        ("type 2^32-1", |r| r.tensor("x", &[32], u32::MAX, 160), "type 4294967295 unknown"),
        ("type 4, which was taken out", |r| r.tensor("x", &[32], 4, 160), "type 4 unknown"),
        (
            "Q4_0 row of 33",
            |r| r.tensor("x", &[33], 2, 160),
            "a row of 33 weights is not a multiple of Q4_0's block of 32",
        ),
        (
            "Q4_K row of 128",
            |r| r.tensor("x", &[128, 2], 12, 160),
            "a row of 128 weights is not a multiple of Q4_K's block of 256",
        ),
        ("offset past the end", |r| r.tensor("x", &[8], 0, 1 << 20), r#"tensor "x" needs"#),
        ("offset of 2^63", |r| r.tensor("x", &[8], 0, 1 << 63), r#"tensor "x" needs 9223372036854776"#),
        (
            "offset that wraps",
            |r| r.tensor("x", &[8], 0, u64::MAX - 31),
            "offset 18446744073709551584 is beyond any file",
        ),
        (
            "offset not aligned",
            |r| r.tensor("x", &[8], 0, 33),
            r#"tensor "x": offset 33 is not a multiple of the alignment 32"#,
        ),
        ("same place as another", |r| r.tensor("x", &[8], 0, 128), "overlaps tensor"),
        (
            "tail of another",
            |r| r.tensor("x", &[8], 0, 64),
            r#"tensor "x": overlaps tensor "a.weight" at byte"#,
        ),
        ("all of another", |r| r.tensor("x", &[40], 0, 0), "overlaps tensor"),
        ("data cut by a byte", |r| r.data.truncate(159), r#"tensor "b.weight" needs"#),
        ("no data", |r| r.data.clear(), r#"tensor "a.weight" needs"#),
        (
            "name twice",
            |r| {
                r.data.extend([0; 32]);
                r.tensor("a.weight", &[8], 0, 160)
            },
            r#"tensor "a.weight": occurs twice"#,
        ),
        ("name empty", |r| r.tensor("", &[8], 0, 160), "the name of tensor 2 of 3 is empty"),
        (
            "name of invalid UTF-8",
            |r| r.tensors.push([length(1), vec![0xff], vec![0; 64]].concat()),
            "the name of tensor 2 of 3 is not UTF-8",
        ),
        (
            "name of 257 bytes",
            |r| r.tensor(&"n".repeat(257), &[8], 0, 160),
            "the length of the name of tensor 2 of 3 is 257, the limit is 256",
        ),
        (
            "name of length 2^63",
            |r| r.tensors.push([length(1 << 63), vec![0; 64]].concat()),
            "tensor 2 of 3 is 9223372036854775808",
        ),
        ("name of line breaks", |r| r.tensor("\n\n\n\n", &[8], 0, 33), r#"tensor "\n\n\n\n": offset 33"#),
    ]
}

/// Files that have the bytes that they announce, as holes: only limits on memory help.
fn large_files() -> Vec<Case> {
    let case = |name, kind: u32, count: u64, zeros: u64, expect| {
        let mut raw = Raw { tensor_count: Some(0), ..Raw::default() };
        raw.key("k", ARRAY, &array(kind, count));
        Case { name, bytes: raw.bytes(), zeros, expect }
    };
    const MEMORY: &str = "the limit is 50331648";
    let many_keys = {
        let raw = Raw { tensor_count: Some(0), key_count: Some(65_536), ..Raw::default() };
        Case {
            name: "65,536 empty keys",
            bytes: raw.bytes(),
            zeros: 1 << 24,
            expect: "key 0 of 65536 is empty",
        }
    };
    let many_tensors = {
        let raw = Raw { tensor_count: Some(65_536), key_count: Some(0), ..Raw::default() };
        Case { name: "65,536 empty tensors", bytes: raw.bytes(), zeros: 1 << 24, expect: "of 65536 is empty" }
    };
    vec![
        case("2^23 f64 in the file", 12, 1 << 23, 1 << 27, MEMORY),
        case("2^25 f64 in the file", 12, 1 << 25, 1 << 29, MEMORY),
        case("2^24 empty strings in the file", STRING, 1 << 24, 1 << 28, MEMORY),
        case("2^22 empty arrays in the file", ARRAY, 1 << 22, 1 << 27, MEMORY),
        case("2^29 bools in the file", BOOL, 1 << 29, 1 << 30, "is 536870912, the limit is 33554432"),
        many_keys,
        many_tensors,
    ]
}

const U8: u32 = 0;
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const U64: u32 = 10;

fn length(length: u64) -> Vec<u8> {
    length.to_le_bytes().into()
}

fn text(text: &str) -> Vec<u8> {
    [length(text.len() as u64), text.into()].concat()
}

fn array(kind: u32, count: u64) -> Vec<u8> {
    [kind.to_le_bytes().to_vec(), length(count)].concat()
}

/// The pieces of a file, none of them checked.
#[derive(Default)]
struct Raw {
    tensor_count: Option<u64>, // where it is not the true one
    key_count: Option<u64>,
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: Vec<u8>,
}

impl Raw {
    /// A small sound file. Its last tensor ends where the file ends, so that no byte can be done without.
    fn valid() -> Raw {
        let mut raw = Raw::default();
        raw.key("general.architecture", STRING, &text("llama"));
        raw.key("llama.block_count", U32, &1u32.to_le_bytes());
        raw.key("tokens", ARRAY, &[array(STRING, 3), text("a"), text(""), text("bc")].concat());
        raw.key("scores", ARRAY, &[array(F32, 2), vec![0; 8]].concat());
        raw.key("nested", ARRAY, &[array(ARRAY, 2), array(BOOL, 2), vec![0, 1], array(U8, 0)].concat());
        raw.tensor("a.weight", &[64, 3], 2, 0); // Q4_0, 108 bytes
        raw.tensor("b.weight", &[8], 0, 128); // F32, 32 bytes
        raw.data = vec![7; 160];
        raw
    }

    fn key(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.keys.push([text(key), kind.to_le_bytes().into(), value.into()].concat());
    }

    fn tensor(&mut self, name: &str, shape: &[u64], ggml_type: u32, offset: u64) {
        let mut entry = text(name);
        entry.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|dimension| entry.extend(dimension.to_le_bytes()));
        entry.extend(ggml_type.to_le_bytes());
        entry.extend(offset.to_le_bytes());
        self.tensors.push(entry);
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.key_count.unwrap_or(self.keys.len() as u64).to_le_bytes());
        bytes.extend(self.keys.concat());
        bytes.extend(self.tensors.concat());
        if !self.data.is_empty() {
            bytes.resize(bytes.len().next_multiple_of(32), 0);
            bytes.extend(&self.data);
        }
        bytes
    }
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Counts what the current thread has allocated, so that tests beside each other don't disturb each other.
struct Counting;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes on to the system's allocator unchanged; the counters are cells without destructors,
// which can be used at any time and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CURRENT.set(CURRENT.get() + layout.size());
        PEAK.set(PEAK.get().max(CURRENT.get()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // What another thread allocated may be freed here; the count stays a count.
        CURRENT.set(CURRENT.get().saturating_sub(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `run` and gives the most memory that was allocated during it beyond what was there before.
fn peak_allocation<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = CURRENT.get();
    PEAK.set(before);
    let result = run();
    (result, PEAK.get() - before)
}

#[test]
fn the_counting_allocator_counts() {
    let ((), peak) = peak_allocation(|| drop(vec![1u8; 100 << 20]));
    assert!(peak >= 100 << 20, "{peak}");
    let ((), peak) = peak_allocation(|| ());
    assert_eq!(peak, 0);
}
