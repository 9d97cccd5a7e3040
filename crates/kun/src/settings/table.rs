//! The table of settings. A new one is a row here and a field of `Settings` or of the server's `Config`.

use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;

use super::units::{bytes, count, duration, duration_or_none, switch, text};
use super::{Setting, Settings};
use crate::parameters;

/// How much memory the service may take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Memory {
    /// A good part of what there is, and no more of it than is of use.
    #[default]
    Auto,
    /// A share of what there is, above 0 to 1.
    Share(f64),
    Bytes(u64),
}

type Set = fn(&mut Settings, &OsStr) -> Result<(), String>;

/// A setting with one value.
const fn one(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
    set: Set,
) -> Setting {
    Setting { name, value, list: false, default, help, set }
}

/// A setting that may be given several times.
const fn list(name: &'static str, value: &'static str, help: &'static str, set: Set) -> Setting {
    Setting { name, value, list: true, default: "", help, set }
}

/// All settings, in the order in which help shows them.
pub(super) static TABLE: &[Setting] = &[
    list(
        "models",
        "MODEL",
        "The models: names from `kun models`, hf:OWNER/REPO[/FILE or :QUANT], or paths [default: smollm2:135m]",
        |s, v| push(&mut s.models, Ok(v.to_owned())),
    ),
    list("alias", "NAME=MODEL", "Another name for a model; may be given several times", |s, v| {
        push(&mut s.aliases, alias(v))
    }),
    list(
        "pin",
        "NAME",
        "Load this model at the start and never unload it; may be given several times",
        |s, v| push(&mut s.pins, name(text(v)?)),
    ),
    one("host", "ADDRESS", "127.0.0.1", "The address to listen on", |s, v| {
        host(v).map(|host| s.server.address.set_ip(host))
    }),
    one("port", "PORT", "8080", "The port to listen on; 0 lets the system choose", |s, v| {
        count(v, 0, u16::MAX).map(|port| s.server.address.set_port(port))
    }),
    one(
        "memory",
        "SIZE",
        "auto",
        "Memory for everything, such as 8GiB, 500MB or 60% of what is available; auto is 60%, with KV caches of at most 4 GiB",
        |s, v| put(&mut s.memory, memory(v)),
    ),
    one(
        "ctx",
        "TOKENS",
        "",
        "Tokens of context, 16 to 1048576 [default: what the model was made for, at most 8192]",
        |s, v| put(&mut s.ctx, parameters::ctx(text(v)?).map(Some)),
    ),
    one("threads", "N", "", "Threads to compute with, 1 to 512 [default: one for each core]", |s, v| {
        put(&mut s.threads, parameters::threads(text(v)?).map(Some))
    }),
    one("max-queue", "N", "512", "Requests of a model that may wait, 1 to 65536", |s, v| {
        put(&mut s.queue_max, count(v, 1, 65_536))
    }),
    one(
        "max-sequences",
        "N",
        "auto",
        "Answers of a model at a time, 1 to 4096; auto is 256, or fewer where memory is scarce",
        |s, v| put(&mut s.sequences_max, if v == "auto" { Ok(None) } else { count(v, 1, 4096).map(Some) }),
    ),
    one(
        "max-tokens-limit",
        "N",
        "none",
        "Tokens that an answer may have, 1 to 1048576, or none: as many as the context has room for",
        |s, v| {
            let limit = if v == "none" { Ok(None) } else { count(v, 1, 1 << 20).map(Some) };
            put(&mut s.server.max_tokens_limit, limit)
        },
    ),
    one(
        "loop-guard",
        "WAY",
        "recover",
        "What is done with an answer that repeats itself: off, stop, or recover, if its request doesn't say",
        |s, v| put(&mut s.server.loop_guard, parameters::loop_guard(text(v)?)),
    ),
    one("max-choices", "N", "128", "Answers that one request may ask for, 1 to 4096", |s, v| {
        put(&mut s.server.choices_max, count(v, 1, 4096))
    }),
    one(
        "kv-tokens",
        "N",
        "auto",
        "Tokens that a model's KV cache has room for at the most; auto is as many as there is memory for",
        |s, v| put(&mut s.kv_tokens, if v == "auto" { Ok(None) } else { count(v, 16, 1 << 30).map(Some) }),
    ),
    one(
        "no-prefix-cache",
        "",
        "false",
        "Compute every prompt anew instead of keeping what prompts have in common",
        |s, v| put(&mut s.no_prefix_cache, switch(v)),
    ),
    one(
        "request-timeout",
        "TIME",
        "none",
        "Time for a request up to its last token, such as 90s or 10m",
        |s, v| put(&mut s.server.request_timeout, duration_or_none(v)),
    ),
    one("drain-timeout", "TIME", "30s", "Time for running answers to finish after SIGTERM", |s, v| {
        put(&mut s.server.drain_timeout, duration(v))
    }),
    one("load-wait", "TIME", "10s", "Time that a request waits for a model to be loaded", |s, v| {
        put(&mut s.load_wait, duration(v))
    }),
    one("keep-alive", "TIME", "10s", "Time after which a silent stream says that it is alive", |s, v| {
        put(&mut s.server.keep_alive, above_zero(duration(v)))
    }),
    one("body-limit", "SIZE", "16MiB", "Size of a request's body", |s, v| {
        put(&mut s.server.body_bytes_max, bytes(v).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)))
    }),
    one(
        "state-dir",
        "DIR",
        "",
        "Keep files and batches in this folder, for /v1/files and /v1/batches [default: none are taken]",
        |s, v| put(&mut s.server.state_dir, Ok(Some(v.into()))),
    ),
    one("state-limit", "SIZE", "10GiB", "Size of all files together that clients have sent", |s, v| {
        put(&mut s.server.state_bytes_max, bytes(v))
    }),
    one("file-limit", "SIZE", "512MiB", "Size of a file that a client sends", |s, v| {
        put(&mut s.server.file_bytes_max, bytes(v))
    }),
    one("files-max", "N", "1000", "Files that a key may have, 1 to 100000", |s, v| {
        put(&mut s.server.files_max, count(v, 1, 100_000))
    }),
    one("batch-lines-max", "N", "50000", "Lines of a batch, 1 to 10000000", |s, v| {
        put(&mut s.server.batch_lines_max, count(v, 1, 10_000_000))
    }),
    one("batch-concurrency", "N", "32", "Lines of a batch that are answered at a time, 1 to 1024", |s, v| {
        put(&mut s.server.batch_concurrency, count(v, 1, 1024))
    }),
    one(
        "keys",
        "FILE",
        "",
        "Let in only who has a key of this file; see `kun key new` [default: everybody]",
        |s, v| put(&mut s.front.keys, Ok(Some(v.into()))),
    ),
    one(
        "tls-cert",
        "FILE",
        "",
        "Serve HTTPS with this certificate, in PEM, its chain behind it [default: HTTP]",
        |s, v| put(&mut s.front.tls_cert, Ok(Some(v.into()))),
    ),
    one("tls-key", "FILE", "", "The certificate's private key, in PEM [default: none]", |s, v| {
        put(&mut s.front.tls_key, Ok(Some(v.into())))
    }),
    list(
        "cors",
        "ORIGIN",
        "Let pages of this origin use the server, such as https://chat.example; * for all",
        |s, v| push(&mut s.server.cors, text(v).map(str::to_owned)),
    ),
    list("allowed-host", "HOST", "Answer to this host as well, beside localhost; * for all", |s, v| {
        push(&mut s.server.allowed_hosts, text(v).map(str::to_owned))
    }),
    one("connections-max", "N", "4096", "Connections at a time, 1 to 1048576", |s, v| {
        put(&mut s.server.connections_max, count(v, 1, 1 << 20))
    }),
    one("head-timeout", "TIME", "15s", "Time for a request's head", |s, v| {
        put(&mut s.server.head_timeout, above_zero(duration(v)))
    }),
    one("idle-timeout", "TIME", "75s", "Time that a connection may wait for its next request", |s, v| {
        put(&mut s.server.idle_timeout, above_zero(duration(v)))
    }),
    one(
        "body-timeout",
        "TIME",
        "20s",
        "Time that a request's body may be late, beyond a second for every 4096 bytes",
        |s, v| put(&mut s.server.body_timeout, above_zero(duration(v))),
    ),
    one("write-timeout", "TIME", "30s", "Time that a client may leave its answer unread", |s, v| {
        put(&mut s.server.write_timeout, above_zero(duration(v)))
    }),
    one(
        "kv-events",
        "ADDRESS:PORT",
        "none",
        "Tell gateways here what the prefix caches keep, as vLLM does it over ZeroMQ: text of prompts, without a key",
        |s, v| put(&mut s.server.kv_feed.address, socket(v)),
    ),
    one("kv-events-topic", "TOPIC", "kv-events", "Their topic; {model} in it is the model's name", |s, v| {
        put(&mut s.server.kv_feed.topic, text(v).map(str::to_owned))
    }),
    one("log-format", "FORMAT", "text", "How the log is written: text or json", |s, v| {
        put(&mut s.log_format, word(v))
    }),
    one(
        "log-level",
        "LEVEL",
        "info",
        "What is written to the log: off, error, warn, info or debug",
        |s, v| put(&mut s.log_level, word(v)),
    ),
];

