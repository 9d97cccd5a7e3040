//! The table of instruction sets: one file each, all behind the trait [`Simd`].
//!
//! A kernel is written once, over `S: Simd`, as an [`Op`]; [`dispatch`] compiles it for every instruction
//! set and picks one at run time. A value of an instruction set's type proves that the processor has it:
//! only `detect` makes one.
//!
//! Invariant: every method gives the same bits on every instruction set. Sums over lanes have one fixed order.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod scalar;

use crate::isa::Isa;

/// f32 lanes in a vector, and rows in a tile of a packed matrix.
pub(crate) const LANES: usize = 16;

/// Vectors of 16 lanes of an instruction set.
///
/// # Safety
/// The pointer methods read or write as many elements as their comment says, from any alignment.
/// A value of an implementing type exists only on a processor that has the instructions.
pub(crate) unsafe trait Simd: Copy + Send + Sync + 'static {
    /// 16 f32.
    type F: Copy;
    /// 16 i32.
    type I: Copy;
    /// 64 bytes: 4 consecutive values of k for each of 16 rows.
    type B: Copy;

    /// Tokens that one call of the matrix kernel computes together: what the registers hold.
    const TOKENS_MAX: usize;
    /// Whether the registers hold the sums of two tiles with `TOKENS_MAX` tokens.
    const TWO_TILES: bool;
    /// Query rows that one call of the attention kernel computes together.
    const QUERIES_MAX: usize;
    /// Whether products of 8-bit codes need the activations widened to 16 bits (see `dot8`).
    const WIDE_8BIT: bool;
    /// The processor's matrix unit, if it has one: then all the methods `unit_*` are there.
    const UNIT: Option<MatrixUnit> = None;

    fn splat(self, x: f32) -> Self::F;
    /// Reads 16 f32.
    unsafe fn load(self, from: *const f32) -> Self::F;
    /// Writes 16 f32.
    unsafe fn store(self, x: Self::F, to: *mut f32);
    /// Reads 16 f16.
    unsafe fn load_f16(self, from: *const u16) -> Self::F;
    /// Writes 16 f16, rounded to nearest even.
    unsafe fn store_f16(self, x: Self::F, to: *mut u16);
    /// Reads 16 bf16.
    unsafe fn load_bf16(self, from: *const u16) -> Self::F;
    /// Reads 16 signed bytes as numbers.
    unsafe fn load_i8(self, from: *const i8) -> Self::F;
    /// Reads 16 unsigned bytes as numbers.
    unsafe fn load_u8(self, from: *const u8) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a * b + c, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// c - a * b, rounded once.
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// a > b ? a : b, so b where one is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// a < b ? a : b, so b where one is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    fn abs(self, a: Self::F) -> Self::F;
    /// Rounds to the nearest integer, ties to even. The values fit in an i32.
    fn round(self, a: Self::F) -> Self::I;
    /// 2^n for integers n in -127..=128 (0 at -127, infinity at 128).
    fn exp2i(self, n: Self::I) -> Self::F;

    fn to_float(self, a: Self::I) -> Self::F;
    fn splat_i32(self, x: i32) -> Self::I;
    /// Reads 16 i32.
    unsafe fn load_i32(self, from: *const i32) -> Self::I;
    /// The low bytes of the lanes, which lie in -128..=127. Writes 16 bytes.
    unsafe fn store_i8(self, a: Self::I, to: *mut i8);

    /// Reads 64 bytes.
    unsafe fn load_bytes(self, from: *const u8) -> Self::B;
    fn and(self, a: Self::B, mask: u8) -> Self::B;
    fn or(self, a: Self::B, b: Self::B) -> Self::B;
    /// Shifts 16-bit units right; bits cross from a unit's high byte into its low one.
    fn shr(self, a: Self::B, bits: u32) -> Self::B;
    /// Shifts 16-bit units left.
    fn shl(self, a: Self::B, bits: u32) -> Self::B;
    /// Looks each byte, below 16, up in a table of 16 bytes.
    unsafe fn lookup(self, table: *const u8, index: Self::B) -> Self::B;

    /// Sums products over up to 8 quads of k, for T tiles and M tokens: for each quad, 4 codes of each row times
    /// the 4 activations of each token, `sums[t][m] += ...`. `acts` points at `[quad][M][4]` signed bytes.
    /// `C::quad` gives the codes; they are below 2^C::BITS <= 64.
    unsafe fn dot<C: CodePlanes, const T: usize, const M: usize>(
        self,
        groups: [*const u8; T],
        quads: QuadRange,
        acts: *const u8,
        sums: &mut [[Self::I; M]; T],
    );

    /// As `dot`, for codes up to 255. With `WIDE_8BIT` the activations are 16-bit: `[quad][M][k0, k2, k1, k3]`.
    unsafe fn dot8<C: CodePlanes, const T: usize, const M: usize>(
        self,
        groups: [*const u8; T],
        quads: QuadRange,
        acts: *const u8,
        sums: &mut [[Self::I; M]; T],
    );

    /// The fastest way to multiply 64 unsigned by 64 signed bytes and add to `sum`, which may wrap around in
    /// 16 bits: for measuring a processor's peak, not for results.
    fn multiply_bytes(self, sum: Self::I, a: Self::B, b: Self::B) -> Self::I;

    /// The sum of the lanes: halves are added to halves, 8 + 8, 4 + 4, 2 + 2, 1 + 1.
    fn sum(self, a: Self::F) -> f32;
    /// The largest lane; no lane is NaN.
    fn max_lane(self, a: Self::F) -> f32;
    /// Asks for the cache line at `at`, which may be any address.
    fn prefetch(self, at: *const u8);

    /// Gets this thread's matrix unit ready for groups whose scales are for 32 / `halves` values of k.
    ///
    /// # Safety
    /// `unit_end` follows, on the same thread.
    unsafe fn unit_begin(self, _halves: usize) {
        unreachable!("there is no matrix unit")
    }
    /// Gives the matrix unit's registers back.
    fn unit_end(self) {
        unreachable!("there is no matrix unit")
    }
    /// Writes a quad as the matrix unit reads it: 64 signed bytes, the codes less the zero point.
    unsafe fn unit_quad(self, _codes: Self::B, _zero_point: u8, _to: *mut u8) {
        unreachable!("there is no matrix unit")
    }
    /// Products of a block of tokens with T tiles, over a group or a half of it. `acts` points at the first token's
    /// bytes, 32 to the next token, `tokens_max` of them, whatever there is after fewer tokens; `quads` at each tile's
    /// quads; `dots` at `[tokens_max][16]` sums of each tile, which are overwritten.
    ///
    /// # Safety
    /// Between `unit_begin` and `unit_end`. T is at most 2.
    unsafe fn unit_products<const T: usize>(
        self,
        _acts: *const u8,
        _quads: [*const u8; T],
        _dots: [*mut i32; T],
    ) {
        unreachable!("there is no matrix unit")
    }
    /// As `multiply_bytes`: how many pairs of bytes are multiplied by `steps` of the fastest thing that the unit does.
    fn unit_multiply(self, _steps: usize) -> usize {
        unreachable!("there is no matrix unit")
    }
}

