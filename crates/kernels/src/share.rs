//! A mutable slice that the units of one operation share, each writing places of its own.

use std::marker::PhantomData;

/// Hands out disjoint parts of a mutable slice to the threads of one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: `slice` makes its callers promise that no two threads get overlapping parts.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Shared { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// `len` elements from `from` on.
    ///
    /// # Safety
    /// No other part that is in use overlaps.
    #[expect(clippy::mut_from_ref, reason = "the parts are disjoint")]
    pub(crate) unsafe fn slice(&self, from: usize, len: usize) -> &mut [T] {
        assert!(from.checked_add(len).is_some_and(|end| end <= self.len), "{from} + {len} of {}", self.len);
        // SAFETY: in bounds; disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }

    /// A pointer to element `at`, for writes of single elements between other threads' ones.
    pub(crate) fn pointer(&self, at: usize) -> *mut T {
        assert!(at <= self.len, "{at} of {}", self.len);
        // SAFETY: in bounds or one past the end.
        unsafe { self.start.add(at) }
    }
}
