//! The store against a server of this machine, with everything that networks do to downloads.

mod hub;
mod pip;
mod server;
mod surroundings;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use weights::catalogue::Catalogue;
use weights::download::{HubConfig, Progress};
use weights::store::{Store, StoreError};

use server::{Reply, Request, Server};

/// A folder for a store, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("the target folder can be written");
        Folder(path)
    }

    /// The store here, whose catalogue has one model `small` of these bytes.
    fn store(&self, file: &[u8]) -> Store {
        Store::with_catalogue(self.0.clone(), Arc::new(catalogue(file, HUB_SOURCE)))
    }

    /// Every file below, by name.
    fn files(&self) -> Vec<String> {
        fn walk(path: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
                    _ => found.push(entry.file_name().to_string_lossy().into_owned()),
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.0.join("models"), &mut found);
        found.sort();
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const HUB_SOURCE: &str = "[[model.source]]\nkind = \"hub\"\nrepo = \"owner/repo\"\npath = \"small.gguf\"\n";
const FILE_PATH: &str = "/owner/repo/resolve/main/small.gguf";

fn catalogue(file: &[u8], sources: &str) -> Catalogue {
    let text = format!(
        "default = \"small\"\n[[model]]\nname = \"small\"\ndescription = \"a test\"\nlicence = \"MIT\"\n\
         licence_url = \"https://example.org\"\nfile = \"small.gguf\"\nbytes = {}\nsha256 = \"{}\"\n{sources}",
        file.len(),
        sha256(file),
    );
    Catalogue::parse(&text).expect("a catalogue")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file of which no two parts are the same.
fn file() -> Vec<u8> {
    (0..300_000u32).flat_map(u32::to_le_bytes).collect()
}

fn hub(server: &Server) -> HubConfig {
    let backoff = Duration::from_millis(1);
    HubConfig { endpoint: server.endpoint(), backoff, ..HubConfig::default() }
}

/// Fetches `small`; what happened on the way comes beside the result.
fn pull(store: &Store, hub: &HubConfig) -> (Result<PathBuf, StoreError>, Vec<Progress>) {
    let mut seen = Vec::new();
    let pulled = store.pull("small", hub, &mut |progress| seen.push(progress));
    (pulled, seen)
}

#[test]
fn a_file_gets_its_name_when_it_is_whole_and_is_fetched_once() {
    let (folder, file) = (Folder::new(), file());
    let (store, content) = (folder.store(&file), file.clone());
    let server = Server::start(move |request, _| Reply::file(request, &content));
    let (mut dones, mut named_early) = (Vec::new(), false);
    let pulled = store.pull("small", &hub(&server), &mut |progress| {
        if let Progress::Bytes { done, total } = progress {
            assert_eq!(total, file.len() as u64);
            dones.push(done);
            named_early |= folder.files().iter().any(|name| name == "small.gguf");
        }
    });
    let path = pulled.expect("fetched");
    assert_eq!(fs::read(&path).expect("it is there"), file);
    assert!(dones.len() > 3 && dones.is_sorted() && dones.last() == Some(&(file.len() as u64)), "{dones:?}");
    assert!(!named_early, "the file had its name before it was whole");
    assert_eq!(folder.files(), ["model.toml", "small.gguf"]);
    let listed = store.list().expect("listed");
    assert_eq!((listed.len(), &listed[0].path, &listed[0].sha256), (1, &path, &sha256(&file)));
    assert_eq!(store.resolve("small").expect("resolved"), Some(path.clone()));
    assert_eq!(pull(&store, &hub(&server)).0.expect("it is here"), path);
    assert_eq!(server.asked().len(), 1);
    assert_eq!(server.asked()[0].path, FILE_PATH);
    assert_eq!(store.remove("small").expect("removed"), file.len() as u64 + manifest_bytes(&file));
    assert_eq!(folder.files(), [""; 0]);
    assert!(store.remove("small").expect_err("it is gone").to_string().contains("not in the store"));
}

/// The bytes of the record: everything in it has the same length for the same file.
fn manifest_bytes(file: &[u8]) -> u64 {
    let (folder, content) = (Folder::new(), file.to_vec());
    let server = Server::start(move |request, _| Reply::file(request, &content));
    let path = pull(&folder.store(file), &hub(&server)).0.expect("fetched");
    fs::metadata(path.with_file_name("model.toml")).expect("it is there").len()
}

#[test]
fn a_cut_connection_is_resumed_where_it_was_cut() {
    let (folder, file) = (Folder::new(), file());
    let content = file.clone();
    let server = Server::start(move |request, number| {
        let reply = Reply::file(request, &content);
        if number < 3 { reply.cut(100_000) } else { reply }
    });
    let (pulled, seen) = pull(&folder.store(&file), &hub(&server));
    assert_eq!(fs::read(pulled.expect("fetched")).expect("it is there"), file);
    let ranges: Vec<Option<String>> =
        server.asked().iter().map(|request| request.header("range").map(str::to_owned)).collect();
    let range = |start: u32| Some(format!("bytes={start}-"));
    assert_eq!(ranges, [None, range(100_000), range(200_000), range(300_000)]);
    assert_eq!(seen.iter().filter(|p| matches!(p, Progress::Retrying { .. })).count(), 3);
}

#[test]
fn another_process_goes_on_where_one_that_gave_up_has_stopped() {
    let (folder, file) = (Folder::new(), file());
    let content = file.clone();
    let server = Server::start(move |request, number| match number {
        0 => Reply::file(request, &content).cut(500_000),
        1 => Reply::status(404),
        _ => Reply::file(request, &content),
    });
    let error = pull(&folder.store(&file), &hub(&server)).0.expect_err("it gave up");
    assert!(error.to_string().contains("404"), "{error}");
    assert_eq!(folder.files(), ["small.gguf.part", "small.gguf.part.id"]);
    let path = pull(&folder.store(&file), &hub(&server)).0.expect("fetched");
    assert_eq!(fs::read(path).expect("it is there"), file);
    assert_eq!(server.asked()[2].header("range"), Some("bytes=500000-"));
    assert_eq!(folder.files(), ["model.toml", "small.gguf"]);
}

#[test]
fn a_server_that_knows_no_ranges_is_read_from_the_start() {
    let (folder, file) = (Folder::new(), file());
    let content = file.clone();
    let server = Server::start(move |_, number| {
        let reply = Reply::ok(&content);
        if number == 0 { reply.cut(700_000) } else { reply }
    });
    let path = pull(&folder.store(&file), &hub(&server)).0.expect("fetched");
    assert_eq!(fs::read(path).expect("it is there"), file);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_damaged_part_of_an_earlier_process_is_found_out_and_fetched_again() {
    let (folder, file) = (Folder::new(), file());
    let content = file.clone();
    let server = Server::start(move |request, number| {
        let mut reply = Reply::file(request, &content);
        match number {
            0 => {
                reply.body[1000] ^= 1;
                reply.cut(500_000)
            }
            1 => Reply::status(404),
            _ => reply,
        }
    });
    pull(&folder.store(&file), &hub(&server)).0.expect_err("it gave up");
    let path = pull(&folder.store(&file), &hub(&server)).0.expect("fetched");
    assert_eq!(fs::read(path).expect("it is there"), file);
    let ranges: Vec<bool> = server.asked().iter().map(|request| request.header("range").is_some()).collect();
    assert_eq!(ranges, [false, true, true, false]);
}

#[test]
fn a_wrong_hash_is_told_with_both_and_nothing_is_kept() {
    let (folder, file) = (Folder::new(), file());
    let mut other = file.clone();
    other[5] ^= 1;
    let found = sha256(&other);
    let server = Server::start(move |request, _| Reply::file(request, &other));
    let error = pull(&folder.store(&file), &hub(&server)).0.expect_err("another file").to_string();
    assert!(error.contains(&found) && error.contains(&sha256(&file)), "{error}");
    assert_eq!(folder.files(), [""; 0]);
}

#[test]
fn a_wrong_size_is_told_and_nothing_is_kept() {
    let file = file();
    for size in [1, file.len() - 1, file.len() + 1] {
        let folder = Folder::new();
        let mut other = file.clone();
        other.resize(size, 0);
        let server = Server::start(move |request, _| Reply::file(request, &other));
        let error = pull(&folder.store(&file), &hub(&server)).0.expect_err("another size").to_string();
        assert!(error.contains(&format!("{size} bytes")) && error.contains("1200000"), "{size}: {error}");
        assert_eq!(folder.files(), [""; 0], "{size}");
    }
}

#[test]
fn a_status_is_final_or_retried() {
    let file = file();
    let fails = |statuses: &'static [u16]| {
        let (folder, content) = (Folder::new(), file.clone());
        let server = Server::start(move |request, number| match statuses.get(number) {
            Some(200) => Reply::file(request, &content),
            Some(status) => Reply::status(*status),
            None => Reply::status(statuses[0]),
        });
        let pulled = pull(&folder.store(&file), &hub(&server)).0;
        (pulled.map_err(|error| error.to_string()), server.asked().len())
    };
    for (status, part) in [
        (&[404u16][..], "check the spelling"),
        (&[401], "HF_TOKEN"),
        (&[403], "HF_TOKEN"),
        (&[418], "HTTP 418"),
    ] {
        let (pulled, asked) = fails(status);
        let error = pulled.expect_err("no file");
        assert!(error.contains(part) && error.contains("127.0.0.1"), "{status:?}: {error}");
        assert_eq!(asked, 1, "{status:?}");
    }
    for status in [&[500u16][..], &[502], &[503], &[429], &[408]] {
        let (pulled, asked) = fails(status);
        let error = pulled.expect_err("no file");
        assert!(error.contains(&format!("HTTP {}; given up after 5 attempts", status[0])), "{error}");
        assert_eq!(asked, 5, "{status:?}");
    }
    let (pulled, asked) = fails(&[503, 429, 200]);
    assert!(pulled.is_ok() && asked == 3, "{pulled:?}");
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it_unless_it_is_long() {
    let (folder, file) = (Folder::new(), file());
    let content = file.clone();
    let server = Server::start(move |request, number| match number {
        0 => Reply::status(429).header("retry-after: 1"),
        _ => Reply::file(request, &content),
    });
    let started = Instant::now();
    pull(&folder.store(&file), &hub(&server)).0.expect("fetched");
    assert!(started.elapsed() >= Duration::from_secs(1));
    let server = Server::start(|_, _| Reply::status(429).header("retry-after: 3600"));
    let error = pull(&Folder::new().store(&file), &hub(&server)).0.expect_err("an hour").to_string();
    assert!(error.contains("asks to wait 3600 s"), "{error}");
}

#[test]
fn the_token_goes_to_the_endpoint_and_to_nobody_else() {
    let (folder, file) = (Folder::new(), file());
    let content = file.clone();
    let other = Server::start(move |request, _| Reply::file(request, &content));
    let to = format!("location: {}/elsewhere", other.endpoint());
    let server = Server::start(move |_, _| Reply::status(302).header(to.clone()));
    let hub = HubConfig { token: Some("hf_secret".to_owned()), ..hub(&server) };
    pull(&folder.store(&file), &hub).0.expect("fetched");
    assert_eq!(server.asked()[0].header("authorization"), Some("Bearer hf_secret"));
    assert_eq!(other.asked()[0].path, "/elsewhere");
    assert_eq!(other.asked()[0].header("authorization"), None);
    assert!(!format!("{hub:?}").contains("hf_secret"));
    let broken = HubConfig { token: Some("a\r\nb: c".to_owned()), ..hub };
    let error = pull(&Folder::new().store(&file), &broken).0.expect_err("no token has that");
    assert!(error.is_usage() && error.to_string().contains("HF_TOKEN"), "{error}");
}

#[test]
fn redirects_are_followed_ten_times() {
    let file = file();
    let server =
        Server::start(|request, _| Reply::status(302).header(format!("location: {}x", request.path)));
    let error = pull(&Folder::new().store(&file), &hub(&server)).0.expect_err("it never ends").to_string();
    assert!(error.contains("redirects more than 10 times"), "{error}");
}

#[test]
fn offline_asks_nobody_and_what_is_here_is_found() {
    let (folder, file) = (Folder::new(), file());
    let content = file.clone();
    let server = Server::start(move |request, _| Reply::file(request, &content));
    let offline = HubConfig { offline: true, ..hub(&server) };
    let error = pull(&folder.store(&file), &offline).0.expect_err("not here").to_string();
    assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
    assert_eq!(server.asked().len(), 0);
    let path = pull(&folder.store(&file), &hub(&server)).0.expect("fetched");
    assert_eq!(pull(&folder.store(&file), &offline).0.expect("here"), path);
}

#[test]
fn two_at_once_make_one_download() {
    let (folder, file) = (Folder::new(), file());
    let content = file.clone();
    let server = Server::start(move |request, _| {
        std::thread::sleep(Duration::from_millis(300));
        Reply::file(request, &content)
    });
    let (store, hub) = (folder.store(&file), hub(&server));
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| pull(&store, &hub))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    for (path, _) in &results {
        assert_eq!(fs::read(path.as_ref().expect("fetched")).expect("it is there"), file);
    }
    let waited = results.iter().filter(|(_, seen)| seen.contains(&Progress::WaitingForLock)).count();
    assert_eq!((server.asked().len(), waited), (1, 3));
}

#[test]
fn a_host_that_says_nothing_is_given_up_soon() {
    // The system completes connections to it; nobody ever answers there.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = silent.local_addr().expect("it is bound");
    for scheme in ["http", "https"] {
        let hub = HubConfig {
            endpoint: format!("{scheme}://{address}"),
            backoff: Duration::from_millis(1),
            connect_timeout: Duration::from_millis(200),
            read_timeout: Duration::from_millis(200),
            ..HubConfig::default()
        };
        let started = Instant::now();
        let error = pull(&Folder::new().store(&file()), &hub).0.expect_err("nobody answers").to_string();
        assert!(started.elapsed() < Duration::from_secs(3), "{scheme}: {:?}", started.elapsed());
        assert!(error.contains("127.0.0.1"), "{error}");
    }
}

/// A request for the list of a repository's files.
fn is_list(request: &Request) -> bool {
    request.path.starts_with("/api/models/owner/repo/tree/main")
}
