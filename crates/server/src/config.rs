//! What the service keeps within, checked. Flags, the environment and files are the binary's business.

use std::net::SocketAddr;
use std::time::Duration;

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
    /// Answers of one request: prompts times choices.
    pub choices_max: usize,
    /// How long a request may take from its arrival to its last token.
    pub request_timeout: Option<Duration>,
    /// How long running answers may go on after a signal to end.
    pub drain_timeout: Duration,
    /// How often a waiting stream says that it is alive.
    pub keep_alive: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            body_bytes_max: 16 << 20,
            body_memory_bytes: 64 << 20,
            max_tokens_limit: None,
            choices_max: 128,
            request_timeout: None,
            drain_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
        }
    }
}
