//! Bit planes: how the codes of a group (16 rows x 32 values of k) are stored, for each code width.
//!
//! A *quad* is 4 consecutive values of k, one byte a code, for 16 rows: 64 bytes, `[row][k]`. A group has 8.
//!
//! ```text
//! 4-bit plane, 256 bytes: quad q in the low halves of bytes [64 (q % 4) ..], for q < 4, in the high halves from 4 on
//! 2-bit plane, 128 bytes: quad q in bits 2 (q / 2) .. of bytes [64 (q % 2) ..]
//! 1-bit plane,  64 bytes: quad q in bit q
//! ```
//!
//! 5 bits are the 4-bit plane and a 1-bit plane, 6 bits the 4-bit and a 2-bit plane, 3 bits the 2-bit and a
//! 1-bit plane, 8 bits one byte a code. So every instruction set unpacks with loads, shifts and masks only.

use crate::layout::{Codes, Layout};
use crate::simd::{CodePlanes, Simd};

/// Bytes of the bit planes of a group.
pub(crate) fn group_bytes(layout: &Layout) -> usize {
    match layout.codes {
        Codes::Linear { bits, .. } => 64 * usize::from(bits),
        Codes::Table(_) => 64 * 4,
    }
}

/// Writes the 32 codes of one row of a group.
pub(crate) fn put_row(layout: &Layout, group: &mut [u8], row: usize, codes: &[u8]) {
    let quads: [u32; 8] = std::array::from_fn(|q| {
        u32::from_le_bytes(codes[4 * q..4 * q + 4].try_into().expect("a quad has 4 codes"))
    });
    let mut put = |at: usize, word: u32| group[at + row * 4..][..4].copy_from_slice(&word.to_le_bytes());
    // Codes are below 2^bits, so the shifted bytes of a word never run into each other.
    let low = |q: usize, bits: u32| quads[q] & (0x0101_0101 * ((1 << bits) - 1));
    let high = |q: usize, from: u32| quads[q] >> from & (0x0101_0101 * (255 >> from));
    let mut plane4 = |bits: u32| (0..4).for_each(|q| put(64 * q, low(q, bits) | low(q + 4, bits) << 4));
    match bits(layout) {
        4 => plane4(4),
        5 => {
            plane4(4);
            put(256, (0..8).fold(0, |word, q| word | high(q, 4) << q));
        }
        6 => {
            plane4(4);
            (0..2).for_each(|i| {
                put(256 + 64 * i, (0..4).fold(0, |word, j| word | high(i + 2 * j, 4) << (2 * j)))
            });
        }
        8 => (0..8).for_each(|q| put(64 * q, quads[q])),
        narrow => {
            (0..2).for_each(|i| put(64 * i, (0..4).fold(0, |word, j| word | low(i + 2 * j, 2) << (2 * j))));
            if narrow == 3 {
                put(128, (0..8).fold(0, |word, q| word | high(q, 2) << q));
            }
        }
    }
}

/// Reads one code of what `put_row` wrote.
pub(crate) fn get(layout: &Layout, group: &[u8], row: usize, k: usize) -> u8 {
    let (quad, byte) = (k / 4, row * 4 + k % 4);
    let plane4 = |plane: &[u8]| plane[64 * (quad % 4) + byte] >> (4 * (quad / 4)) & 15;
    let plane2 = |plane: &[u8]| plane[64 * (quad % 2) + byte] >> (2 * (quad / 2)) & 3;
    let plane1 = |plane: &[u8]| plane[byte] >> quad & 1;
    match bits(layout) {
        2 => plane2(group),
        3 => plane2(&group[..128]) | plane1(&group[128..]) << 2,
        4 => plane4(group),
        5 => plane4(&group[..256]) | plane1(&group[256..]) << 4,
        6 => plane4(&group[..256]) | plane2(&group[256..]) << 4,
        8 => group[64 * quad + byte],
        bits => unreachable!("no layout has {bits}-bit codes"),
    }
}

fn bits(layout: &Layout) -> u8 {
    match layout.codes {
        Codes::Linear { bits, .. } => bits,
        Codes::Table(_) => 4,
    }
}

