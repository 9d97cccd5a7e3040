//! Activations: the right-hand side of a matrix product, quantised to int8 in groups of 32.
//!
//! ```text
//! tokens in blocks as `Blocks` says; a block of M tokens is a run of groups:
//!   codes:  { 8 quads x [M][4] signed bytes | scales: M f32 } for each group of 32 k
//!           { [M][32] signed bytes          | scales: M f32 }                          for a matrix unit
//!   wide:   { 8 quads x [M][k0, k2, k1, k3] i16 }            where 8-bit weights need it
//!   sums:   { [halves][M] }                                  one array for each kind in `SUM_KINDS`
//! ```
//!
//! A code is round(x * 127 / max|x|) of its group, ties to even; its scale is max|x| / 127. The sums serve
//! the zero points and minimums of the weights. What a token's row holds depends on that row alone.

use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::formats::{Float, Format, Packing};
use crate::isa::Isa;
use crate::layout::{Codes, Layout, Scales};
use crate::matrix::GROUP;
use crate::share::Shared;
use crate::simd::{MatrixUnit, Op, Simd};
use std::ops::Range;

/// A kind of correction that a packed layout needs from the activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SumKind {
    /// `Some(z)`: -z times the sum of the codes, as i32. `None`: the sum, as f32.
    zero_point: Option<u8>,
    /// One sum for each 16 values of k instead of one for 32.
    halves: bool,
}

impl SumKind {
    /// What is stored for a sum of codes.
    #[inline(always)]
    fn bits(&self, sum: f32) -> u32 {
        match self.zero_point {
            Some(zero_point) => (sum as i32 * -i32::from(zero_point)).cast_unsigned(),
            None => sum.to_bits(),
        }
    }
}

/// The kinds with `halves`, a bit each.
const HALVES_MASK: u8 = {
    let (mut mask, mut i) = (0, 0);
    while i < SUM_KINDS.len() {
        mask |= (SUM_KINDS[i].halves as u8) << i;
        i += 1;
    }
    mask
};

const SUM_KINDS: [SumKind; 7] = [
    SumKind { zero_point: Some(8), halves: false },
    SumKind { zero_point: Some(16), halves: false },
    SumKind { zero_point: Some(128), halves: false },
    SumKind { zero_point: None, halves: false },
    SumKind { zero_point: Some(4), halves: true },
    SumKind { zero_point: Some(32), halves: true },
    SumKind { zero_point: None, halves: true },
];

/// Bytes of a token's part of a group: 32 codes and a scale.
pub(crate) const RECORD: usize = GROUP + 4;

/// Bytes after the last codes that a matrix unit may read: it takes a full block's.
pub(crate) const UNIT_BEYOND: usize = 16 * GROUP;

/// What the matrices that will be multiplied with the activations need of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    sums: u8,
    wide: bool,
    codes: bool,
    float: bool,
}

impl Needs {
    /// What a matrix of this format needs.
    pub fn of(cpu: &Cpu, format: Format) -> Needs {
        match &format.packing {
            Packing::Float(Float::F32 | Float::F16 | Float::Bf16) => {
                Needs { float: true, ..Needs::default() }
            }
            Packing::Quantised { layout, .. } => Needs {
                sums: 1 << sum_kind(layout),
                wide: is_8bit(layout) && cpu.isa() == Isa::Avx2,
                codes: true,
                float: false,
            },
        }
    }

    /// What both need.
    pub fn and(self, other: Needs) -> Needs {
        Needs {
            sums: self.sums | other.sums,
            wide: self.wide | other.wide,
            codes: self.codes | other.codes,
            float: self.float | other.float,
        }
    }
}

/// Whether the codes of a layout, looked up if need be, go up to 255.
pub(crate) fn is_8bit(layout: &Layout) -> bool {
    matches!(layout.codes, Codes::Table(_) | Codes::Linear { bits: 8, .. })
}

/// The index of the layout's kind of sums.
pub(crate) fn sum_kind(layout: &Layout) -> usize {
    let kind = SumKind { zero_point: zero_point(layout), halves: layout.group_len < GROUP };
    SUM_KINDS.iter().position(|k| *k == kind).expect("every layout's kind of sums is in the list")
}

/// What is subtracted from the layout's codes, unless they have minimums.
pub(crate) fn zero_point(layout: &Layout) -> Option<u8> {
    match (layout.scales, &layout.codes) {
        (Scales::F16Min | Scales::SuperMin, _) => None,
        (_, Codes::Linear { zero_point, .. }) => Some(*zero_point),
        (_, Codes::Table(_)) => Some(128),
    }
}

