//! A connection as three see it: the HTTP parser that reads and writes, the service that answers, and the watch for a
//! client that goes away.
//!
//! **A client that goes away.** The parser does not read while an answer is made, so the watch does. What it finds may be
//! a reset: the client is gone. Or it is the end of what the client sends, and that has two meanings which look alike: a
//! client that has closed the socket, and one that has only said all it has to say and waits for its answer. The system of
//! the former answers a byte with a reset, that of the latter says nothing. So a byte is sent that belongs to the answer in
//! any case: of an answer that has not begun, the `H` of `HTTP/1.1`; of a stream, a comment.
//!
//! **Patience.** Every wait for a client has an end: for a head, for a body, for the next request, for a reader.
//!
//! All of it happens in the task of the connection; the lock is never waited for.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::rt::ReadBufCursor;
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::framing::{Broken, Framing, Part, too_slow};
use super::socket::Socket;
use crate::error::ApiError;
use crate::front::ActiveGuard;

/// Bytes that are read ahead of the parser to see the end of what a client sends. Who has sent more than this behind a
/// request that is being answered is only watched for a reset.
const AHEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes of one read.
const READ_BYTES: usize = 16 << 10;
/// A body earns time with this many bytes a second.
const BODY_BYTES_PER_SECOND: f64 = 4096.0;
/// What every answer begins with, whatever its version and status.
const ANSWER_BEGIN: &[u8] = b"HTTP/1.";
/// A client that only reads is asked again after this time whether it still does.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// What the parser is given in place of a head that is refused: a request that the service knows by its refusal.
const REFUSED_HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the whole of a head.
    pub(super) head: Duration,
    /// For the next request on an open connection.
    pub(super) idle: Duration,
    /// For a body, beyond the time that its bytes earn.
    pub(super) body: Duration,
    /// For a reader to take some of what there is to read.
    pub(super) write: Duration,
}

/// A connection, shared.
#[derive(Debug, Clone)]
pub(crate) struct Link(Arc<Mutex<State>>);

/// What the watch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing: wait for what comes.
    Nothing,
    /// The answer should be asked for a byte.
    Ask,
    /// There is nobody to answer.
    Gone,
}

struct State {
    socket: Socket,
    patience: Patience,
    framing: Framing,
    /// What has been read and not yet looked at.
    ahead: VecDeque<Bytes>,
    ahead_bytes: usize,
    /// What the parser may have, from `passed_at` on.
    passed: Vec<u8>,
    passed_at: usize,
    /// The client sends no more.
    ended: bool,
    /// The parser is told that the client sends no more.
    closing: bool,
    refused: Option<ApiError>,
    stage: Stage,
    /// Requests that were answered.
    served: u64,
    /// Comes to pass when the client resets the connection; there while a request is answered.
    reset: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The parser has nothing that it wants to write.
    flushed: bool,
    /// Bytes of `ANSWER_BEGIN` that went out before the parser came to write them.
    asked: usize,
    /// How many of those the parser has still to write.
    skip: usize,
    ask_at: Option<Instant>,
    /// Answers that the parser has and the socket has not, all of it.
    finishing: Vec<ActiveGuard>,
    /// When the wait for a head, or for the next request, began.
    since: Instant,
    body_left: Duration,
    body_waits: Option<Instant>,
    write_waits: Option<Instant>,
    read_alarm: Alarm,
    write_alarm: Alarm,
    ask_alarm: Alarm,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is none.
    Idle,
    /// Its answer has not begun.
    Serving,
    /// Its answer has begun. `comment`: the answer is a stream that should send a comment.
    Responding { stream: bool, comment: bool },
}

impl Link {
    pub(super) fn new(socket: Socket, patience: Patience) -> Self {
        Link(Arc::new(Mutex::new(State {
            socket,
            patience,
            framing: Framing::new(),
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            passed: Vec::new(),
            passed_at: 0,
            ended: false,
            closing: false,
            refused: None,
            stage: Stage::Idle,
            served: 0,
            reset: None,
            flushed: true,
            asked: 0,
            skip: 0,
            ask_at: None,
            finishing: Vec::new(),
            since: Instant::now(),
            body_left: patience.body,
            body_waits: None,
            write_waits: None,
            read_alarm: Alarm::default(),
            write_alarm: Alarm::default(),
            ask_alarm: Alarm::default(),
        })))
    }