/// A part of the processor that multiplies blocks of tokens with tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MatrixUnit {
    /// Tokens that it takes together.
    pub(crate) tokens_max: usize,
    /// Tokens from which on it is faster than the vectors are.
    pub(crate) tokens_min: usize,
}

/// Which quads (4 values of k) of a group of 32 are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuadRange {
    All,
    FirstHalf,
    SecondHalf,
}

/// How the codes of a group are read from its bit planes; see `codes`.
pub(crate) trait CodePlanes: 'static {
    /// Width of a code; 8 stands for codes up to 255.
    const BITS: u32;
    /// Bytes of a group: 16 rows x 32 codes.
    const GROUP_BYTES: usize;

    /// The codes of 16 rows at 4 consecutive values of k.
    ///
    /// # Safety
    /// `group` points at `GROUP_BYTES` bytes.
    unsafe fn quad<S: Simd, const Q: usize>(s: S, group: *const u8) -> S::B;
}

/// A kernel: what [`dispatch`] compiles for every instruction set. `eval` must be `#[inline(always)]`.
pub(crate) trait Op {
    type Out;
    /// Whether it has a use for a matrix unit. All others are compiled for vectors only.
    const ON_UNIT: bool = false;
    fn eval<S: Simd>(self, s: S) -> Self::Out;
}

/// Runs `op` with an instruction set.
///
/// # Panics
/// If the processor does not have it; `Cpu::new` checks that once.
pub(crate) fn dispatch<O: Op>(isa: Isa, op: O) -> O::Out {
    match isa {
        Isa::Scalar => op.eval(scalar::Scalar),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::Avx2::detect().expect("Cpu::new checked it").run(op),
        #[cfg(target_arch = "x86_64")]
        Isa::Amx if const { O::ON_UNIT } => amx::Amx::detect().expect("Cpu::new checked it").run(op),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Amx => <avx512::Avx512>::detect().expect("Cpu::new checked it").run(op),
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("Cpu::new checked it"),
    }
}
