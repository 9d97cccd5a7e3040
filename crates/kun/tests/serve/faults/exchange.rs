//! Bytes to a server and its reply, whatever either side does with the connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::server::{Reply, Server};

/// Every fault is answered in this time.
pub(super) const REPLY_TIME: Duration = Duration::from_secs(5);

/// What came back.
pub(super) struct Got {
    pub(super) reply: Reply,
    /// The server ended the connection.
    pub(super) closed: bool,
}

/// Sends bytes while it reads the reply: a server may answer before it has read all, and need not read on.
pub(super) fn exchange(server: &Server, bytes: &[u8]) -> Result<Got, String> {
    let stream = server.connect();
    let mut writer = stream.try_clone().map_err(|e| e.to_string())?;
    thread::scope(|scope| {
        scope.spawn(move || {
            // What the server does not want to read any more it need not.
            let _ = writer.write_all(bytes);
        });
        let got = read(&stream);
        // A writer that still waits is let go.
        let _ = stream.shutdown(Shutdown::Both);
        got
    })
}

/// Reads a reply up to its end, and sees whether the server ends the connection then.
pub(super) fn read(stream: &TcpStream) -> Result<Got, String> {
    let begun = Instant::now();
    let mut bytes = Vec::new();
    let mut whole = None;
    loop {
        let left = match &whole {
            // Whether it closes is seen soon.
            Some(_) => Duration::from_millis(300),
            None => REPLY_TIME.saturating_sub(begun.elapsed()),
        };
        if left.is_zero() {
            return Err(format!("no reply in {REPLY_TIME:?}, only {:?}", String::from_utf8_lossy(&bytes)));
        }
        stream.set_read_timeout(Some(left)).map_err(|e| e.to_string())?;
        let mut buffer = [0; 16 << 10];
        match (&*stream).read(&mut buffer) {
            Ok(0) => {
                let reply = whole.or_else(|| parse(&bytes, true));
                let reply = reply.ok_or_else(|| format!("cut: {:?}", String::from_utf8_lossy(&bytes)))?;
                return Ok(Got { reply, closed: true });
            }
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                whole = parse(&bytes, false);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if let Some(reply) = whole {
                    return Ok(Got { reply, closed: false });
                }
            }
            Err(error) => match whole {
                Some(reply) => return Ok(Got { reply, closed: true }),
                None => return Err(format!("the connection broke: {error}")),
            },
        }
    }
}

/// A whole reply, if these bytes are one.
fn parse(bytes: &[u8], ended: bool) -> Option<Reply> {
    let head_bytes = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = str::from_utf8(&bytes[..head_bytes]).ok()?;
    let rest = &bytes[head_bytes + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if (100..200).contains(&status) {
        return parse(rest, ended);
    }
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let mut reply = Reply { status, headers, body: Vec::new() };
    if reply.header("transfer-encoding") == Some("chunked") {
        reply.body = unchunked(rest)?;
    } else if let Some(length) = reply.header("content-length") {
        reply.body = rest.get(..length.parse().ok()?)?.to_vec();
    } else if ended {
        reply.body = rest.to_vec();
    } else {
        return None;
    }
    Some(reply)
}

/// The content of all chunks, if the last one is there.
fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        let chunk = bytes.get(end + 2..end + 2 + length)?;
        bytes = bytes.get(end + 2 + length + 2..)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
    }
}