    /// One that has had its only answer, and of which nothing is read any more but to take leave.
    pub(super) fn after_a_word(socket: Socket) -> Self {
        let none = Duration::ZERO;
        let link = Link::new(socket, Patience { head: none, idle: none, body: none, write: none });
        link.state().closing = true;
        link
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of a handler does not happen under this lock; a state after one of ours is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins; if there is none but bytes that are no request, the answer to those.
    pub(super) fn begin(&self) -> Option<ApiError> {
        let mut state = self.state();
        state.stage = Stage::Serving;
        state.asked = 0;
        state.ask_at = None;
        let tcp = state.socket.tcp().clone();
        state.reset = Some(Box::pin(tcp.reset()));
        state.refused.take()
    }

    /// Its answer begins.
    pub(crate) fn respond(&self, stream: bool) {
        let mut state = self.state();
        state.stage = Stage::Responding { stream, comment: false };
        state.ask_at = None;
    }

    /// Its answer has been handed to the parser, up to the end. The guard is kept until the socket has it.
    pub(crate) fn finish(&self, guard: Option<ActiveGuard>) {
        let mut state = self.state();
        state.stage = Stage::Idle;
        state.served += 1;
        state.reset = None;
        state.since = Instant::now();
        state.finishing.extend(guard);
    }

    /// Whether a stream should send a comment now; it is asked for once.
    pub(crate) fn take_comment(&self) -> bool {
        match &mut self.state().stage {
            Stage::Responding { comment, .. } => std::mem::take(comment),
            _ => false,
        }
    }

    /// Whether nobody would miss the connection: no request, and nothing of the next one.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.stage == Stage::Idle
            && state.flushed
            && state.finishing.is_empty()
            && state.framing.part() == Part::Between
            && state.ahead.is_empty()
            && state.passed_at == state.passed.len()
    }

    /// Requests that were answered.
    pub(super) fn served(&self) -> u64 {
        self.state().served
    }

    /// Looks whether the client of a request is still there. It is called after the parser's turn.
    pub(super) fn watch(&self, cx: &mut Context<'_>) -> Seen {
        self.state().watch(cx)
    }

    /// Takes leave of a client that may still be sending what nobody will read: it should be able to read its answer
    /// before it learns that the connection is gone.
    pub(super) async fn linger(&self, time: Duration, mut bytes_max: usize) {
        let leave = std::future::poll_fn(|cx| {
            let mut state = self.state();
            let _ = ready!(state.socket.poll_shutdown(cx));
            if state.framing.part() == Part::Between && !state.closing {
                return Poll::Ready(());
            }
            while bytes_max > 0 {
                state.ahead.clear();
                match ready!(state.poll_receive(cx)) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => bytes_max = bytes_max.saturating_sub(count),
                }
            }
            Poll::Ready(())
        });
        let _ = tokio::time::timeout(time, leave).await;
    }
}

impl State {
    fn watch(&mut self, cx: &mut Context<'_>) -> Seen {
        if self.stage == Stage::Idle {
            return Seen::Nothing;
        }
        if let Some(reset) = &mut self.reset
            && reset.as_mut().poll(cx).is_ready()
        {
            return Seen::Gone;
        }
        while !self.ended && self.ahead_bytes < AHEAD_BYTES_MAX {
            match self.poll_receive(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Seen::Gone,
                Poll::Pending => return Seen::Nothing,
            }
        }
        if self.ended { self.ask(cx) } else { Seen::Nothing }
    }

    /// Asks a client that sends no more whether it still reads.
    fn ask(&mut self, cx: &mut Context<'_>) -> Seen {
        if let Some(at) = self.ask_at
            && self.ask_alarm.poll_at(cx, at).is_pending()
        {
            return Seen::Nothing;
        }
        let next = Instant::now() + ASK_AGAIN;
        match &mut self.stage {
            Stage::Responding { stream: true, comment } => {
                *comment = true;
                self.ask_at = Some(next);
                Seen::Ask
            }
            // Between the pieces of what the parser writes only.
            Stage::Serving if self.flushed && self.asked < ANSWER_BEGIN.len() => {
                let byte = &ANSWER_BEGIN[self.asked..=self.asked];
                match self.socket.poll_write(cx, &[IoSlice::new(byte)]) {
                    Poll::Ready(Ok(count)) => {
                        self.asked += count;
                        self.skip += count;
                    }
                    Poll::Ready(Err(_)) => return Seen::Gone,
                    Poll::Pending => return Seen::Nothing,
                }
                if let Poll::Ready(Err(_)) = self.socket.poll_flush(cx) {
                    return Seen::Gone;
                }
                self.ask_at = Some(next);
                let _ = self.ask_alarm.poll_at(cx, next);
                Seen::Nothing
            }
            // What is written anyway asks as well.
            _ => Seen::Nothing,
        }
    }

