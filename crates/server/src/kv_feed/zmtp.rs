//! The publisher's side of ZMTP 3.0 (RFC 23 of ZeroMQ) without encryption: as much as a subscriber needs.
//!
//! A library for this brings twenty others along, for a greeting, one command and frames with a length before them.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

/// Bits of a frame's first byte.
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// Bytes of what a subscriber may send in one frame.
const FRAME_MAX: usize = 1024;
/// Topics that a subscriber may ask for.
const TOPICS_MAX: usize = 64;
/// How long a greeting may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends messages to a subscriber.
pub(super) struct Subscriber(OwnedWriteHalf);

/// A topic that is asked for, or no longer.
pub(super) struct Change {
    wanted: bool,
    topic: Vec<u8>,
}

/// The topics that a subscriber asks for.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Vec<Vec<u8>>);

impl Subscriptions {
    pub(super) fn change(&mut self, Change { wanted, topic }: Change) {
        if !wanted {
            if let Some(at) = self.0.iter().position(|known| *known == topic) {
                self.0.swap_remove(at);
            }
        } else if self.0.len() < TOPICS_MAX {
            self.0.push(topic);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a topic begins with one that is asked for.
    pub(super) fn has(&self, topic: &[u8]) -> bool {
        self.0.iter().any(|known| topic.starts_with(known))
    }
}

impl Subscriber {
    /// Sends a message.
    pub(super) async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let more = if at + 1 < parts.len() { MORE } else { 0 };
            frame(&mut bytes, more, part);
        }
        self.0.write_all(&bytes).await
    }
}

/// Greets whoever has connected; he must be a subscriber. The channel ends when he has gone.
pub(super) async fn shake_hands(stream: TcpStream) -> io::Result<(Subscriber, Receiver<Change>)> {
    let (mut reader, mut writer) = stream.into_split();
    let greet = async {
        writer.write_all(&greeting()).await?;
        let mut theirs = [0; 64];
        reader.read_exact(&mut theirs).await?;
        let is_zmtp = theirs[0] == 0xFF && theirs[9] & 1 == 1 && theirs[10] >= 3;
        if !is_zmtp || !theirs[12..].starts_with(b"NULL\0") {
            return Err(invalid("it does not speak ZMTP 3 without encryption"));
        }
        let mut ready = Vec::new();
        frame(&mut ready, COMMAND, b"\x05READY\x0bSocket-Type\0\0\0\x03PUB");
        writer.write_all(&ready).await?;
        let (flags, body) = read_frame(&mut reader).await?;
        let is_ready = flags & COMMAND != 0 && body.starts_with(b"\x05READY");
        match is_ready.then(|| property(&body[6..], b"socket-type")).flatten() {
            Some(b"SUB" | b"XSUB") => Ok(()),
            _ => Err(invalid("it is no subscriber")),
        }
    };
    timeout(GREETING_TIMEOUT, greet).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let (sender, changes) = channel(TOPICS_MAX);
    tokio::spawn(listen(reader, sender));
    Ok((Subscriber(writer), changes))
}

/// Reads what a subscriber asks for until he goes or nobody wants to know.
async fn listen(mut reader: OwnedReadHalf, sender: Sender<Change>) {
    loop {
        let frame = tokio::select! {
            frame = read_frame(&mut reader) => frame,
            () = sender.closed() => return,
        };
        let Ok((flags, body)) = frame else { return };
        let change = match (flags & COMMAND != 0, &body[..]) {
            (false, [first @ (0 | 1), topic @ ..]) => Change { wanted: *first == 1, topic: topic.to_vec() },
            // As ZMTP 3.1 has it.
            (true, body) => match (body.strip_prefix(b"\x09SUBSCRIBE"), body.strip_prefix(b"\x06CANCEL")) {
                (Some(topic), _) => Change { wanted: true, topic: topic.to_vec() },
                (None, Some(topic)) => Change { wanted: false, topic: topic.to_vec() },
                (None, None) => continue,
            },
            (false, _) => continue,
        };
        if sender.send(change).await.is_err() {
            return;
        }
    }
}

/// Version 3.0, no encryption, and who of the two would be its server does not matter then.
fn greeting() -> [u8; 64] {
    let mut greeting = [0; 64];
    (greeting[0], greeting[8], greeting[9], greeting[10]) = (0xFF, 1, 0x7F, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

fn frame(out: &mut Vec<u8>, flags: u8, body: &[u8]) {
    match u8::try_from(body.len()) {
        Ok(len) => out.extend([flags, len]),
        Err(_) => {
            out.push(flags | LONG);
            out.extend((body.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(body);
}

async fn read_frame(reader: &mut OwnedReadHalf) -> io::Result<(u8, Vec<u8>)> {
    let flags = reader.read_u8().await?;
    let len = match flags & LONG {
        0 => u64::from(reader.read_u8().await?),
        _ => reader.read_u64().await?,
    };
    if len > FRAME_MAX as u64 {
        return Err(invalid("a frame is too long"));
    }
    let mut body = vec![0; len as usize];
    reader.read_exact(&mut body).await?;
    Ok((flags, body))
}

/// The value of a property of a `READY` command, whose names have no case.
fn property<'a>(mut properties: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    while let Some((&len, rest)) = properties.split_first() {
        let (name, rest) = rest.split_at_checked(len as usize)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        properties = rest;
    }
    None
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_beginnings_and_count() {
        let mut wanted = Subscriptions::default();
        let mut change = |wanted_topic, topic: &[u8]| {
            wanted.change(Change { wanted: wanted_topic, topic: topic.to_vec() })
        };
        change(true, b"kv@a");
        change(true, b"kv@a");
        change(true, b"kv@b");
        change(false, b"kv@a");
        assert!(wanted.has(b"kv@a@model") && wanted.has(b"kv@b") && !wanted.has(b"kv@"));
        wanted.change(Change { wanted: false, topic: b"kv@a".to_vec() });
        assert!(!wanted.has(b"kv@a@model") && !wanted.is_empty());
        wanted.change(Change { wanted: true, topic: Vec::new() });
        assert!(wanted.has(b"anything"));
        (0..1000).for_each(|_| wanted.change(Change { wanted: true, topic: b"x".to_vec() }));
        assert_eq!(wanted.0.len(), TOPICS_MAX);
    }

    #[test]
    fn properties_are_found_and_broken_ones_are_none() {
        let ready = b"\x08Identity\0\0\0\x02ab\x0bSocket-Type\0\0\0\x03SUB";
        assert_eq!(property(ready, b"socket-type"), Some(&b"SUB"[..]));
        assert_eq!(property(ready, b"identity"), Some(&b"ab"[..]));
        assert_eq!(property(ready, b"resource"), None);
        for len in 1..ready.len() {
            assert_eq!(property(&ready[..len], b"socket-type"), None, "{len}");
        }
    }

    #[test]
    fn long_frames_have_a_long_length() {
        let mut out = Vec::new();
        frame(&mut out, MORE, b"ab");
        frame(&mut out, 0, &[9; 300]);
        assert_eq!(out[..4], [1, 2, b'a', b'b']);
        assert_eq!(out[4..13], [2, 0, 0, 0, 0, 0, 0, 1, 44]);
        assert_eq!(out.len(), 13 + 300);
    }
}
