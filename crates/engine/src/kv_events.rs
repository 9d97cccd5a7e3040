//! What others are told of the prefix cache: which whole pages it has, so that whoever spreads requests over several
//! engines can send each to one that holds its beginning.
//!
//! A page is named by a hash over its tokens and the hash of the page before it, so it stands for everything from the
//! beginning on, and is the same in every process.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::batch::PAGE_TOKENS;
use crate::request::TokenId;

/// Lists of events that wait for a reader; beyond it he is told everything anew.
const WAITING_MAX: usize = 1024;

/// Names the contents of a page and of all pages before it.
pub type PageHash = u64;

/// A change of the prefix cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvEvent {
    /// A page is kept from now on.
    Stored {
        /// The page before it; none at the beginning of a text.
        parent: Option<PageHash>,
        /// The page.
        hash: PageHash,
        /// What it holds.
        tokens: [TokenId; PAGE_TOKENS],
    },
    /// A page is kept no longer. None that is kept has it for a parent.
    Removed {
        /// The page.
        hash: PageHash,
    },
    /// Nothing is kept.
    Cleared,
}

/// The name of the page with these tokens behind `parent`.
pub fn page_hash(parent: Option<PageHash>, tokens: &[TokenId]) -> PageHash {
    let mut hasher = Sha256::new();
    // A first page can't be taken for one behind a page with the name 0.
    match parent {
        None => hasher.update([0]),
        Some(parent) => {
            hasher.update([1]);
            hasher.update(parent.to_le_bytes());
        }
    }
    tokens.iter().for_each(|token| hasher.update(token.to_le_bytes()));
    let digest = hasher.finalize();
    PageHash::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// The reading end. It begins with all pages that are kept at that time, parents first. A reader who falls far behind
/// finds [`KvEvent::Cleared`] and then all pages that are kept by now, so he is never wrong for long and nothing
/// piles up.
#[derive(Debug)]
pub struct KvEvents {
    events: Receiver<Vec<KvEvent>>,
}

impl KvEvents {
    /// A new pair of ends.
    pub(crate) fn channel() -> (SyncSender<Vec<KvEvent>>, KvEvents) {
        let (sender, events) = sync_channel(WAITING_MAX);
        (sender, KvEvents { events })
    }

    /// The next events in order, at least one; waits for them. An error after `timeout`, or when the engine has ended.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<KvEvent>, RecvTimeoutError> {
        self.events.recv_timeout(timeout)
    }

    /// The same without waiting.
    pub fn try_recv(&self) -> Result<Vec<KvEvent>, TryRecvError> {
        self.events.try_recv()
    }
}

/// The writing ends.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    all: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    sender: SyncSender<Vec<KvEvent>>,
    /// Something could not be told.
    behind: bool,
}

impl Watchers {
    /// Adds a reader, who is told `kept` first.
    pub(crate) fn add(&mut self, sender: SyncSender<Vec<KvEvent>>, kept: Vec<KvEvent>) {
        let behind = !kept.is_empty() && sender.try_send(kept).is_err();
        self.all.push(Watcher { sender, behind });
    }

    /// Whether nobody reads.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Tells everybody what is new. `kept` gives all pages for those who are behind. Readers who are gone are forgotten.
    pub(crate) fn tell(&mut self, new: &[KvEvent], kept: impl Fn() -> Vec<KvEvent>) {
        self.all.retain_mut(|watcher| {
            let events = match watcher.behind {
                true => std::iter::once(KvEvent::Cleared).chain(kept()).collect(),
                false if new.is_empty() => return true,
                false => new.to_vec(),
            };
            match watcher.sender.try_send(events) {
                Ok(()) => watcher.behind = false,
                Err(TrySendError::Full(_)) => watcher.behind = true,
                Err(TrySendError::Disconnected(_)) => return false,
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(hash: PageHash) -> KvEvent {
        KvEvent::Stored { parent: None, hash, tokens: [3; PAGE_TOKENS] }
    }

    #[test]
    fn a_name_stands_for_all_tokens_from_the_beginning_on() {
        let page = [7; PAGE_TOKENS];
        let mut other = page;
        other[31] = 8;
        let first = page_hash(None, &page);
        // As in any other process, now and later.
        assert_eq!(first, 0xd371_ab77_b0a8_d538);
        let names = [
            first,
            page_hash(None, &other),
            page_hash(Some(0), &page),
            page_hash(Some(first), &page),
            page_hash(Some(page_hash(None, &other)), &page),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{at}");
        }
    }

    #[test]
    fn who_falls_behind_is_told_everything_anew_and_who_is_gone_is_forgotten() {
        let mut watchers = Watchers::default();
        let (sender, events) = KvEvents::channel();
        watchers.add(sender, vec![stored(1)]);
        assert_eq!(events.try_recv(), Ok(vec![stored(1)]));
        let kept = || vec![stored(5), stored(6)];
        for at in 0..WAITING_MAX as u64 + 10 {
            watchers.tell(&[KvEvent::Removed { hash: at }], kept);
        }
        for at in 0..WAITING_MAX as u64 {
            assert_eq!(events.try_recv(), Ok(vec![KvEvent::Removed { hash: at }]));
        }
        assert_eq!(events.try_recv(), Err(TryRecvError::Empty));
        // Also when nothing else is new.
        watchers.tell(&[], kept);
        assert_eq!(events.try_recv(), Ok(vec![KvEvent::Cleared, stored(5), stored(6)]));
        watchers.tell(&[], kept);
        assert_eq!(events.try_recv(), Err(TryRecvError::Empty));
        drop(events);
        watchers.tell(&[KvEvent::Cleared], kept);
        assert!(watchers.is_empty());
    }
}