/// Quantised rows of activations; a buffer that is filled again and again.
#[derive(Debug, Default)]
pub struct Activations {
    rows: usize,
    columns: usize,
    blocks: Blocks,
    needs: Needs,
    /// A full block of a matrix unit starts with a cache line.
    pub(crate) codes: Buffer<u8>,
    pub(crate) wide: Vec<i16>,
    pub(crate) sums: [Vec<u32>; SUM_KINDS.len()],
    pub(crate) float: Vec<f32>,
}

impl Activations {
    /// Makes room for `rows` rows of `columns` numbers, whose contents are then undefined.
    pub fn resize(&mut self, cpu: &Cpu, rows: usize, columns: usize, needs: Needs) {
        assert!(
            !needs.codes || columns.is_multiple_of(GROUP),
            "quantised rows are whole groups, not {columns}"
        );
        *self = Activations {
            rows,
            columns,
            blocks: cpu.dispatch(BlocksOf),
            needs,
            codes: std::mem::take(&mut self.codes),
            wide: std::mem::take(&mut self.wide),
            sums: std::mem::take(&mut self.sums),
            float: std::mem::take(&mut self.float),
        };
        let groups = rows * columns / GROUP;
        let bytes = if needs.codes { groups * RECORD + UNIT_BEYOND } else { 0 };
        if self.codes.len() < bytes {
            self.codes = Buffer::zeroed(bytes.next_power_of_two());
        }
        grow(&mut self.wide, if needs.wide { groups * GROUP } else { 0 });
        for (i, kind) in SUM_KINDS.iter().enumerate() {
            let each = if kind.halves { 2 } else { 1 };
            grow(&mut self.sums[i], if needs.sums >> i & 1 == 1 { groups * each } else { 0 });
        }
        grow(&mut self.float, if needs.float { rows * columns } else { 0 });
    }

    /// Tokens.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers a token.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How the tokens are cut.
    pub(crate) fn blocks(&self) -> Blocks {
        self.blocks
    }

    /// Quantises `x`, `[rows][columns]`, on all threads.
    pub fn quantize(&mut self, cpu: &Cpu, x: &[f32], columns: usize, needs: Needs) {
        let rows = x.len() / columns;
        assert_eq!(x.len(), rows * columns);
        self.resize(cpu, rows, columns, needs);
        let writer = self.writer();
        let units = unit_count(cpu, rows);
        cpu.run(units.count, |unit| {
            for row in units.range(unit) {
                writer.put_row(cpu, row, &x[row * columns..][..columns]);
            }
        });
    }

    /// For operations that fill rows from several threads.
    pub(crate) fn writer(&mut self) -> Writer<'_> {
        let (rows, columns, blocks, needs) = (self.rows, self.columns, self.blocks, self.needs);
        Writer {
            rows,
            columns,
            blocks,
            needs,
            codes: Shared::new(&mut self.codes),
            wide: Shared::new(&mut self.wide),
            sums: self.sums.each_mut().map(|sums| Shared::new(sums)),
            float: Shared::new(&mut self.float),
        }
    }
}

fn grow<T: Clone + Default>(v: &mut Vec<T>, len: usize) {
    if v.len() < len {
        v.resize(len, T::default());
    }
}

/// How tokens are cut into blocks: those of a matrix unit, if there is one, the last of which may be smaller; what is left
/// in those that vectors take; and what is left of these in powers of two, the largest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Blocks {
    unit: Option<MatrixUnit>,
    vectors: usize,
}

impl Blocks {
    /// For the vectors of an instruction set.
    pub(crate) const fn vectors<S: Simd>() -> Blocks {
        Blocks { unit: None, vectors: S::TOKENS_MAX }
    }

    /// For all that an instruction set has.
    pub(crate) const fn all<S: Simd>() -> Blocks {
        Blocks { unit: S::UNIT, vectors: S::TOKENS_MAX }
    }

    /// Tokens of a full block.
    pub(crate) fn full(self) -> usize {
        self.unit.map_or(self.vectors, |unit| unit.tokens_max)
    }

