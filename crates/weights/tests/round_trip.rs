//! What the writer writes, the reader reads: random models there and back, split models, and the ways of not
//! getting at a file.

use std::path::{Path, PathBuf};

use kernels::formats;
use weights::error::Error;
use weights::gguf::{Array, Gguf, GgufWriter, Value};

/// A path for a file of this test run.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// An empty folder of this test run.
fn scratch_folder(name: &str) -> PathBuf {
    let folder = scratch(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// A xorshift generator: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    fn many<T>(&mut self, mut one: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..self.below(5)).map(|_| one(self)).collect()
    }

    /// Finite, so that equal values compare equal.
    fn float(&mut self) -> f64 {
        (self.next() as i32) as f64 / 1024.0
    }

    fn value(&mut self) -> Value {
        match self.below(13) {
            0 => Value::U8(self.next() as u8),
            1 => Value::I8(self.next() as i8),
            2 => Value::U16(self.next() as u16),
            3 => Value::I16(self.next() as i16),
            4 => Value::U32(self.next() as u32),
            5 => Value::I32(self.next() as i32),
            6 => Value::U64(self.next()),
            7 => Value::I64(self.next() as i64),
            8 => Value::F32(self.float() as f32),
            9 => Value::F64(self.float()),
            10 => Value::Bool(self.below(2) == 1),
            11 => Value::String(self.many(|r| r.next() as u8)),
            _ => Value::Array(self.array(1)),
        }
    }

    fn array(&mut self, depth: u32) -> Array {
        match self.below(if depth < 4 { 13 } else { 12 }) {
            0 => Array::U8(self.many(|r| r.next() as u8)),
            1 => Array::I8(self.many(|r| r.next() as i8)),
            2 => Array::U16(self.many(|r| r.next() as u16)),
            3 => Array::I16(self.many(|r| r.next() as i16)),
            4 => Array::U32(self.many(|r| r.next() as u32)),
            5 => Array::I32(self.many(|r| r.next() as i32)),
            6 => Array::U64(self.many(|r| r.next())),
            7 => Array::I64(self.many(|r| r.next() as i64)),
            8 => Array::F32(self.many(|r| r.float() as f32)),
            9 => Array::F64(self.many(|r| r.float())),
            10 => Array::Bool(self.many(|r| r.below(2) == 1)),
            11 => Array::String(self.many(|r| r.many(|r| r.next() as u8)).into_iter().collect()),
            _ => Array::Array(self.many(|r| r.array(depth + 1))),
        }
    }
}

#[test]
fn random_models_come_back_as_they_were() {
    let path = scratch("random.gguf");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..300 {
        let mut writer = GgufWriter::new();
        let mut entries = Vec::new();
        for index in 0..random.below(12) {
            let (key, value) = (format!("key.{}.{index}", random.below(3)), random.value());
            writer.set(&key, value.clone());
            entries.push((key, value));
        }
        let alignment = 1u32 << random.below(13);
        writer.alignment(alignment);
        entries.push(("general.alignment".to_string(), alignment.into()));
        let mut tensors = Vec::new();
        for index in 0..random.below(8) {
            let format = formats::TABLE[random.below(formats::TABLE.len() as u64) as usize];
            let mut shape = vec![(1 + random.below(3)) * format.block_len as u64];
            (0..random.below(4)).for_each(|_| shape.push(1 + random.below(4)));
            let blocks = shape.iter().product::<u64>() as usize / format.block_len;
            let bytes = random.bytes(blocks * format.block_bytes);
            let name = format!("blk.{index}.{}", format.name);
            writer.tensor(&name, &shape, format, bytes.clone());
            tensors.push((name, shape, format, bytes));
        }
        let mut file = writer.to_bytes().unwrap();
        let version = 2 + (round % 2) as u32;
        file[4..8].copy_from_slice(&version.to_le_bytes());
        std::fs::write(&path, &file).unwrap();

        let gguf = Gguf::open(&path).unwrap();
        assert_eq!(gguf.version(), version);
        assert_eq!(gguf.file_bytes(), file.len() as u64);
        assert_eq!(gguf.paths().collect::<Vec<_>>(), [path.as_path()]);
        let found: Vec<_> =
            gguf.metadata().iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
        assert_eq!(found, entries, "round {round}");
        assert_eq!(gguf.tensors().len(), tensors.len());
        for (info, (name, shape, format, bytes)) in gguf.tensors().zip(&tensors) {
            assert_eq!((&info.name, &info.shape, info.format.ggml_type), (name, shape, format.ggml_type));
            assert_eq!(info.bytes(), bytes.len() as u64);
            assert_eq!(info.elements(), shape.iter().product::<u64>());
            assert_eq!(info.offset() % u64::from(alignment), 0);
            assert_eq!(gguf.tensor(name).unwrap().bytes, bytes, "round {round}, {name}");
            gguf.release(name);
            assert_eq!(gguf.tensor(name).unwrap().bytes, bytes, "round {round}, {name}, released");
        }
        assert!(gguf.tensor("blk").is_none());
    }
}

