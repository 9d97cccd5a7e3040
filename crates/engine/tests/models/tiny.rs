//! The tiny models of `golden/models.json`, built as `golden/make_models.py` builds them.

use half::f16;
use kernels::formats::{self, Format};
use kernels::{Cpu, CpuOptions, Isa};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use weights::gguf::{Gguf, GgufWriter};

use engine::batch::{Batch, LogitsWanted, PAGE_TOKENS, PageId};
use engine::kv::KvCache;
use engine::load::LoadError;
use engine::model::{Model, Outputs};
use engine::request::TokenId;

/// A model's hyper-parameters and tensors, and what llama.cpp computes with them.
pub(crate) struct Tiny(Value);

/// Every model of the file.
pub(crate) fn all() -> Vec<Tiny> {
    let file: Value = serde_json::from_str(include_str!("../golden/models.json")).unwrap();
    let models: Vec<Tiny> = file.as_array().unwrap().iter().cloned().map(Tiny).collect();
    assert!(models.len() >= 20, "{} models", models.len());
    models
}

/// The models whose matrices have several formats, one for each architecture.
pub(crate) fn mixed() -> Vec<Tiny> {
    let mixed: Vec<Tiny> = all().into_iter().filter(|m| m.name().ends_with("-mixed")).collect();
    assert_eq!(mixed.len(), engine::models::TABLE.len(), "a model of mixed formats for each architecture");
    mixed
}

/// Those, and one whose prompt is longer than a chunk of attention.
pub(crate) fn varied() -> Vec<Tiny> {
    let long = all().into_iter().find(|m| m.name() == "llama-grouped-untied").expect("it is in the file");
    assert!(long.tokens().len() > 256 + PAGE_TOKENS);
    mixed().into_iter().chain([long]).collect()
}

impl Tiny {
    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    pub(crate) fn architecture(&self) -> &str {
        self.0["metadata"]["general.architecture"].as_str().unwrap()
    }

    pub(crate) fn tokens(&self) -> Vec<TokenId> {
        self.0["tokens"].as_array().unwrap().iter().map(|t| t.as_u64().unwrap() as TokenId).collect()
    }

    /// How far logits may be from the reference's, in logits.
    pub(crate) fn tolerance(&self) -> f32 {
        (self.0["tolerance"].as_f64().unwrap() * self.0["spread"].as_f64().unwrap()) as f32
    }

