//! Connections: accepting, limits of what a client may hold up, and the end of it all.
//!
//! HTTP/1.1 alone is spoken. HTTP/2 has floods of its own (resets, continuations, settings), and what it is good for, many
//! requests on one connection, is of no use where an answer takes seconds of a processor.

mod alarm;
mod framing;
mod head;
mod link;
mod serve;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::batch;
use crate::config::Config;
use crate::health;
use crate::kept::Kept;
use crate::keys::Key;
use crate::kv_feed;
use crate::registry::Registry;
use crate::router::router;
use crate::state::App;
use crate::tls::Tls;

pub(crate) use framing::too_slow;
pub(crate) use link::Link;

/// Bytes that the system keeps for a client that does not read.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// A wait for a place or a file handle after an idle connection was asked to make room.
const LEAVE_WAIT: Duration = Duration::from_millis(2);
/// The same where there is none to ask.
const ROOM_WAIT: Duration = Duration::from_millis(50);
/// The same trouble is not said more often than this.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// How long cancelled answers may take to say so.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// The system's word.
        #[source]
        error: io::Error,
    },
    /// What is kept from one start to the next can't be had.
    #[error("cannot keep files and batches in {}: {why}", folder.display())]
    State {
        /// Where it is.
        folder: PathBuf,
        /// What is in the way.
        why: String,
    },
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    kv_feed: Option<TcpListener>,
    router: Router,
    app: Arc<App>,
}

/// What can be changed while a server runs.
#[derive(Debug, Clone)]
pub struct Control(Arc<App>);

impl Control {
    /// Lets these keys in from now on, and no others. What they have used so far still counts.
    pub fn set_keys(&self, keys: Vec<Key>) {
        self.0.front.set_keys(keys);
    }

    /// Serves new connections with this certificate.
    pub fn set_tls(&self, tls: Tls) {
        self.0.front.set_tls(tls);
    }
}

impl Server {
    /// Listens; nobody is answered before [`Server::run`].
    ///
    /// # Errors
    /// If the address can't be had.
    pub async fn bind(config: Config, models: Arc<Registry>) -> Result<Server, StartError> {
        let address = config.address;
        let listener = listen(address).await?;
        // The connections have it from the listener.
        let sized = SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_BYTES);
        sized.map_err(|error| StartError::Listen { address, error })?;
        let kv_feed = match config.kv_feed.address {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let mut app = App::new(config, models);
        if let Some(folder) = app.config.state_dir.clone() {
            let kept = Kept::open(&folder, &app.config);
            app.kept = Some(Arc::new(kept.map_err(|why| StartError::State { folder, why })?));
        }
        let app = Arc::new(app);
        Ok(Server { listener, kv_feed, router: router(Arc::clone(&app)), app })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where the prefix caches are told of, if they are.
    pub fn kv_feed_address(&self) -> Option<SocketAddr> {
        self.kv_feed.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// What can be changed while it runs.
    pub fn control(&self) -> Control {
        Control(Arc::clone(&self.app))
    }

    /// Answers until `end` comes to pass; then what runs may finish within the drain timeout, and whoever comes is told
    /// that the server is going.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let Server { listener, kv_feed, router, app } = self;
        let batches = tokio::spawn(batch::queue::work(Arc::clone(&app)));
        tokio::select! {
            () = accept(&listener, &router, &app) => {}
            () = health::watch(&app) => {}
            () = kv_feed::serve(kv_feed, &app) => {}
            () = drained(&app, end) => {}
        }
        let _ = timeout(LAST_WORDS, batches).await;
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen { address, error })
}

/// Waits for the end, and for what runs to end.
async fn drained(app: &App, end: impl Future<Output = ()>) {
    end.await;
    tracing::info!("draining: no new requests are taken");
    app.front.drain();
    if timeout(app.config.drain_timeout, app.front.is_quiet()).await.is_err() {
        tracing::warn!("the drain timeout is over: what still runs is cancelled");
        app.models().iter().for_each(|model| model.handle.shutdown());
        let _ = timeout(LAST_WORDS, app.front.is_quiet()).await;
    }
    tracing::info!("drained");
}

/// Accepts connections for ever.
async fn accept(listener: &TcpListener, router: &Router, app: &Arc<App>) {
    let places = Arc::new(Semaphore::new(app.config.connections_max));
    let mut said = Said::default();
    loop {
        let place = place(&places, app, &mut said).await;
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(hold(place, serve::serve(stream, router.clone(), Arc::clone(app))));
            }
            Err(error) if is_lack(&error) => {
                said.say(|| tracing::warn!(%error, "no connection can be accepted; allow more open files (ulimit -n)"));
                let wait = if app.front.shed.ask() { LEAVE_WAIT } else { ROOM_WAIT };
                tokio::time::sleep(wait).await;
            }
            // The client has gone again.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// A place for one more connection. Where there is none, idle connections are asked to go, the oldest first.
async fn place(places: &Arc<Semaphore>, app: &App, said: &mut Said) -> OwnedSemaphorePermit {
    let mut wait = LEAVE_WAIT;
    loop {
        match timeout(wait, Arc::clone(places).acquire_owned()).await {
            Ok(place) => return place.expect("nobody closes the semaphore"),
            Err(_) => {
                let connections = app.config.connections_max;
                said.say(|| tracing::warn!(connections, "there are as many connections as may be"));
                wait = if app.front.shed.ask() { LEAVE_WAIT } else { ROOM_WAIT };
            }
        }
    }
}

/// Keeps the place for as long as the connection lasts.
async fn hold(place: OwnedSemaphorePermit, connection: impl Future<Output = ()>) {
    connection.await;
    drop(place);
}

/// Whether the process or the system has no more of what a connection takes.
fn is_lack(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE | ENOBUFS))
        || error.kind() == io::ErrorKind::OutOfMemory
}

/// Says something, and not again too soon.
#[derive(Debug, Default)]
struct Said(Option<Instant>);

impl Said {
    fn say(&mut self, words: impl FnOnce()) {
        if self.0.is_none_or(|last| last.elapsed() >= SAY_AGAIN) {
            words();
            self.0 = Some(Instant::now());
        }
    }
}