    /// The block that token `row` of `rows` is in.
    pub(crate) fn at(self, rows: usize, row: usize) -> Range<usize> {
        let mut start = row / self.full() * self.full();
        if let Some(unit) = self.unit
            && start + unit.tokens_min <= rows
        {
            return start..rows.min(start + unit.tokens_max);
        }
        start += (row - start) / self.vectors * self.vectors;
        if start + self.vectors <= rows {
            return start..start + self.vectors;
        }
        let mut size = self.vectors.next_power_of_two();
        loop {
            size /= 2;
            if start + size > rows {
                continue;
            }
            if row < start + size {
                return start..start + size;
            }
            start += size;
        }
    }

    /// Whether full blocks are a matrix unit's.
    pub(crate) fn are_of_a_unit(self) -> bool {
        self.unit.is_some()
    }

    /// Whether a block of so many tokens is the matrix unit's, token by token.
    pub(crate) fn is_unit_s(self, tokens: usize) -> bool {
        self.unit.is_some_and(|unit| tokens >= unit.tokens_min)
    }
}

/// Rows of tokens dealt out to threads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Units {
    pub(crate) count: usize,
    rows: usize,
    each: usize,
}

/// Cuts `rows` tokens into a few units for each thread.
pub(crate) fn unit_count(cpu: &Cpu, rows: usize) -> Units {
    let each = rows.div_ceil(4 * cpu.threads()).max(1);
    Units { count: rows.div_ceil(each), rows, each }
}

impl Units {
    pub(crate) fn range(&self, unit: usize) -> Range<usize> {
        unit * self.each..((unit + 1) * self.each).min(self.rows)
    }
}

/// Writes rows, or groups of rows, of `Activations`. Each group must be written by one thread only.
pub(crate) struct Writer<'a> {
    rows: usize,
    columns: usize,
    blocks: Blocks,
    needs: Needs,
    codes: Shared<'a, u8>,
    wide: Shared<'a, i16>,
    sums: [Shared<'a, u32>; SUM_KINDS.len()],
    float: Shared<'a, f32>,
}

/// Where a row of `Activations` lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The first token of its block.
    block: usize,
    /// Tokens of the block, and which of them it is.
    tokens: usize,
    token: usize,
    /// Whether the block's codes lie token by token.
    by_token: bool,
}

