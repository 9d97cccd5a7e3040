//! Large zeroed memory, aligned to cache lines and, where the system has them, on large pages.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of small buffers: a cache line.
const LINE: usize = 64;
/// From this size on a buffer is aligned to large pages, which it asks for.
const LARGE_PAGE: usize = 2 << 20;

/// A fixed number of zeroed `T`. T is a plain number type.
#[derive(Debug)]
pub struct Buffer<T: Number> {
    start: NonNull<T>,
    len: usize,
}

/// Types whose all-zero bytes are the value 0.
pub trait Number: Copy + Send + Sync + private::Sealed {}

mod private {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
    impl Sealed for f32 {}
}
impl Number for u8 {}
impl Number for u16 {}
impl Number for f32 {}

// SAFETY: a buffer owns plain numbers.
unsafe impl<T: Number> Send for Buffer<T> {}
// SAFETY: as above; shared access only reads.
unsafe impl<T: Number> Sync for Buffer<T> {}

impl<T: Number> Buffer<T> {
    /// `len` zeros. Pages are taken from the system when they are first written.
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Buffer { start: NonNull::dangling(), len };
        }
        let layout = Self::layout(len);
        #[cfg(unix)]
        if layout.align() == LARGE_PAGE {
            let start = map(layout).unwrap_or_else(|| refused(layout));
            return Buffer { start: start.cast(), len };
        }
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start.cast::<T>()).unwrap_or_else(|| handle_alloc_error(layout));
        Buffer { start, len }
    }

    fn layout(len: usize) -> Layout {
        let bytes = len.checked_mul(size_of::<T>()).expect("a buffer fits in the address space");
        let align = if bytes >= LARGE_PAGE { LARGE_PAGE } else { LINE };
        let layout = Layout::from_size_align(bytes, align).expect("a buffer fits in the address space");
        // Whole pages can be given back.
        if align == LARGE_PAGE { layout.pad_to_align() } else { layout }
    }
}

/// Takes large pages from the system itself: the allocator would write zeros into memory with such an alignment,
/// and so take all of it at once.
#[cfg(unix)]
fn map(layout: Layout) -> Option<NonNull<u8>> {
    let (wanted, mapped) = (layout.size(), layout.size().checked_add(LARGE_PAGE)?);
    // SAFETY: a new mapping of no file; what lies beside the aligned part of it is given back at once.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        let start =
            libc::mmap(std::ptr::null_mut(), mapped, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if start == libc::MAP_FAILED {
            return None;
        }
        let before = start.cast::<u8>().align_offset(LARGE_PAGE);
        let aligned = start.cast::<u8>().add(before);
        if before > 0 {
            libc::munmap(start, before);
        }
        libc::munmap(aligned.add(wanted).cast(), LARGE_PAGE - before);
        // A refusal only costs speed.
        #[cfg(target_os = "linux")]
        libc::madvise(aligned.cast(), wanted, libc::MADV_HUGEPAGE);
        NonNull::new(aligned)
    }
}

/// What a process does without memory is the affair of its allocator: it is asked for as much, which it does not have either.
#[cfg(unix)]
#[cold]
fn refused(layout: Layout) -> ! {
    let as_much = Layout::from_size_align(layout.size() + LARGE_PAGE, LINE).unwrap_or(layout);
    // SAFETY: the size is not zero. Nobody gets the block, if there is one after all; the call must not be optimised away.
    std::hint::black_box(unsafe { alloc(as_much) });
    handle_alloc_error(layout)
}

impl<T: Number> Default for Buffer<T> {
    fn default() -> Self {
        Buffer::zeroed(0)
    }
}

impl<T: Number> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        let layout = Self::layout(self.len);
        #[cfg(unix)]
        if layout.align() == LARGE_PAGE {
            // SAFETY: mapped in `zeroed` with the same layout.
            unsafe { libc::munmap(self.start.as_ptr().cast(), layout.size()) };
            return;
        }
        // SAFETY: allocated in `zeroed` with the same layout.
        unsafe { dealloc(self.start.as_ptr().cast(), layout) }
    }
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised numbers that we own.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Number> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}
