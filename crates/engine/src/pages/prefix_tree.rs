//! Which tokens the kept pages hold: a radix tree whose nodes are whole pages.
//!
//! A node is a page, so the tree is a few arrays with an entry for each page, and it can't grow beyond them whatever
//! clients send. Children are found by hash, but it is the tokens themselves that are compared, so two prefixes
//! are never taken for each other; the hash has random keys, so nobody can choose prompts that collide.
//!
//! The hash table is chained through the nodes instead of a `HashMap` beside them: each token is stored
//! once, and inserting and removing never allocates or rehashes.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::batch::{PAGE_TOKENS, PageId};
use crate::kv_events::{KvEvent, PageHash, page_hash};
use crate::request::TokenId;

/// No page: the end of a list, or the parent of a first page. The number of pages is below it.
const NONE: PageId = PageId::MAX;

/// Children of a page that are compared with a prompt that none of them continues.
const COMPARED_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct PrefixTree {
    nodes: Vec<Node>,     // [page]
    tokens: Vec<TokenId>, // [page][PAGE_TOKENS]
    buckets: Vec<PageId>, // first node of each chain; their number is a power of two
    first_child_of_root: PageId,
    hash_keys: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    in_tree: bool,
    parent: PageId,
    first_child: PageId,
    previous_sibling: PageId,
    next_sibling: PageId,
    next_in_bucket: PageId,
    /// Whose request computed the page.
    owner: u64,
    /// What the page is called outside.
    hash: PageHash,
}

const OUTSIDE: Node = Node {
    in_tree: false,
    parent: NONE,
    first_child: NONE,
    previous_sibling: NONE,
    next_sibling: NONE,
    next_in_bucket: NONE,
    owner: 0,
    hash: 0,
};

impl PrefixTree {
    /// An empty tree of pages below `total`.
    pub(super) fn new(total: usize) -> Self {
        PrefixTree {
            nodes: vec![OUTSIDE; total],
            tokens: vec![0; total * PAGE_TOKENS],
            buckets: vec![NONE; total.next_power_of_two()],
            first_child_of_root: NONE,
            hash_keys: RandomState::new(),
        }
    }

    pub(super) fn contains(&self, page: PageId) -> bool {
        self.nodes[page as usize].in_tree
    }

    /// The page with exactly these tokens below `parent`.
    pub(super) fn child(&self, parent: Option<PageId>, tokens: &[TokenId]) -> Option<PageId> {
        let parent = parent.unwrap_or(NONE);
        let first = self.buckets[self.bucket(parent, tokens)];
        self.list(first, |node| node.next_in_bucket)
            .find(|&page| self.nodes[page as usize].parent == parent && self.tokens_of(page) == tokens)
    }

    /// How many of `tokens` the most similar of the newest children has in common with them, and its next token
    /// if `tokens` go on there.
    pub(super) fn most_similar(
        &self,
        parent: Option<PageId>,
        tokens: &[TokenId],
        owner: u64,
    ) -> (usize, Option<TokenId>) {
        let first = parent.map_or(self.first_child_of_root, |parent| self.nodes[parent as usize].first_child);
        let tokens = &tokens[..tokens.len().min(PAGE_TOKENS)];
        let mut best = (0, None);
        for page in self.list(first, |node| node.next_sibling).take(COMPARED_MAX) {
            if self.nodes[page as usize].owner != owner {
                continue;
            }
            let has = self.tokens_of(page);
            let common = tokens.iter().zip(has).take_while(|(token, has)| token == has).count();
            if best.1.is_none() || common > best.0 {
                best = (common, (common < tokens.len()).then(|| has[common]));
            }
            if common == tokens.len() {
                break;
            }
        }
        best
    }

    /// Adds a page that is not in the tree below `parent`, which has no child with these tokens.
    pub(super) fn insert(&mut self, parent: Option<PageId>, page: PageId, tokens: &[TokenId], owner: u64) {
        assert!(!self.contains(page), "page {page} is in the tree already");
        assert!(parent.is_none_or(|parent| self.contains(parent)), "page {page} hangs in the air");
        let hash = page_hash(parent.map(|parent| self.hash(parent)), tokens);
        let parent = parent.unwrap_or(NONE);
        let bucket = self.bucket(parent, tokens);
        let next_in_bucket = std::mem::replace(&mut self.buckets[bucket], page);
        let next_sibling = std::mem::replace(self.first_child(parent), page);
        if next_sibling != NONE {
            self.nodes[next_sibling as usize].previous_sibling = page;
        }
        self.nodes[page as usize] =
            Node { in_tree: true, parent, next_sibling, next_in_bucket, owner, hash, ..OUTSIDE };
        self.tokens[page as usize * PAGE_TOKENS..][..PAGE_TOKENS].copy_from_slice(tokens);
    }

