//! The process's allocator: what it keeps, and what happens when there is no memory.
//!
//! glibc keeps the memory of large blocks for later, up to tens of megabytes for each of many threads. A service that has
//! promised to stay within an amount of memory has no use for that.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;

/// The allocator keeps at most this much at the end of a heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES_MAX: i32 = 1 << 20;
/// Blocks from this size on come from the system and go back to it at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES_MIN: i32 = 256 << 10;
/// Heaps of the whole process; threads share them.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS_MAX: i32 = 2;

/// From now on little of what is freed is kept. To be called before there are threads; elsewhere than on glibc it does
/// nothing.
pub fn give_back_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets three numbers of the allocator, which takes them at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, HEAPS_MAX);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES_MAX);
    }
}

/// The system's allocator for a program, which ends in good order where there is no memory: with a line on the standard error
/// output and the exit code `CODE`, and not by a signal.
#[derive(Debug)]
pub struct OrExit<const CODE: i32>;

impl<const CODE: i32> OrExit<CODE> {
    /// The block, if there is one.
    fn there(block: *mut u8, bytes: usize) -> *mut u8 {
        if block.is_null() {
            exit(CODE, bytes);
        }
        block
    }
}

// SAFETY: every block is the system allocator's, which keeps the contract.
unsafe impl<const CODE: i32> GlobalAlloc for OrExit<CODE> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        Self::there(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        Self::there(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's.
        Self::there(unsafe { System.realloc(block, layout, bytes) }, bytes)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Says that there is no memory, without any, and ends the process as it is: what runs at an exit may need some.
#[cold]
fn exit(code: i32, bytes: usize) -> ! {
    let mut line = [0; 96];
    let mut rest = &mut line[..];
    // It fits.
    let _ = writeln!(rest, "kun: out of memory: the system has no {bytes} bytes for it");
    let unused = rest.len();
    let _ = std::io::stderr().write_all(&line[..line.len() - unused]);
    #[cfg(unix)]
    // SAFETY: ends the process.
    unsafe {
        libc::_exit(code)
    }
    #[cfg(not(unix))]
    std::process::exit(code)
}
