//! The idle pages in the order in which they became so: a list through two arrays, so that a page leaves it from
//! anywhere at once and nothing is ever allocated.

use crate::batch::PageId;

/// No page. The number of pages is below it.
const NONE: PageId = PageId::MAX;

#[derive(Debug)]
pub(super) struct IdleList {
    links: Vec<Links>, // [page]
    oldest: PageId,
    newest: PageId,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Links {
    older: PageId,
    newer: PageId,
}

impl IdleList {
    /// An empty list for pages below `total`.
    pub(super) fn new(total: usize) -> Self {
        let links = vec![Links { older: NONE, newer: NONE }; total];
        IdleList { links, oldest: NONE, newest: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a page that is not in the list.
    pub(super) fn push_newest(&mut self, page: PageId) {
        self.links[page as usize] = Links { older: self.newest, newer: NONE };
        match self.newest {
            NONE => self.oldest = page,
            newest => self.links[newest as usize].newer = page,
        }
        self.newest = page;
        self.len += 1;
    }

    /// Takes out a page that is in the list.
    pub(super) fn remove(&mut self, page: PageId) {
        let Links { older, newer } = self.links[page as usize];
        match older {
            NONE => self.oldest = newer,
            older => self.links[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.links[newer as usize].older = older,
        }
        self.len -= 1;
    }

    /// Takes out the page that has been in the list for longest.
    pub(super) fn pop_oldest(&mut self) -> Option<PageId> {
        let page = (self.oldest != NONE).then_some(self.oldest)?;
        self.remove(page);
        Some(page)
    }

    /// All pages, oldest first.
    #[cfg(test)]
    pub(super) fn pages(&self) -> Vec<PageId> {
        let first = (self.oldest != NONE).then_some(self.oldest);
        let newer = |&page: &PageId| Some(self.links[page as usize].newer).filter(|&newer| newer != NONE);
        let pages: Vec<PageId> = std::iter::successors(first, newer).take(self.links.len()).collect();
        assert_eq!(pages.len(), self.len);
        pages
    }
}
