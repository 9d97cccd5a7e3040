//! AMX, beside AVX-512: eight registers of 16 rows of 64 bytes, and `tdpbssd`, which multiplies two of them.
//!
//! A group of 32 values of k is a product of 16 tokens of 32 bytes with 8 quads of 64 bytes, and its sums are 16 tokens
//! of 16 rows of the matrix. The registers' contents and shapes are the thread's: `begin` sets the shapes, `end` gives all
//! back, so that nothing of it has to be saved when threads change. The compiler does not use these registers.
//!
//! ```text
//! 0, 1: sums of a block of tokens and two tiles    4: activations of the block    6, 7: quads of two tiles
//! ```
//!
//! To store a register takes 16 cycles, however many rows it has, so blocks of fewer tokens use full ones.

use super::MatrixUnit;
use super::avx512::Avx512;
use crate::matrix::GROUP;
use std::arch::asm;
use std::sync::OnceLock;

/// Proof that the processor has AMX with bytes, and that the system lets this process use it.
pub(crate) type Amx = Avx512<true>;

pub(crate) const UNIT: MatrixUnit = MatrixUnit { tokens_max: ROWS, tokens_min: 9 };

/// Rows of a register.
const ROWS: usize = 16;
/// Bytes of a row.
const ROW_BYTES: usize = 64;

impl Amx {
    pub(crate) fn detect() -> Option<Self> {
        static USABLE: OnceLock<bool> = OnceLock::new();
        let avx512 = <Avx512>::detect()?;
        // SAFETY: AMX is there and may be used.
        USABLE.get_or_init(|| has_amx() && may_use()).then(|| unsafe { avx512.with_amx() })
    }
}

/// Whether the processor has AMX with bytes, and the system saves its registers.
fn has_amx() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    const TILE_AND_INT8: u32 = 1 << 24 | 1 << 25;
    const OSXSAVE: u32 = 1 << 27;
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;

    #[target_feature(enable = "xsave")]
    fn saved() -> u64 {
        // SAFETY: register 0 is there whenever the instruction is.
        unsafe { _xgetbv(0) }
    }

    __cpuid(0).eax >= 7
        && __cpuid(1).ecx & OSXSAVE != 0
        && __cpuid_count(7, 0).edx & TILE_AND_INT8 == TILE_AND_INT8
        // SAFETY: OSXSAVE says that there is XSAVE.
        && unsafe { saved() } & TILE_STATE == TILE_STATE
}

/// Asks the system, which gives 8 KiB more for each thread's registers only to who asks, once for the whole process.
#[cfg(target_os = "linux")]
fn may_use() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and changes nothing but the permission.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn may_use() -> bool {
    false
}

/// The shapes of the eight registers, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

const _: () = assert!(size_of::<Shapes>() == 64);

impl Shapes {
    /// For activations of `k` values of k.
    const fn new(k: usize) -> Shapes {
        const FULL: u16 = ROW_BYTES as u16;
        const ALL: u8 = ROWS as u8;
        let (acts, quads) = (k as u16, (k / 4) as u8);
        Shapes {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [FULL, FULL, FULL, FULL, acts, acts, FULL, FULL, 0, 0, 0, 0, 0, 0, 0, 0],
            rows: [ALL, ALL, ALL, ALL, ALL, ALL, quads, quads, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }

    /// Sets the registers of this thread, which are zeros then.
    #[inline(always)]
    unsafe fn set(&self) {
        // SAFETY: the caller's: the processor has AMX, which allows 16 rows of 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) self, options(nostack, preserves_flags)) }
    }
}

/// `Simd::unit_begin`.
///
/// # Safety
/// `Amx` exists.
#[inline(always)]
pub(super) unsafe fn begin(halves: usize) {
    static WHOLE: Shapes = Shapes::new(GROUP);
    static HALF: Shapes = Shapes::new(GROUP / 2);
    // SAFETY: the caller's.
    unsafe { if halves == 1 { &WHOLE } else { &HALF }.set() }
}

/// `Simd::unit_end`.
///
/// # Safety
/// `Amx` exists.
#[inline(always)]
pub(super) unsafe fn end() {
    // SAFETY: the processor has AMX.
    unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
}

macro_rules! load {
    ($register:literal, $from:expr, $row:expr) => {
        asm!(
            concat!("tileloadd tmm", $register, ", [{from} + {row}*1]"),
            from = in(reg) $from,
            row = in(reg) $row,
            options(readonly, nostack, preserves_flags),
        )
    };
}

macro_rules! multiply {
    ($sums:literal, $acts:literal, $quads:literal) => {
        asm!(
            concat!("tdpbssd tmm", $sums, ", tmm", $acts, ", tmm", $quads),
            options(nomem, nostack, preserves_flags),
        )
    };
}

macro_rules! multiply_from_zero {
    ($sums:literal, $acts:literal, $quads:literal) => {
        asm!(
            concat!("tilezero tmm", $sums),
            concat!("tdpbssd tmm", $sums, ", tmm", $acts, ", tmm", $quads),
            options(nomem, nostack, preserves_flags),
        )
    };
}

macro_rules! store {
    ($register:literal, $to:expr) => {
        asm!(
            concat!("tilestored [{to} + {row}*1], tmm", $register),
            to = in(reg) $to,
            row = in(reg) ROW_BYTES,
            options(nostack, preserves_flags),
        )
    };
}

/// `Simd::unit_products`.
///
/// # Safety
/// As there; `Amx` exists.
#[inline(always)]
pub(super) unsafe fn products<const T: usize>(acts: *const u8, quads: [*const u8; T], dots: [*mut i32; T]) {
    const { assert!(T == 1 || T == 2) };
    let second = T - 1;
    // SAFETY: the caller's.
    unsafe {
        load!(4, acts, GROUP);
        load!(6, quads[0], ROW_BYTES);
        multiply_from_zero!(0, 4, 6);
        if T == 2 {
            load!(7, quads[second], ROW_BYTES);
            multiply_from_zero!(1, 4, 7);
        }
        store!(0, dots[0]);
        if T == 2 {
            store!(1, dots[second]);
        }
    }
}

/// `Simd::unit_multiply`: full registers, and sums that do not wait for each other.
///
/// # Safety
/// `Amx` exists.
#[inline(always)]
pub(super) unsafe fn multiply(steps: usize) -> usize {
    static FULL: Shapes = Shapes::new(ROW_BYTES);
    // SAFETY: the caller's.
    unsafe {
        FULL.set();
        for _ in 0..steps {
            multiply!(0, 4, 6);
            multiply!(1, 4, 7);
            multiply!(2, 5, 6);
            multiply!(3, 5, 7);
        }
        end();
    }
    4 * steps * ROWS * ROWS * ROW_BYTES
}
