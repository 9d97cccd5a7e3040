//! What the service keeps within, checked. Flags, the environment and files are the binary's business.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use engine::request::LoopGuard;

use crate::keys::Key;
use crate::kv_feed::KvFeedConfig;
use crate::tls::Tls;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Bytes of all requests' bodies that are being read or understood; nobody's are taken beyond that.
    pub body_memory_bytes: usize,
    /// Tokens that an answer may be asked to have; none: the context.
    pub max_tokens_limit: Option<usize>,
    /// What is done with an answer that repeats itself, if its request doesn't say.
    pub loop_guard: LoopGuard,
    /// Answers of one request: prompts times choices.
    pub choices_max: usize,
    /// How long a request may take from its arrival to its last token.
    pub request_timeout: Option<Duration>,
    /// How long running answers may go on after a signal to end.
    pub drain_timeout: Duration,
    /// How often a waiting stream says that it is alive.
    pub keep_alive: Duration,
    /// Connections at a time. When there are so many, the one that has been idle for the longest time makes room.
    pub connections_max: usize,
    /// How long a client may take for a request's head.
    pub head_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a request's body may keep the server waiting, beyond a second for every 4,096 bytes.
    pub body_timeout: Duration,
    /// How long a client may leave unread what is sent to it.
    pub write_timeout: Duration,
    /// Who may ask; everybody if there are none.
    pub keys: Vec<Key>,
    /// Where files and batches are kept; nowhere if it is none.
    pub state_dir: Option<PathBuf>,
    /// Bytes of all files together that clients have sent.
    pub state_bytes_max: u64,
    /// Bytes of one of them.
    pub file_bytes_max: u64,
    /// How many files a key may have.
    pub files_max: usize,
    /// Lines of a batch.
    pub batch_lines_max: u64,
    /// Lines of a batch that are asked at a time.
    pub batch_concurrency: usize,
    /// Serve with TLS.
    pub tls: Option<Tls>,
    /// Hosts that the server answers to, beside this machine's own names. They are asked for on a loopback address, and
    /// on others if there are any; `*` is every host.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may use the server, such as `https://chat.example`; `*` is every origin.
    pub cors: Vec<String>,
    /// Where the prefix caches are told of.
    pub kv_feed: KvFeedConfig,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            body_bytes_max: 16 << 20,
            body_memory_bytes: 64 << 20,
            max_tokens_limit: None,
            loop_guard: LoopGuard::Recover,
            choices_max: 128,
            request_timeout: None,
            drain_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            connections_max: 4096,
            head_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(30),
            keys: Vec::new(),
            state_dir: None,
            state_bytes_max: 10 << 30,
            file_bytes_max: 512 << 20,
            files_max: 1000,
            batch_lines_max: 50_000,
            batch_concurrency: 32,
            tls: None,
            allowed_hosts: Vec::new(),
            cors: Vec::new(),
            kv_feed: KvFeedConfig::default(),
        }
    }
}
