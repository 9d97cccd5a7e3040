//! Every tensor format against the reference (`golden/make_formats.py`: PyPI `gguf`), and its parts against
//! its own definition. Both tests walk the table: a new row without a fixture fails.

use kernels::formats::{self, BlockParts, Format, Packing, TABLE};
use kernels::layout::Codes;

#[test]
fn decodes_like_the_reference() {
    let golden = read_golden(include_bytes!("golden/formats.bin"));
    for &format in TABLE {
        let record = golden
            .iter()
            .find(|r| r.name == format.name)
            .unwrap_or_else(|| panic!("no fixture for {}: add it to make_formats.py", format.name));
        assert_eq!(format.ggml_type, record.ggml_type, "number of {}", format.name);
        assert_eq!(format.block_len, record.block_len, "weights in a block of {}", format.name);
        assert_eq!(format.block_bytes, record.block_bytes, "bytes in a block of {}", format.name);

        let mut weights = vec![0.0; record.blocks.len() / format.block_bytes * format.block_len];
        formats::decode_row(format, record.blocks, &mut weights);
        assert!(record.hashes.len() >= 16, "{} has a fixture worth the name", format.name);
        assert_eq!(weights.len(), record.hashes.len() * 32, "{}", format.name);
        for (i, (weights, &expected)) in weights.chunks_exact(32).zip(&record.hashes).enumerate() {
            let first = i * 32;
            assert_eq!(
                hash(weights),
                expected,
                "{}: weights {first}.. (block {}) are not the reference's: {weights:?}",
                format.name,
                first / format.block_len,
            );
        }
    }
    let known = |r: &&Record| formats::by_name(r.name).is_some();
    assert_eq!(golden.iter().filter(known).count(), golden.len(), "a fixture has no row in the table");
}

#[test]
fn parts_give_the_decoded_weights() {
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    for &format in TABLE {
        let mut block = vec![0; format.block_bytes];
        for _ in 0..10_000 {
            block.fill_with(|| random.next_byte());
            check_parts(format, &block);
        }
    }
    for record in read_golden(include_bytes!("golden/formats.bin")) {
        let format = formats::by_name(record.name).expect("the other test says so");
        record.blocks.chunks_exact(format.block_bytes).for_each(|block| check_parts(format, block));
    }
}

fn check_parts(format: Format, block: &[u8]) {
    let Packing::Quantised { layout, take_apart } = format.packing else { return };
    let mut weights = vec![0.0; format.block_len];
    (format.decode)(block, &mut weights);
    // Parts are reused from block to block, so what one leaves behind must not matter.
    let mut parts =
        BlockParts { codes: [255; 256], d: 0x7e00, dmin: 0x7e00, scales: [-1; 16], mins: [255; 16] };
    take_apart(block, &mut parts);
    for (k, &weight) in weights.iter().enumerate() {
        if let Codes::Linear { bits, .. } = layout.codes {
            assert!(u32::from(parts.codes[k]) < 1 << bits, "{}: code {k} of {block:02x?}", format.name);
        }
        assert_eq!(
            bits(layout.weight(&parts, k)),
            bits(weight),
            "{} in layout {}: weight {k} of block {block:02x?}",
            format.name,
            layout.name,
        );
    }
}

/// The bit pattern of a number, the same for every NaN.
fn bits(weight: f32) -> u32 {
    if weight.is_nan() { 0x7fc0_0000 } else { weight.to_bits() }
}

/// FNV-1a over the bit patterns.
fn hash(weights: &[f32]) -> u64 {
    let bytes = weights.iter().flat_map(|&w| bits(w).to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What the fixture says of one format.
struct Record<'a> {
    name: &'a str,
    ggml_type: u32,
    block_len: usize,
    block_bytes: usize,
    blocks: &'a [u8],
    hashes: Vec<u64>,
}

fn read_golden(mut file: &[u8]) -> Vec<Record<'_>> {
    let count = take_u32(&mut file);
    let records = (0..count).map(|_| read_record(&mut file)).collect();
    assert!(file.is_empty(), "the fixture was read to its end");
    records
}

fn read_record<'a>(file: &mut &'a [u8]) -> Record<'a> {
    let name_len = usize::from(take(file, 1)[0]);
    let name = std::str::from_utf8(take(file, name_len)).unwrap();
    let ggml_type = take_u32(file);
    let [block_len, block_bytes, blocks] = [(); 3].map(|()| take_u32(file) as usize);
    let bytes = take(file, blocks * block_bytes);
    let hashes = take(file, blocks * block_len / 32 * 8);
    let hashes = hashes.chunks_exact(8).map(|h| u64::from_le_bytes(h.try_into().unwrap())).collect();
    Record { name, ggml_type, block_len, block_bytes, blocks: bytes, hashes }
}

fn take_u32(file: &mut &[u8]) -> u32 {
    u32::from_le_bytes(take(file, 4).try_into().unwrap())
}

fn take<'a>(file: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = file.split_at(count);
    *file = rest;
    taken
}

struct XorShift(u64);

impl XorShift {
    fn next_byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u8
    }
}
