//! Which page of the KV cache is free, how many owners each other one has, and what the kept ones hold.
//!
//! Only numbers are kept here: the memory is `kv`'s, and which page is whose is written in the sequences. A page
//! may have several owners (sequences with a common prefix). One that holds a whole page of known tokens can be
//! committed to the prefix tree; it is kept then when its last owner lets go, and is idle until it is shared again
//! or its memory is needed.
//!
//! Invariants:
//! - a page has owners, or is idle, or is free; it is idle only if it is in the tree, free only if it is not;
//! - an owner of a page in the tree owns all pages above it, and lets go of them from the leaf up. So a page
//!   becomes idle before its parent does, and the oldest idle page is always a leaf: it can be evicted alone.

mod idle_list;
mod prefix_tree;

use crate::batch::PageId;
use crate::kv_events::KvEvent;
use crate::request::TokenId;
use idle_list::IdleList;
use prefix_tree::PrefixTree;

/// The book of all pages.
#[derive(Debug)]
pub struct Pages {
    /// Pages without an owner and outside the tree. The last one is handed out next, so a page that is still in
    /// the caches of the CPU is used again before memory that was never touched.
    free: Vec<PageId>,
    /// Pages without an owner in the tree.
    idle: IdleList,
    /// How many owners each page has.
    owners: Vec<u32>,
    tree: PrefixTree,
    /// Pages from this one on were never handed out.
    never_used_from: usize,
    /// What has changed in the tree, in order; none if nobody wants to know.
    changes: Option<Vec<KvEvent>>,
}

impl Pages {
    /// `total` free pages, numbered from 0.
    pub fn new(total: usize) -> Self {
        let count = PageId::try_from(total).expect("Limits::for_model holds the number of pages below 2^32");
        Pages {
            free: (0..count).rev().collect(),
            idle: IdleList::new(total),
            owners: vec![0; total],
            tree: PrefixTree::new(total),
            never_used_from: 0,
            changes: None,
        }
    }

    /// Takes a free page, or else the one that has been idle for longest, and makes the caller its only owner; none
    /// if all have owners.
    pub fn allocate(&mut self) -> Option<PageId> {
        let page = self.free.pop().or_else(|| self.evict())?;
        self.owners[page as usize] = 1;
        self.never_used_from = self.never_used_from.max(page as usize + 1);
        Some(page)
    }

    /// The first page of those at the end that were never handed out.
    pub fn never_used_from(&self) -> usize {
        self.never_used_from
    }

    /// Adds an owner to a page that has one already or is idle.
    pub fn share(&mut self, page: PageId) {
        let owners = &mut self.owners[page as usize];
        if *owners == 0 {
            assert!(self.tree.contains(page), "page {page} is shared but free");
            self.idle.remove(page);
        }
        *owners += 1;
    }

    /// Takes an owner from a page. When that was the last, the page is idle if it is in the tree, else free. Whoever
    /// lets go of several pages begins with the last.
    pub fn release(&mut self, page: PageId) {
        let owners = &mut self.owners[page as usize];
        assert!(*owners > 0, "page {page} is released but has no owner");
        *owners -= 1;
        if *owners == 0 {
            if self.tree.contains(page) {
                self.idle.push_newest(page);
            } else {
                self.free.push(page);
            }
        }
    }

    /// Puts a page, which holds the keys and values of `tokens` behind those of `parent` (none: at the beginning), into
    /// the tree. If such a page is there already, the caller owns that one from now on instead of `page`: their
    /// contents are the same to the last bit. `owner` is whose request it is.
    pub fn commit(
        &mut self,
        parent: Option<PageId>,
        page: PageId,
        tokens: &[TokenId], // [PAGE_TOKENS]
        owner: u64,
    ) -> PageId {
        match self.tree.child(parent, tokens) {
            Some(kept) => {
                self.share(kept);
                self.release(page);
                kept
            }
            None => {
                self.tree.insert(parent, page, tokens, owner);
                if let Some(changes) = &mut self.changes {
                    changes.push(self.tree.stored(page));
                }
                page
            }
        }
    }

    /// The page that holds `tokens` behind those of `parent`, if it is in the tree.
    pub fn child(&self, parent: Option<PageId>, tokens: &[TokenId]) -> Option<PageId> {
        self.tree.child(parent, tokens)
    }

    /// How far the page behind `parent` that is most like `tokens` goes along with them, and the token that it has
    /// where they part. Only pages of `owner`'s requests are looked at: what others have written is not told.
    pub fn most_similar(
        &self,
        parent: Option<PageId>,
        tokens: &[TokenId],
        owner: u64,
    ) -> (usize, Option<TokenId>) {
        self.tree.most_similar(parent, tokens, owner)
    }

