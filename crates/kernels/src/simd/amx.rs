//! AMX, beside AVX-512: eight registers of 16 rows of 64 bytes, and `tdpbssd`, which multiplies two of them.
//!
//! A group of 32 values of k is a product of 16 tokens of 32 bytes with 8 quads of 64 bytes, and its sums are 16 tokens
//! of 16 rows of the matrix. The registers' contents and shapes are the thread's: `begin` sets the shapes, `end` gives all
//! back, so that nothing of it has to be saved when threads change. The compiler does not use these registers.
//!
//! ```text
//! 0, 1: sums of a full block, for two tiles     5, 6: sums of a smaller block
//! 2:    activations of a full block             7:    activations of a smaller block
//! 3, 4: quads of two tiles
//! ```

use super::MatrixUnit;
use super::avx512::Avx512;
use crate::matrix::GROUP;
use std::arch::asm;
use std::sync::OnceLock;

/// Proof that the processor has AMX with bytes, and that the system lets this process use it.
pub(crate) type Amx = Avx512<true>;

pub(crate) const UNIT: MatrixUnit = MatrixUnit { tokens_max: ROWS, tokens_min: 5 };

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

/// `Simd::unit_begin`.
///
/// # Safety
/// `Amx` exists.
#[inline(always)]
pub(super) unsafe fn begin(halves: usize, rest: usize) {
    let mut shapes =
        Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    let mut shape = |register: usize, rows: usize, row_bytes: usize| {
        // A register without rows has no columns either.
        shapes.rows[register] = rows as u8;
        shapes.row_bytes[register] = if rows > 0 { row_bytes as u16 } else { 0 };
    };
    let k = GROUP / halves;
    for (tokens, sums, acts) in [(ROWS, [0, 1], 2), (rest, [5, 6], 7)] {
        shape(acts, tokens, k);
        sums.iter().for_each(|sums| shape(*sums, tokens, ROW_BYTES));
    }
    shape(3, k / 4, ROW_BYTES);
    shape(4, k / 4, ROW_BYTES);
    // SAFETY: the processor has AMX; rows are at most 16 and row bytes at most 64.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, preserves_flags)) }
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

/// Products of activations with one or two tiles' quads.
macro_rules! products {
    ($acts:literal, $sums:literal, $more:literal, $from:expr, $quads:expr, $dots:expr) => {
        if T == 2 {
            asm!(
                concat!("tilezero ", $sums),
                concat!("tilezero ", $more),
                concat!("tileloadd ", $acts, ", [{from} + {token}*1]"),
                "tileloadd tmm3, [{quads} + {row}*1]",
                concat!("tdpbssd ", $sums, ", ", $acts, ", tmm3"),
                "tileloadd tmm4, [{more_quads} + {row}*1]",
                concat!("tdpbssd ", $more, ", ", $acts, ", tmm4"),
                concat!("tilestored [{dots} + {row}*1], ", $sums),
                concat!("tilestored [{more_dots} + {row}*1], ", $more),
                from = in(reg) $from,
                quads = in(reg) $quads[0],
                more_quads = in(reg) $quads[T - 1],
                dots = in(reg) $dots[0],
                more_dots = in(reg) $dots[T - 1],
                token = in(reg) GROUP,
                row = in(reg) ROW_BYTES,
                options(nostack, preserves_flags),
            )
        } else {
            asm!(
                concat!("tilezero ", $sums),
                concat!("tileloadd ", $acts, ", [{from} + {token}*1]"),
                "tileloadd tmm3, [{quads} + {row}*1]",
                concat!("tdpbssd ", $sums, ", ", $acts, ", tmm3"),
                concat!("tilestored [{dots} + {row}*1], ", $sums),
                from = in(reg) $from,
                quads = in(reg) $quads[0],
                dots = in(reg) $dots[0],
                token = in(reg) GROUP,
                row = in(reg) ROW_BYTES,
                options(nostack, preserves_flags),
            )
        }
    };
}

/// `Simd::unit_products`.
///
/// # Safety
/// As there; `Amx` exists.
#[inline(always)]
pub(super) unsafe fn products<const T: usize>(
    tokens: usize,
    acts: *const u8,
    quads: [*const u8; T],
    dots: [*mut i32; T],
) {
    const { assert!(T == 1 || T == 2) };
    // SAFETY: the caller's; a register holds as many rows as `begin` was told.
    unsafe {
        if tokens == ROWS {
            products!("tmm2", "tmm0", "tmm1", acts, quads, dots);
        } else {
            products!("tmm7", "tmm5", "tmm6", acts, quads, dots);
        }
    }
}

/// `Simd::unit_multiply`: two full registers, four sums that do not wait for each other.
///
/// # Safety
/// `Amx` exists.
#[inline(always)]
pub(super) unsafe fn multiply(steps: usize) -> usize {
    let mut shapes =
        Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    shapes.rows[..8].fill(ROWS as u8);
    shapes.row_bytes[..8].fill(ROW_BYTES as u16);
    // SAFETY: the processor has AMX. Registers are zeros after `ldtilecfg`.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, preserves_flags));
        for _ in 0..steps {
            asm!(
                "tdpbssd tmm0, tmm4, tmm5",
                "tdpbssd tmm1, tmm4, tmm5",
                "tdpbssd tmm2, tmm4, tmm5",
                "tdpbssd tmm3, tmm4, tmm5",
                options(nomem, nostack, preserves_flags)
            );
        }
        end();
    }
    4 * steps * ROWS * ROWS * ROW_BYTES
}