    /// Reads once from the socket; 0 is the end of what the client sends.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let mut space = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut space);
        ready!(self.socket.poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        if bytes.is_empty() {
            self.ended = true;
        } else {
            self.ahead.push_back(Bytes::copy_from_slice(bytes));
            self.ahead_bytes += bytes.len();
        }
        let count = bytes.len();
        self.earn(count);
        Poll::Ready(Ok(count))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.passed_at < self.passed.len() {
                let count = buf.remaining().min(self.passed.len() - self.passed_at);
                buf.put_slice(&self.passed[self.passed_at..self.passed_at + count]);
                self.passed_at += count;
                return Poll::Ready(Ok(()));
            }
            self.passed.clear();
            self.passed_at = 0;
            if self.closing {
                return Poll::Ready(Ok(()));
            }
            if !self.ahead.is_empty() {
                self.pass()?;
                continue;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            match self.poll_receive(cx) {
                Poll::Ready(result) => drop(result?),
                Poll::Pending => ready!(self.poll_patience(cx))?,
            }
        }
    }

    /// Lets some of what was read go on to the parser.
    fn pass(&mut self) -> io::Result<()> {
        let Some(bytes) = self.ahead.front_mut() else { return Ok(()) };
        let (before, part) = (bytes.len(), self.framing.part());
        let passed = self.framing.pass(bytes, &mut self.passed);
        self.ahead_bytes -= before - bytes.len();
        if bytes.is_empty() {
            self.ahead.pop_front();
        }
        match passed {
            Ok(()) => {
                match (part, self.framing.part()) {
                    (Part::Between, Part::Head) if self.served > 0 => self.since = Instant::now(),
                    (Part::Between | Part::Head, Part::Body) => {
                        self.body_left = self.patience.body;
                        self.body_waits = None;
                    }
                    _ => {}
                }
                Ok(())
            }
            Err(Broken::Head(error)) => {
                self.refuse(error);
                Ok(())
            }
            Err(Broken::Body(message)) => {
                self.closing = true;
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
        }
    }

    /// Answers bytes that are no request, and takes no more of them.
    fn refuse(&mut self, error: ApiError) {
        self.refused = Some(error);
        self.closing = true;
        self.passed.clear();
        self.passed.extend_from_slice(REFUSED_HEAD);
    }

    /// Bytes of a body bring time for more.
    fn earn(&mut self, count: usize) {
        if let Some(since) = self.body_waits.take() {
            let earned = Duration::from_secs_f64(count as f64 / BODY_BYTES_PER_SECOND);
            self.body_left =
                (self.body_left.saturating_sub(since.elapsed()) + earned).min(self.patience.body);
        }
    }

    /// The client lets the parser wait: ready once that has been long enough.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let part = self.framing.part();
        let deadline = match part {
            // The first request of a connection is awaited like a head.
            Part::Between if self.served > 0 => self.since + self.patience.idle,
            Part::Between | Part::Head => self.since + self.patience.head,
            Part::Body => *self.body_waits.get_or_insert_with(Instant::now) + self.body_left,
        };
        ready!(self.read_alarm.poll_at(cx, deadline));
        self.read_alarm.off();
        match part {
            Part::Between => self.closing = true,
            Part::Head => self.refuse(too_slow()),
            Part::Body => {
                self.closing = true;
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the body comes too slowly",
                )));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.flushed = false;
        if self.skip > 0
            && let Some(bytes) = bufs.iter().find(|bytes| !bytes.is_empty())
        {
            let count = self.skip.min(bytes.len());
            let from = self.asked - self.skip;
            debug_assert_eq!(
                &bytes[..count],
                &ANSWER_BEGIN[from..from + count],
                "an answer begins like any other"
            );
            self.skip -= count;
            return Poll::Ready(Ok(count));
        }
        let written = self.socket.poll_write(cx, bufs);
        self.until_it_reads(cx, written)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.socket.poll_flush(cx);
        let flushed = self.until_it_reads(cx, flushed);
        if let Poll::Ready(Ok(())) = flushed {
            self.flushed = true;
            self.finishing.clear();
        }
        flushed
    }

    /// A write that the client lets wait fails when that has been long enough.
    fn until_it_reads<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_waits = None;
            return result;
        }
        let since = *self.write_waits.get_or_insert_with(Instant::now);
        ready!(self.write_alarm.poll_at(cx, since + self.patience.write));
        self.write_alarm.off();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("stage", &self.stage)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl hyper::rt::Read for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.state().poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.state().poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state().poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().socket.poll_shutdown(cx)
    }
}
