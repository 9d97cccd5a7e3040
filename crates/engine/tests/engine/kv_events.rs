//! What is told of the prefix cache: whoever follows it knows which prompts begin with pages that are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::batch::PAGE_TOKENS;
use engine::engine::Handle;
use engine::kv_events::{KvEvent, KvEvents, PageHash, page_hash};
use engine::limits::Limits;
use engine::request::TokenId;

use crate::mock::{Mock, PANICS, prompt, request};

/// A reader's own idea of the cache.
#[derive(Debug, Default, PartialEq)]
struct Followed {
    /// The parent of each page.
    pages: BTreeMap<PageHash, Option<PageHash>>,
    cleared: usize,
}

impl Followed {
    /// Takes in what was told, until as many pages are kept as the engine says.
    fn follow(&mut self, events: &KvEvents, handle: &Handle) {
        loop {
            while let Ok(events) = events.try_recv() {
                events.into_iter().for_each(|event| self.take(event));
            }
            let stats = handle.stats();
            if self.pages.len() == stats.pages_cached && stats.open == 0 {
                return;
            }
            let more = events.recv_timeout(Duration::from_secs(20));
            more.expect("the engine keeps other pages than it told").into_iter().for_each(|e| self.take(e));
        }
    }

    fn take(&mut self, event: KvEvent) {
        match event {
            KvEvent::Stored { parent, hash, tokens } => {
                assert_eq!(hash, page_hash(parent, &tokens));
                assert!(
                    parent.is_none_or(|parent| self.pages.contains_key(&parent)),
                    "{hash:x} hangs in the air"
                );
                assert_eq!(self.pages.insert(hash, parent), None, "{hash:x} is stored twice");
            }
            KvEvent::Removed { hash } => {
                assert!(self.pages.remove(&hash).is_some(), "{hash:x} was not stored");
                assert!(!self.pages.values().any(|&parent| parent == Some(hash)), "{hash:x} has children");
            }
            KvEvent::Cleared => {
                self.pages.clear();
                self.cleared += 1;
            }
        }
    }

    /// How many tokens of a prompt are kept.
    fn kept(&self, prompt: &[TokenId]) -> usize {
        let mut parent = None;
        let pages = prompt.chunks_exact(PAGE_TOKENS).take_while(|page| {
            parent = Some(page_hash(parent, page));
            self.pages.contains_key(&parent.unwrap())
        });
        pages.count() * PAGE_TOKENS
    }
}

fn ask(handle: &Handle, tokens: Vec<TokenId>) -> usize {
    let chunks: Vec<_> = handle.submit(request(tokens, 3)).unwrap().collect();
    chunks.last().unwrap().finished.as_ref().unwrap().cache.cached_tokens
}

#[test]
fn whoever_follows_knows_what_is_kept() {
    let limits = Limits { kv_pages: 40, ..Limits::default() };
    let handle = Handle::start(Box::new(Mock::new(600, &limits)), limits).unwrap();
    let events = handle.kv_events();
    let mut followed = Followed::default();
    // Far more than there is room for; every second one goes on where an older one began.
    let prompts: Vec<Vec<TokenId>> = (0..30u64)
        .map(|at| match at % 2 {
            0 => prompt(at, 100 + at as usize * 7),
            _ => [prompt(at - 1, 100), prompt(at + 100, 90)].concat(),
        })
        .collect();
    for tokens in &prompts {
        // The last token is always computed, so a page that ends with it is of no use to it.
        let expect = followed.kept(&tokens[..tokens.len() - 1]);
        assert_eq!(ask(&handle, tokens.clone()), expect);
        followed.follow(&events, &handle);
    }
    assert_eq!((followed.pages.len(), followed.cleared), (handle.stats().pages_cached, 0));
    assert!(handle.stats().pages_cached > 30);

    // Who comes later is told the same.
    let mut late = Followed::default();
    late.follow(&handle.kv_events(), &handle);
    assert_eq!(late, followed);
}

#[test]
fn what_a_panic_empties_is_told() {
    let limits = Limits { kv_pages: 40, ..Limits::default() };
    let handle = Handle::start(Box::new(Mock::new(600, &limits)), limits).unwrap();
    let events = handle.kv_events();
    let mut followed = Followed::default();
    ask(&handle, prompt(1, 100));
    followed.follow(&events, &handle);
    assert_eq!((followed.pages.len(), followed.cleared), (3, 0));
    assert_eq!(handle.submit(request(vec![1, PANICS], 1)).unwrap().count(), 1);
    followed.follow(&events, &handle);
    assert_eq!((followed.pages.len(), followed.cleared), (0, 1));
    ask(&handle, prompt(1, 100));
    followed.follow(&events, &handle);
    assert_eq!((followed.pages.len(), followed.cleared), (3, 1));
}

#[test]
fn an_engine_that_has_ended_tells_nothing() {
    let limits = Limits::default();
    let handle = Handle::start(Box::new(Mock::new(600, &limits)), limits).unwrap();
    let events = handle.kv_events();
    drop(handle);
    assert!(events.recv_timeout(Duration::from_secs(20)).is_err());
}
