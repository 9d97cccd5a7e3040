//! How a request can fail, sorted once into the kinds that are counted.

use std::error::Error;
use std::io::{self, ErrorKind};

use serde::Serialize;
use ureq::Timeout;

use crate::failure::reason;

/// No message of a server is kept longer.
const MESSAGE_CHARS_MAX: usize = 200;

/// A kind of failure: a row of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Kind {
    /// The server is full.
    #[serde(rename = "429")]
    Full,
    /// The server finds fault with the request.
    #[serde(rename = "4xx")]
    Refused,
    /// The server is at fault.
    #[serde(rename = "5xx")]
    Failing,
    /// No end within the time that a request has.
    #[serde(rename = "timeout")]
    Timeout,
    /// There is no connection.
    #[serde(rename = "unreachable")]
    Unreachable,
    /// The answer breaks off.
    #[serde(rename = "broken")]
    Broken,
    /// The answer is a stream that tells an error.
    #[serde(rename = "error in stream")]
    Told,
    /// The answer is something else than was asked for.
    #[serde(rename = "unreadable")]
    Unreadable,
}

impl Kind {
    /// Its name in the table, as in the JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Full => "429",
            Kind::Refused => "4xx",
            Kind::Failing => "5xx",
            Kind::Timeout => "timeout",
            Kind::Unreachable => "unreachable",
            Kind::Broken => "broken",
            Kind::Told => "error in stream",
            Kind::Unreadable => "unreadable",
        }
    }
}

/// A request's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// One line that a terminal can be given.
    pub(super) message: String,
}

impl Fault {
    /// With a message that may come from a stranger.
    pub(super) fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        Fault { kind, message: one_line(message.as_ref()) }
    }

    /// An answer with this status, which is not 200, and what its body says.
    pub(super) fn of_status(status: u16, message: &str) -> Self {
        let kind = match status {
            429 => Kind::Full,
            400..500 => Kind::Refused,
            500..600 => Kind::Failing,
            _ => Kind::Unreadable,
        };
        let colon = if message.trim().is_empty() { "" } else { ": " };
        Fault::new(kind, format!("HTTP {status}{colon}{message}"))
    }

    /// What became of sending, or of waiting for the beginning of the answer.
    pub(super) fn of_call(error: &ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                Fault::new(Kind::Unreachable, "no connection in time")
            }
            ureq::Error::Timeout(_) => Fault::new(Kind::Timeout, "no answer in time"),
            ureq::Error::Io(error) => Fault::of_io(error, Kind::Unreachable),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                Fault::new(Kind::Unreachable, error.to_string())
            }
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
                let why = format!("{error}; SSL_CERT_FILE names the certificates to trust");
                Fault::new(Kind::Unreachable, why)
            }
            other => Fault::new(Kind::Unreadable, other.to_string()),
        }
    }

    /// What became of reading the answer.
    pub(super) fn of_reading(error: &io::Error) -> Self {
        match error.get_ref().and_then(<dyn Error + Send + Sync>::downcast_ref::<ureq::Error>) {
            Some(ureq::Error::Timeout(_)) => Fault::new(Kind::Timeout, "no end of the answer in time"),
            Some(ureq::Error::Io(error)) => Fault::of_io(error, Kind::Broken),
            Some(other) => Fault::new(Kind::Broken, format!("the answer breaks off: {other}")),
            None => Fault::of_io(error, Kind::Broken),
        }
    }

    fn of_io(error: &io::Error, otherwise: Kind) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => {
                Fault::new(Kind::Broken, format!("the connection breaks off: {}", reason(error)))
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Fault::new(Kind::Timeout, "no answer in time"),
            _ => Fault::new(otherwise, reason(error)),
        }
    }
}

/// A text on one line of bounded length, in which nothing commands a terminal.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line: String = words.chars().take(MESSAGE_CHARS_MAX).collect();
    if line.len() < words.len() {
        line.push('…');
    }
    line.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_kind_and_what_the_body_says() {
        for (status, message, kind, shown) in [
            (429, "full", Kind::Full, "HTTP 429: full"),
            (400, "a\nb", Kind::Refused, "HTTP 400: a b"),
            (503, " ", Kind::Failing, "HTTP 503"),
            (302, "", Kind::Unreadable, "HTTP 302"),
        ] {
            let fault = Fault::of_status(status, message);
            assert_eq!((fault.kind, fault.message.as_str()), (kind, shown));
        }
    }

    #[test]
    fn a_servers_text_is_one_short_line_without_commands() {
        assert_eq!(one_line("a\x1b[2Jb\r\n\tc"), "a\\u{1b}[2Jb c");
        assert_eq!(one_line(&"é".repeat(300)).chars().count(), MESSAGE_CHARS_MAX + 1);
    }

    #[test]
    fn a_kind_has_one_name() {
        for kind in [Kind::Full, Kind::Refused, Kind::Failing, Kind::Timeout, Kind::Told, Kind::Unreadable] {
            assert_eq!(serde_json::to_value(kind).expect("a name"), kind.name());
        }
    }

    #[test]
    fn what_the_connection_does_has_its_kind() {
        let io = |kind| ureq::Error::Io(io::Error::from(kind));
        for (error, while_calling, while_reading) in [
            (io(ErrorKind::ConnectionRefused), Kind::Unreachable, Kind::Broken),
            (io(ErrorKind::ConnectionReset), Kind::Broken, Kind::Broken),
            (io(ErrorKind::UnexpectedEof), Kind::Broken, Kind::Broken),
            (ureq::Error::Timeout(Timeout::Connect), Kind::Unreachable, Kind::Timeout),
            (ureq::Error::Timeout(Timeout::Global), Kind::Timeout, Kind::Timeout),
            (ureq::Error::HostNotFound, Kind::Unreachable, Kind::Broken),
        ] {
            assert_eq!(Fault::of_call(&error).kind, while_calling, "{error}");
            let name = error.to_string();
            assert_eq!(Fault::of_reading(&error.into_io()).kind, while_reading, "{name}");
        }
    }
}