fn put<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}

fn push<T>(list: &mut Vec<T>, value: Result<T, String>) -> Result<(), String> {
    list.push(value?);
    Ok(())
}

/// One of a few words.
fn word<T: ValueEnum>(value: &OsStr) -> Result<T, String> {
    T::from_str(text(value)?, false).map_err(|_| {
        let known = T::value_variants().iter().filter_map(|variant| variant.to_possible_value());
        let known: Vec<String> = known.map(|value| value.get_name().to_owned()).collect();
        format!("it must be one of {}", known.join(", "))
    })
}

fn above_zero(time: Result<std::time::Duration, String>) -> Result<std::time::Duration, String> {
    match time? {
        std::time::Duration::ZERO => Err("it must be more than 0".to_owned()),
        time => Ok(time),
    }
}

/// Parses `--memory` of other commands.
pub(crate) fn memory_flag(text: &str) -> Result<Memory, String> {
    memory(text.as_ref())
}

fn memory(value: &OsStr) -> Result<Memory, String> {
    let expected = || "it must be a size such as 8GiB or 500MB, a share such as 60%, or auto".to_owned();
    let text = text(value)?.trim();
    if text == "auto" {
        return Ok(Memory::Auto);
    }
    match text.strip_suffix('%') {
        None => bytes(value).map(Memory::Bytes).map_err(|_| expected()),
        Some(share) => match share.trim().parse::<f64>() {
            Ok(share) if share > 0.0 && share <= 100.0 => Ok(Memory::Share(share / 100.0)),
            _ => Err(expected()),
        },
    }
}

