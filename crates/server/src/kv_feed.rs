//! The changes of the prefix caches for gateways that send each request where its beginning is kept: over ZeroMQ, in the
//! format of vLLM's KV events, which gateways for Kubernetes read.
//!
//! Each subscriber has the engines tell him for himself. So he begins with all that is kept at that time, his numbers have
//! no gaps, and one who reads slowly is told everything anew instead of missing something.
//!
//! A message has three parts: the topic, its number (8 bytes, the highest first), and a MessagePack array of the time, the
//! events and the rank, which is 0. An event is a map whose `type` is `BlockStored`, `BlockRemoved` or `AllBlocksCleared`.

mod message;
mod zmtp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::kv_events::{KvEvent, KvEvents};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{MissedTickBehavior, interval};

use crate::state::App;
use zmtp::{Subscriber, Subscriptions};

/// How often the engines are asked for news.
const TICK: Duration = Duration::from_millis(10);
/// Subscribers at a time.
const SUBSCRIBERS_MAX: usize = 64;
/// How long a subscriber may leave unread what is sent to him.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// What stands for a model's name in the topic.
const MODEL: &str = "{model}";

/// Where the prefix caches are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvFeedConfig {
    /// Where it listens; none: nowhere.
    pub address: Option<SocketAddr>,
    /// The topic of the messages; `{model}` in it is the model's name.
    pub topic: String,
}

impl Default for KvFeedConfig {
    fn default() -> Self {
        KvFeedConfig { address: None, topic: "kv-events".to_owned() }
    }
}

/// Takes in subscribers for ever.
pub(crate) async fn serve(listener: Option<TcpListener>, app: &Arc<App>) {
    let Some(listener) = listener else { return std::future::pending().await };
    let places = Arc::new(Semaphore::new(SUBSCRIBERS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, address)) => {
                let app = Arc::clone(app);
                tokio::spawn(async move {
                    if let Err(error) = tell(stream, &app).await {
                        tracing::debug!(%address, %error, "a subscriber of KV events is gone");
                    }
                    drop(place);
                });
            }
            // Out of file handles, or the subscriber has gone again.
            Err(_) => tokio::time::sleep(TICK).await,
        }
    }
}

/// Tells one subscriber, until he goes.
async fn tell(stream: TcpStream, app: &App) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut subscriber, mut subscriptions) = zmtp::shake_hands(stream).await?;
    let mut wanted = Subscriptions::default();
    let mut watched: Vec<Watched> = Vec::new();
    let mut number = 0;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        loop {
            match subscriptions.try_recv() {
                Ok(change) => wanted.change(change),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        if wanted.is_empty() {
            // What he does not ask for is not kept for him.
            watched.clear();
            continue;
        }
        watch_new(&mut watched, app).await;
        let mut open = Vec::with_capacity(watched.len());
        for model in watched.drain(..) {
            let (events, ended) = model.news();
            if !events.is_empty() && wanted.has(model.topic.as_bytes()) {
                send(&mut subscriber, &model.topic, number, &events).await?;
                number += 1;
            }
            if !ended {
                open.push(model);
            }
        }
        watched = open;
    }
}

async fn send(subscriber: &mut Subscriber, topic: &str, number: u64, events: &[KvEvent]) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let batch = message::batch(now.as_secs_f64(), events);
    let parts = [topic.as_bytes(), &number.to_be_bytes(), &batch];
    let sent = tokio::time::timeout(WRITE_TIMEOUT, subscriber.send(&parts)).await;
    sent.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// A loaded model. It is not kept from being unloaded.
struct Watched {
    name: String,
    topic: String,
    events: KvEvents,
}

impl Watched {
    /// What is new, and whether the engine has ended; its pages are gone then.
    fn news(&self) -> (Vec<KvEvent>, bool) {
        let mut all = Vec::new();
        loop {
            match self.events.try_recv() {
                Ok(events) => all.extend(events),
                Err(std::sync::mpsc::TryRecvError::Empty) => return (all, false),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    all.push(KvEvent::Cleared);
                    return (all, true);
                }
            }
        }
    }
}

/// Asks the engines that were started since to tell of their caches.
async fn watch_new(watched: &mut Vec<Watched>, app: &App) {
    for model in app.models() {
        if watched.iter().any(|known| known.name == model.name) {
            continue;
        }
        let (name, topic) = (model.name.clone(), app.config.kv_feed.topic.replace(MODEL, &model.name));
        // The engine may be busy with a step.
        let asked = tokio::task::spawn_blocking(move || model.kv_events()).await;
        if let Ok(events) = asked {
            watched.push(Watched { name, topic, events });
        }
    }
}
