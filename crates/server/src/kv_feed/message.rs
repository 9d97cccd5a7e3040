//! Events as MessagePack.

use engine::batch::PAGE_TOKENS;
use engine::kv_events::{KvEvent, PageHash};
use engine::request::TokenId;
use rmp_serde::Serializer;
use serde::Serialize;

/// The tier of memory that pages are in: the first one, which has this name whatever the device.
const MEDIUM: &str = "GPU";
/// The engine's number among those that share a model's load.
const RANK: u32 = 0;

/// An event as it is written.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
enum Event {
    /// Each page is the parent of the next.
    BlockStored {
        block_hashes: Vec<PageHash>,
        parent_block_hash: Option<PageHash>,
        token_ids: Vec<TokenId>,
        block_size: usize,
        lora_id: Option<u32>,
        medium: &'static str,
        lora_name: Option<&'static str>,
    },
    BlockRemoved {
        block_hashes: Vec<PageHash>,
        medium: &'static str,
    },
    AllBlocksCleared,
}

/// An array of the time, the events and the rank.
pub(super) fn batch(unix_seconds: f64, events: &[KvEvent]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut serializer = Serializer::new(&mut out).with_struct_map();
    let written = (unix_seconds, joined(events), RANK).serialize(&mut serializer);
    written.expect("numbers and names can be written to memory");
    out
}

/// The pages of a prompt are one event.
fn joined(events: &[KvEvent]) -> Vec<Event> {
    let mut all: Vec<Event> = Vec::new();
    for event in events {
        match (event, all.last_mut()) {
            (
                KvEvent::Stored { parent: Some(parent), hash, tokens },
                Some(Event::BlockStored { block_hashes, token_ids, .. }),
            ) if block_hashes.last() == Some(parent) => {
                block_hashes.push(*hash);
                token_ids.extend_from_slice(tokens);
            }
            (KvEvent::Stored { parent, hash, tokens }, _) => all.push(Event::BlockStored {
                block_hashes: vec![*hash],
                parent_block_hash: *parent,
                token_ids: tokens.to_vec(),
                block_size: PAGE_TOKENS,
                lora_id: None,
                medium: MEDIUM,
                lora_name: None,
            }),
            (KvEvent::Removed { hash }, Some(Event::BlockRemoved { block_hashes, .. })) => {
                block_hashes.push(*hash);
            }
            (KvEvent::Removed { hash }, _) => {
                all.push(Event::BlockRemoved { block_hashes: vec![*hash], medium: MEDIUM });
            }
            (KvEvent::Cleared, _) => all.push(Event::AllBlocksCleared),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_maps_with_a_type_and_the_pages_of_a_prompt_are_one() {
        let stored = |parent, hash, token| KvEvent::Stored { parent, hash, tokens: [token; PAGE_TOKENS] };
        let removed = |hash| KvEvent::Removed { hash };
        let events = joined(&[
            stored(None, 1, 7),
            stored(Some(1), 2, 8),
            stored(Some(1), 3, 9),
            stored(None, 4, 9),
            removed(3),
            removed(2),
            KvEvent::Cleared,
            removed(9),
        ]);
        let shown = serde_json::to_value(&events).unwrap();
        let page = |token: u32| vec![token; PAGE_TOKENS];
        let expect = |hashes: &[u64], parent: Option<u64>, tokens: Vec<u32>| {
            serde_json::json!({
                "type": "BlockStored", "block_hashes": hashes, "parent_block_hash": parent, "token_ids": tokens,
                "block_size": 32, "lora_id": null, "medium": "GPU", "lora_name": null,
            })
        };
        let expect = serde_json::json!([
            expect(&[1, 2], None, [page(7), page(8)].concat()),
            expect(&[3], Some(1), page(9)),
            expect(&[4], None, page(9)),
            {"type": "BlockRemoved", "block_hashes": [3, 2], "medium": "GPU"},
            {"type": "AllBlocksCleared"},
            {"type": "BlockRemoved", "block_hashes": [9], "medium": "GPU"},
        ]);
        assert_eq!(shown, expect);
        // An array of three, the time as a float, an array of one map with one entry, the rank.
        let bytes = batch(1.5, &[KvEvent::Cleared]);
        assert_eq!(&bytes[..13], b"\x93\xcb\x3f\xf8\0\0\0\0\0\0\x91\x81\xa4");
        assert_eq!(&bytes[13..], b"type\xb0AllBlocksCleared\0");
    }
}
