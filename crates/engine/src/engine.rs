//! The token-level seam: a [`Handle`] takes requests from any thread, a [`Generation`] brings an answer back.
//!
//! Behind it one thread owns everything mutable. A request crosses two queues and no lock: the bounded inbox and
//! its own channel back. Everything that can be wrong with a request is said by [`Handle::submit`].

mod answer;
mod generation;
mod masks;
mod stats;
mod thread;
mod wait;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::kv_events::{KvEvent, KvEvents};
use crate::limits::{Limits, Refused, StartError};
use crate::model::{Model, Shape};
use crate::request::Request;
use crate::scheduler::Sequence;

pub use generation::Generation;
pub use stats::Stats;
pub use wait::Wait;

pub(crate) use generation::Sink;
pub(crate) use stats::{Counters, Place};

/// A running engine. Clones are the same engine; when the last one is dropped, what still runs is cancelled and
/// the engine's thread has ended before the drop returns.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// None only while it is being dropped.
    inbox: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
    counters: Arc<Counters>,
    shape: Shape,
    limits: Limits,
}

/// What comes into the engine's thread.
#[derive(Debug)]
pub(crate) enum Message {
    /// Checked requests that came together.
    Submit(Vec<Sequence>),
    /// Somebody wants to be told of the prefix cache.
    Watch(SyncSender<Vec<KvEvent>>),
    /// Nothing but a reason to look at `stopping`.
    Wake,
}

impl Handle {
    /// Starts the engine's thread, which takes the model over.
    pub fn start(model: Box<dyn Model>, limits: Limits) -> Result<Handle, StartError> {
        let shape = model.shape().clone();
        let limits = limits.for_model(&shape)?;
        // Whoever sends has a place in the queue, so the inbox is full only if wake-ups fill it.
        let (inbox, messages) = sync_channel(limits.queue_max + 1);
        let stopping = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(Counters::default());
        let engine = thread::Engine::new(model, limits, Arc::clone(&counters));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || engine.run(&messages, &stop))
            .map_err(StartError::Thread)?;
        let shared = Shared { inbox: Some(inbox), thread: Some(thread), stopping, counters, shape, limits };
        Ok(Handle { shared: Arc::new(shared) })
    }

    /// Hands a request to the engine, or says why not. It never waits.
    pub fn submit(&self, request: Request) -> Result<Generation, Refused> {
        let mut generations = self.submit_all(vec![request])?;
        Ok(generations.pop().expect("an answer for each request"))
    }

    /// Hands requests to the engine together, all or none: if one is refused or there is not room in the queue for each
    /// of them, nothing has happened. They begin in the same step if they can, so that those with one prompt, the
    /// choices of one question, compute it once.
    pub fn submit_all(&self, requests: Vec<Request>) -> Result<Vec<Generation>, Refused> {
        let Shared { inbox, stopping, counters, shape, limits, .. } = &*self.shared;
        requests.iter().try_for_each(|request| limits.check(request, shape))?;
        if stopping.load(Relaxed) {
            return Err(Refused::Stopped);
        }
        let queue_max = limits.queue_max;
        let prompts = requests.iter().map(|request| request.prompt.len());
        let places = Place::take(counters, prompts, queue_max).ok_or(Refused::QueueFull { queue_max })?;
        let (sequences, generations): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .zip(places)
            .map(|(request, place)| {
                let (sink, generation) = Sink::new(request.prompt.len());
                (Sequence::new(request, sink, place), generation)
            })
            .unzip();
        let inbox = inbox.as_ref().expect("it is taken when the last handle is dropped");
        match inbox.try_send(Message::Submit(sequences)) {
            Ok(()) => Ok(generations),
            Err(TrySendError::Full(_)) => Err(Refused::QueueFull { queue_max }),
            Err(TrySendError::Disconnected(_)) => Err(Refused::Stopped),
        }
    }

    /// The model's shape.
    pub fn shape(&self) -> &Shape {
        &self.shared.shape
    }

    /// The limits that hold: those given to `start`, with the model's own taken into account.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// What the engine has counted so far.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read(&self.shared.limits)
    }

    /// What changes in the prefix cache, from now on. An engine that has ended tells nothing.
    pub fn kv_events(&self) -> KvEvents {
        let (sender, events) = KvEvents::channel();
        if let Some(inbox) = &self.shared.inbox {
            // The place for wake-ups may be taken; the engine looks into its inbox after each step.
            let _ = inbox.send(Message::Watch(sender));
        }
        events
    }

    /// Ends the engine after the step that it is in: requests under way are cancelled, new ones are refused, on
    /// all handles. It does not wait; dropping the last handle does.
    pub fn shutdown(&self) {
        self.shared.stopping.store(true, Relaxed);
        if let Some(inbox) = &self.shared.inbox {
            // A full inbox wakes the engine as well.
            let _ = inbox.try_send(Message::Wake);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stopping.store(true, Relaxed);
        // Without a sender the engine wakes up and finds that it should stop.
        drop(self.inbox.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, the readers of its answers have been told; a second panic here helps nobody.
            let _ = thread.join();
        }
    }
}

// A sequence needs its ends of the channels, so the scheduler's simulation is run here, in a whole engine.
#[cfg(test)]
#[path = "../tests/engine/mock.rs"]
#[allow(dead_code, reason = "some of it serves only the tests outside")]
mod mock;
#[cfg(test)]
#[path = "../tests/engine/oracle.rs"]
mod oracle;
#[cfg(test)]
mod simulation;
