//! The flags of `kun serve` for what stands before the models: connections, keys, TLS, hosts, logs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use server::{Config, Control, Tls};

use crate::failure::{Failure, Outcome};
use crate::key_file;
use crate::log::{LogFormat, LogLevel};

/// A time may be this long.
const SECONDS_MAX: f64 = 1e7;

/// How the server meets its clients.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FrontFlags {
    /// Let in only who has a key of this file; see `kun key new`
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Serve HTTPS with this certificate, in PEM, its chain behind it
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Let pages of this origin use the server, such as https://chat.example; * for all. May be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) cors: Vec<String>,
    /// Answer to this host as well, beside localhost; * for all. May be repeated
    #[arg(long, value_name = "HOST")]
    pub(crate) allowed_host: Vec<String>,
    /// Connections at a time [default: 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections_max: Option<u32>,
    /// Seconds for a request's head [default: 15]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) head_timeout: Option<Duration>,
    /// Seconds that a connection may wait for its next request [default: 75]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) idle_timeout: Option<Duration>,
    /// Seconds that a request's body may be late, beyond one for every 4096 bytes [default: 20]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) body_timeout: Option<Duration>,
    /// Seconds that a client may leave its answer unread [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) write_timeout: Option<Duration>,
    /// Seconds from a request to the end of its answer [default: no limit]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) request_timeout: Option<Duration>,
    /// Seconds between signs of life in a stream without tokens [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) keep_alive: Option<Duration>,
    /// Seconds that answers may go on after the server was told to end [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) drain_timeout: Option<Duration>,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// What is written to the log
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LogLevel,
}

impl FrontFlags {
    /// Sets what the flags say.
    pub(crate) fn apply(&self, config: &mut Config) -> Outcome {
        let set = |place: &mut Duration, flag: Option<Duration>| *place = flag.unwrap_or(*place);
        set(&mut config.head_timeout, self.head_timeout);
        set(&mut config.idle_timeout, self.idle_timeout);
        set(&mut config.body_timeout, self.body_timeout);
        set(&mut config.write_timeout, self.write_timeout);
        set(&mut config.keep_alive, self.keep_alive);
        set(&mut config.drain_timeout, self.drain_timeout);
        config.request_timeout = self.request_timeout.or(config.request_timeout);
        config.connections_max = self.connections_max.map_or(config.connections_max, |max| max as usize);
        config.cors.clone_from(&self.cors);
        config.allowed_hosts.clone_from(&self.allowed_host);
        config.keys = self.keys.as_deref().map_or(Ok(Vec::new()), key_file::read)?;
        config.tls = self.tls()?;
        Ok(())
    }

    /// Reads the files again and makes the server use them. What can't be used leaves everything as it is.
    pub(crate) fn reload(&self, control: &Control) -> Outcome {
        let keys = self.keys.as_deref().map(key_file::read).transpose()?;
        if let Some(tls) = self.tls()? {
            control.set_tls(tls);
        }
        if let Some(keys) = keys {
            control.set_keys(keys);
        }
        Ok(())
    }

    fn tls(&self) -> Outcome<Option<Tls>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let read = |path: &Path| std::fs::read(path).map_err(|e| Failure::file("read", path, &e));
        let tls = Tls::from_pem(&read(certificate)?, &read(key)?).map_err(|error| {
            Failure::usage(format!(
                "--tls-cert {} --tls-key {}: {error}",
                certificate.display(),
                key.display()
            ))
        })?;
        Ok(Some(tls))
    }
}

/// A time in seconds, as a flag has it.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.trim_end_matches('s').parse::<f64>().ok();
    match seconds.filter(|seconds| *seconds > 0.0 && *seconds <= SECONDS_MAX) {
        Some(seconds) => Ok(Duration::from_secs_f64(seconds)),
        None => Err(format!("it must be a number of seconds above 0 and at most {SECONDS_MAX}")),
    }
}
