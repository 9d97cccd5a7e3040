//! Packed matrices: the weights of a linear layer, interleaved once at load for one micro-kernel.
//!
//! ```text
//! tile of 16 rows, then the next tile; within a tile, k runs forward:
//!   blocks of 32:  { codes of 32 k | d: 16 f16 | F16Min: dmin: 16 f16 } ...            (E8m0: 16 bf16)
//!   blocks of 256: { d: 16 f16 | SuperMin: dmin: 16 f16 | 8 x { codes | scales: 16 bytes a group | mins } } ...
//!   plain numbers: { 16 f32, f16 or bf16 } for each k
//! ```
//!
//! The rows of the last tile that the matrix does not have are zeros.

use crate::buffer::Buffer;
use crate::codes;
use crate::cpu::Cpu;
use crate::formats::{BlockParts, Float, Format, Packing};
use crate::layout::{Layout, Scales};
use crate::share::Shared;
use crate::simd::LANES;

/// Values of k whose codes lie together.
pub const GROUP: usize = 32;
/// Values of k in a block of 256 with common scales.
const SUPER: usize = 256;

/// A packed matrix of `rows` x `columns` numbers: y = W x has `rows` elements, `x` has `columns`.
#[derive(Debug)]
pub struct Matrix {
    format: Format,
    rows: usize,
    columns: usize,
    tile_bytes: usize,
    data: Buffer<u8>,
}

impl Matrix {
    /// Packs `bytes`, which hold `rows` rows of `columns` numbers each in `format`, on all threads.
    ///
    /// # Panics
    /// If the sizes do not fit: rows and columns are checked by whoever read them from a file.
    pub fn pack(cpu: &Cpu, format: Format, rows: usize, columns: usize, bytes: &[u8]) -> Matrix {
        assert_eq!(columns % format.block_len, 0, "a row of {} holds whole blocks", format.name);
        let row_bytes = columns / format.block_len * format.block_bytes;
        assert_eq!(bytes.len(), rows * row_bytes, "{rows} rows of {columns} {} numbers", format.name);
        let tile_bytes = tile_bytes(format, columns);
        let tiles = rows.div_ceil(LANES);
        let mut data = Buffer::zeroed(tiles * tile_bytes);
        let shared = Shared::new(&mut data);
        cpu.run(tiles, |tile| {
            // SAFETY: each tile is one unit's.
            let out = unsafe { shared.slice(tile * tile_bytes, tile_bytes) };
            let first = tile * LANES;
            for row in first..rows.min(first + LANES) {
                pack_row(format, columns, &bytes[row * row_bytes..][..row_bytes], row - first, out);
            }
        });
        Matrix { format, rows, columns, tile_bytes, data }
    }

    /// The format that the matrix was packed from.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Rows: elements of the product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: elements of the vector it is multiplied with.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes in memory, all of which a product with one token reads.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Decodes one row, to the same bits as the format's own `decode`.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(out.len(), self.columns);
        let tile = self.tile(row / LANES);
        match &self.format.packing {
            Packing::Float(float) => read_float_row(*float, tile, row % LANES, out),
            Packing::Quantised { layout, .. } => read_quantised_row(layout, tile, row % LANES, out),
        }
    }

    pub(crate) fn tiles(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    pub(crate) fn tile(&self, tile: usize) -> &[u8] {
        &self.data[tile * self.tile_bytes..][..self.tile_bytes]
    }
}

/// Where the parts of a group are, within its block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupPlace {
    /// Offset of the block's f16 scales in the tile; the minimums follow after 32 bytes.
    pub(crate) d: usize,
    /// Offset of the codes.
    pub(crate) codes: usize,
    /// Offset of the byte scales, if any; the minimums follow.
    pub(crate) scales: usize,
}

/// Where group `g` (32 values of k) of a tile is.
pub(crate) fn group_place(layout: &Layout, g: usize) -> GroupPlace {
    let codes_bytes = codes::group_bytes(layout);
    let stride = group_stride(layout);
    match layout.scales {
        Scales::F16 | Scales::F16Min | Scales::E8m0 => {
            let codes = g * stride;
            GroupPlace { d: codes + codes_bytes, codes, scales: 0 }
        }
        Scales::Super | Scales::SuperMin => {
            let header = header_bytes(layout);
            let d = g / 8 * (header + 8 * stride);
            let codes = d + header + g % 8 * stride;
            GroupPlace { d, codes, scales: codes + codes_bytes }
        }
    }
}

/// Bytes before the groups of a block of 256.
pub(crate) fn header_bytes(layout: &Layout) -> usize {
    match layout.scales {
        Scales::F16 | Scales::F16Min | Scales::E8m0 => 0,
        Scales::Super => 32,
        Scales::SuperMin => 64,
    }
}

/// Bytes from one group to the next within a block.
pub(crate) fn group_stride(layout: &Layout) -> usize {
    let halves = GROUP / layout.group_len;
    codes::group_bytes(layout)
        + match layout.scales {
            Scales::F16 | Scales::E8m0 => 32,
            Scales::F16Min => 64,
            Scales::Super => 16 * halves,
            Scales::SuperMin => 32 * halves,
        }
}