fn host(value: &OsStr) -> Result<IpAddr, String> {
    let text = text(value)?.trim();
    if text == "localhost" {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| {
        "it must be an address of this machine, such as 127.0.0.1, ::1, or 0.0.0.0 for all of them".to_owned()
    })
}

/// An address with a port; `tcp://*:5557`, as others write it, is every address.
fn socket(value: &OsStr) -> Result<Option<SocketAddr>, String> {
    let text = text(value)?.trim();
    if text == "none" {
        return Ok(None);
    }
    let bare = text.strip_prefix("tcp://").unwrap_or(text);
    let bare = bare.strip_prefix('*').map_or_else(|| bare.to_owned(), |port| format!("0.0.0.0{port}"));
    bare.parse()
        .map(Some)
        .map_err(|_| "it must be an address with a port, such as 127.0.0.1:5557, or none".to_owned())
}

fn alias(value: &OsStr) -> Result<(String, String), String> {
    let text = text(value)?;
    let (alias, model) = text.split_once('=').ok_or("it must be NAME=MODEL")?;
    Ok((name(alias)?, name_of_model(model)?))
}

/// A name that clients may write.
fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_visible = |c: char| !c.is_whitespace() && !c.is_control();
    if text.is_empty() || text.chars().count() > 200 || !text.chars().all(is_visible) {
        let shown: String = text.chars().take(40).collect();
        return Err(format!("{shown:?} is no name: 1 to 200 characters without blanks"));
    }
    Ok(text.to_owned())
}

/// A model as it was named, which may be a path with blanks.
fn name_of_model(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it must be NAME=MODEL".to_owned()) } else { Ok(text.trim().to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_memories_and_aliases_are_read_or_refused() {
        for (text, expect) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("localhost", Some("127.0.0.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(host(text.as_ref()).ok(), expect.map(|e| e.parse().expect("an address")), "{text:?}");
        }
        for (text, expect) in [
            ("auto", Some(Memory::Auto)),
            ("60%", Some(Memory::Share(0.6))),
            ("1GiB", Some(Memory::Bytes(1 << 30))),
            ("0%", None),
            ("101%", None),
            ("much", None),
        ] {
            assert_eq!(memory(text.as_ref()).ok(), expect, "{text:?}");
        }
        for (text, expect) in [
            ("127.0.0.1:5557", Some("127.0.0.1:5557")),
            ("tcp://*:5557", Some("0.0.0.0:5557")),
            ("[::1]:1", Some("[::1]:1")),
            ("5557", None),
            ("localhost", None),
        ] {
            let expect = expect.map(|e| Some(e.parse().expect("an address")));
            assert_eq!(socket(text.as_ref()).ok(), expect, "{text:?}");
        }
        assert_eq!(socket("none".as_ref()), Ok(None));
        assert_eq!(alias("a=/b c.gguf".as_ref()), Ok(("a".to_owned(), "/b c.gguf".to_owned())));
        for bad in ["a", "=b", "a=", "a b=c", "a\nb=c"] {
            assert!(alias(bad.as_ref()).is_err(), "{bad:?}");
        }
    }
}
