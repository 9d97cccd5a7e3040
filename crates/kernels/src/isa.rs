//! Which instruction set the kernels use: found out at run time, or forced by the caller.

use std::fmt;
use std::str::FromStr;

/// A row of the table of instruction sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust: the definition of every kernel.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512,
    /// AVX-512, and AMX for the products of 9 tokens and more.
    Amx,
}

impl Isa {
    /// Every instruction set, slowest first.
    pub const ALL: [Isa; 4] = [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Amx];

    /// The fastest one that this processor has.
    pub fn detect() -> Isa {
        *Isa::ALL.iter().rfind(|isa| isa.available()).expect("scalar code runs everywhere")
    }

    /// Whether this processor has it.
    pub fn available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => crate::simd::avx2::Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => <crate::simd::avx512::Avx512>::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => crate::simd::amx::Amx::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The name, as in `KUN_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Amx => "amx",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(name: &str) -> Result<Isa, String> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| {
            format!("instruction set {name:?} is unknown; there are scalar, avx2, avx512 and amx")
        })
    }
}