    /// Positions, and for each the logits of every sixth entry of the vocabulary from `position % 6` on.
    pub(crate) fn expected(&self) -> Vec<(usize, Vec<f32>)> {
        let rows = self.0["logits"].as_array().unwrap().iter().map(numbers);
        self.0["positions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p.as_u64().unwrap() as usize)
            .zip(rows)
            .collect()
    }

    /// The file, with `change` made to it before it is written.
    fn write(&self, change: impl FnOnce(&mut GgufWriter)) -> PathBuf {
        let mut writer = GgufWriter::new();
        for (key, value) in self.0["metadata"].as_object().unwrap() {
            match value {
                Value::String(text) => writer.set(key, text.as_str()),
                Value::Array(flags) => {
                    writer.set(key, flags.iter().map(|f| f.as_bool().unwrap()).collect::<Vec<bool>>())
                }
                Value::Number(n) if n.is_u64() => writer.set(key, n.as_u64().unwrap() as u32),
                number => writer.set(key, number.as_f64().unwrap() as f32),
            };
        }
        for tensor in self.0["tensors"].as_array().unwrap() {
            let name = tensor["name"].as_str().unwrap();
            let shape: Vec<u64> =
                tensor["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
            let format = formats::by_name(tensor["format"].as_str().unwrap()).unwrap();
            writer.tensor(
                name,
                &shape,
                format,
                bytes(tensor, format, shape.iter().product::<u64>() as usize),
            );
        }
        change(&mut writer);
        // Several tests, in several processes, write the same model.
        let id = std::thread::current().id();
        let name = format!("{}-{}-{id:?}.gguf", self.name(), std::process::id());
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        writer.write_file(&path).unwrap();
        path
    }

    pub(crate) fn load(&self, cpu: &Arc<Cpu>) -> Box<dyn Model> {
        self.load_changed(cpu, |_| ()).unwrap_or_else(|error| panic!("{}: {error}", self.name()))
    }

    /// As `load`, with `change` made to the file first.
    pub(crate) fn load_changed(
        &self,
        cpu: &Arc<Cpu>,
        change: impl FnOnce(&mut GgufWriter),
    ) -> Result<Box<dyn Model>, LoadError> {
        engine::load::load(&self.open_changed(change), cpu, &mut |_| ())
    }

    /// The file, with `change` made to it first.
    pub(crate) fn open_changed(&self, change: impl FnOnce(&mut GgufWriter)) -> Gguf {
        let path = self.write(change);
        let file = Gguf::open(&path).unwrap();
        // It is mapped already.
        std::fs::remove_file(&path).unwrap();
        file
    }
}

pub(crate) fn cpu(threads: usize) -> Arc<Cpu> {
    cpu_with(Isa::detect(), threads)
}

pub(crate) fn cpu_with(isa: Isa, threads: usize) -> Arc<Cpu> {
    Arc::new(Cpu::new(CpuOptions { threads: Some(threads), isa: Some(isa) }).unwrap())
}

fn numbers(values: &Value) -> Vec<f32> {
    values.as_array().unwrap().iter().map(|n| n.as_f64().unwrap() as f32).collect()
}

/// The bytes of a tensor of `count` numbers: given one by one, or a hash of its name.
fn bytes(tensor: &Value, format: Format, count: usize) -> Vec<u8> {
    if tensor.get("values").is_some() {
        return numbers(&tensor["values"]).into_iter().flat_map(f32::to_le_bytes).collect();
    }
    let hash = hashes(tensor["name"].as_str().unwrap());
    let scale = |key: &str| tensor[key].as_f64().unwrap() as f32;
    let (scale, offset) = (scale("scale"), scale("offset"));
    let floats = |hash: u64| ((hash >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale + offset;
    match format.name {
        "F32" => hash.take(count).flat_map(|h| floats(h).to_le_bytes()).collect(),
        "F16" => hash.take(count).flat_map(|h| f16::from_f32(floats(h)).to_le_bytes()).collect(),
        _ => {
            let header: Vec<u16> =
                tensor["header"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u16).collect();
            assert!(!header.is_empty(), "{tensor}: a block begins with its scales");
            let header: Vec<u8> = header.into_iter().flat_map(u16::to_le_bytes).collect();
            let mut bytes: Vec<u8> =
                hash.take(count / format.block_len * format.block_bytes).map(|h| (h >> 56) as u8).collect();
            bytes
                .chunks_exact_mut(format.block_bytes)
                .for_each(|block| block[..header.len()].copy_from_slice(&header));
            bytes
        }
    }
}

/// 64 bits for each place of the tensor: SplitMix64, seeded with FNV-1a of the name.
fn hashes(name: &str) -> impl Iterator<Item = u64> {
    let seed = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325u64, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    (1u64..).map(move |i| {
        let z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    })
}

/// The logits after each of `tokens`, `[tokens][vocabulary]`, computed in chunks of `chunk` tokens.
pub(crate) fn logits(model: &mut dyn Model, tokens: &[TokenId], chunk: usize) -> Vec<f32> {
    let pages: Vec<PageId> = (0..tokens.len().div_ceil(PAGE_TOKENS) as PageId).collect();
    let mut kv = KvCache::new(model.shape(), pages.len());
    let (mut batch, mut out, mut all) = (Batch::default(), Outputs::default(), Vec::new());
    for (n, part) in tokens.chunks(chunk).enumerate() {
        batch.clear();
        batch.push(part, n * chunk, &pages, LogitsWanted::All);
        model.forward(&batch, &mut kv, &mut out);
        all.extend_from_slice(&out.logits);
    }
    all
}