#[test]
fn declared_tensors_are_asked_for_in_order() {
    let f32 = formats::by_name("f32").unwrap();
    let mut writer = GgufWriter::new();
    writer.declare("a", &[3], f32).tensor("b", &[1], f32, vec![7; 4]).declare("c", &[2, 2], f32);
    let mut file = Vec::new();
    let fill = |name: &str, out: &mut dyn std::io::Write| {
        out.write_all(&vec![name.as_bytes()[0]; if name == "a" { 12 } else { 16 }])
    };
    writer.write_with(&mut file, fill).unwrap();
    let path = scratch("declared.gguf");
    std::fs::write(&path, file).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    assert_eq!(gguf.tensor("a").unwrap().bytes, [b'a'; 12]);
    assert_eq!(gguf.tensor("b").unwrap().bytes, [7; 4]);
    assert_eq!(gguf.tensor("c").unwrap().bytes, [b'c'; 16]);
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let f32 = formats::by_name("f32").unwrap();
    let q4_0 = formats::by_name("q4_0").unwrap();
    let check = |writer: &GgufWriter, expect: &str| {
        let error = writer.to_bytes().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(GgufWriter::new().tensor("a", &[2], f32, vec![0; 7]), "tensor a has 7 bytes, its shape needs 8");
    check(GgufWriter::new().tensor("a", &[33], q4_0, vec![0; 18]), "not a multiple of Q4_0's block of 32");
    check(GgufWriter::new().tensor("a", &[0], f32, vec![]), "a dimension of 0");
    check(GgufWriter::new().alignment(24), "alignment 24 is not a power of two");
    check(GgufWriter::new().declare("a", &[2], f32), "declared without data");
    check(
        GgufWriter::new().tensor("a", &[1], f32, vec![0; 4]).tensor("a", &[1], f32, vec![0; 4]),
        "tensor a occurs twice",
    );
}

/// Writes a model of three parts and gives their paths.
fn write_split(folder: &Path, change: impl Fn(u32, &mut GgufWriter)) -> Vec<PathBuf> {
    let f32 = formats::by_name("f32").unwrap();
    let mut paths = Vec::new();
    for part in 0..3 {
        let mut writer = GgufWriter::new();
        if part == 0 {
            writer.set("general.architecture", "llama").set("llama.block_count", 3u32);
        }
        writer.set("split.no", part as u16).set("split.count", 3u16).set("split.tensors.count", 3i32);
        writer.tensor(&format!("blk.{part}.weight"), &[8], f32, vec![part as u8; 32]);
        change(part, &mut writer);
        let path = folder.join(format!("model-{:05}-of-00003.gguf", part + 1));
        writer.write_file(&path).unwrap();
        paths.push(path);
    }
    paths
}

#[test]
fn any_part_opens_all_parts() {
    let paths = write_split(&scratch_folder("any_part"), |_, _| {});
    for path in &paths {
        let gguf = Gguf::open(path).unwrap();
        assert_eq!(gguf.paths().collect::<Vec<_>>(), paths);
        assert_eq!(gguf.metadata().u32("llama.block_count").unwrap(), 3);
        let names: Vec<_> = gguf.tensors().map(|info| (info.name.as_str(), info.part())).collect();
        assert_eq!(names, [("blk.0.weight", 0), ("blk.1.weight", 1), ("blk.2.weight", 2)]);
        for part in 0..3u8 {
            assert_eq!(gguf.tensor(&format!("blk.{part}.weight")).unwrap().bytes, [part; 32]);
        }
        let sizes: u64 = paths.iter().map(|path| path.metadata().unwrap().len()).sum();
        assert_eq!(gguf.file_bytes(), sizes);
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let folder = scratch_folder("foreign_parts");
    let refused = |path: &Path, expect: &str| {
        let error = Gguf::open(path).unwrap_err();
        assert!(!error.is_io(), "{error}");
        assert!(error.to_string().contains(expect), "{error}");
        assert!(error.to_string().lines().count() <= 3, "{error}");
    };
    let check = |expect: &str, change: &dyn Fn(u32, &mut GgufWriter)| {
        let paths = write_split(&folder, change);
        refused(&paths[0], expect);
    };
    let in_part_2 = |key: &'static str, value: Value| {
        move |part: u32, writer: &mut GgufWriter| {
            if part == 1 {
                writer.set(key, value.clone());
            }
        }
    };
    check(
        "00002-of-00003.gguf: is a part of another model: its general.architecture differs",
        &in_part_2("general.architecture", "gemma3".into()),
    );
    check(
        "00002-of-00003.gguf: is named part 2 of 3, but is part 3 of 3",
        &in_part_2("split.no", 2u16.into()),
    );
    check("is named part 2 of 3, but is part 2 of 4", &in_part_2("split.count", 4u16.into()));
    check(
        "is named part 2 of 3, but its metadata has no split.count",
        &in_part_2("split.count", 0u16.into()),
    );
    check(
        "split.tensors.count is 9, but the parts have 3 tensors",
        &in_part_2("split.tensors.count", 9i32.into()),
    );
    check(r#"key "split.no" is 3, expected less than split.count 3"#, &in_part_2("split.no", 3u16.into()));
    check(r#"key "split.no" is a string"#, &in_part_2("split.no", "1".into()));
    check(r#"tensor "blk.0.weight": occurs twice"#, &|part, writer| {
        if part == 2 {
            writer.tensor("blk.0.weight", &[1], formats::by_name("f32").unwrap(), vec![0; 4]);
        }
        writer.set("split.tensors.count", 4i32);
    });
    check("split.count\" is 70000, the limit is 1024", &|_, writer| {
        writer.set("split.count", 70_000u32);
    });

    let paths = write_split(&folder, |_, _| {});
    let elsewhere = folder.join("part-two.gguf");
    std::fs::rename(&paths[1], &elsewhere).unwrap();
    refused(&paths[0], "00002-of-00003.gguf: part 2 of 3 is missing");
    refused(&elsewhere, "part-two.gguf: is part 2 of 3; the others can't be found unless it is named");
    std::fs::copy(&paths[0], &paths[1]).unwrap();
    refused(&paths[0], "is named part 2 of 3, but is part 1 of 3");
}

#[test]
fn what_is_no_file_is_an_io_error_with_its_own_text() {
    let check = |path: &Path, expect: &str| {
        let error: Error = Gguf::open(path).unwrap_err();
        assert!(error.is_io(), "{error}");
        assert!(error.to_string().contains(expect), "{error}");
    };
    let folder = scratch_folder("no_file");
    check(&folder, "is a directory, not a model file");
    check(&folder.join("absent.gguf"), "absent.gguf: no such file");
    check(Path::new("/dev/null"), "/dev/null: is a device, not a regular file");
    let pipe = folder.join("pipe.gguf");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    check(&pipe, "pipe.gguf: is a pipe (FIFO), not a regular file");
    let below_a_file = folder.join("file");
    std::fs::write(&below_a_file, "x").unwrap();
    check(&below_a_file.join("model.gguf"), "model.gguf: no such file");
}

/// The resident memory of the mappings of `path`, in KiB.
#[cfg(target_os = "linux")]
fn resident_kib(path: &Path) -> u64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let name = path.to_str().unwrap();
    let of_file = smaps.lines().skip_while(|line| !line.ends_with(name));
    let line = of_file.skip(1).find(|line| line.starts_with("Rss:")).expect("the file is mapped");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn released_tensors_leave_memory_and_can_be_read_again() {
    const MIB: usize = 1 << 20;
    let path = scratch("released.gguf").canonicalize().unwrap_or_else(|_| scratch("released.gguf"));
    let f32 = formats::by_name("f32").unwrap();
    let mut writer = GgufWriter::new();
    writer.tensor("big", &[1024, 2048], f32, vec![1; 8 * MIB]).tensor("small", &[8], f32, vec![2; 32]);
    writer.write_file(&path).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    let sum = || gguf.tensor("big").unwrap().bytes.iter().map(|&byte| byte as usize).sum::<usize>();
    assert_eq!(sum(), 8 * MIB);
    assert!(resident_kib(&path) >= 8 * 1024, "{} KiB", resident_kib(&path));
    gguf.release("big");
    assert!(resident_kib(&path) <= 1024, "{} KiB", resident_kib(&path));
    gguf.release("small");
    gguf.release("absent");
    assert_eq!(sum(), 8 * MIB);
    assert_eq!(gguf.tensor("small").unwrap().bytes, [2; 32]);
}
