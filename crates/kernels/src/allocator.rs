//! The process's allocator, told to give back what is freed.
//!
//! glibc keeps the memory of large blocks for later, up to tens of megabytes for each of many threads. A service that has
//! promised to stay within an amount of memory has no use for that.

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
