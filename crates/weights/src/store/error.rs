//! What can go wrong with the store, in words that say where and what would help.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the store or of a download.
///
/// [`StoreError::is_usage`] tells a name that the user got wrong from a fault of a disk or a network.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The text is no name of a model.
    #[error("`{name}` is not a model's name: {why}")]
    BadName {
        /// What was given, shortened and without control characters.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// No model has this name.
    #[error("no model is called `{name}`\nknown: {known}; or hf:OWNER/REPO, or a path to a .gguf file")]
    UnknownModel {
        /// What was given.
        name: String,
        /// The catalogue's names.
        known: String,
    },
    /// The name stands for several files.
    #[error("`{name}` fits several files: {choices}\nname one of them as hf:OWNER/REPO/FILE.gguf")]
    Ambiguous {
        /// What was given.
        name: String,
        /// The first few of the files.
        choices: String,
    },
    /// The repository has nothing that fits the name.
    #[error("hf:{repo} has no GGUF file that fits: {why}")]
    NothingFits {
        /// `OWNER/REPO`.
        repo: String,
        /// What was looked for and what there is.
        why: String,
    },
    /// There is no such model in the store.
    #[error("`{name}` is not in the store at {}; `kun models` lists what is", root.display())]
    NotStored {
        /// The name.
        name: String,
        /// The store's root.
        root: PathBuf,
    },
    /// A file or directory could not be read or written.
    #[error("{what} {}: {error}", path.display())]
    Io {
        /// What was tried, like `cannot create`.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A path that was given as a model is no regular file.
    #[error("{} is {found}, not a file; give the path of a .gguf file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// Something in the store leads out of it.
    #[error("{} leads out of the store; remove it, or move the store with KUN_HOME", path.display())]
    OutsideStore {
        /// The link.
        path: PathBuf,
    },
    /// The disk or the quota is full.
    #[error(
        "no room for {}: {bytes} bytes are needed ({error})\nfree some space, or put the store elsewhere with KUN_HOME; the download then resumes",
        path.display()
    )]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
        /// Its full size.
        bytes: u64,
        /// What the system said.
        error: io::Error,
    },
    /// Another process is at work on the model.
    #[error("`{name}` is being fetched by another process; try again when that is done")]
    Busy {
        /// The model.
        name: String,
    },
    /// The user has forbidden network access.
    #[error("`{name}` is not in the store, and HF_HUB_OFFLINE forbids fetching it; unset it, or give a path")]
    Offline {
        /// The model.
        name: String,
    },
    /// A setting of the connection cannot be used.
    #[error("{setting}: {why}")]
    BadSetting {
        /// The variable or setting, like `HF_ENDPOINT`.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A host cannot be reached at all.
    #[error("cannot reach {host}: {why}")]
    Unreachable {
        /// The host, or the program that fetches.
        host: String,
        /// Why.
        why: String,
    },
    /// A host answered, but not with what was asked for.
    #[error("{host} {why}")]
    Refused {
        /// The host.
        host: String,
        /// What it answered and what that means.
        why: String,
    },
    /// The body that arrived is not the file.
    #[error("{file}: {why}; nothing of it was kept")]
    WrongContent {
        /// The file.
        file: String,
        /// Size or hash: expected and found.
        why: String,
    },
    /// Python's package installer could not bring a package.
    #[error("{why}")]
    Pip {
        /// What happened.
        why: String,
    },
    /// No source of a model could be used.
    #[error(
        "cannot fetch `{name}`: {tried}\ncheck the network, a proxy (HTTPS_PROXY) or a mirror (HF_ENDPOINT); what arrived is kept and resumed"
    )]
    AllSourcesFailed {
        /// The model.
        name: String,
        /// Each source with its reason.
        tried: String,
    },
}

impl StoreError {
    /// Whether the user named something that cannot be, as opposed to a disk or a network that failed.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            StoreError::BadName { .. }
                | StoreError::UnknownModel { .. }
                | StoreError::Ambiguous { .. }
                | StoreError::OutsideStore { .. }
                | StoreError::BadSetting { .. }
        )
    }

    /// Whether another source may still have the file: true for everything that is not about this machine.
    pub(crate) fn is_of_source(&self) -> bool {
        matches!(
            self,
            StoreError::Unreachable { .. }
                | StoreError::Refused { .. }
                | StoreError::WrongContent { .. }
                | StoreError::Pip { .. }
        )
    }

    pub(crate) fn bad_name(name: &str, why: impl Into<String>) -> StoreError {
        StoreError::BadName { name: shown(name), why: why.into() }
    }

    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |error| StoreError::Io { what, path, error }
    }

    /// An error of writing, told apart from a full disk.
    pub(crate) fn write(path: &Path, bytes: u64, error: io::Error) -> StoreError {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let path = path.to_owned();
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => StoreError::DiskFull { path, bytes, error },
            _ => StoreError::Io { what: "cannot write", path, error },
        }
    }
}

/// A text of a user or a server as it may stand in a message: one line, bounded, no control characters.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(CHARS_MAX).map(clean).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