    /// How many pages can be allocated: free and idle ones.
    pub fn available(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// How many pages have an owner.
    pub fn used(&self) -> usize {
        self.owners.len() - self.available()
    }

    /// How many pages are idle: kept for sequences to come.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// How many pages there are.
    pub fn total(&self) -> usize {
        self.owners.len()
    }

    /// How many owners a page has.
    pub fn owners(&self, page: PageId) -> u32 {
        self.owners[page as usize]
    }

    /// Gives every page back and forgets what they hold.
    pub fn clear(&mut self) {
        let changes = self.changes.take();
        *self = Pages::new(self.total());
        self.changes = changes;
        if let Some(changes) = &mut self.changes {
            changes.push(KvEvent::Cleared);
        }
    }

    /// Begins to note what changes in the tree, or stops it.
    pub fn note_changes(&mut self, note: bool) {
        if !note {
            self.changes = None;
        } else if self.changes.is_none() {
            self.changes = Some(Vec::new());
        }
    }

    /// What has changed in the tree since this was asked last.
    pub fn take_changes(&mut self) -> Vec<KvEvent> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All pages of the tree, parents first.
    pub fn kept(&self) -> Vec<KvEvent> {
        self.tree.pages().into_iter().map(|page| self.tree.stored(page)).collect()
    }

    /// Takes the page that has been idle for longest out of the tree.
    fn evict(&mut self) -> Option<PageId> {
        let page = self.idle.pop_oldest()?;
        if let Some(changes) = &mut self.changes {
            changes.push(KvEvent::Removed { hash: self.tree.hash(page) });
        }
        self.tree.remove(page);
        Some(page)
    }

    /// Panics unless the invariants hold.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.tree.check();
        let mut place = vec![None; self.total()];
        self.idle.pages().iter().enumerate().for_each(|(i, &page)| place[page as usize] = Some(i));
        let mut is_free = vec![false; self.total()];
        self.free.iter().for_each(|&page| is_free[page as usize] = true);
        for page in 0..self.total() as PageId {
            let (kept, owned) = (self.tree.contains(page), self.owners(page) > 0);
            let place_of = |page: PageId| place[page as usize];
            assert_eq!(place_of(page).is_some(), kept && !owned, "page {page}");
            assert_eq!(is_free[page as usize], !kept && !owned, "page {page}");
            if let Some(parent) = self.tree.parent(page) {
                assert!(self.owners(parent) >= self.owners(page), "an owner owns all pages above {page}");
                let in_order = place_of(page).is_some() && place_of(page) < place_of(parent);
                assert!(place_of(parent).is_none() || in_order, "page {page} is older than its parent");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::PAGE_TOKENS;

    const PAGE: [TokenId; PAGE_TOKENS] = [7; PAGE_TOKENS];

    /// A page's tokens that differ from `PAGE` from `at` on.
    fn other_from(at: usize) -> [TokenId; PAGE_TOKENS] {
        let mut tokens = PAGE;
        tokens[at..].fill(100 + at as TokenId);
        tokens
    }

    /// Allocates and commits a page for each of `path`, one below the other.
    fn commit(pages: &mut Pages, path: &[[TokenId; PAGE_TOKENS]]) -> Vec<PageId> {
        let mut owned: Vec<PageId> = Vec::new();
        for tokens in path {
            let page = pages.allocate().unwrap();
            owned.push(pages.commit(owned.last().copied(), page, tokens, 0));
            pages.check();
        }
        owned
    }

    fn release(pages: &mut Pages, owned: &[PageId]) {
        owned.iter().rev().for_each(|&page| pages.release(page));
        pages.check();
    }

    #[test]
    fn a_page_outside_the_tree_is_free_again_when_its_last_owner_lets_go() {
        let mut pages = Pages::new(2);
        let first = pages.allocate().unwrap();
        let second = pages.allocate().unwrap();
        assert_eq!((first, second), (0, 1));
        assert_eq!(pages.allocate(), None);

        pages.share(first);
        pages.release(first);
        assert_eq!((pages.owners(first), pages.used(), pages.available()), (1, 2, 0));
        pages.release(first);
        assert_eq!((pages.owners(first), pages.used(), pages.available()), (0, 1, 1));
        assert_eq!(pages.allocate(), Some(first));
    }

    #[test]
    fn a_page_in_the_tree_is_kept_and_found() {
        let mut pages = Pages::new(4);
        let owned = commit(&mut pages, &[PAGE, other_from(3)]);
        release(&mut pages, &owned);
        assert_eq!((pages.used(), pages.idle(), pages.available()), (0, 2, 4));
        assert_eq!(pages.child(None, &PAGE), Some(owned[0]));
        assert_eq!(pages.child(Some(owned[0]), &other_from(3)), Some(owned[1]));
        for (parent, tokens) in [(None, other_from(3)), (Some(owned[0]), PAGE), (Some(owned[1]), PAGE)] {
            assert_eq!(pages.child(parent, &tokens), None, "{parent:?} {tokens:?}");
        }
        pages.share(owned[0]);
        assert_eq!((pages.used(), pages.idle()), (1, 1));
        pages.check();
    }

    #[test]
    fn who_commits_what_is_there_owns_that_instead() {
        let mut pages = Pages::new(4);
        let first = commit(&mut pages, &[PAGE, PAGE]);
        let second = commit(&mut pages, &[PAGE, PAGE, PAGE]);
        assert_eq!(first, second[..2]);
        assert_eq!((pages.owners(first[0]), pages.owners(first[1]), pages.used()), (2, 2, 3));
        release(&mut pages, &first);
        assert_eq!(pages.idle(), 0);
        release(&mut pages, &second);
        assert_eq!(pages.idle(), 3);
    }

    #[test]
    fn the_longest_idle_leaf_is_evicted_first() {
        let mut pages = Pages::new(5);
        let first = commit(&mut pages, &[PAGE, PAGE]);
        let second = commit(&mut pages, &[PAGE, other_from(1)]);
        let third = commit(&mut pages, &[other_from(2), PAGE]);
        // The first page of `first` and `second` is one.
        release(&mut pages, &third);
        release(&mut pages, &first);
        release(&mut pages, &second);
        assert_eq!(pages.idle(), 5);
        for expect in [third[1], third[0], first[1], second[1], first[0]] {
            assert_eq!(pages.allocate(), Some(expect));
            pages.check();
        }
        assert_eq!(pages.allocate(), None);
    }

    #[test]
    fn using_a_page_again_keeps_it_longer() {
        let mut pages = Pages::new(2);
        let first = commit(&mut pages, &[PAGE]);
        let second = commit(&mut pages, &[other_from(0)]);
        release(&mut pages, &first);
        release(&mut pages, &second);
        pages.share(first[0]);
        release(&mut pages, &first);
        assert_eq!(pages.allocate(), Some(second[0]));
    }

    #[test]
    fn the_most_similar_page_is_found() {
        let mut pages = Pages::new(6);
        for at in [0, 5, 20, 9] {
            let owned = commit(&mut pages, &[PAGE, other_from(at)]);
            release(&mut pages, &owned);
        }
        let parent = pages.child(None, &PAGE);
        let cases = [
            (other_from(30).to_vec(), (20, Some(120))),
            (other_from(7).to_vec(), (7, Some(7))),
            (other_from(5)[..5].to_vec(), (5, None)),
            (other_from(5)[..8].to_vec(), (8, None)),
            (vec![], (0, None)),
        ];
        for (tokens, expect) in cases {
            let (common, instead) = pages.most_similar(parent, &tokens, 0);
            assert_eq!(common, expect.0, "{tokens:?}");
            // Which of several equally similar pages it is doesn't matter.
            assert_eq!(instead.is_some(), expect.1.is_some(), "{tokens:?}");
            if common == 20 {
                assert_eq!(instead, expect.1);
            }
        }
        assert_eq!(pages.most_similar(parent, &PAGE, 1), (0, None), "what others have written is not told");
    }

    #[test]
    fn changes_are_noted_in_order_and_give_the_tree_again() {
        let mut pages = Pages::new(3);
        let owned = commit(&mut pages, &[PAGE]);
        assert_eq!(pages.take_changes(), [], "nobody asked");
        let mut told = pages.kept();
        pages.note_changes(true);
        let other = commit(&mut pages, &[PAGE, other_from(1), other_from(2)]);
        release(&mut pages, &owned);
        release(&mut pages, &other);
        assert_eq!(pages.allocate(), Some(other[2]));
        let changes = pages.take_changes();
        let hashes = [&told[..], &changes].concat().into_iter().map(|change| match change {
            KvEvent::Stored { hash, parent, .. } => (Some(parent), hash),
            KvEvent::Removed { hash } => (None, hash),
            KvEvent::Cleared => panic!("nothing was cleared"),
        });
        let hashes: Vec<_> = hashes.collect();
        let [first, second, third, removed] = hashes[..] else { panic!("{hashes:?}") };
        assert_eq!((first.0, second.0, third.0), (Some(None), Some(Some(first.1)), Some(Some(second.1))));
        assert_eq!(removed, (None, third.1));
        told.push(changes[0].clone());
        assert_eq!(pages.kept(), told);
        pages.clear();
        assert_eq!((pages.take_changes(), pages.kept()), (vec![KvEvent::Cleared], vec![]));
        pages.check();
    }

    #[test]
    #[should_panic(expected = "released but has no owner")]
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

    #[test]
    #[should_panic(expected = "has pages below it")]
    fn letting_go_of_a_parent_first_is_a_bug() {
        let mut pages = Pages::new(2);
        let owned = commit(&mut pages, &[PAGE, PAGE]);
        pages.release(owned[0]);
        pages.release(owned[1]);
        pages.allocate();
    }
}
