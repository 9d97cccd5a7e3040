//! Reading the packed fields that several tensor formats share: f16 numbers, runs of small bit fields and
//! the six-bit scales of Q4_K and Q5_K. All multi-byte fields of GGUF blocks are little-endian here.

use half::f16;

/// The two bytes at `offset`.
pub(super) fn u16_at(block: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([block[offset], block[offset + 1]])
}

/// The f16 number at `offset`.
pub(super) fn f16_at(block: &[u8], offset: usize) -> f32 {
    f16::from_bits(u16_at(block, offset)).to_f32()
}

/// Unpacks fields of `bits` bits. They are stored in runs of `run` bytes: the lowest fields of all bytes of
/// a run come first, then their next higher fields, and so on. With `run` 1 that is a plain bit stream.
pub(super) fn fields<const N: usize>(bytes: &[u8], bits: u32, run: usize) -> [u8; N] {
    let per_byte = 8 / bits as usize;
    assert_eq!(bytes.len() * per_byte, N, "a whole number of bytes holds the fields");
    assert_eq!(bytes.len() % run, 0, "a whole number of runs holds the fields");
    let mask = (1u8 << bits) - 1;
    let mut out = [0; N];
    for (bytes, out) in bytes.chunks_exact(run).zip(out.chunks_exact_mut(run * per_byte)) {
        for (shift, out) in (0..).step_by(bits as usize).zip(out.chunks_exact_mut(run)) {
            for (out, byte) in out.iter_mut().zip(bytes) {
                *out = (byte >> shift) & mask;
            }
        }
    }
    out
}

/// Unpacks the 12 bytes that hold eight 6-bit scales (first result) and eight 6-bit minimums (second).
///
/// Bytes 0–3 hold scales 0–3 and bytes 4–7 minimums 0–3 in their low six bits. The last four have their low
/// four bits in bytes 8–11 (scale low, minimum high) and their high two bits on top of bytes 0–3 and 4–7.
pub(super) fn scales_and_mins(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut mins) = ([0; 8], [0; 8]);
    for i in 0..4 {
        let (scale, min, low) = (packed[i], packed[i + 4], packed[i + 8]);
        scales[i] = scale & 0x3f;
        mins[i] = min & 0x3f;
        scales[i + 4] = (low & 0x0f) | ((scale >> 6) << 4);
        mins[i + 4] = (low >> 4) | ((min >> 6) << 4);
    }
    (scales, mins)
}