#[inline(always)]
unsafe fn quad4<S: Simd, const Q: usize>(s: S, plane: *const u8) -> S::B {
    // SAFETY: the 4-bit plane has 4 x 64 bytes.
    let bytes = unsafe { s.load_bytes(plane.add(64 * (Q % 4))) };
    if Q < 4 { s.and(bytes, 15) } else { s.and(s.shr(bytes, 4), 15) }
}

/// The codes' bits of a 2-bit plane, moved to bit `AT` (0 or 4).
#[inline(always)]
unsafe fn quad2<S: Simd, const Q: usize, const AT: u32>(s: S, plane: *const u8) -> S::B {
    let from = 2 * (Q as u32 / 2);
    // SAFETY: the 2-bit plane has 2 x 64 bytes.
    let bytes = unsafe { s.load_bytes(plane.add(64 * (Q % 2))) };
    let moved = if from >= AT { s.shr(bytes, from - AT) } else { s.shl(bytes, AT - from) };
    s.and(moved, 3 << AT)
}

/// The codes' bit of a 1-bit plane, moved to bit `AT` (2 or 4).
#[inline(always)]
unsafe fn quad1<S: Simd, const Q: usize, const AT: u32>(s: S, plane: *const u8) -> S::B {
    let from = Q as u32;
    // SAFETY: the 1-bit plane has 64 bytes.
    let bytes = unsafe { s.load_bytes(plane) };
    let moved = if from >= AT { s.shr(bytes, from - AT) } else { s.shl(bytes, AT - from) };
    s.and(moved, 1 << AT)
}

macro_rules! planes {
    ($(#[$doc:meta] $name:ident, $bits:literal, $bytes:literal, |$s:ident, $group:ident, $q:ident| $quad:expr;)*) => {$(
        #[$doc]
        pub(crate) struct $name;

        impl CodePlanes for $name {
            const BITS: u32 = $bits;
            const GROUP_BYTES: usize = $bytes;

            #[inline(always)]
            unsafe fn quad<S: Simd, const $q: usize>($s: S, $group: *const u8) -> S::B {
                // SAFETY: the planes lie one after the other in the group's bytes.
                unsafe { $quad }
            }
        }
    )*};
}

planes! {
    /// 2-bit codes.
    Bits2, 2, 128, |s, group, Q| quad2::<S, Q, 0>(s, group);
    /// 3-bit codes.
    Bits3, 3, 192, |s, group, Q| s.or(quad2::<S, Q, 0>(s, group), quad1::<S, Q, 2>(s, group.add(128)));
    /// 4-bit codes.
    Bits4, 4, 256, |s, group, Q| quad4::<S, Q>(s, group);
    /// 5-bit codes.
    Bits5, 5, 320, |s, group, Q| s.or(quad4::<S, Q>(s, group), quad1::<S, Q, 4>(s, group.add(256)));
    /// 6-bit codes.
    Bits6, 6, 384, |s, group, Q| s.or(quad4::<S, Q>(s, group), quad2::<S, Q, 4>(s, group.add(256)));
    /// 8-bit codes.
    Bits8, 8, 512, |s, group, Q| s.load_bytes(group.add(64 * Q));
    /// 4-bit indices into the table of IQ4_NL and IQ4_XS, as codes up to 255.
    TableIq4, 8, 256, |s, group, Q| s.lookup(IQ4_CODES.as_ptr(), quad4::<S, Q>(s, group));
    /// 4-bit indices into the table of MXFP4, as codes up to 255.
    TableMxfp4, 8, 256, |s, group, Q| s.lookup(MXFP4_CODES.as_ptr(), quad4::<S, Q>(s, group));
}

/// A table's signed values as codes with a zero point of 128.
pub(crate) const fn table_codes(values: &[i8; 16]) -> [u8; 16] {
    let mut codes = [0; 16];
    let mut i = 0;
    while i < 16 {
        codes[i] = (values[i] as i16 + 128) as u8;
        i += 1;
    }
    codes
}

static IQ4_CODES: [u8; 16] = table_codes(&crate::layout::IQ4_VALUES);
static MXFP4_CODES: [u8; 16] = table_codes(&crate::layout::MXFP4_VALUES);