fn tile_bytes(format: Format, columns: usize) -> usize {
    match &format.packing {
        Packing::Float(Float::F32) => columns * LANES * 4,
        Packing::Float(Float::F16 | Float::Bf16) => columns * LANES * 2,
        Packing::Quantised { layout, .. } => {
            assert_eq!(columns % block_len(layout), 0, "blocks of {}", layout.name);
            columns / GROUP * group_stride(layout) + columns / SUPER * header_bytes(layout)
        }
    }
}

fn block_len(layout: &Layout) -> usize {
    if header_bytes(layout) == 0 { GROUP } else { SUPER }
}

/// Puts one row's blocks into a tile.
fn pack_row(format: Format, columns: usize, bytes: &[u8], row: usize, tile: &mut [u8]) {
    let (layout, take_apart) = match &format.packing {
        Packing::Float(float) => {
            let size = if *float == Float::F32 { 4 } else { 2 };
            for (k, number) in bytes.chunks_exact(size).enumerate() {
                tile[(k * LANES + row) * size..][..size].copy_from_slice(number);
            }
            return;
        }
        Packing::Quantised { layout, take_apart } => (*layout, *take_apart),
    };
    let mut parts = BlockParts::default();
    for block in 0..columns / format.block_len {
        take_apart(&bytes[block * format.block_bytes..][..format.block_bytes], &mut parts);
        pack_block(layout, &parts, block * format.block_len / GROUP, format.block_len / GROUP, row, tile);
    }
}

fn pack_block(layout: &Layout, parts: &BlockParts, first: usize, groups: usize, row: usize, tile: &mut [u8]) {
    let halves = GROUP / layout.group_len;
    for g in 0..groups {
        let place = group_place(layout, first + g);
        codes::put_row(layout, &mut tile[place.codes..], row, &parts.codes[g * GROUP..][..GROUP]);
        let d = if layout.scales == Scales::E8m0 { e8m0_as_bf16(parts.scales[0] as u8) } else { parts.d };
        tile[place.d + 2 * row..][..2].copy_from_slice(&d.to_le_bytes());
        if matches!(layout.scales, Scales::F16Min | Scales::SuperMin) {
            tile[place.d + 32 + 2 * row..][..2].copy_from_slice(&parts.dmin.to_le_bytes());
        }
        if matches!(layout.scales, Scales::Super | Scales::SuperMin) {
            for half in 0..halves {
                tile[place.scales + 16 * half + row] = parts.scales[g * halves + half] as u8;
                if layout.scales == Scales::SuperMin {
                    tile[place.scales + 16 * (halves + half) + row] = parts.mins[g * halves + half];
                }
            }
        }
    }
}

/// 2^(e - 128) as bf16 bits, denormal below 2^-126: E8M0 exponents have no zero.
fn e8m0_as_bf16(e: u8) -> u16 {
    match e {
        0 => 0x0020,
        1 => 0x0040,
        e => u16::from(e - 1) << 7,
    }
}

fn read_float_row(float: Float, tile: &[u8], row: usize, out: &mut [f32]) {
    let half = |k: usize| u16::from_le_bytes([tile[(k * LANES + row) * 2], tile[(k * LANES + row) * 2 + 1]]);
    for (k, out) in out.iter_mut().enumerate() {
        *out = match float {
            Float::F32 => {
                let at = (k * LANES + row) * 4;
                f32::from_le_bytes(tile[at..at + 4].try_into().expect("4 bytes"))
            }
            Float::F16 => half::f16::from_bits(half(k)).to_f32(),
            Float::Bf16 => half::bf16::from_bits(half(k)).to_f32(),
        };
    }
}

fn read_quantised_row(layout: &Layout, tile: &[u8], row: usize, out: &mut [f32]) {
    let halves = GROUP / layout.group_len;
    let half_at = |at: usize| u16::from_le_bytes([tile[at + 2 * row], tile[at + 2 * row + 1]]);
    let mut parts = BlockParts::default();
    for (g, out) in out.chunks_exact_mut(GROUP).enumerate() {
        let place = group_place(layout, g);
        parts.d = half_at(place.d);
        if matches!(layout.scales, Scales::F16Min | Scales::SuperMin) {
            parts.dmin = half_at(place.d + 32);
        }
        if matches!(layout.scales, Scales::Super | Scales::SuperMin) {
            for half in 0..halves {
                parts.scales[half] = tile[place.scales + 16 * half + row] as i8;
            }
        }
        if layout.scales == Scales::SuperMin {
            for half in 0..halves {
                parts.mins[half] = tile[place.scales + 16 * (halves + half) + row];
            }
        }
        for (k, out) in out.iter_mut().enumerate() {
            parts.codes[k] = codes::get(layout, &tile[place.codes..], row, k);
            *out = match layout.scales {
                Scales::E8m0 => {
                    half::bf16::from_bits(parts.d).to_f32() * f32::from(layout.value(parts.codes[k]))
                }
                _ => layout.weight(&parts, k),
            };
        }
    }
}
