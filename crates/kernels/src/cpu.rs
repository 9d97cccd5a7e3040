//! The processor as the kernels see it: an instruction set and a pool of threads.

use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{Op, dispatch};
use std::fmt;

/// What every operation runs on.
#[derive(Debug)]
pub struct Cpu {
    isa: Isa,
    pool: Pool,
}

/// What a caller may choose.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuOptions {
    /// Threads; by default as many as the process may run at once.
    pub threads: Option<usize>,
    /// Instruction set; by default the fastest.
    pub isa: Option<Isa>,
}

/// Why there is no `Cpu`.
#[derive(Debug)]
pub enum CpuError {
    /// The instruction set asked for is not there.
    Isa(Isa),
    /// 0 threads, or more than `THREADS_MAX`.
    Threads(usize),
    /// A thread could not be started.
    Spawn(std::io::Error),
}

/// The most threads that a pool may have.
pub const THREADS_MAX: usize = 512;

impl Cpu {
    /// Starts the pool's threads.
    ///
    /// # Errors
    /// See [`CpuError`].
    pub fn new(options: CpuOptions) -> Result<Cpu, CpuError> {
        let isa = options.isa.unwrap_or_else(Isa::detect);
        if !isa.available() {
            return Err(CpuError::Isa(isa));
        }
        let threads = options
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX));
        if !(1..=THREADS_MAX).contains(&threads) {
            return Err(CpuError::Threads(threads));
        }
        Ok(Cpu { isa, pool: Pool::new(threads).map_err(CpuError::Spawn)? })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Threads that work, the caller's included.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Calls `task` once for each of `0..units` on all threads.
    pub fn run(&self, units: usize, task: impl Fn(usize) + Sync) {
        self.pool.run(units, &task);
    }

    pub(crate) fn dispatch<O: Op>(&self, op: O) -> O::Out {
        dispatch(self.isa, op)
    }
}

impl fmt::Display for CpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CpuError::Isa(isa) => {
                write!(f, "this processor has no {isa}; the fastest that it has is {}", Isa::detect())
            }
            CpuError::Threads(n) => write!(f, "{n} threads are not possible; choose 1 to {THREADS_MAX}"),
            CpuError::Spawn(error) => write!(f, "a worker thread could not be started: {error}"),
        }
    }
}

impl std::error::Error for CpuError {}