impl Writer<'_> {
    /// Where row `row` lies.
    pub(crate) fn row(&self, row: usize) -> Row {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let Range { start, end } = self.blocks.at(self.rows, row);
        let tokens = end - start;
        Row { block: start, tokens, token: row - start, by_token: self.blocks.is_unit_s(tokens) }
    }

    /// Quantises one whole row.
    pub(crate) fn put_row(&self, cpu: &Cpu, row: usize, x: &[f32]) {
        assert_eq!(x.len(), self.columns);
        cpu.dispatch(PutRow { to: self, row, x });
    }

    /// Quantises the groups of `row` that start with number `first`, a multiple of 32.
    #[inline(always)]
    pub(crate) fn put_groups<S: Simd>(&self, s: S, row: Row, first: usize, x: &[f32]) {
        assert!(first + x.len() <= self.columns);
        if self.needs.float {
            // SAFETY: this row's numbers are written by this thread only.
            unsafe { self.float.slice((row.block + row.token) * self.columns + first, x.len()) }
                .copy_from_slice(x);
        }
        if !self.needs.codes {
            return;
        }
        assert!(first.is_multiple_of(GROUP) && x.len().is_multiple_of(GROUP));
        let groups = self.columns / GROUP;
        for (i, x) in x.chunks_exact(GROUP).enumerate() {
            // Groups before this one in token-groups: those of the blocks before, then those of this block.
            let before = row.block * groups + (first / GROUP + i) * row.tokens;
            // SAFETY: the group is one of this row's, and this thread alone writes it.
            unsafe { self.put_group(s, x, before, row) };
        }
    }

    /// Quantises one group of a row; `before` token-groups lie before those of the row's block.
    #[inline(always)]
    unsafe fn put_group<S: Simd>(&self, s: S, x: &[f32], before: usize, row: Row) {
        let Row { tokens, token, .. } = row;
        let mut codes = [0i8; GROUP];
        // SAFETY: `x` has 32 numbers, `codes` room for 32; `pointer` checks the start of each range, which
        // ends within the block's part.
        unsafe {
            let (low, high) = (s.load(x.as_ptr()), s.load(x.as_ptr().add(16)));
            let most = s.max_lane(s.max(s.abs(low), s.abs(high)));
            let inverse = s.splat(if most > 0.0 { 127.0 / most } else { 0.0 });
            let (top, bottom) = (s.splat(127.0), s.splat(-127.0));
            let low = s.round(s.min(s.max(s.mul(low, inverse), bottom), top));
            let high = s.round(s.min(s.max(s.mul(high, inverse), bottom), top));
            s.store_i8(low, codes.as_mut_ptr());
            s.store_i8(high, codes.as_mut_ptr().add(16));
            let record = self.codes.pointer(before * RECORD);
            if row.by_token {
                record.add(token * GROUP).cast::<[i8; GROUP]>().write(codes);
            } else {
                for (quad, codes) in codes.as_chunks::<4>().0.iter().enumerate() {
                    record.add((quad * tokens + token) * 4).cast::<[i8; 4]>().write(*codes);
                }
            }
            record.add(GROUP * tokens + 4 * token).cast::<f32>().write_unaligned(most / 127.0);
            if self.needs.wide {
                self.put_wide(before, tokens, token, &codes);
            }
            self.put_sums(s, before, tokens, token, [s.to_float(low), s.to_float(high)]);
        }
    }

    unsafe fn put_wide(&self, before: usize, tokens: usize, token: usize, codes: &[i8; GROUP]) {
        let wide = self.wide.pointer(before * GROUP);
        for (quad, c) in codes.as_chunks::<4>().0.iter().enumerate() {
            let quad_wide = [c[0], c[2], c[1], c[3]].map(i16::from);
            // SAFETY: within the group's part, as in `put_group`.
            unsafe { wide.add((quad * tokens + token) * 4).cast::<[i16; 4]>().write_unaligned(quad_wide) };
        }
    }

    /// Writes what the layouts need of the sums of the codes, which are whole numbers below 2^13, exact in f32.
    #[inline(always)]
    unsafe fn put_sums<S: Simd>(
        &self,
        s: S,
        before: usize,
        tokens: usize,
        token: usize,
        [low, high]: [S::F; 2],
    ) {
        let (whole, halves) = (s.sum(s.add(low, high)), self.needs.sums & HALVES_MASK != 0);
        let half = if halves { [s.sum(low), s.sum(high)] } else { [0.0; 2] };
        for (i, kind) in SUM_KINDS.iter().enumerate() {
            if self.needs.sums >> i & 1 == 0 {
                continue;
            }
            // SAFETY: within the group's part, as in `put_group`.
            unsafe {
                if kind.halves {
                    let at = self.sums[i].pointer(2 * before + token);
                    at.write(kind.bits(half[0]));
                    at.add(tokens).write(kind.bits(half[1]));
                } else {
                    self.sums[i].pointer(before + token).write(kind.bits(whole));
                }
            }
        }
    }
}

struct BlocksOf;

impl Op for BlocksOf {
    type Out = Blocks;
    const ON_UNIT: bool = true;

    #[inline(always)]
    fn eval<S: Simd>(self, _s: S) -> Blocks {
        Blocks::all::<S>()
    }
}

struct PutRow<'a, 'w> {
    to: &'a Writer<'w>,
    row: usize,
    x: &'a [f32],
}

impl Op for PutRow<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        self.to.put_groups(s, self.to.row(self.row), 0, self.x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_full_or_the_last_or_powers_of_two_and_cover_every_token_once() {
        let unit = MatrixUnit { tokens_max: 16, tokens_min: 9 };
        for (vectors, unit) in [(1, None), (4, None), (6, None), (8, None), (6, Some(unit))] {
            let blocks = Blocks { unit, vectors };
            for rows in 0..40 {
                let mut row = 0;
                while row < rows {
                    let block = blocks.at(rows, row);
                    let len = block.len();
                    assert!(block.start == row && len > 0 && len <= blocks.full());
                    let last_of_unit = blocks.is_unit_s(len) && block.end == rows;
                    assert!(
                        len == blocks.full() || len == vectors || len.is_power_of_two() || last_of_unit,
                        "{blocks:?} {rows} {block:?}"
                    );
                    assert!(
                        block.clone().all(|r| blocks.at(rows, r) == block),
                        "{blocks:?} {rows} {block:?}"
                    );
                    // A run that starts after a unit's blocks is cut by vectors alone.
                    if !blocks.is_unit_s(len) {
                        let from = row / blocks.full() * blocks.full();
                        let alone = Blocks { unit: None, vectors }.at(rows - from, row - from);
                        assert_eq!(alone, row - from..block.end - from);
                    }
                    row = block.end;
                }
                assert_eq!(row, rows);
            }
        }
    }
}