    /// Takes out a page without children.
    pub(super) fn remove(&mut self, page: PageId) {
        let Node { parent, first_child, previous_sibling, next_sibling, next_in_bucket, .. } =
            std::mem::replace(&mut self.nodes[page as usize], OUTSIDE);
        assert_eq!(first_child, NONE, "page {page} has pages below it");
        match previous_sibling {
            NONE => *self.first_child(parent) = next_sibling,
            previous => self.nodes[previous as usize].next_sibling = next_sibling,
        }
        if next_sibling != NONE {
            self.nodes[next_sibling as usize].previous_sibling = previous_sibling;
        }
        let bucket = self.bucket(parent, self.tokens_of(page));
        let first = self.buckets[bucket];
        let leads_here = |&other: &PageId| self.nodes[other as usize].next_in_bucket == page;
        let previous = self.list(first, |node| node.next_in_bucket).find(leads_here);
        match previous {
            Some(previous) => self.nodes[previous as usize].next_in_bucket = next_in_bucket,
            None => {
                assert_eq!(first, page, "a page of the tree is in the chain of its bucket");
                self.buckets[bucket] = next_in_bucket;
            }
        }
    }

    /// What a page of the tree is called outside.
    pub(super) fn hash(&self, page: PageId) -> PageHash {
        self.nodes[page as usize].hash
    }

    /// That a page of the tree is kept.
    pub(super) fn stored(&self, page: PageId) -> KvEvent {
        let parent = self.nodes[page as usize].parent;
        let tokens = self.tokens_of(page).try_into().expect("a page has PAGE_TOKENS tokens");
        KvEvent::Stored { parent: (parent != NONE).then(|| self.hash(parent)), hash: self.hash(page), tokens }
    }

    /// All pages of the tree, parents first.
    pub(super) fn pages(&self) -> Vec<PageId> {
        let mut pages: Vec<PageId> = self.list(self.first_child_of_root, |node| node.next_sibling).collect();
        let mut at = 0;
        while let Some(&page) = pages.get(at) {
            pages.extend(self.list(self.nodes[page as usize].first_child, |node| node.next_sibling));
            at += 1;
        }
        pages
    }

    /// The head of a node's list of children, or of the root's.
    fn first_child(&mut self, parent: PageId) -> &mut PageId {
        match parent {
            NONE => &mut self.first_child_of_root,
            parent => &mut self.nodes[parent as usize].first_child,
        }
    }

    fn tokens_of(&self, page: PageId) -> &[TokenId] {
        &self.tokens[page as usize * PAGE_TOKENS..][..PAGE_TOKENS]
    }

    fn bucket(&self, parent: PageId, tokens: &[TokenId]) -> usize {
        self.hash_keys.hash_one((parent, tokens)) as usize & (self.buckets.len() - 1)
    }

    fn list(&self, first: PageId, next: impl Fn(&Node) -> PageId) -> impl Iterator<Item = PageId> {
        let some = |page| (page != NONE).then_some(page);
        std::iter::successors(some(first), move |&page| some(next(&self.nodes[page as usize])))
    }

    #[cfg(test)]
    pub(super) fn parent(&self, page: PageId) -> Option<PageId> {
        Some(self.nodes[page as usize].parent).filter(|&parent| parent != NONE)
    }

    /// Panics unless every node can be found from its parent in both ways, and nothing else can.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut found = 0;
        for page in (0..self.nodes.len() as PageId).filter(|&page| self.contains(page)) {
            let parent = self.parent(page);
            assert!(parent.is_none_or(|parent| self.contains(parent)), "page {page} hangs in the air");
            assert_eq!(self.child(parent, self.tokens_of(page)), Some(page));
            let first =
                parent.map_or(self.first_child_of_root, |parent| self.nodes[parent as usize].first_child);
            assert!(self.list(first, |node| node.next_sibling).any(|sibling| sibling == page));
            found += 1;
        }
        let chained = self.buckets.iter().map(|&first| self.list(first, |n| n.next_in_bucket).count());
        assert_eq!(chained.sum::<usize>(), found);
    }
}
