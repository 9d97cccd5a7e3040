//! Which page of the KV cache is free and how many owners each other one has.
//!
//! Only numbers are kept here: the memory is `kv`'s, and which page is whose is written in the sequences. A page
//! may have several owners (sequences with a common prefix), and the last one to release it frees it.
//! Invariant: a page is in the free list exactly if it has no owner.

use crate::batch::PageId;

/// The book of all pages.
#[derive(Debug)]
pub struct Pages {
    /// Pages without an owner. The last one is handed out next, so a page that is still in the caches of the CPU
    /// is used again before memory that was never touched.
    free: Vec<PageId>,
    /// How many owners each page has.
    owners: Vec<u32>,
}

impl Pages {
    /// `total` free pages, numbered from 0.
    pub fn new(total: usize) -> Self {
        let total = PageId::try_from(total).expect("Limits::check holds the number of pages below 2^32");
        Pages { free: (0..total).rev().collect(), owners: vec![0; total as usize] }
    }

    /// Takes a free page and makes the caller its only owner; none if all are in use.
    pub fn allocate(&mut self) -> Option<PageId> {
        let page = self.free.pop()?;
        self.owners[page as usize] = 1;
        Some(page)
    }

    /// Adds an owner to a page that has one already.
    pub fn share(&mut self, page: PageId) {
        let owners = &mut self.owners[page as usize];
        assert!(*owners > 0, "page {page} is shared but free");
        *owners += 1;
    }

    /// Takes an owner from a page; it is free when that was the last.
    pub fn release(&mut self, page: PageId) {
        let owners = &mut self.owners[page as usize];
        assert!(*owners > 0, "page {page} is released but free");
        *owners -= 1;
        if *owners == 0 {
            self.free.push(page);
        }
    }

    /// How many pages have no owner.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// How many pages have an owner.
    pub fn used(&self) -> usize {
        self.owners.len() - self.free.len()
    }

    /// How many pages there are.
    pub fn total(&self) -> usize {
        self.owners.len()
    }

    /// How many owners a page has.
    pub fn owners(&self, page: PageId) -> u32 {
        self.owners[page as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_free_again_when_its_last_owner_lets_go() {
        let mut pages = Pages::new(2);
        let first = pages.allocate().unwrap();
        let second = pages.allocate().unwrap();
        assert_eq!((first, second), (0, 1));
        assert_eq!(pages.allocate(), None);

        pages.share(first);
        pages.release(first);
        assert_eq!((pages.owners(first), pages.used(), pages.free()), (1, 2, 0));
        pages.release(first);
        assert_eq!((pages.owners(first), pages.used(), pages.free()), (0, 1, 1));
        assert_eq!(pages.allocate(), Some(first));
    }

    #[test]
    #[should_panic(expected = "released but free")]
    fn releasing_twice_is_a_bug() {
        let mut pages = Pages::new(1);
        let page = pages.allocate().unwrap();
        pages.release(page);
        pages.release(page);
    }

    #[test]
    #[should_panic(expected = "shared but free")]
    fn sharing_a_free_page_is_a_bug() {
        Pages::new(1).share(0);
    }
}
